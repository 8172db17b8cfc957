"""Evidence from other tools: both forms read, what is missing left out, what is malformed named by its line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from agent.briefing.first.evidence import brief_investigator, brief_judge
from agent.errors import RunError
from agent.stages.imported import read_evidence, select_imported
from tests.agent.cases import make_evidence
from tools.records import FeatureRef

RATERS = {
    "feature": 3844,
    "sae": "pythia70m/resid_post_layer_3",
    "top_tokens": ["ontal", " caries", " enamel"],
    "contexts": ["a variance for the << dental>>(4) << office>>(1) by the board", "no mark at all"],
}


def write(folder: Path, *lines: Any) -> Path:
    file = folder / "evidence.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n", "utf-8")
    return file


def refuse(file: Path, said: str) -> None:
    with pytest.raises(RunError, match=said):
        read_evidence(file, "s")


def test_the_plain_form_is_read_with_its_marks(tmp_path: Path) -> None:
    (found,) = read_evidence(write(tmp_path, RATERS, ""), "s")
    assert (found.stratum, found.feature.index, found.feature.study) == ("imported", 3844, "s")
    assert found.projection
    assert [(entry.token, entry.weight) for entry in found.projection.top] == [
        ("ontal", None),
        (" caries", None),
        (" enamel", None),
    ]
    assert found.activations
    marked, plain = found.activations.top
    assert marked.tokens == ("a", " variance", " for", " the", " ", " dental", " ", " office", " by", " the", " board")
    assert marked.activations == (0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0)
    assert (plain.tokens, plain.activations, plain.max_activation) == (("no mark at all",), None, None)
    assert (found.keywords, found.coherence, found.steering, found.causal) == (None,) * 4


def test_a_long_context_is_shown_around_its_peak(tmp_path: Path) -> None:
    text = "far " * 200 + "a << dental>>(4) office" + " away" * 200
    (found,) = read_evidence(write(tmp_path, {"feature": 1, "contexts": [text]}), "s")
    assert re.search(r"1\. \(up to 4\) …( far)+ a  ?«dental 4» office( away)+…", brief_judge(found))


def test_marks_without_numbers_stay_as_text(tmp_path: Path) -> None:
    (found,) = read_evidence(write(tmp_path, {"feature": 1, "contexts": ["a <<heart>> beats"]}), "s")
    assert found.activations
    assert found.activations.top[0].tokens == ("a <<heart>> beats",)
    assert found.activations.top[0].activations is None
    assert "‹‹heart››" in brief_judge(found)


def test_what_is_missing_is_left_out_of_the_prompt(tmp_path: Path) -> None:
    tokens, contexts = read_evidence(
        write(
            tmp_path,
            {"feature": 1, "top_tokens": [[" heart", 1.5], [" valve", 1]]},
            {"feature": 2, "contexts": [{"tokens": ["the", " heart"], "activations": [0, 3.5]}]},
        ),
        "s",
    )
    for brief in (brief_judge, brief_investigator):
        only_tokens, only_contexts = brief(tokens), brief(contexts)
        assert '" heart" 1.50, " valve" 1.00' in only_tokens
        assert "the «heart 3.5»" in only_contexts
        for absent in ("context", "active at", "bottom", "ablation", "cosine", "None"):
            assert absent not in only_tokens
        for absent in ("top tokens", "active at", "tokens,", "None"):
            assert absent not in only_contexts


def test_a_line_of_a_runs_own_evidence_is_read_whole(tmp_path: Path) -> None:
    record = make_evidence()
    assert read_evidence(write(tmp_path, record.model_dump_json()), "s") == [record]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: not a JSON object"),
        ("[" * 100_000, "line 2: (it is nested deeper|not JSON)"),
        ({"feature": 1}, "line 2: it has neither top_tokens nor contexts"),
        ({"feature": -1, "top_tokens": ["a"]}, "line 2: feature: "),
        ({"feature": 1, "top_tokens": ["a"], "verdict": "yes"}, "line 2: verdict: Extra"),
        ({"feature": 1, "contexts": [{"tokens": ["a"], "activations": [1, 2]}]}, "1 tokens but 2 activations"),
        ({"feature": 1, "contexts": [{"tokens": []}]}, "line 2: contexts"),
        ({"schema_version": 1}, "line 2: feature: Field required"),
        (RATERS, "feature 3844 of SAE pythia70m/resid_post_layer_3 is there 2 times"),
    ],
)
def test_a_malformed_line_is_named_and_nothing_is_read(tmp_path: Path, line: Any, said: str) -> None:
    refuse(write(tmp_path, RATERS, line), said)


def test_bad_lines_are_counted(tmp_path: Path) -> None:
    refuse(write(tmp_path, *["{"] * 5), r"and 2 more bad lines")


def test_a_missing_an_empty_and_a_binary_file_are_said(tmp_path: Path) -> None:
    refuse(tmp_path / "none.jsonl", "No such file")
    refuse(tmp_path, "directory")
    refuse(write(tmp_path, ""), "holds no evidence")
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe\x00")
    refuse(tmp_path / "b.jsonl", "not UTF-8")


def test_a_selection_takes_named_features_or_the_first_few(tmp_path: Path) -> None:
    lines = [{"feature": n, "top_tokens": ["a"]} for n in (5, 3, 9)]
    evidence = read_evidence(write(tmp_path, *lines), "s")
    assert [item.feature.index for item in select_imported(evidence, None, None).items] == [5, 3, 9]
    assert [item.feature.index for item in select_imported(evidence, None, 2).items] == [5, 3]
    chosen = select_imported(evidence, (9,), None)
    assert [item.feature.index for item in chosen.items] == [9]
    assert [(size.stratum, size.drawn) for size in chosen.sizes] == [("imported", 1)]
    with pytest.raises(RunError, match="feature 4"):
        select_imported(evidence, (4, 9), None)


@pytest.mark.parametrize("sae", ["../../etc/passwd", "a/b", "..", "x" * 300, "nul\x00", "ä", "con:1"])
def test_an_sae_of_any_name_makes_a_file_name_of_its_own(sae: str) -> None:
    key = FeatureRef(study="s", sae=sae, index=1).key
    assert "/" not in key
    assert "\x00" not in key
    assert not key.startswith(".")
    assert len(key) < 100
    assert key != FeatureRef(study="s", sae=sae + "_", index=1).key


def test_the_keys_of_arms_read_as_ever() -> None:
    assert FeatureRef(study="s", sae="base", index=12).key == "base-000012"
    assert FeatureRef(study="s", sae="base", index=12, kind="random_direction").key == "base-r000012"
