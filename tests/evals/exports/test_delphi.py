"""delphi's folder: explanations, scores with their failures, and what comes back by the importer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals.export import main
from evals.manual.files import import_labels
from evals.manual.reading import Options
from evals.scoring.records import ItemAnswer
from tests.evals.exports.runs import HOSTILE, usual_decisions, write_finished, write_scores
from tests.evals.worlds import decide

OUTPUT = {"str_tokens", "activations", "distance", "activating", "prediction", "probability", "correct"}


def item(index: int, truth: bool, probability: float | None, **more: Any) -> ItemAnswer:
    fields: dict[str, Any] = {
        "feature": f"base-{index:06d}",
        "scorer": "m",
        "task": "detection",
        "kind": "active" if truth else "random",
        "quantile": 2 if truth else None,
        "document": "d",
        "text": " the heart beats",
        "marked": None,
        "truth": truth,
        "probability": probability,
        "failure": "timeout" if probability is None else None,
    }
    return ItemAnswer(**{**fields, **more})


def detection(index: int) -> list[ItemAnswer]:
    """Two of three active texts found, one of two silent ones; one answer never came."""
    given = [(True, 0.9), (True, 0.8), (True, 0.2), (False, 0.1), (False, 0.7), (False, None)]
    return [item(index, truth, probability) for truth, probability in given]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_finished(tmp_path / "run", usual_decisions())


def export(run: Path) -> Path:
    assert main([str(run), "--to", "delphi"]) == 0
    return run / "exports" / "delphi"


def test_scores_come_back_with_their_failures(run: Path) -> None:
    words = [one.model_copy(update={"scorer": "words"}) for one in detection(1)]
    write_scores(run, [*detection(1), *detection(2), *words], {1: "label 1", 2: "label 2"})
    found = import_labels("delphi", export(run), Options(study="tiny"))
    assert found.problems == ()
    values = {(one.item.key, one.question): one.value for one in found.labels}
    balanced = pytest.approx((2 / 3 + 1 / 2) / 2)
    assert values == {
        ("base-000001", "annotation"): "label 1",
        ("base-000002", "annotation"): "label 2",
        ("base-000001", "detection"): balanced,
        ("base-000001", "detection_words"): balanced,
        ("base-000002", "detection"): balanced,
    }
    notes = {one.note for one in found.labels if one.question == "detection"}
    assert notes == {"balanced accuracy over 5 texts; 1 without a prediction"}
    assert [shown.contexts[0].tokens for shown in found.evidence] == [(" the heart beats",)] * 2
    assert found.evidence[0].contexts[0].activations is None


def test_entries_are_delphis_and_a_failure_is_null(run: Path) -> None:
    write_scores(run, detection(1), {1: "label 1"})
    entries = json.loads((export(run) / "scores/detection/base_latent1.txt").read_text("utf-8"))
    assert all(set(entry) == OUTPUT for entry in entries)
    assert [entry["prediction"] for entry in entries] == [True, True, False, False, True, None]
    assert [entry["correct"] for entry in entries] == [True, True, False, True, False, None]
    assert [entry["distance"] for entry in entries] == [2.0] * 3 + [-1.0] * 3


def test_marks_of_fuzzing_stand_between_the_pieces_of_a_text(run: Path) -> None:
    marked = item(1, True, 0.9, task="fuzzing", marked=(5, 10))
    write_scores(run, [marked, item(1, False, 0.1, task="fuzzing", marked=(0, 4))], {1: "label 1"})
    entries = json.loads((export(run) / "scores/fuzz/base_latent1.txt").read_text("utf-8"))
    assert [entry["str_tokens"] for entry in entries] == [[" the ", "heart", " beats"], [" the", " heart beats"]]
    assert all(entry["activations"] == [] for entry in entries)


def test_random_directions_and_failures_have_no_file_and_are_counted(run: Path) -> None:
    random = [item(0, True, 0.9, feature="base-r000000"), item(0, False, 0.9, feature="base-r000000")]
    write_scores(run, [*random, *detection(1)], {1: "label 1"})
    folder = export(run)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.txt"))
    assert names == [
        "explanations/base_latent1.txt",
        "explanations/base_latent2.txt",
        "scores/detection/base_latent1.txt",
    ]
    found = json.loads((folder / "export.json").read_text("utf-8"))
    assert [one["feature"] for one in found["failures"]] == ["base-000003"]
    assert found["left_out"]["random directions, which are no latents"] == 1


def test_the_label_that_was_scored_is_the_one_exported(run: Path) -> None:
    write_scores(run, detection(1), {1: "by a person"}, labelled_by="ana")
    folder = export(run)
    assert json.loads((folder / "explanations/base_latent1.txt").read_text("utf-8")) == "by a person"
    assert "ana" in (folder / "export.json").read_text("utf-8")


def test_without_scores_there_are_explanations_and_a_hint(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = export(run)
    assert "python -m evals.score" in capsys.readouterr().out
    assert not (folder / "scores").exists()
    assert json.loads((folder / "explanations/base_latent1.txt").read_text("utf-8")) == "label 1"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "scores.json").write_text("{"), "score the run again"),
        (lambda folder: (folder / "score_items.jsonl").unlink(), "is missing"),
        (lambda folder: (folder / "score_items.jsonl").write_text("{}\n"), "score_items.jsonl:1"),
    ],
)
def test_damaged_scores_are_one_line(run: Path, damage: Any, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_scores(run, detection(1), {1: "label 1"})
    damage(run / "evals")
    assert main([str(run), "--to", "delphi"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (run / "exports" / "delphi").exists()


def test_scores_of_another_run_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_scores(run, detection(1), {1: "label 1"}, run_id="another")
    assert main([str(run), "--to", "delphi"]) == 2
    assert "another" in capsys.readouterr().err


def test_an_id_that_no_file_can_carry_comes_back_to_its_feature(tmp_path: Path) -> None:
    decision = decide(5, "yes")
    feature = decision.feature.model_copy(update={"sae": "../release/blocks.8"})
    run = write_finished(tmp_path / "run", [decision.model_copy(update={"feature": feature})])
    write_scores(run, [one.model_copy(update={"feature": feature.key}) for one in detection(5)], {})
    found = import_labels("delphi", export(run)).labels
    assert [one.question for one in found] == ["annotation", "detection"]
    assert all(one.item.fits(feature) for one in found)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_survives_as_text(tmp_path: Path, text: str) -> None:
    run = write_finished(tmp_path / "run", [decide(1, "yes").model_copy(update={"label": text})])
    items = [one.model_copy(update={"text": text}) for one in detection(1)]
    write_scores(run, items, {1: text})
    found = import_labels("delphi", export(run))
    assert [one.value for one in found.labels if one.question == "annotation"] == [text]
    assert found.evidence[0].contexts[0].tokens == (text,)
