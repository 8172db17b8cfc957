"""Runs over features that were planted, end to end: planted, investigated, and held against what they stand for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.folder.store import RunFolder
from agent.run import main as run
from evals.truth import main
from evals.truths.results import TruthReport
from tests.servers.openai_stub import JsonDict, Scripted, StubServer, failing, serve
from tools.training.__main__ import main as train
from tools.truth.known import FILE, read_known


class Made(NamedTuple):
    run: Path
    sae: Path
    said: str


@pytest.fixture(scope="module")
def made(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A run over everything that was planted in the tiny study."""
    place = tmp_path_factory.mktemp("planted")
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("tools.truth.planting.FEWEST", 12)  # the tiny study's text is short
        patch.setattr("rich.console.Console.print", lambda self, *words, **_: lines.append(" ".join(map(str, words))))
        assert train(["plant", "--study", str(study_folder), "--work", str(place)]) == 0
        sae = place / "planted-base"
        assert choose(study_folder, sae, place / "runs") == 0
    (folder,) = (place / "runs").iterdir()
    return Made(folder, sae, "\n".join(lines))


def choose(study: Path, sae: Path, runs: Path, *more: str) -> int:
    model = ["--study", str(study), "--model", str(study / "base" / "model"), "--sae", str(sae)]
    return run([*model, "--choose", "known", "--controls", "0", "--judge", "rules", "--runs", str(runs), *more])


@pytest.fixture
def copied(made: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.run, tmp_path / made.run.name))


def report_of(folder: Path) -> TruthReport:
    return TruthReport.model_validate_json((folder / "evals" / "truth" / "truth.json").read_bytes())


def says(answer: str) -> Iterator[StubServer]:
    def reply(body: JsonDict, attempt: int) -> Scripted:
        return Scripted(content=json.dumps({"reasons": "as they read", "same": answer}))

    with serve(reply) as stub:
        yield stub


@pytest.fixture
def yes_man() -> Iterator[StubServer]:
    yield from says("yes")


def test_concepts_and_placebos_are_candidates_alike_in_an_order_that_tells_nothing(made: Made) -> None:
    known = read_known(made.sae)
    assert known is not None
    manifest = RunFolder(made.run).manifest()
    assert manifest.selection is not None
    items = manifest.selection.items
    assert {item.stratum for item in items} == {"candidates"}
    numbers = [item.feature.index for item in items]
    assert sorted(numbers) == sorted(one.feature for one in known.features) != numbers
    assert manifest.provenance.sha256["known"] == known.sha256
    assert known.sentence in made.said


def test_the_report_tells_right_from_wrong_and_names_for_placebos_and_adds_up(made: Made, copied: Path) -> None:
    assert main([str(copied)]) == 0
    report = report_of(copied)
    assert report.labels is not None
    rows = {row.group: row for row in report.labels.rows}
    assert all(sum(row.counts.values()) == row.features for row in rows.values())
    assert rows["placebos"].features == 2 * rows["concept"].features
    assert rows["placebos"].counts["failed"] == 0
    assert rows["placebos"].counts["nothing nameable"] > rows["placebos"].counts["named"], "the rules abstain"
    untold = sum(rows["concept"].counts[outcome] for outcome in ("not told", "nothing nameable"))
    assert report.labels.swapped_pairs == rows["concept"].features - untold > 0
    page = (copied / "evals" / "truth" / "report.html").read_text()
    assert "stand for a concept" in page and "placebo" in page
    assert main([str(copied), "--require", "placebos_unnamed>=1.01"]) == 1
    assert main([str(copied), "--require", "right>=0"]) == 0


def test_a_model_that_says_yes_to_everything_has_no_figure(yes_man: StubServer, copied: Path, capsys) -> None:
    model = ["--llm-model", "m", "--base-url", yes_man.base_url]
    assert main([str(copied), *model]) == 0
    said = capsys.readouterr().out
    assert "worth too little" in said and "are labelled right" not in said.split("placebo")[0].replace("\n", " ")
    report = report_of(copied)
    assert report.labels is not None and report.labels.swapped.value == 1.0
    asked = len(yes_man.requests)
    assert main([str(copied), *model]) == 0
    assert len(yes_man.requests) == asked  # no comparison is paid for twice


def test_a_model_sees_both_descriptions_in_both_orders_and_not_which_is_whose(
    yes_man: StubServer, copied: Path
) -> None:
    assert main([str(copied), "--llm-model", "m", "--base-url", yes_man.base_url]) == 0
    shown = [request.body["messages"] for request in yes_man.requests if len(request.body["messages"]) == 2]
    texts = [messages[1]["content"] for messages in shown]
    meaning = "the definite article, the"
    own = [text for text in texts if meaning in text]
    assert len(own) % 2 == 0 and own
    first = sum(text.index(meaning) < text.index("description b") for text in own)
    assert first == len(own) / 2
    assert not any(word in messages[0]["content"] for messages in shown for word in ("placebo", "truth", "planted"))


def test_what_a_model_refuses_to_compare_is_told_apart_from_wrong(copied: Path) -> None:
    refusing = failing(400, "no")

    def reply(body: JsonDict, attempt: int) -> Scripted:
        return Scripted(content="OK") if len(body["messages"]) == 1 else refusing(body, attempt)

    with serve(reply) as stub:
        assert main([str(copied), "--llm-model", "m", "--base-url", stub.base_url]) == 0
    report = report_of(copied)
    assert report.labels is not None
    (row,) = (row for row in report.labels.rows if row.group == "concept")
    assert row.counts["not told"] == row.features - row.counts["nothing nameable"] > 0 and row.share.value == 0
    assert {one.why for one in report.labels.concepts if one.outcome == "not told"} == {"bad_request"}


def test_a_run_judged_again_without_a_kind_of_evidence_says_so(made: Made, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert run(["--rejudge", str(made.run), "--judge", "rules", "--without", "contexts", "--runs", str(runs)]) == 0
    (again,) = runs.iterdir()
    assert main([str(again)]) == 0
    report = report_of(again)
    assert report.without == ("contexts",)
    assert "judged without contexts" in report.remarks[0]


def test_runs_without_a_kind_of_evidence_stand_beside_the_first_in_one_table(
    made: Made, copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    for kind in ("contexts", "steering"):
        assert run(["--rejudge", str(made.run), "--judge", "rules", "--without", kind, "--runs", str(runs)]) == 0
    again = [item for one in sorted(runs.iterdir()) for item in ("--beside", str(one))]
    capsys.readouterr()
    assert main([str(copied), *again]) == 0
    assert "Which evidence does the judge need" in (copied / "evals" / "truth" / "report.html").read_text()
    own, *others = report_of(copied).beside
    assert (own.without, own.p, own.gained, own.lost) == ((), None, 0, 0)
    assert {row.without for row in others} == {("contexts",), ("steering",)}
    for row in others:
        right = [next(one for one in each.outcomes if one.group == "concept").counts["right"] for each in (own, row)]
        assert right[1] - right[0] == row.gained - row.lost
        assert row.corrected is not None and row.p is not None and row.corrected >= row.p


def test_a_run_of_another_sae_is_not_put_beside(
    made: Made, study_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = tmp_path / "plain"
    arguments = ["--study", str(study_folder), "--limit", "1", "--controls", "0", "--judge", "rules"]
    assert run([*arguments, "--runs", str(plain)]) == 0
    (other,) = plain.iterdir()
    capsys.readouterr()
    assert main([str(made.run), "--beside", str(other)]) == 2
    assert "another SAE" in capsys.readouterr().err


def test_a_run_of_which_nothing_is_known_or_something_else_is_one_line(
    made: Made, copied: Path, study_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = tmp_path / "plain"
    arguments = ["--study", str(study_folder), "--limit", "1", "--controls", "0", "--judge", "rules"]
    assert run([*arguments, "--runs", str(plain)]) == 0
    (folder,) = plain.iterdir()
    before = {path: path.read_bytes() for path in made.sae.iterdir()}
    capsys.readouterr()
    try:
        assert main([str(folder)]) == 2
        assert "nothing is known" in capsys.readouterr().err
        known = json.loads((made.sae / FILE).read_text())
        known["features"][0]["name"] = "something else"
        (made.sae / FILE).write_text(json.dumps(known))
        assert main([str(copied)]) == 2
        assert "not what the run chose" in capsys.readouterr().err
        (made.sae / FILE).unlink()
        assert choose(study_folder, made.sae, tmp_path / "none") == 2
        error = capsys.readouterr().err
        assert "nothing says" in error and error.count("\n") == 1
        assert not (tmp_path / "none").exists()
    finally:
        for path, data in before.items():
            path.write_bytes(data)
    assert main([str(copied)]) == 0
