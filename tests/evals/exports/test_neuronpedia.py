"""Neuronpedia's files: its fields, all of them and no others, and what comes back by the importer."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from evals.export import main
from evals.manual.files import import_labels
from evals.manual.own import write_own
from evals.manual.reading import Options
from tests.agent.briefing.test_evidence import poisoned
from tests.evals.exports.runs import HOSTILE, evidence_on, judge_over_http, usual_decisions, write_finished
from tests.evals.worlds import SAE, decide, label
from tests.servers.openai_stub import happy
from tools.records import ActivationEvidence, Context, Projection, TokenWeight

# The fields of `neuronpedia_utils/db_models`, written down here by hand.
EXPLANATION = {
    *("id", "modelId", "layer", "index", "description", "authorId", "embedding", "triggeredById", "typeName"),
    *("explanationModelName", "notes", "createdAt"),
}
ACTIVATION = {
    *("id", "tokens", "index", "layer", "modelId", "maxValue", "maxValueTokenIndex", "minValue", "values", "creatorId"),
    *("dataSource", "dataIndex", "dfaValues", "dfaTargetIndex", "dfaMaxValue", "createdAt", "lossValues"),
    *("logitContributions", "binMin", "binMax", "binContains", "qualifyingTokenIndex", "zIndices", "zValues"),
}
FEATURE = {
    *("modelId", "layer", "index", "creatorId", "createdAt", "maxActApprox", "hasVector", "vector", "vectorLabel"),
    *("vectorDefaultSteerStrength", "hookName", "topkCosSimIndices", "topkCosSimValues", "neuron_alignment_indices"),
    *("neuron_alignment_values", "neuron_alignment_l1", "correlated_neurons_indices", "correlated_neurons_pearson"),
    *("correlated_neurons_l1", "correlated_features_indices", "correlated_features_pearson", "correlated_features_l1"),
    *("neg_str", "neg_values", "pos_str", "pos_values", "frac_nonzero", "freq_hist_data_bar_heights"),
    *("freq_hist_data_bar_values", "logits_hist_data_bar_heights", "logits_hist_data_bar_values"),
    *("decoder_weights_dist", "sourceSetName"),
}
LISTS = ("vector", "pos_str", "pos_values", "neg_str", "neg_values", "topkCosSimIndices", "decoder_weights_dist")


def export(run: Path, *more: str) -> Path:
    assert main([str(run), "--to", "neuronpedia", *more]) == 0
    return run / "exports" / "neuronpedia"


def rows(folder: Path, kind: str, place: str = "v1/tiny/base") -> list[dict[str, Any]]:
    """Of all batches, in order."""
    files = sorted((folder / place / kind).iterdir(), key=lambda file: int(file.stem.rpartition("-")[2]))
    return [json.loads(line) for file in files for line in file.read_text("utf-8").split("\n")[:-1]]


def account(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "export.json").read_text("utf-8"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_finished(tmp_path / "run", usual_decisions())


def test_rows_have_their_fields_and_no_others(run: Path) -> None:
    folder = export(run)
    expected = {"explanations": EXPLANATION, "features": FEATURE, "activations": ACTIVATION}
    for kind, fields in expected.items():
        found = rows(folder, kind)
        assert found
        assert all(set(row) == fields for row in found)
        assert all(isinstance(row[name], str) for row in found for name in ("modelId", "layer", "index", "createdAt"))
    for row in rows(folder, "features"):
        assert all(isinstance(row[name], list) for name in LISTS)
        assert isinstance(row["frac_nonzero"], float)


def test_evidence_is_told_as_it_was_measured(run: Path) -> None:
    folder = export(run)
    feature = rows(folder, "features")[0]
    assert (feature["index"], feature["layer"], feature["modelId"]) == ("1", "base", "tiny")
    assert feature["pos_str"][:2] == [" heart", " blood"]
    assert feature["pos_values"][:2] == [1.0, 0.95]
    assert (feature["frac_nonzero"], feature["maxActApprox"]) == (0.004, 12.3)
    activation = rows(folder, "activations")[0]
    assert len(activation["tokens"]) == len(activation["values"]) == 32
    assert activation["tokens"][activation["maxValueTokenIndex"]] == " heart"
    assert (activation["maxValue"], activation["minValue"]) == (8.1, 0.0)
    assert len({row["id"] for row in rows(folder, "activations")}) == 3 * 12


def test_failures_and_random_directions_are_counted_and_never_explained(run: Path) -> None:
    folder = export(run)
    assert [row["index"] for row in rows(folder, "explanations")] == ["1", "2"]
    assert [row["index"] for row in rows(folder, "features")] == ["1", "2", "3"]
    found = account(folder)
    assert found["failures"] == [
        {"feature": "base-000003", "failure": {"type": "timeout", "message": "no reply", "attempts": 6}}
    ]
    assert found["left_out"]["random directions, which are no features of the SAE"] == 1


def test_the_verdict_stands_in_the_notes(run: Path) -> None:
    notes = [row["notes"] for row in rows(export(run), "explanations")]
    assert notes[0].startswith("relevant: yes; confidence: 0.9")
    assert notes[1].startswith("relevant: no; confidence: 0.9")


def test_explanations_come_back_as_a_programs_annotations(run: Path) -> None:
    found = import_labels("neuronpedia", export(run), Options(study="tiny"))
    assert found.problems == ()
    assert [(one.item.key, one.question, one.value) for one in found.labels] == [
        ("base-000001", "annotation", "label 1"),
        ("base-000002", "annotation", "label 2"),
    ]
    assert all(one.machine and one.annotator == "rules" for one in found.labels)


def test_peoples_annotations_are_explanations_of_their_own_and_come_back(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    given = label(1, "hearts and valves", question="annotation", note="by the contexts")
    write_own(file, [given, label(1, "no"), label(3, "wards", "ben", question="annotation")])
    folder = export(run, "--labels", str(file))
    assert "people: ana: relevant no" in rows(folder, "explanations")[0]["notes"]
    people = [one for one in import_labels("neuronpedia", folder).labels if not one.machine]
    assert [(one.annotator, one.item.key, one.value, one.note) for one in people] == [
        ("ana", "base-000001", "hearts and valves", "by the contexts"),
        ("ben", "base-000003", "wards", None),
    ]


def test_names_on_neuronpedia_may_be_given(run: Path) -> None:
    folder = export(run, "--model-id", "gpt2-small", "--source-id", "8-res-jb")
    (row, _) = rows(folder, "explanations", "v1/gpt2-small/8-res-jb")
    assert (row["modelId"], row["layer"]) == ("gpt2-small", "8-res-jb")
    assert import_labels("neuronpedia", folder, Options(sae=SAE)).labels[0].item.key == "base-000001"


def test_an_id_with_slashes_stays_one_folder_and_whole_in_the_rows(tmp_path: Path) -> None:
    sae = "../release/blocks.8.hook_resid_pre"
    decision = decide(1, "yes")
    decision = decision.model_copy(update={"feature": decision.feature.model_copy(update={"sae": sae})})
    folder = export(write_finished(tmp_path / "run", [decision]))
    (place,) = (folder / "v1" / "tiny").iterdir()
    assert place.name == "..%2Frelease%2Fblocks.8.hook_resid_pre"
    assert [row["layer"] for row in rows(folder, "features", f"v1/tiny/{place.name}")] == [sae]
    assert import_labels("neuronpedia", folder).labels[0].item.fits(decision.feature)


def test_several_saes_have_a_folder_each_and_cannot_share_a_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = decide(1, "yes"), decide(1, "no")
    second = second.model_copy(update={"feature": second.feature.model_copy(update={"sae": "other"})})
    run = write_finished(tmp_path / "run", [first, second])
    assert main([str(run), "--to", "neuronpedia", "--source-id", "8-res-jb"]) == 2
    assert "2 SAEs" in capsys.readouterr().err
    folder = export(run)
    assert [row["index"] for row in rows(folder, "features", "v1/tiny/other")] == ["1"]


def test_batches_have_1024_features(tmp_path: Path) -> None:
    decisions = [decide(index, "no") for index in range(1030)]
    bare = [evidence_on(d, projection=None, activations=None, steering=None, causal=None) for d in decisions]
    folder = export(write_finished(tmp_path / "run", decisions, bare))
    sizes = [len((folder / f"v1/tiny/base/features/batch-{n}.jsonl").read_text().splitlines()) for n in (0, 1)]
    assert sizes == [1024, 6]
    assert [row["index"] for row in rows(folder, "features")] == [str(index) for index in range(1030)]


def test_evidence_from_elsewhere_has_no_invented_numbers(tmp_path: Path) -> None:
    decision = decide(1, "yes")
    plain = evidence_on(
        decision,
        projection=Projection(top=(TokenWeight(token="heart"), TokenWeight(token="valve"))),
        activations=ActivationEvidence(top=(Context(document="d", tokens=("a", " heart")),)),
    )
    folder = export(write_finished(tmp_path / "run", [decision], [plain]))
    (feature,) = rows(folder, "features")
    assert feature["pos_str"] == ["heart", "valve"]
    assert feature["pos_values"] == []
    assert feature["maxActApprox"] is None
    assert rows(folder, "activations") == []
    assert account(folder)["left_out"]["contexts without activations"] == 1


def test_a_run_on_imported_evidence_judged_by_a_model_is_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export(judge_over_http(tmp_path, monkeypatch, happy))
    found = import_labels("neuronpedia", folder).labels
    assert {one.item.index for one in found} == {7, 0, 1}
    assert {(one.annotator, one.value) for one in found} == {("stub", "stub")}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_survives_as_text(tmp_path: Path, text: str) -> None:
    decision = decide(1, "yes").model_copy(update={"label": text, "reasons": (text,)})
    evidence = poisoned(text)[0].model_copy(update={"feature": decision.feature})
    folder = export(write_finished(tmp_path / "run", [decision], [evidence]))
    assert rows(folder, "features")[0]["pos_str"] == [text] * 3
    assert rows(folder, "activations")[0]["tokens"] == [text, " heart"]
    (row,) = rows(folder, "explanations")
    assert text in row["notes"]
    assert [one.value for one in import_labels("neuronpedia", folder).labels] == [text]


def test_packed_files_are_read_as_they_are_published(tmp_path: Path) -> None:
    published = {
        "id": "c1",
        "modelId": "gpt2-small",
        "layer": "8-res-jb",
        "index": "123",
        "authorId": "clkht01d40000jv08hvalcvly",
        "description": " words about hospitals",
        "embedding": None,
        "typeName": "oai_token-act-pair",
        "explanationModelName": "gpt-4o-mini",
        "umap_x": 0.5,
    }
    folder = tmp_path / "v1" / "gpt2-small" / "8-res-jb" / "explanations"
    folder.mkdir(parents=True)
    (folder / "batch-0.jsonl.gz").write_bytes(gzip.compress(json.dumps(published).encode() + b"\n"))
    (label_found,) = import_labels("neuronpedia", tmp_path).labels
    assert (label_found.annotator, label_found.item.key) == ("gpt-4o-mini", "8-res-jb-000123")
    assert (label_found.value, label_found.source) == (" words about hospitals", "batch-0.jsonl:1")


def test_rows_that_name_no_feature_are_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "batch-0.jsonl"
    good = {"layer": "l", "index": "1", "description": "d"}
    bad = [{**good, "index": "x"}, {"layer": "l", "index": "1"}, "no object", {**good, "createdAt": "yesterday"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in [good, *bad]))
    found = import_labels("neuronpedia", file)
    assert [one.value for one in found.labels] == ["d"]
    assert [problem.where for problem in found.problems] == [f"batch-0.jsonl:{n}" for n in (2, 3, 4, 5)]


def test_a_damaged_archive_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from evals.labels import main as labels_main

    file = tmp_path / "batch-0.jsonl.gz"
    file.write_bytes(gzip.compress(b"{}\n" * 100)[:-9])
    assert labels_main(["neuronpedia", str(file)]) == 2
    assert "cannot be unpacked" in capsys.readouterr().err
