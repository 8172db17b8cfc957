"""Runs over a task: which features they take, what is asked of them, how they go on, and what is refused before one begins."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from agent import check, read, show
from agent.beginning.flags import configure, parse_arguments
from agent.errors import RunError
from agent.folder.config import RunConfig
from agent.folder.entrusted import open_question
from agent.folder.records import Manifest, Summary
from agent.folder.store import RunFolder
from agent.run import main
from agent.selection import effect
from evals import export
from evals import run as examine
from evals.review.labelling.passes import ask
from evals.review.runs import OpenRun
from tests.agent.selection.tasks import GUIDELINE, write_task, write_texts
from tests.evals.review.label_worlds import Labeller, open_client
from tests.servers.openai_stub import JsonDict, Scripted, failing, happy, serve
from tools.bench.loading import load_arm
from tools.probes.beside import is_beside
from tools.probes.draws import draw_ambiguous
from tools.probes.effects import contrast_effects, exact_effects
from tools.probes.pooling import pool_texts
from tools.probes.probe import train_probes
from tools.probes.reading import load_task
from tools.study.reading import load_study

pytestmark = pytest.mark.timeout(300)
"""Each run over a task loads and measures; on a busy machine that takes its time."""
KEY = "sk-planted-0123456789abcdef"


class Made(NamedTuple):
    folder: RunFolder
    study: Path
    said: str


@pytest.fixture(scope="module")
def home(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny study with a task."""
    study = Path(shutil.copytree(study_folder, tmp_path_factory.mktemp("task") / "tiny"))
    write_task(study / "tasks")
    return study


@pytest.fixture(scope="module")
def made(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One run by rules, of the five features with the largest effects."""
    runs, lines = tmp_path_factory.mktemp("runs"), list[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rich.console.Console.print", lambda self, *words, **_: lines.append(" ".join(map(str, words))))
        assert run(home, runs, "--task", "places") == 0
    (path,) = runs.iterdir()
    return Made(RunFolder(path), home, "\n".join(lines))


def run(study: Path, runs: Path, *more: str, judge: tuple[str, ...] = ("--judge", "rules")) -> int:
    return main(["--study", str(study), "--runs", str(runs), "--limit", "5", "--controls", "0.1", *judge, *more])


def copied(made: Made, place: Path) -> Path:
    return Path(shutil.copytree(made.folder.path, place / made.folder.path.name))


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


def test_features_with_the_largest_effects_are_the_candidates(made: Made) -> None:
    selection = made.folder.manifest().selection
    assert selection is not None and selection.strategy == "effect"
    table = pd.read_parquet(made.folder.path / "features.parquet")
    size = np.where(table["alive"], np.abs(table["effect"].to_numpy()), 0.0)
    order = np.argsort(-size, kind="stable")[:5]
    chosen = [item for item in selection.items if item.stratum == "candidates"]
    assert [item.feature.index for item in chosen] == order.tolist()
    assert [item.score for item in chosen] == pytest.approx(size[order].tolist())
    near = [item.feature.index for item in selection.items if item.stratum == "near controls"]
    rest = [item.feature.index for item in selection.items if item.stratum == "unrelated controls"]
    assert near and rest and min(size[near]) >= max(size[rest])
    assert all(item.score is None for item in selection.items if item.feature.kind == "random_direction")


def test_effects_are_the_exact_ones_on_the_biased_probe_of_the_seed(made: Made) -> None:
    study = load_study(str(made.study))
    task, bench = load_task("places", study), load_arm(study, "base")
    pooled = pool_texts(bench, [text.text for text in task.texts])
    probe, drawn = train_probes(task, pooled.residual, 0).biased, draw_ambiguous(task, "train", 0)
    effects = exact_effects(pooled.features[drawn], bench.directions.numpy(), probe)
    table = pd.read_parquet(made.folder.path / "features.parquet")
    np.testing.assert_allclose(table["effect"], contrast_effects(effects, task.labels[drawn] == 1), atol=1e-9)
    assert not np.array_equal(table["effect_attribute"], table["effect"])


def test_both_concepts_are_rated_and_nothing_is_called_relevant(made: Made) -> None:
    for decision in made.folder.decisions():
        assert decision.relevant is None and decision.ratings is not None
        assert [rating.concept for rating in decision.ratings] == ["trade", "place"]
        assert (decision.status, decision.judge.kind) == ("decided", "rules")
    summary = Summary.model_validate_json((made.folder.path / "summary.json").read_bytes())
    assert [row.concept for row in summary.concepts] == ["trade", "place"]
    assert summary.failures == {}
    given = [(d.stratum, {r.concept: r.rating for r in d.ratings or ()}) for d in made.folder.decisions()]
    beside = [stratum for stratum, rated in given if is_beside(rated, "place", "trade")]
    counted = f"{beside.count('candidates')} of 5 candidates, "
    assert summary.remarks[0].startswith(f"beside the point (place 2 or more, and more than trade): {counted}")
    assert summary.remarks[0] in made.said and summary.remarks[0] in (made.folder.path / "report.html").read_text(
        "utf-8"
    )


def test_manifest_says_what_was_read_and_how_well_the_probes_do(made: Made) -> None:
    manifest, tasks = made.folder.manifest(), made.study / "tasks"
    assert (manifest.config.task, manifest.domain, manifest.study_title) == (
        "places",
        "trade, place",
        "Trades and places",
    )
    known = manifest.provenance.sha256
    assert known["task"] == load_task("places", load_study(str(made.study))).sha256
    files = {"task_definition": "places.toml", "task_texts": "places.jsonl", "guideline": "places.md"}
    for role, name in {**files, "words of trade": "trade.txt", "words of place": "place.txt"}.items():
        assert known[role] == hashlib.sha256((tasks / name).read_bytes()).hexdigest()
    assert manifest.selection is not None
    basis: dict[str, Any] = manifest.selection.basis
    assert (basis["task"], basis["label"], basis["attribute"], basis["seed"]) == ("places", "trade", "place", 0)
    assert set(basis["development"]) == {"oracle", "biased", "attribute"}
    assert basis["development"]["oracle"]["accuracy"] >= basis["development"]["biased"]["accuracy"] - 0.2
    assert 0 < basis["candidates_share"] <= 1 and basis["carry_half"] <= basis["with_effect"]


def test_console_and_report_say_what_is_asked_and_what_the_classifier_learned(made: Made) -> None:
    assert "task places: trade, place" in made.said
    assert "trade (plain or healing), which goes with place (indoors or outdoors) by accident" in made.said
    selection, page = made.folder.manifest().selection, (made.folder.path / "report.html").read_text("utf-8")
    assert selection is not None and len(selection.notes) == 2
    for note in selection.notes:
        assert note in made.said and note in page
    assert "Trades and places" in page and "<td>place</td>" in page


def test_replay_makes_the_same_decisions_without_the_texts(made: Made, tmp_path: Path) -> None:
    path, texts = copied(made, tmp_path), made.study / "tasks" / "places.jsonl"
    hidden = texts.rename(texts.with_suffix(".hidden"))
    try:
        assert main(["--replay", str(path)]) == 0
    finally:
        hidden.rename(texts)


def test_run_that_was_stopped_before_its_evidence_goes_on_to_the_same_decisions(made: Made, tmp_path: Path) -> None:
    path = copied(made, tmp_path)
    for name in ("evidence.jsonl", "decisions.jsonl", "features.parquet", "summary.json"):
        (path / name).unlink()
    shutil.rmtree(path / "transcripts")
    assert main(["--resume", str(path)]) == 0
    assert (path / "decisions.jsonl").read_bytes() == made.folder.decisions_file.read_bytes()
    ours, theirs = (pd.read_parquet(place / "features.parquet") for place in (path, made.folder.path))
    pd.testing.assert_frame_equal(ours, theirs)


def test_commands_that_read_a_run_read_this_one(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copied(made, tmp_path)
    key = made.folder.decisions()[0].feature.key
    assert read.main([str(path), key]) == 0
    assert "trade" in capsys.readouterr().out
    assert check.main([str(path)]) == 0
    assert show.main([str(path / "evidence.jsonl"), "--reader", "judge"]) == 0
    for to in ("inspect", "neuronpedia"):
        assert export.main([str(path), "--to", to, "--out", str(tmp_path / f"{to}.eval")]) == 0, to


def test_desk_asks_for_the_ratings_of_the_task_with_its_guideline(made: Made) -> None:
    asked = ask(OpenRun("run", made.folder.path))
    assert dict(asked.concepts) == {
        "trade": "Healing, or not.",
        "place": "Whether it is indoors or outdoors, and everything that goes with one of these more than with the others.",
    }
    assert asked.guideline == GUIDELINE


def test_people_rate_both_concepts_at_the_desk(made: Made, tmp_path: Path) -> None:
    path = copied(made, tmp_path)
    ada = Labeller(open_client(path), path.name, "ada")
    page = ada.open()
    assert "Healing, or not." in page.text and GUIDELINE.strip() in page.text
    assert ada.answer(page, **{"answer-0": "1", "answer-1": "3"}).status_code == 200
    (file,) = (path / "labels").glob("*.jsonl")
    given = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert {(one["question"], one["value"]) for one in given} == {("trade", 1), ("place", 3)}


def test_labels_of_people_are_held_against_the_ratings(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, file = copied(made, tmp_path), tmp_path / "labels.jsonl"
    item = {"study": "tiny", "sae": "base"}
    lines = [
        {
            "item": {**item, "index": d.feature.index, "kind": d.feature.kind},
            "annotator": "ada",
            "question": q,
            "value": 0,
        }
        for d in made.folder.decisions()
        for q in ("trade", "place")
    ]
    file.write_text("".join(json.dumps({**line, "source": "here"}) + "\n" for line in lines), "utf-8")
    assert examine.main([str(path), "--labels", str(file)]) in (0, 1)
    assert f"ratings · judge: rules · people: ada ({len(lines) // 2})" in capsys.readouterr().out


# Who judges


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.mark.usefixtures("key")
def test_a_model_rates_what_the_rules_rated_and_the_rules_rate_it_again(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    with serve(happy) as stub:
        model = ["--base-url", stub.base_url, "--llm-model", "stub", "--runs", str(runs)]
        assert main(["--rejudge", str(made.folder.path), *model]) == 0
        (rated,) = runs.iterdir()
        sent = json.dumps([request.body for request in stub.requests])
        assert "- place: Whether it is indoors or outdoors" in sent and GUIDELINE.strip() in sent
        assert len(stub.requests) == len(made.folder.decisions()), "one call a feature, and no investigation"
        asked = len(stub.requests)
        assert main(["--replay", str(rated)]) == 0
        assert len(stub.requests) == asked
    folder = RunFolder(rated)
    assert all(len(decision.ratings or ()) == 2 for decision in folder.decisions())
    known, ours = made.folder.manifest().provenance.sha256, folder.manifest().provenance.sha256
    for role in ("task", "task_definition", "task_texts", "guideline", "words of trade"):
        assert ours[role] == known[role]
    assert main(["--rejudge", str(rated), "--judge", "rules", "--runs", str(tmp_path / "again")]) == 0
    (again,) = (tmp_path / "again").iterdir()
    assert [d.ratings for d in RunFolder(again).decisions()] == [d.ratings for d in made.folder.decisions()]
    capsys.readouterr()
    assert main(["--rejudge", str(made.folder.path), "--task", "places", "--judge", "rules"]) == 2
    assert "leave out --task" in one_line(capsys)


# What may be opened, and what has to be as it was


def stop_early(path: Path) -> None:
    for name in ("evidence.jsonl", "decisions.jsonl"):
        (path / name).unlink()


CHANGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "its definition": (
        "the task definition",
        lambda tasks: (tasks / "places.toml").open("a").write("test_share = 0.3\n"),
    ),
    "its texts": ("the task texts", lambda tasks: write_texts(tasks / "places.jsonl", 91)),
    "no texts": ("the task texts", lambda tasks: (tasks / "places.jsonl").unlink()),
    "its guideline": ("the guideline", lambda tasks: (tasks / "places.md").write_text("Another.")),
    "its words": ("the words of place", lambda tasks: (tasks / "place.txt").write_text("river\n")),
}


@pytest.fixture
def own(made: Made, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A copy of the run whose study is a copy too, and its tasks."""
    study = Path(shutil.copytree(made.study, tmp_path / "tiny"))
    path = copied(made, tmp_path)
    told = json.loads((path / "manifest.json").read_bytes())
    told["config"]["study"] = str(study)
    (path / "manifest.json").write_text(json.dumps(told))
    yield path, study / "tasks"


@pytest.mark.parametrize("change", CHANGES)
def test_run_does_not_go_on_with_another_task(
    own: tuple[Path, Path], capsys: pytest.CaptureFixture[str], change: str
) -> None:
    path, tasks = own
    stop_early(path)
    said, make = CHANGES[change]
    if change == "its definition":
        text = (tasks / "places.toml").read_text()
        (tasks / "places.toml").write_text(text.replace("[label]", "test_share = 0.3\n[label]"))
    else:
        make(tasks)
    assert main(["--resume", str(path)]) == 2
    error = one_line(capsys)
    assert said in error and "not the one" in error


@pytest.mark.parametrize("change", ["its guideline", "its texts"])
def test_rules_replay_whatever_became_of_what_they_do_not_read(own: tuple[Path, Path], change: str) -> None:
    path, tasks = own
    CHANGES[change][1](tasks)
    assert main(["--replay", str(path)]) == 0


def test_rules_do_not_replay_by_other_words(own: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    path, tasks = own
    CHANGES["its words"][1](tasks)
    assert main(["--replay", str(path)]) == 2
    assert "the words of place" in one_line(capsys)


@pytest.mark.parametrize("flags", [["--replay"], ["--resume"], ["--rejudge"]], ids=lambda flags: flags[0])
@pytest.mark.parametrize("field", ["guideline", "words"])
def test_no_file_of_the_readers_is_read_on_the_word_of_a_run_and_its_task(
    own: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], field: str
) -> None:
    path, tasks = own
    secret = tmp_path / "secret.txt"
    secret.write_text("hunter2\n")
    file = tasks / "places.toml"
    old = {"guideline": "places.md", "words": "place.txt"}[field]
    file.write_text(file.read_text().replace(f'"{old}"', f'"{secret}"'))
    told = json.loads((path / "manifest.json").read_bytes())
    told["provenance"]["sha256"]["task_definition"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(told))
    if flags == ["--resume"]:
        (path / "decisions.jsonl").unlink()
    model = field == "guideline" and flags == ["--rejudge"]
    more = ["--runs", str(tmp_path / "runs")] if flags == ["--rejudge"] else []
    more += ["--base-url", "http://127.0.0.1:9/v1", "--llm-model", "m"] if model else ["--judge", "rules"] * bool(more)
    if field == "guideline" and not model and flags == ["--replay"]:
        pytest.skip("the rules replay without a guideline")
    assert main([*flags, str(path), *more]) == 2
    error = one_line(capsys)
    assert "hunter2" not in error and ("guideline" in error or "words of place" in error)
    assert not (tmp_path / "runs").exists()


def test_task_that_only_a_manifest_names_is_opened_only_as_the_run_knew_it(
    own: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, tasks = own
    told = json.loads((path / "manifest.json").read_bytes())
    other = tmp_path / "other.toml"
    other.write_text((tasks / "places.toml").read_text() + "# another\n")
    told["config"]["task"] = str(other)
    (path / "manifest.json").write_text(json.dumps(told))
    with pytest.raises(RunError, match=r"the task definition \(.*other.toml\) is not the one"):
        open_question(Manifest.model_validate(told))
    assert main(["--replay", str(path)]) == 2
    assert "is not the one the run used" in one_line(capsys)


def test_hub_data_is_not_fetched_on_a_manifests_word(
    own: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, tasks = own
    stop_early(path)
    file = tasks / "places.toml"
    file.write_text(file.read_text().replace("places.jsonl", "hub:somebody/texts"))
    told = json.loads((path / "manifest.json").read_bytes())
    told["provenance"]["sha256"]["task_definition"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(told))

    def refuse(*_: object) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("tools.probes.reading.gather_rows", refuse)
    assert main(["--resume", str(path)]) == 2
    assert "would have to be downloaded" in one_line(capsys)


# Refused before a model is loaded


BAD: dict[str, tuple[Callable[[str], str], str]] = {
    "no attribute": (lambda text: re.sub(r"\[attribute\](.|\n)*", "", text), "has no attribute"),
    "no words": (lambda text: text.replace('words = "place.txt"', ""), "has none for place"),
    "missing words": (lambda text: text.replace("place.txt", "nowhere.txt"), "nowhere.txt"),
    "missing guideline": (lambda text: text.replace("places.md", "nowhere.md"), "nowhere.md"),
    "missing texts": (lambda text: text.replace("places.jsonl", "nowhere.jsonl"), "nowhere.jsonl"),
    "another concept": (lambda text: text.replace("concepts.place", "concepts.colour"), "asks about 'colour'"),
    "one name": (lambda text: text.replace('name = "place"', 'name = "trade"'), "trade"),
    "no TOML": (lambda text: text + "[[[", "is not TOML"),
    "a fence": (lambda text: text.replace("Healing, or not.", "<<<evidence"), "<<<"),
}


@pytest.mark.parametrize("kind", [*BAD, "missing", "a folder"])
def test_bad_task_is_one_line_and_leaves_no_run(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("agent.stages.gather.open_bench", refuse)
    file, said = write_task(tmp_path / "tasks", each=90), "there is no task"
    if kind in BAD:
        change, said = BAD[kind]
        file.write_text(change(file.read_text()))
    elif kind == "a folder":
        file = tmp_path
    else:
        file = tmp_path / "nowhere.toml"
    assert run(home, tmp_path / "runs", "--task", str(file)) == 2
    error = one_line(capsys)
    assert error.startswith("error: ") and said in error
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("key")
def test_a_table_is_a_task_and_ratings_that_failed_are_asked_for_again_without_a_model_on_the_bench(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, down = tmp_path / "own.jsonl", ["yes"]
    write_texts(file)
    assert run(home, tmp_path / "runs", "--task", str(file)) == 2
    assert "the rules rate by lists of words, and 'own' has none for label and attribute" in one_line(capsys)

    first: list[str] = []

    def policy(body: JsonDict, attempt: int) -> Scripted:
        said = "".join(str(message["content"]) for message in body["messages"])
        shown = said.partition("<<<evidence")[2].partition("evidence>>>")[0]
        if down and shown and shown in (first or [shown]):
            first[:] = [shown]
            return failing(400, "down")(body, attempt)
        return happy(body, attempt)

    with serve(policy) as stub:
        judge = ("--base-url", stub.base_url, "--llm-model", "stub", "--concurrency", "1")
        assert run(home, tmp_path / "runs", "--task", str(file), judge=judge) == 0
        sent = json.dumps([request.body for request in stub.requests])
        assert "- label: Whether it is healing or plain" in sent
        assert "How much a feature has to do with a concept" in sent, "the guideline for all tasks"
        (path,) = (tmp_path / "runs").iterdir()
        failed = [decision for decision in RunFolder(path).decisions() if decision.status == "failed"]
        assert len(failed) == 1 and failed[0].ratings is None
        down.clear()

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("nothing is measured for a rating")

        monkeypatch.setattr("agent.stages.conduct.open_bench", refuse)
        assert main(["--resume", str(path), "--retry-failed", "--base-url", stub.base_url]) == 0
    assert all(decision.status == "decided" for decision in RunFolder(path).decisions())
    assert main(["--replay", str(path)]) == 0


def test_dry_run_reads_the_task_and_makes_nothing(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(home, tmp_path / "runs", "--task", "places", "--dry-run") == 0
    assert "texts in train" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--task", "t", "--features", "1"], "--task, --features each choose.*give one"),
        (["--task", "t", "--toward", "t.txt"], "--task, --toward each choose"),
        (["--task", "t", "--choose", "all"], "--task, --choose each choose"),
        (["--choose", "effect"], "--choose effect takes --task"),
        (["--task", "t", "--away", "a.txt"], "--away says something about a text"),
        (["--evidence", "e.jsonl", "--task", "t"], "--evidence brings its features along: leave out --task"),
    ],
)
def test_flags_that_contradict_each_other_are_refused_in_a_line(flags: list[str], said: str) -> None:
    arguments = parse_arguments([*flags, "--judge", "llm", "--llm-model", "m", "--base-url", "http://127.0.0.1:1/v1"])
    with pytest.raises(RunError, match=said) as raised:
        configure(arguments, {})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("flags", [["--task", "bios"], ["--task", "bios", "--choose", "effect"]])
def test_strategy_follows_from_the_task(flags: list[str]) -> None:
    config = configure(parse_arguments([*flags, "--judge", "rules"]), {})
    assert (config.strategy, config.task) == ("effect", "bios")
    assert RunConfig.model_validate_json(config.model_dump_json()) == config


def test_manifests_of_before_there_were_tasks_open(made: Made) -> None:
    stored = made.folder.manifest().model_dump(mode="json")
    del stored["config"]["task"]
    assert Manifest.model_validate(stored).config.strategy == "keywords"


# Known answers


def test_half_of_all_effects_are_carried_by_the_fewest_features_that_have_it() -> None:
    assert effect.count_for(np.array([1.0, 4.0, 3.0, 0.0]), 0.5) == 1
    assert effect.count_for(np.array([1.0, 3.0, 3.0, 0.0]), 0.5) == 2
    assert effect.count_for(np.zeros(4), 0.5) == 0


def test_a_feature_without_effect_and_a_dead_one_are_no_candidates() -> None:
    size, alive = np.array([0.0, 3.0, 5.0, 1.0, 2.0] + [0.1] * 20), np.ones(25, dtype=bool)
    alive[2] = False
    strata = effect.rank(size, alive, 3)
    assert strata.candidates.tolist() == [1, 4, 3]
    assert 2 not in {*strata.near.tolist(), *strata.unrelated.tolist()}
    assert 0 in strata.unrelated and len(strata.near) == 2
