"""python -m evals.score: from a run folder to figures, tables, a plot and an exit status."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.folder.store import RunFolder
from evals.manual.own import write_own
from evals.score import main
from evals.scoring.records import ItemAnswer, ScoreReport
from tests.evals.scoring.runs import DEAD, make_decisions, make_run
from tests.evals.worlds import label
from tests.servers.openai_stub import saying, serve
from tests.servers.score_stub import answering, shares_a_word
from tools.study.corpus import Corpus
from tools.study.definition import Study

Score = Callable[..., tuple[int, ScoreReport]]


@pytest.fixture(scope="module")
def made(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the tiny study."""
    return make_run(tmp_path_factory.mktemp("scored") / "run", study)


@pytest.fixture(scope="module")
def scored(made: Path) -> tuple[Path, ScoreReport]:
    """The run, scored without a model."""
    assert main([str(made), "--contexts", "6"]) == 0
    return made, read_report(made)


def read_report(run: Path) -> ScoreReport:
    return ScoreReport.model_validate_json((run / "evals" / "scores.json").read_bytes())


def test_everything_is_written_beside_the_run(scored: tuple[Path, ScoreReport]) -> None:
    files = {file.name for file in (scored[0] / "evals").iterdir()}
    assert files == {
        "scores.md", "scores.json", "scores.csv", "score_levels.csv", "score_features.csv", "score_items.jsonl", "scores.png"
    }  # fmt: skip
    assert (scored[0] / "evals" / "scores.png").read_bytes()[:4] == b"\x89PNG"


def test_no_feature_is_dropped(scored: tuple[Path, ScoreReport]) -> None:
    report = scored[1]
    assert {one.feature.key for one in report.features} == {one.feature.key for one in make_decisions()}
    by_key = {one.feature.key: one for one in report.features}
    assert by_key["base-000047"].status == "not scorable"
    assert by_key["base-000012"].status == "failed"
    counted = sum(n for found in report.status.values() for n in found.values())
    assert counted == len(report.features) == 15
    page = (scored[0] / "evals" / "scores.md").read_text("utf-8")
    assert "base-000047" in page and "active in 0 of" in page


def test_the_controls_are_rows_of_the_table(scored: tuple[Path, ScoreReport]) -> None:
    names = {row.name for row in scored[1].rows}
    assert {"labels", "control: shuffled labels", "control: random directions", "control: always yes"} <= names
    figures = scored[1].figures
    assert figures["always_yes_detection_balanced_accuracy"] == 0.5
    assert {
        "detection_near_miss_f1",
        "fuzzing_elsewhere_auprc",
        "shuffled_composite",
        "random_composite",
    } <= figures.keys()


def test_a_line_for_every_answer(scored: tuple[Path, ScoreReport]) -> None:
    lines = (scored[0] / "evals" / "score_items.jsonl").read_text("utf-8").splitlines()
    answers = [ItemAnswer.model_validate_json(line) for line in lines]
    row = next(r for r in scored[1].rows if (r.name, r.task, r.against) == ("labels", "detection", "all"))
    features = {one.feature.key for one in scored[1].features if one.feature.kind == "feature"}
    assert sum(a.task == "detection" and a.feature in features for a in answers) == row.answers
    marked = [a for a in answers if a.marked]
    assert marked and all(0 <= a.marked[0] < a.marked[1] <= len(a.text) for a in marked if a.marked)


def test_tables_hold_every_statistic_and_every_feature(scored: tuple[Path, ScoreReport]) -> None:
    with (scored[0] / "evals" / "scores.csv").open(encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    assert {"balanced_accuracy", "f1", "auprc", "mcc", "composite"} == {row["statistic"] for row in rows}
    assert all(row["prevalence"] for row in rows if row["task"] != "both" and row["kind"] != "difference")
    with (scored[0] / "evals" / "score_features.csv").open(encoding="utf-8") as opened:
        assert len(list(csv.DictReader(opened))) == 15


def test_shared_labels_are_counted(scored: tuple[Path, ScoreReport]) -> None:
    found = scored[1].collisions
    assert found.labels == 11, "features with a label; the failed one has none"
    groups = {group.label: len(group.features) for group in found.groups}
    assert groups["doctor, patient"] == 2
    assert found.shared == sum(groups.values())


def test_the_same_seed_gives_the_same_bytes(scored: tuple[Path, ScoreReport]) -> None:
    names = ("scores.json", "score_items.jsonl")
    before = [(scored[0] / "evals" / name).read_bytes() for name in names]
    assert main([str(scored[0]), "--contexts", "6"]) == 0
    assert [(scored[0] / "evals" / name).read_bytes() for name in names] == before


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of the run for one test."""
    copy = Path(shutil.copytree(made, tmp_path / "run"))
    shutil.rmtree(copy / "evals", ignore_errors=True)
    return copy


@pytest.fixture
def scorable(scored: tuple[Path, ScoreReport]) -> str:
    """A feature that can be scored."""
    return next(one.feature.key for one in scored[1].features if one.status == "scored" and one.feature.index)


def test_a_run_without_a_scorable_feature_says_so(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run), "--features", str(DEAD)]) == 0
    assert "not scored: 1 features; 1 not scorable" in capsys.readouterr().out
    assert {row.features for row in read_report(run).rows} == {0}


def test_a_model_stands_beside_the_words(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(answering(shares_a_word)) as server:
        asks = [str(run), "--llm-model", "stub", "--base-url", server.base_url, "--contexts", "5", "--shuffled", "3"]
        assert main([*asks, "--features", "1,2,3,4,base-r000001"]) == 0
        sent = len(server.requests)
        assert main([*asks, "--features", "1,2,3,4,base-r000001"]) == 0
        assert len(server.requests) == sent, "what was answered once is not asked again"
    report = read_report(run)
    assert [(one.name, one.batch, one.kind) for one in report.scorers] == [("words", None, "words"), ("stub", 5, "llm")]
    assert {prompt.name for prompt in report.scorers[1].prompts} == {"detect.v1", "fuzz.v1", "detect.v2", "fuzz.v2"}
    assert report.scorers[1].usage.calls > 0
    assert [one.feature.key for one in report.features if one.feature.kind != "feature"] == ["base-r000001"]
    assert sorted(one.feature.index for one in report.features) == [1, 1, 2, 3, 4]
    assert "stub less words" in capsys.readouterr().out
    assert "gain_detection_f1" in report.figures


def test_one_text_a_prompt_is_recorded(run: Path, scorable: str) -> None:
    with serve(answering(shares_a_word)) as server:
        asks = [str(run), "--llm-model", "stub", "--base-url", server.base_url, "--contexts", "5", "--shuffled", "0"]
        assert main([*asks, "--features", scorable, "--one-per-prompt"]) == 0
        assert server.requests
        assert all("| text 2:" not in json.dumps(request.body) for request in server.requests)
    assert read_report(run).scorers[1].batch == 1


def test_failures_stand_in_the_table(run: Path, scorable: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(saying("no JSON")) as server:
        asks = [
            str(run),
            "--llm-model",
            "stub",
            "--base-url",
            server.base_url,
            "--features",
            scorable,
            "--shuffled",
            "0",
        ]
        assert main([*asks, "--require", "failure_rate<0.1"]) == 1
    out, err = capsys.readouterr()
    assert "100.0%" in out and "unparseable" in out
    assert "failure_rate is 1" in err
    assert "failures as wrong" in (run / "evals" / "scores.md").read_text("utf-8")


def test_a_budget_stops_a_scoring_whose_prompts_are_all_put_at_once(
    run: Path, scorable: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(answering(shares_a_word), delay=0.01) as server:
        asks = [str(run), "--llm-model", "stub", "--base-url", server.base_url, "--one-per-prompt", "--shuffled", "0"]
        assert main([*asks, "--features", scorable, "--concurrency", "1", "--budget-tokens", "1"]) == 0
    assert len(server.requests) == 1, "the first spends it"
    assert "budget" in (run / "evals" / "scores.md").read_text("utf-8")


def test_another_scored_run_is_a_control(scored: tuple[Path, ScoreReport], run: Path) -> None:
    assert main([str(run), "--features", "1,2,3", "--beside", str(scored[0])]) == 0
    rows = {row.name for row in read_report(run).rows if row.kind == "control"}
    assert "control: run" in rows


def test_labels_of_people_are_scored_like_the_runs_own(run: Path, tmp_path: Path, scorable: str) -> None:
    index, file = int(scorable[-6:]), tmp_path / "labels.csv"
    given = [label(index, "the care of patients", name, question="annotation") for name in ("ana", "ben")]
    write_own(file, [*given, label(index, "yes", "ana")])
    assert main([str(run), "--labels", str(file)]) == 2, "of two people one has to be named"
    assert main([str(run), "--labels", str(file), "--annotator", "cleo"]) == 2
    assert main([str(run), "--labels", str(file), "--annotator", "ben"]) == 0
    report = read_report(run)
    assert report.labelled_by == "ben"
    scored = [one for one in report.features if one.status == "scored"]
    assert [(one.feature.key, one.label) for one in scored] == [(scorable, "the care of patients")]
    assert {one.status for one in report.features if one not in scored} == {"no label", "failed"}


def test_requirements_decide_the_exit_status(scored: tuple[Path, ScoreReport], run: Path) -> None:
    assert main([str(run), "--features", "1,2,3", "--require", "shared_label_rate<=1"]) == 0
    assert main([str(run), "--features", "1,2,3", "--require", "detection_f1>1"]) == 1


def test_texts_of_the_users_own_are_scored_on_and_named(run: Path, tmp_path: Path, study: Study) -> None:
    held, train = (Corpus(study).passages(split) for split in ("held_out", "train"))
    file = tmp_path / "own.txt.gz"
    texts = [f"{passage.text} {held[-1 - number].text}" for number, passage in enumerate(held)]
    file.write_bytes(gzip.compress("\n\n<|doc|>\n".join([train[0].text, *texts]).encode()))
    assert main([str(run), "--corpus", str(file), "--features", "1,2,3"]) == 0
    report = read_report(run)
    assert (report.drawn.source, report.drawn.documents) == (("own.txt.gz",), len(texts))
    assert report.drawn.left_out == 1, "a document that labels were made from"
    page = (run / "evals" / "scores.md").read_text("utf-8")
    assert "own.txt.gz" in page and "figures that are to be quoted come from 1,000,000 and more" in page
    assert {row.level for row in report.levels} <= {"top tenth", "upper half", "lower half", "by mass"}


def test_input_words_need_a_finished_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run), "--input-words"]) == 2
    assert "is not finished" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--features", "999"], "999"),
        (["--corpus", "nowhere.txt.gz"], "there are no texts at nowhere.txt.gz"),
        (["--corpus", "pyproject.toml"], "is none of"),
        (["--beside", "nowhere"], "was not scored yet"),
        (["--llm-model", "m"], "no LLM is configured"),
        (["--llm-model", "m", "--base-url", "no-url"], "no http:// or https://"),
        (["--require", "f1 is high"], "f1 is high"),
    ],
)
def test_bad_input_is_said_in_a_line(
    run: Path, arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    assert main([str(run), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and problem in error
    assert not (run / "evals").exists()


def test_changed_weights_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunFolder.open(run)
    described = folder.manifest()
    other = described.provenance.model_copy(update={"sha256": {"sae": "0" * 64, "corpus": "1" * 64}})
    folder.write_manifest(described.model_copy(update={"provenance": other}))
    assert main([str(run)]) == 2
    assert "sae and corpus differ from what the run was made with" in capsys.readouterr().err


def test_scoring_reads_the_runs_manifest_and_its_text_once(run: Path, study_folder: Path, reads: Counter[str]) -> None:
    assert main([str(run), "--contexts", "6"]) == 0
    assert reads[str(run / "manifest.json")] == 1
    assert reads[str(study_folder / "corpus.jsonl")] == 1


def test_evidence_from_elsewhere_has_no_held_out_text(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunFolder.open(run)
    described = folder.manifest()
    config = described.config.model_copy(update={"evidence": "evidence.jsonl"})
    folder.write_manifest(described.model_copy(update={"config": config}))
    assert main([str(run)]) == 2
    assert "no model" in capsys.readouterr().err


def test_help_is_instant() -> None:
    heavy = {"torch", "pandas", "matplotlib", "openai", "numpy", "pydantic"}
    code = f"import sys, evals.score; print(sorted(set(sys.modules) & {heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
