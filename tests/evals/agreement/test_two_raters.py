"""Two people's ratings and a judge's of the same evidence, from the raters' files over HTTP to the table of agreement."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from agent.folder.store import RunFolder
from agent.llm.stub.replies import schema_asked_for
from agent.run import main as run
from evals.agreement.results import Agreement, Row
from evals.labels import main as import_them
from evals.run import main as examine
from tests.servers.openai_stub import JsonDict, Scripted, happy, serve

CONCEPTS = {"dentist": "dent", "nurse": "nurs"}
STEMS = {
    **CONCEPTS,
    "gender": " she",
    "professor": "profess",
    "accountant": "account",
    "architect": "architect",
    "attorney": "attorney",
    "filmmaker": "film",
}


def rate_by_words(body: JsonDict, attempt: int) -> Scripted:
    """A rater that only looks for a word: 4 where it stands in the evidence, else 0."""
    schema = schema_asked_for(body)
    if schema is None or "ratings" not in schema.get("properties", {}):
        return happy(body, attempt)
    evidence = body["messages"][-1]["content"].partition("<<<")[2].lower()
    reply = json.loads(happy(body, attempt).content or "")
    reply["ratings"] = {concept: 4 * (STEMS[concept] in evidence) for concept in reply["ratings"]}
    return Scripted(content=json.dumps(reply))


def item(index: int, word: str, **scores: int) -> dict[str, Any]:
    return {
        "sae": "a/sweep/layer_3/trainer_6",
        "class_index": "dentist",
        "sampled_index": 0,
        "sae_feat_index": index,
        "example_prompts": [f"\n\n\nExample 1: near the << {word}>>(4) again"],
        "tokens_string": f" {word},pin",
        "per_class_scores": scores,
        "chain_of_thought": "as I see it",
    }


def write_raters(folder: Path) -> Path:
    """Eight latents; the people differ on the last one only, and the word finds all but the one before."""
    words = ["dental", "dentist", "nurse", "nursing", "river", "bridge", "molar", "river"]
    for person, last in (("ann", 0), ("bob", 2)):
        items = {
            str(n): item(
                n,
                word,
                dentist=4 * (word in ("dental", "dentist", "molar")),
                nurse=last if n == 7 else 4 * word.startswith("nurs"),
            )
            for n, word in enumerate(words)
        }
        (folder / f"manual_labels_{person}.json").write_text(json.dumps(items), "utf-8")
    return folder


def judge_and_examine(raters: Path, work: Path, concepts: list[str]) -> tuple[RunFolder, Agreement]:
    """The three commands a user gives."""
    study, evidence, labels = work / "study", work / "evidence.jsonl", work / "labels.jsonl"
    study.mkdir()
    (study / "guideline.md").write_text("Rate what the feature is about.\n", "utf-8")
    lines = ['name = "professions"', 'title = "Professions"', "[rating]", 'guideline = "guideline.md"']
    (study / "study.toml").write_text(
        "\n".join([*lines, "[rating.concepts]", *(f'{name} = ""' for name in concepts)]) + "\n", "utf-8"
    )
    assert import_them(["raters", str(raters), "--out-evidence", str(evidence), "--out", str(labels)]) == 0
    with serve(rate_by_words) as server:
        arguments = ["--evidence", str(evidence), "--study", str(study), "--runs", str(work / "runs")]
        assert run([*arguments, "--base-url", server.base_url, "--llm-model", "words"]) == 0
    (folder,) = (work / "runs").iterdir()
    assert examine([str(folder), "--labels", str(labels)]) == 0
    return RunFolder.open(folder), Agreement.model_validate_json((folder / "evals" / "agreement.json").read_bytes())


def row(found: Agreement, name: str) -> Row:
    return next(row for row in found.rows if row.name == name)


def value(found: Agreement, name: str, statistic: str) -> float:
    known = row(found, name).statistics[statistic].value
    assert known is not None
    return known


def test_ratings_flow_from_the_raters_files_to_the_table(tmp_path: Path) -> None:
    folder, found = judge_and_examine(write_raters(tmp_path), tmp_path, list(CONCEPTS))
    assert all(decision.status == "decided" for decision in folder.decisions())
    assert (found.question, found.ordinal, found.labelled) == ("ratings", True, 8)
    assert found.annotators == {"ann": 8, "bob": 8}
    assert value(found, "ann and bob", "accuracy") == pytest.approx(15 / 16)
    assert value(found, "judge and ann", "accuracy") == pytest.approx(15 / 16)
    assert value(found, "judge and bob", "accuracy") == pytest.approx(14 / 16)
    assert [(one.feature.index, one.question, one.judged) for one in found.disagreements] == [(6, "dentist", "0")]


@pytest.mark.skipif("UNVEIL_LABELS" not in os.environ, reason="UNVEIL_LABELS names no folder of labels")
def test_ratings_flow_for_the_published_raters(tmp_path: Path) -> None:
    raters = Path(os.environ["UNVEIL_LABELS"]) / "two_raters"
    folder, found = judge_and_examine(raters, tmp_path, [name for name in STEMS if name in _asked(raters)])
    assert all(decision.status == "decided" for decision in folder.decisions())
    assert found.failure_rate == 0
    assert len(found.annotators) == 2
    people = next(row for row in found.rows if row.kind == "people")
    assert {"kappa", "kappa_quadratic", "kappa_any"} <= people.statistics.keys()


def _asked(raters: Path) -> set[str]:
    items = [json.loads(file.read_text("utf-8")) for file in raters.glob("manual_labels_*.json")]
    return {concept for entries in items for entry in entries.values() for concept in entry["per_class_scores"]}
