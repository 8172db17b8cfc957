"""Other projects' label files, as they really are: with header rows, missing fields, repeats and damage."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.stages.imported import read_evidence
from evals.errors import LabelError
from evals.labels import main
from evals.manual.files import import_labels, settle
from evals.manual.own import write_own
from evals.manual.reading import Options, read_item, read_value
from evals.manual.records import Import, Label
from evals.manual.study import decode_token


def answers(found: Import) -> dict[tuple[str, str, int, str], object]:
    return {(one.annotator, one.item.sae, one.item.index, one.question): one.value for one in found.labels}


def write_lines(file: Path, *rows: object) -> Path:
    file.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n", "utf-8")
    return file


# The published study's repository.


def words(*tokens: str) -> list[dict[str, Any]]:
    return [{"word": token, "activation": 3.0 - number / 10} for number, token in enumerate(tokens)]


def write_study(folder: Path) -> Path:
    """Kept: 3 and 8 in one arm, 3 in the other. Feature 5 has hits and was not kept; 6 has one hit."""
    features = folder / "features"
    (features / "old").mkdir(parents=True)
    kept = {
        "3": {"medical_words": words("Ġnurse", "Ġchronic"), "top_words": words("Ġnurse", "Ġchronic", "Ġliver", "é")},
        "8": {"medical_words": words("heart", "Ġblood"), "top_words": words("heart", "Ġblood", "Ġpump")},
    }
    (features / "features_medical_baseline.json").write_text(json.dumps(kept), "utf-8")
    (features / "features_medical_finetuned.json").write_text(json.dumps({"3": kept["3"]}), "utf-8")
    table = {
        "3": (0.9, "Ġnurse, Ġchronic, Ġliver, é, x"),
        "5": (0.5, "ĠChronicle, Ġchronicles, ĠHerald, ĠPost, y"),
        "6": (0.1, "Ġnurses, Ġliver, Ġlivers, z, w"),
        "7": (0.3, "Ġbird, Ġtree, a, b, c"),
        "8": (0.7, "heart, Ġblood, Ġpump, a, b"),
    }
    for arm in ("baseline", "finetuned"):
        with (features / f"coherence_scores_{arm}_features_all.csv").open("w", encoding="utf-8", newline="") as opened:
            writer = csv.writer(opened)
            writer.writerow(["feature_id", "coherence_score", "top_words"])
            writer.writerows([index, score, tokens] for index, (score, tokens) in table.items())
    old = {
        "baseline": {"7": {"Ġbird": 1.0, "Ġnurse": 0.9, "Ġblood": 0.8}, "6": {"bone": 1.0, "bones": 0.5}},
        "finetuned": {"7": {"Ġpatient": 1.0, "Ġnurse": 0.5}},
    }
    (features / "old" / "parsed_features.json").write_text(json.dumps(old), "utf-8")
    return folder


def test_the_study_gives_kept_as_yes_rejected_as_no_and_nothing_else(tmp_path: Path) -> None:
    found = import_labels("study", write_study(tmp_path))
    assert answers(found) == {
        ("study", "baseline", 3, "relevant"): "yes",
        ("study", "baseline", 8, "relevant"): "yes",
        # A token that holds a hit is a hit: the rule looks for keywords inside tokens.
        ("study", "baseline", 5, "relevant"): "no",
        # The earlier pass shows two more tokens of it, and the first agrees with the table.
        ("study", "baseline", 7, "relevant"): "no",
        ("study", "finetuned", 3, "relevant"): "yes",
        ("study", "finetuned", 5, "relevant"): "no",
    } | {("study", "finetuned", 8, "relevant"): "no"}
    assert found.problems == ()


def test_the_earlier_pass_is_not_believed_about_another_sae(tmp_path: Path) -> None:
    found = import_labels("study", write_study(tmp_path))
    assert ("study", "finetuned", 7, "relevant") not in answers(found)
    assert any("1 of 1 features share no token" in remark.text for remark in found.remarks)


def test_a_token_that_the_study_did_not_count_is_no_hit(tmp_path: Path) -> None:
    """`Ġliver` stands in a kept feature's list and is not among its hits, so feature 6 has one hit only."""
    folder = write_study(tmp_path)
    (folder / "notebooks").mkdir()
    source = ["medical_keywords = [\n", "    'nurse', 'liver', 'chronic',\n", "    'heron' 'bird',\n", "    'tree']\n"]
    (folder / "notebooks" / "eda.ipynb").write_text(json.dumps({"cells": [{"source": source}]}), "utf-8")
    found = answers(import_labels("study", folder))
    assert ("study", "baseline", 6, "relevant") not in found
    # 'heron' 'bird' lacks a comma and is one keyword, as it was when the study ran: 7 has one hit in the other arm.
    assert ("study", "finetuned", 7, "relevant") not in found


def test_the_list_before_the_check_has_every_rejected_feature(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    before = {str(i): {"medical_words": [], "top_words": words("a", "b")} for i in (3, 8, 6)}
    (folder / "features" / "medical_features_baseline.json").write_text(json.dumps(before), "utf-8")
    assert answers(import_labels("study", folder))["study", "baseline", 6, "relevant"] == "no"


def test_coherence_of_the_kept_stands_beside_that_of_all(tmp_path: Path) -> None:
    lines = "\n".join(import_labels("study", write_study(tmp_path)).findings)
    assert "baseline: 2 kept, 2 found rejected, of 5 features shown" in lines
    assert "of the 2 kept: mean 0.8000" in lines
    assert "of all 5: mean 0.5000" in lines


def test_what_the_person_saw_goes_to_the_agent_as_text(tmp_path: Path) -> None:
    file = tmp_path / "evidence.jsonl"
    assert main(["study", str(write_study(tmp_path)), "--out-evidence", str(file)]) == 0
    records = {(one.feature.sae, one.feature.index): one for one in read_evidence(file, "medicine")}
    kept = records["baseline", 3].projection
    assert kept is not None
    assert [(token.token, token.weight) for token in kept.top[:2]] == [(" nurse", 3.0), (" chronic", 2.9)]
    rejected = records["baseline", 5].projection
    assert rejected is not None and rejected.top[0].token == " Chronicle" and rejected.top[0].weight is None


def test_byte_level_tokens_are_decoded() -> None:
    assert [decode_token(token) for token in ("Ġheart", "ĠÃ©tude", "Ċ", "naïve", "é")] == [
        " heart",
        " étude",
        "\n",
        "na\ufffdve",
        "\ufffd",
    ]
    assert decode_token("already decoded text") == "already decoded text"


def test_damage_in_the_study_is_named(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    file = folder / "features" / "coherence_scores_baseline_features_all.csv"
    file.write_text(file.read_text("utf-8") + 'nine,0.5,"a, b"\n10,high,"a, b"\n', "utf-8")
    problems = import_labels("study", folder).problems
    assert [problem.where for problem in problems] == [f"{file.name}:7", f"{file.name}:8"]


def test_a_folder_that_is_no_clone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="features_medical_baseline.json cannot be read"):
        import_labels("study", tmp_path)


# Two raters.


def rating_item(
    index: int, scores: dict[str, object], sae: str = "../a/sweep/layer_3/trainer_6", **more: object
) -> dict:
    prompt = "\n\n\nExample 1: a << dental>>(4) office\n\n\nExample 2: the < plain text, \nof << teeth>>(3)"
    return {
        "sae": sae,
        "class_index": "dentist",
        "sampled_index": 0,
        "sae_feat_index": index,
        "example_prompts": [prompt],
        "tokens_string": "ontal, caries, enamel,pin",
        "per_class_scores": scores,
        "chain_of_thought": "teeth everywhere",
        **more,
    }


def write_raters(folder: Path) -> Path:
    first = {
        "1": rating_item(10, {"dentist": 4, "nurse": 0}),
        "9": rating_item(11, {"dentist": 0, "nurse": 2}),
        "12": rating_item(11, {"dentist": 0, "nurse": 3}),
    }
    second = {"4": rating_item(10, {"dentist": 3, "nurse": 0}), "1": rating_item(11, {"dentist": 0, "nurse": 2})}
    (folder / "manual_labels_ann.json").write_text(json.dumps(first), "utf-8")
    (folder / "manual_labels_bob_corr.json").write_text(json.dumps(second), "utf-8")
    return folder


def test_raters_are_matched_by_latent_and_not_by_item_number(tmp_path: Path) -> None:
    found = answers(import_labels("raters", write_raters(tmp_path)))
    assert found["ann", "sweep/layer_3/trainer_6", 10, "dentist"] == 4
    assert found["bob_corr", "sweep/layer_3/trainer_6", 10, "dentist"] == 3
    assert found["bob_corr", "sweep/layer_3/trainer_6", 11, "nurse"] == 2


def test_a_latent_rated_twice_is_reported_and_its_last_rating_kept(tmp_path: Path) -> None:
    found = import_labels("raters", write_raters(tmp_path))
    assert "again, sampled for dentist: other ratings of nurse" in found.remarks[0].text
    assert found.remarks[0].where == "manual_labels_ann.json: item 12"
    labels, changed = settle(found.labels)
    kept = {(one.annotator, one.item.index, one.question): one.value for one in labels}
    assert kept["ann", 11, "nurse"] == 3
    assert [remark.text for remark in changed] == ["3 is kept; 2 at manual_labels_ann.json: item 9"]


def test_a_latent_of_another_sae_is_another_latent(tmp_path: Path) -> None:
    items = {"1": rating_item(10, {"a": 1}), "2": rating_item(10, {"a": 4}, sae="../a/sweep/layer_3/trainer_2")}
    (tmp_path / "manual_labels_x.json").write_text(json.dumps(items), "utf-8")
    found = import_labels("raters", tmp_path)
    assert len(found.labels) == 2
    assert found.remarks == ()


def test_raters_contexts_and_tokens_reach_the_agent_as_they_were_shown(tmp_path: Path) -> None:
    file = tmp_path / "evidence.jsonl"
    assert main(["raters", str(write_raters(tmp_path)), "--out-evidence", str(file)]) == 0
    first = read_evidence(file, "concepts")[0]
    assert first.projection is not None and first.activations is not None
    assert [token.token for token in first.projection.top] == ["ontal", " caries", " enamel", "pin"]
    assert [context.max_activation for context in first.activations.top] == [4, 3]
    assert "".join(first.activations.top[1].tokens).startswith("the < plain text, \nof")


def test_ratings_off_the_scale_and_broken_items_are_named(tmp_path: Path) -> None:
    items = {"1": rating_item(1, {"a": 5, "b": True, "c": 2, "d": "3"}), "2": {"sae": "x"}, "3": "nothing", "4": None}
    (tmp_path / "manual_labels_x.json").write_text(json.dumps(items), "utf-8")
    found = import_labels("raters", tmp_path / "manual_labels_x.json")
    assert [one.question for one in found.labels] == ["c"]
    assert [problem.where.rsplit(" ", 1)[1] for problem in found.problems] == ["1", "1", "1", "2", "3", "4"]


# feature-circuits.


def test_annotations_are_read_by_name_and_the_traps_are_passed_over(tmp_path: Path) -> None:
    file = write_lines(
        tmp_path / "gemma.jsonl",
        {"Component": "Component", "Layer": "", "Feature": "", "Name": "Name", "Annotation": "Annotation"},
        {
            "Component": "resid",
            "Layer": "5",
            "Feature": "3036",
            "Name": "resid_5/3036",
            "Annotation": "verbs",
            "Notes": "",
        },
        {"Component": "embed", "Feature": "1425", "Name": "embed/1425"},
        {"Name": "embed/946", "Annotation": "'his'"},
        {"Component": "mlp", "Layer": 3, "Feature": "7", "Name": "mlp_3/7", "Annotation": "nouns", "notes": "in code"},
        {"Component": "mlp", "Layer": "", "Feature": "8", "Name": "mlp_3/8", "Annotation": "nouns"},
    )
    found = import_labels("circuits", file)
    assert answers(found) == {
        ("feature-circuits", "gemma/resid_5", 3036, "annotation"): "verbs",
        ("feature-circuits", "gemma/embed", 946, "annotation"): "'his'",
        ("feature-circuits", "gemma/mlp_3", 7, "annotation"): "nouns",
        ("feature-circuits", "gemma/mlp_3", 8, "annotation"): "nouns",
    }
    assert found.labels[2].note == "in code"
    assert [remark.where for remark in found.remarks] == ["gemma.jsonl:1", "gemma.jsonl"]
    assert found.problems == ()


def test_annotations_that_contradict_themselves_are_named(tmp_path: Path) -> None:
    file = write_lines(
        tmp_path / "pythia.jsonl",
        {"Component": "resid", "Layer": "4", "Feature": "3", "Name": "resid_5/3", "Annotation": "verbs"},
        {"Name": "resid_5/error", "Annotation": "rest"},
        '{"Name": "resid_5/1", "Annotation": "good"}',
        '{"Name": "resid_5/1", ',
        "[1]",
    )
    found = import_labels("circuits", file)
    assert [problem.where for problem in found.problems] == [f"pythia.jsonl:{n}" for n in (1, 2, 4, 5)]
    assert len(found.labels) == 1


# Inspect, Scout, delphi.


def test_inspects_records_become_labels(tmp_path: Path) -> None:
    file = write_lines(
        tmp_path / "ratings.jsonl",
        {"id": "base-000012", "value": "C", "explanation": "wards", "metadata": {"annotator": "ana"}},
        {"id": "base-000013", "value": False},
        {"id": "base-r000002", "value": "N"},
        {"id": "base-000014", "value": {"relevant": True, "interpretable": 3, "dentist": 2}},
        {"id": "base-000012", "value": 1, "epoch": 2},
    )
    found = import_labels("inspect", file)
    assert answers(found) == {
        ("ana", "base", 12, "relevant"): "yes",
        ("ratings", "base", 13, "relevant"): "no",
        ("ratings", "base", 2, "relevant"): "undecided",
        ("ratings", "base", 14, "relevant"): "yes",
        ("ratings", "base", 14, "interpretable"): 3,
        ("ratings", "base", 14, "dentist"): 2,
        ("ratings", "base", 12, "relevant"): "yes",
    }
    assert found.labels[2].item.kind == "random_direction"


def test_inspects_json_array_and_its_damage(tmp_path: Path) -> None:
    file = tmp_path / "ratings.json"
    records = [{"id": 7, "value": "maybe"}, {"id": 7, "value": 1}, {"value": 1}, 5, {"id": "x", "value": 1}]
    file.write_text(json.dumps(records), "utf-8")
    with pytest.raises(LabelError, match="record 1"):
        import_labels("inspect", file, Options(sae="base"))
    records.append({"id": 8, "value": 0})
    file.write_text(json.dumps(records), "utf-8")
    found = import_labels("inspect", file, Options(sae="base", annotator="ben", study="pocket"))
    assert answers(found) == {("ben", "base", 8, "relevant"): "no"}
    assert found.labels[0].item.study == "pocket"
    assert len(found.problems) == 5


def test_scouts_targets_with_and_without_a_header(tmp_path: Path) -> None:
    plain = write_lines(
        tmp_path / "plain.csv", "base-000001, true", "base-000002, false", "base/3,true,extra", "what,true"
    )
    found = import_labels("scout", plain)
    assert answers(found) == {("plain", "base", 1, "relevant"): "yes", ("plain", "base", 2, "relevant"): "no"}
    assert [problem.where for problem in found.problems] == ["plain.csv:3", "plain.csv:4"]
    named = write_lines(
        tmp_path / "named.csv",
        "id,target_relevant,label_dentist,split,predicate",
        "base-000001,true,4,dev,",
        "base-000002,,0,test,eq",
        "base-000003,true,1,dev,gte",
    )
    found = import_labels("scout", named)
    assert answers(found) == {
        ("named", "base", 1, "relevant"): "yes",
        ("named", "base", 1, "dentist"): 4,
        ("named", "base", 2, "dentist"): 0,
    }
    assert [remark.where for remark in found.remarks] == ["named.csv:4"]


def write_delphi(folder: Path) -> Path:
    """Two of three activating texts found, both silent ones rejected, one reply that could not be parsed."""
    texts = [(True, True), (True, True), (True, False), (False, False), (False, False), (True, None)]
    entries = [
        {
            "str_tokens": [" the", " ward"],
            "activations": [0.0, 2.5],
            "distance": 1,
            "activating": truth,
            "prediction": said,
            "probability": None,
            "correct": None if said is None else said == truth,
        }
        for truth, said in texts
    ]
    (folder / "scores" / "detection").mkdir(parents=True)
    (folder / "explanations").mkdir()
    scores = folder / "scores" / "detection"
    (scores / "layers.5_latent12.txt").write_text(json.dumps(entries), "utf-8")
    (scores / "layers.5_latent13.txt").write_text(json.dumps([{**entries[0], "prediction": None}]), "utf-8")
    (scores / "layers.5_latent14.txt").write_text("Explanation could not be parsed.", "utf-8")
    (folder / "explanations" / "layers.5_latent12.txt").write_text('"hospital wards"', "utf-8")
    return folder


def test_delphis_scores_are_balanced_accuracies_and_failures_are_not_scores(tmp_path: Path) -> None:
    found = import_labels("delphi", write_delphi(tmp_path))
    score = next(one for one in found.labels if one.question == "detection")
    assert score.value == pytest.approx((2 / 3 + 1) / 2)
    assert score.note == "balanced accuracy over 5 texts; 1 without a prediction"
    assert ("delphi", "layers.5", 12, "annotation") in answers(found)
    assert all(one.machine for one in found.labels)
    assert sorted(problem.where for problem in found.problems) == [
        "detection/layers.5_latent13.txt",
        "detection/layers.5_latent14.txt",
    ]


def test_delphis_activating_texts_reach_the_agent_with_their_activations(tmp_path: Path) -> None:
    file = tmp_path / "evidence.jsonl"
    assert main(["delphi", str(write_delphi(tmp_path)), "--out-evidence", str(file)]) == 1
    first = read_evidence(file, "x")[0]
    assert first.activations is not None
    assert first.activations.top[0].activations == (0.0, 2.5)
    assert len(first.activations.top) == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("base-000123", ("base", 123, "feature")),
        ("my-sae-r000004", ("my-sae", 4, "random_direction")),
        ("rel/blocks.8/77", ("rel/blocks.8", 77, "feature")),
    ],
)
def test_ids_name_features(text: str, expected: tuple[str, int, str]) -> None:
    item = read_item(text, Options())
    assert (item.sae, item.index, item.kind) == expected


def test_a_bare_number_needs_its_sae() -> None:
    assert read_item("12", Options(sae="base")).sae == "base"
    with pytest.raises(ValueError, match="--sae"):
        read_item("12", Options())


@pytest.mark.parametrize(
    ("value", "verdict"), [(True, "yes"), ("I", "no"), (0.5, "undecided"), ("Yes ", "yes"), (1, "yes")]
)
def test_other_tools_spellings_of_a_verdict(value: object, verdict: str) -> None:
    assert read_value("relevant", value) == verdict
    assert Label.model_validate(
        {
            "annotator": "a",
            "item": {"sae": "b", "index": 1},
            "question": "relevant",
            "value": read_value("relevant", value),
            "source": "t",
        }
    )


# Our own, as spreadsheets and data frames write them.

ROWS = (("annotator", "sae", "index", "question", "value"), ("ana", "base", "123", "relevant", "yes"))


def write_table(folder: Path, rows: Sequence[Sequence[str]], name: str = "labels.csv", separator: str = ",") -> Path:
    file = folder / name
    file.write_text("".join(separator.join(row) + "\n" for row in rows), "utf-8")
    return file


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["labels.csv", "LABELS.CSV", "labels.tsv", "labels.TSV"])
def test_own_table_is_read_whatever_stands_between_its_cells(tmp_path: Path, separator: str, name: str) -> None:
    found = import_labels("own", write_table(tmp_path, ROWS, name, separator))
    assert answers(found) == {("ana", "base", 123, "relevant"): "yes"}


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;"])
def test_excels_separator_line_is_passed_over(tmp_path: Path, first: str) -> None:
    file = write_table(tmp_path, ROWS, separator=";")
    file.write_text(f"\ufeff{first}\r\n" + file.read_text("utf-8") + "ana;base;124;relevant;perhaps\n", "utf-8")
    found = import_labels("own", file)
    assert len(found.labels) == 1
    assert [problem.where for problem in found.problems] == ["labels.csv:4"]


@pytest.mark.parametrize(
    ("cell", "verdict"),
    [
        *((cell, "yes") for cell in ("Yes", "YES", "TRUE", "True", "1", "1.0", "y", "x", "WAHR", "VRAI", "ja")),
        *((cell, "no") for cell in ("No", "FALSE", "False", "0", "0.0", "N", "n", "FALSCH", "FAUX", "nein")),
        *((cell, "undecided") for cell in ("Undecided", "unsure", "?", "0.5")),
    ],
)
def test_own_verdicts_are_read_in_any_spelling(tmp_path: Path, cell: str, verdict: str) -> None:
    table = import_labels("own", write_table(tmp_path, (ROWS[0], (*ROWS[1][:-1], cell))))
    assert [label.value for label in table.labels] == [verdict]
    row = {"annotator": "ana", "item": {"sae": "base", "index": 1}, "question": "relevant", "value": cell}
    lines = import_labels("own", write_lines(tmp_path / "labels.jsonl", row))
    assert [label.value for label in lines.labels] == [verdict]


@pytest.mark.parametrize("cell", ["perhaps", "c", "p", "i", "2"])
def test_own_verdict_that_is_none_is_refused(tmp_path: Path, cell: str) -> None:
    with pytest.raises(LabelError, match="relevant is answered yes, no or undecided"):
        import_labels("own", write_table(tmp_path, (ROWS[0], (*ROWS[1][:-1], cell))))


def test_columns_without_a_name_are_passed_over(tmp_path: Path) -> None:
    """An empty last column, the row numbers of a data frame, and cells that trail off."""
    rows = (("", "Unnamed: 0", *ROWS[0], ""), ("0", "7", *ROWS[1], "", "", ""))
    assert answers(import_labels("own", write_table(tmp_path, rows))) == {("ana", "base", 123, "relevant"): "yes"}


def test_columns_names_may_have_capitals_and_decimals_a_comma(tmp_path: Path) -> None:
    rows = (tuple(name.upper() for name in ROWS[0]), ("ana", "base", "123", "similarity", "0,75"))
    found = import_labels("own", write_table(tmp_path, rows, separator=";"))
    assert answers(found) == {("ana", "base", 123, "similarity"): 0.75}


@pytest.mark.parametrize(
    ("header", "said"), [(("note", "note"), "note is there twice"), (("mood",), "mood is unknown")]
)
def test_columns_that_cannot_be_told_are_refused(tmp_path: Path, header: tuple[str, ...], said: str) -> None:
    with pytest.raises(LabelError, match=said):
        import_labels("own", write_table(tmp_path, ((*ROWS[0], *header), (*ROWS[1], *("a" for _ in header)))))


def test_cell_with_line_ends_is_one_cell(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_bytes(b'annotator,sae,index,question,value,note\r\nana,base,1,relevant,no,"one\r\ntwo, three"\r\n')
    (label,) = import_labels("own", file).labels
    assert label.note == "one\ntwo, three"


@pytest.mark.parametrize("name", ["labels.xlsx", "labels.ods"])
def test_workbook_is_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(LabelError, match="save it as CSV"):
        import_labels("own", tmp_path / name)


MADE_BY = {
    **dict.fromkeys(("yes", "TRUE", "True", "1", "x", "1.0", "wahr"), True),
    **dict.fromkeys(("", "no", "FALSE", "0", "falsch"), False),
}


@pytest.mark.parametrize(("cell", "machine"), MADE_BY.items())
def test_label_of_a_program_is_told_in_any_spelling(tmp_path: Path, cell: str, machine: bool) -> None:
    table = import_labels("own", write_table(tmp_path, ((*ROWS[0], "machine"), (*ROWS[1], cell))))
    assert [label.machine for label in table.labels] == [machine]
    row = {
        "annotator": "ana",
        "item": {"sae": "base", "index": 1},
        "question": "relevant",
        "value": "yes",
        "machine": cell,
    }
    lines = import_labels("own", write_lines(tmp_path / "labels.jsonl", row))
    assert [label.machine for label in lines.labels] == [machine]


@pytest.mark.parametrize("cell", ["gpt-4o", "perhaps", "2", "-"])
def test_label_is_never_a_persons_by_mistake(tmp_path: Path, cell: str) -> None:
    with pytest.raises(LabelError, match=f"machine: it is yes or no, or empty, not '{cell}'"):
        import_labels("own", write_table(tmp_path, ((*ROWS[0], "machine"), (*ROWS[1], cell))))


def test_array_of_labels_is_read(tmp_path: Path) -> None:
    row = {"annotator": "ana", "item": {"sae": "base", "index": 1}, "question": "relevant", "value": True}
    (tmp_path / "labels.json").write_text(json.dumps([row, "no label"], indent=2), "utf-8")
    found = import_labels("own", tmp_path / "labels.json")
    assert answers(found) == {("ana", "base", 1, "relevant"): "yes"}
    assert [problem.where for problem in found.problems] == ["labels.json, entry 2"]


@pytest.mark.parametrize("cell", ["123", "123.0", "0123"])
def test_index_may_be_written_as_a_data_frame_writes_it(tmp_path: Path, cell: str) -> None:
    found = import_labels("own", write_table(tmp_path, (ROWS[0], ("ana", "base", cell, "relevant", "yes"))))
    assert [label.item.index for label in found.labels] == [123]


def test_written_tables_are_read_back(tmp_path: Path) -> None:
    found = import_labels("own", write_table(tmp_path, (*ROWS, ("ben", "base", "4", "annotation", "talks; of, wards"))))
    for name in ("again.csv", "again.tsv", "AGAIN.CSV", "again.jsonl"):
        write_own(tmp_path / name, found.labels)
        assert answers(import_labels("own", tmp_path / name)) == answers(found)


# One SAE at a time


def test_two_saes_of_a_source_never_become_one(tmp_path: Path) -> None:
    write_study(tmp_path)
    with pytest.raises(LabelError, match=r"labels of 2 SAEs \(baseline, finetuned\).*--sae baseline=base"):
        import_labels("study", tmp_path, Options(sae="base"))


def test_one_of_several_saes_is_taken_under_another_name(tmp_path: Path) -> None:
    write_study(tmp_path)
    whole = import_labels("study", tmp_path)
    found = import_labels("study", tmp_path, Options(sae="baseline=base"))
    assert {label.item.sae for label in found.labels} == {shown.sae for shown in found.evidence} == {"base"}
    kept = {label.item.index: label.value for label in whole.labels if label.item.sae == "baseline"}
    assert {label.item.index: label.value for label in found.labels} == kept
    assert any("are of other SAEs than baseline" in remark.text for remark in found.remarks)


def test_sae_of_a_source_is_taken_by_its_own_name(tmp_path: Path) -> None:
    write_study(tmp_path)
    found = import_labels("study", tmp_path, Options(sae="finetuned"))
    assert {label.item.sae for label in found.labels} == {"finetuned"}


def test_only_sae_of_a_source_is_renamed(tmp_path: Path) -> None:
    found = import_labels("own", write_table(tmp_path, ROWS), Options(sae="release/id"))
    assert answers(found) == {("ana", "release/id", 123, "relevant"): "yes"}


def test_sae_that_the_source_has_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="no label is of an SAE called 'other': the source has base"):
        import_labels("own", write_table(tmp_path, ROWS), Options(sae="other=mine"))
