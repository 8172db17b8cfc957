"""Runs whose features were chosen by a text: what they keep, how they go on, and what is refused before one begins."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from agent.beginning.flags import configure, parse_arguments
from agent.errors import RunError
from agent.folder.config import RunConfig
from agent.folder.records import Manifest
from agent.folder.store import RunFolder
from agent.run import main
from tests.conftest import EVERYDAY, MEDICAL
from tools.alignment.agreement import Agreement

COLUMNS = {"contrast_score", "contrast_difference", "contrast_p", "contrast_q", "reference_score", "reference_distance"}


def write_sentences(file: Path, words: tuple[str, ...], n: int = 12, seed: int = 5) -> Path:
    """Passages of words that the tiny model knows, in sentences that its corpus does not hold."""
    rng = np.random.default_rng(seed)
    lines = ["A {} and a {} of the {} was to the {} and the {}.".format(*rng.choice(words, 5)) for _ in range(n)]
    file.write_text("\n\n".join(lines), "utf-8")
    return file


class Made(NamedTuple):
    folder: RunFolder
    study: Path
    target: Path
    said: str


@pytest.fixture(scope="module")
def made(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One run toward medical text, of the five best features."""
    place = tmp_path_factory.mktemp("toward")
    target = write_sentences(place / "target.txt", MEDICAL)
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("rich.console.Console.print", lambda self, *words, **_: lines.append(" ".join(map(str, words))))
        assert run(study_folder, place / "runs", "--toward", str(target), "--limit", "5", "--controls", "0.1") == 0
    (path,) = (place / "runs").iterdir()
    return Made(RunFolder(path), study_folder, target, "\n".join(lines))


def run(study: Path, runs: Path, *more: str) -> int:
    return main(["--study", str(study), "--runs", str(runs), "--judge", "rules", *more])


def copied(made: Made, place: Path) -> Path:
    return Path(shutil.copytree(made.folder.path, place / made.folder.path.name))


def test_best_features_are_the_candidates_and_their_scores_are_kept(made: Made) -> None:
    manifest = made.folder.manifest()
    selection = manifest.selection
    assert selection is not None
    table = pd.read_parquet(made.folder.path / "features.parquet")
    chosen = [item for item in selection.items if item.stratum == "candidates"]
    assert len(chosen) == 5
    assert selection.strategy == "text"
    beyond = (table["contrast_q"] <= 0.05) & (table["contrast_score"] > 0)
    order = table.assign(rest=~beyond).sort_values(
        ["rest", "contrast_score", "contrast_difference"], ascending=[True, False, False], kind="stable"
    )
    assert [item.feature.index for item in chosen] == order.index[:5].tolist()
    assert [item.score for item in chosen] == order["contrast_score"].tolist()[:5]
    assert all(item.score is None for item in selection.items if item.feature.kind == "random_direction")
    assert {size.stratum for size in selection.sizes if size.drawn} >= {"candidates", "random directions"}


def test_scores_of_all_features_are_in_the_survey_with_gaps_where_there_is_none(made: Made) -> None:
    table = pd.read_parquet(made.folder.path / "features.parquet")
    assert set(table.columns) >= COLUMNS
    for scorer in ("contrast", "reference"):
        scored = table[f"{scorer}_score"].notna()
        assert 0 < scored.sum() < len(table), "a dead feature has no score"
        assert table.loc[scored, f"{scorer}_score"].between(0, 1).all()
        assert table.loc[scored, "alive"].all()


def test_manifest_says_what_was_read_and_how_far_the_scorers_agree(made: Made) -> None:
    manifest = made.folder.manifest()
    assert manifest.provenance.sha256["target"] == hashlib.sha256(made.target.read_bytes()).hexdigest()
    assert manifest.config.toward == str(made.target)
    assert manifest.selection is not None
    basis = manifest.selection.basis
    assert basis["target"] == {"name": "target.txt", "unit": "documents", "documents": 9, "held_out": 3}
    agreement = Agreement.model_validate(basis["agreement"])
    assert agreement.sentence in made.said
    for note in manifest.selection.notes:
        assert note in made.said
        assert note.replace("<", "&lt;") in (made.folder.path / "report.html").read_text("utf-8")


def test_console_says_what_is_sought_what_it_is_held_against_and_what_is_asked(made: Made) -> None:
    assert "toward target.txt: 9 documents to score features by, 3 held out" in made.said
    assert "held against" in made.said
    assert "judged by the study's question" in made.said


def test_survey_of_a_run_by_keywords_has_no_such_columns(study_folder: Path, tmp_path: Path) -> None:
    assert run(study_folder, tmp_path, "--limit", "1", "--controls", "0") == 0
    (path,) = tmp_path.iterdir()
    assert not set(pd.read_parquet(path / "features.parquet").columns) & COLUMNS
    assert "target" not in RunFolder(path).manifest().provenance.sha256


def test_replay_makes_the_same_decisions_without_the_target(made: Made, tmp_path: Path) -> None:
    path = copied(made, tmp_path)
    hidden = made.target.rename(made.target.with_suffix(".hidden"))
    try:
        assert main(["--replay", str(path)]) == 0
    finally:
        hidden.rename(made.target)


def test_run_that_was_stopped_before_its_evidence_goes_on_to_the_same_decisions(made: Made, tmp_path: Path) -> None:
    path = copied(made, tmp_path)
    for name in ("evidence.jsonl", "decisions.jsonl", "features.parquet", "summary.json"):
        (path / name).unlink()
    shutil.rmtree(path / "transcripts")
    assert main(["--resume", str(path)]) == 0
    assert (path / "decisions.jsonl").read_bytes() == made.folder.decisions_file.read_bytes()
    pd.testing.assert_frame_equal(
        pd.read_parquet(path / "features.parquet"), pd.read_parquet(made.folder.path / "features.parquet")
    )


@pytest.mark.parametrize("change", ["another", "missing", "a folder"])
def test_run_does_not_go_on_with_another_target(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    path = copied(made, tmp_path)
    (path / "evidence.jsonl").unlink()
    (path / "decisions.jsonl").unlink()
    other = tmp_path / "target.txt"
    if change == "another":
        write_sentences(other, EVERYDAY)
    elif change == "a folder":
        other.mkdir()
    stored = json.loads((path / "manifest.json").read_text("utf-8"))
    stored["config"]["toward"] = str(other)
    (path / "manifest.json").write_text(json.dumps(stored), "utf-8")
    assert main(["--resume", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "the target" in said and "not the one" in said


def test_run_judged_again_keeps_the_choice_and_takes_no_other(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = ["--rejudge", str(made.folder.path), "--runs", str(tmp_path / "runs"), "--judge", "rules"]
    assert main(again) == 0
    (path,) = (tmp_path / "runs").iterdir()
    parent, child = made.folder.manifest(), RunFolder(path).manifest()
    assert child.selection == parent.selection
    assert child.provenance.sha256["target"] == parent.provenance.sha256["target"]
    assert set(pd.read_parquet(path / "features.parquet").columns) >= COLUMNS
    capsys.readouterr()
    for flags in (["--toward", str(made.target)], ["--choose", "all"], ["--scorer", "reference"], ["--encoder", "x"]):
        assert main([*again, *flags]) == 2
        assert f"leave out {flags[0]}" in capsys.readouterr().err


def test_manifests_of_before_there_were_strategies_open(made: Made) -> None:
    stored = made.folder.manifest().model_dump(mode="json")
    for name in ("choose", "toward", "away", "scorer", "encoder", "reference_prompts"):
        del stored["config"][name]
    for name in ("strategy", "notes", "basis"):
        del stored["selection"][name]
    for item in stored["selection"]["items"]:
        item.pop("score", None)
    old = Manifest.model_validate(stored)
    assert old.config.strategy == "keywords"
    assert old.selection is not None
    assert old.selection.strategy is None


def test_dry_run_reads_the_text_and_makes_nothing(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(made.study, tmp_path / "runs", "--toward", str(made.target), "--dry-run") == 0
    assert "3 held out" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_scorer_by_reference_ranks_when_it_is_asked_to(made: Made, tmp_path: Path) -> None:
    flags = ["--toward", str(made.target), "--scorer", "reference", "--limit", "3", "--controls", "0"]
    assert run(made.study, tmp_path, *flags) == 0
    (path,) = tmp_path.iterdir()
    table = pd.read_parquet(path / "features.parquet")
    selection = RunFolder(path).manifest().selection
    assert selection is not None
    best = table.sort_values(["reference_score", "reference_distance"], ascending=[False, True], kind="stable")
    assert [item.feature.index for item in selection.items] == best.index[:3].tolist()


def test_text_without_a_word_that_has_a_vector_is_scored_by_contrast_alone(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = tmp_path / "strange.txt"
    strange.write_text("\n\n".join(f"zq{i}xw kv{i}pf jj{i}ww qz{i}kk vv{i}xx zz{i}qq" for i in range(8)), "utf-8")
    flags = ["--toward", str(strange), "--limit", "2", "--controls", "0"]
    assert run(made.study, tmp_path / "runs", *flags) == 0
    assert "no score by reference prompts: sentence encoder" in capsys.readouterr().out
    (path,) = (tmp_path / "runs").iterdir()
    assert "reference_score" not in pd.read_parquet(path / "features.parquet").columns
    assert run(made.study, tmp_path / "none", *flags, "--scorer", "reference") == 2
    assert "knows nothing of the target" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


BAD = {
    "empty": (b"", "holds no text"),
    "UTF-16": ("\n\n".join(MEDICAL * 9).encode("utf-16"), "is not UTF-8"),
    "too little": (b"One heart.", "too little text"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0", "is not UTF-8"),
}


@pytest.mark.parametrize("kind", [*BAD, "missing", "a folder", "its own reference", "the corpus"])
def test_bad_target_is_one_line_and_leaves_no_run(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    file = tmp_path / "bad.txt"
    flags, said = ["--toward", str(file)], ""
    if kind in BAD:
        data, said = BAD[kind]
        file.write_bytes(data)
    elif kind == "a folder":
        file.mkdir()
        said = "is a folder"
    elif kind == "its own reference":
        write_sentences(file, MEDICAL)
        flags, said = [*flags, "--away", str(file)], "the same text"
    elif kind == "the corpus":
        flags, said = ["--toward", str(made.study / "corpus.jsonl")], "corpus.jsonl's own"
    else:
        said = "there is no file"
    assert run(made.study, tmp_path / "runs", *flags) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


# The command line


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--toward", "t.txt", "--features", "1"], "--toward, --features each choose.*give one"),
        (["--toward", "t.txt", "--choose", "all"], "--toward, --choose each choose"),
        (["--features", "1", "--choose", "text"], "--features, --choose each choose"),
        (["--toward", "a.txt", "b.txt"], "one text at a time"),
        (["--choose", "text"], "--choose text takes --toward"),
        (["--choose", "listed"], "--choose listed takes --features"),
        (["--choose", "all", "--limit", "3"], "leave out --limit"),
        (["--away", "a.txt"], "--away says something about a text"),
        (
            ["--encoder", "x", "--reference-prompts", "p.txt"],
            "--encoder, --reference-prompts says something about a text",
        ),
        (["--scorer", "contrast"], "--scorer says something about a text"),
        (["--evidence", "e.jsonl", "--toward", "t.txt"], "--evidence brings its features along: leave out --toward"),
        (["--evidence", "e.jsonl", "--choose", "all"], "leave out --choose"),
    ],
)
def test_flags_that_contradict_each_other_are_refused_in_a_line(flags: list[str], said: str) -> None:
    arguments = parse_arguments([*flags, "--judge", "llm", "--llm-model", "m", "--base-url", "http://127.0.0.1:1/v1"])
    with pytest.raises(RunError, match=said) as raised:
        configure(arguments, {})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("flags", "strategy"),
    [
        ([], "keywords"),
        (["--choose", "keywords"], "keywords"),
        (["--toward", "t.txt"], "text"),
        (["--toward", "t.txt", "--choose", "text"], "text"),
        (["--features", "3,1"], "listed"),
        (["--features", "3,1", "--choose", "listed"], "listed"),
        (["--choose", "all"], "all"),
    ],
)
def test_strategy_follows_from_the_flags(flags: list[str], strategy: str) -> None:
    config = configure(parse_arguments([*flags, "--judge", "rules"]), {})
    assert config.strategy == strategy
    assert RunConfig.model_validate_json(config.model_dump_json()) == config
