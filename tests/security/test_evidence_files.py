"""Evidence files of anyone: what a run wrote is read back; repeated keys, numbers that are none and walls of text are not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import RunError
from agent.folder.store import RunFolder
from agent.run import main
from agent.stages.imported import LONGEST_LINE, LONGEST_TEXT, read_evidence, select_imported
from tests.agent.cases import make_evidence
from tests.security.conftest import write_domain
from tests.servers.openai_stub import happy, serve

GOOD = '{"feature":1,"top_tokens":["a"]}'


def refused(tmp_path: Path, line: str) -> str:
    file = tmp_path / "evidence.jsonl"
    file.write_text(f"{GOOD}\n{line}\n", "utf-8")
    with pytest.raises(RunError) as error:
        read_evidence(file, "s")
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(f"{file}: ")


def test_what_a_run_wrote_is_judged_again_as_it_stands(measured: Path, tmp_path: Path) -> None:
    """Its random directions are numbered from 0, as its features are."""
    study, stored = write_domain(tmp_path / "study"), RunFolder.open(measured).evidence() or []
    kinds = {(record.feature.index, record.feature.kind) for record in stored}
    assert len({index for index, _ in kinds}) < len(kinds), "no number is shared: this shows nothing"
    with serve(happy) as stub:
        command = ["--base-url", stub.base_url, "--llm-model", "stub", "--runs", str(tmp_path / "runs")]
        file = str(measured / "evidence.jsonl")
        assert main([*command, "--evidence", file, "--study", str(study)]) == 0
    (run,) = (tmp_path / "runs").glob("*/")
    assert [d.feature for d in RunFolder.open(run).decisions()] == [record.feature for record in stored]


def test_a_number_names_the_feature_and_not_the_direction(judged: Path) -> None:
    stored = read_evidence(judged / "evidence.jsonl", "s")
    assert [item.feature.key for item in select_imported(stored, [7], None).items] == ["base-000007"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"feature":2,"feature":3,"top_tokens":["a"]}', "the key 'feature' stands there more than once"),
        ('{"feature":2,"contexts":[{"tokens":["a"],"tokens":["b"]}]}', "the key 'tokens' stands there more than once"),
        ('{"feature":2,"top_tokens":[["a",NaN]]}', "NaN is no number"),
        ('{"feature":2,"top_tokens":[["a",-Infinity]]}', "-Infinity is no number"),
        ('{"feature":2,"contexts":[{"tokens":["a"],"activations":[1e999]}]}', "beyond all bounds"),
        ('{"feature":2,"density":NaN,"top_tokens":["a"]}', "NaN is no number"),
        ('{"feature":%s,"top_tokens":["a"]}' % ("9" * 5000), "does not fit into 64 bits"),
        ('{"feature":1000000000000000,"top_tokens":["a"]}', "feature: "),
        ('{"feature":2,"contexts":["%s"]}' % ("x" * (LONGEST_TEXT + 1)), "it holds a text of 200,001 characters"),
        ('{"feature":2,"%s":1}' % ("x" * LONGEST_LINE), "it has more than 16,777,216 characters"),
        ('{"a":' * 100_000, "nested deeper"),
        ('{"feature":2,"top_tokens":["\\ud800"]}', "Invalid JSON"),
    ],
    ids=lambda value: str(value)[:24],
)  # fmt: skip
def test_what_no_tool_means_is_refused_by_line(tmp_path: Path, line: str, said: str) -> None:
    assert refused(tmp_path, line).startswith("line 2: ")
    assert said in refused(tmp_path, line)


@pytest.mark.parametrize("field", ["density", "n_tokens"])
def test_the_same_in_the_form_of_a_run(tmp_path: Path, field: str) -> None:
    line = make_evidence().model_dump_json()
    value = json.loads(line)["activations"][field]
    spoilt = line.replace(f'"{field}":{value}', f'"{field}":1e400')
    assert spoilt != line
    assert "beyond all bounds" in refused(tmp_path, spoilt)


@pytest.mark.parametrize(
    "text", ["<<" * 100_000, "<<a" * 60_000, "<<a>>" * 40_000, "<< " * 60_000 + ">>", " " * 190_000]
)
def test_marks_are_looked_for_in_one_pass(tmp_path: Path, text: str) -> None:
    file = tmp_path / "evidence.jsonl"
    file.write_text(json.dumps({"feature": 1, "contexts": [text]}) + "\n")
    began = time.perf_counter()
    read_evidence(file, "s")
    assert time.perf_counter() - began < 2, "twice the text takes four times as long"


@given(
    st.lists(
        st.tuples(st.text("ab <", max_size=4), st.sampled_from(["<<x>>(3)", "<<y z>>(0.5)", "<<", ">>"])), max_size=8
    )
)
def test_no_character_of_a_context_is_lost(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[str, str]]
) -> None:
    text = "".join(plain + mark for plain, mark in parts) + "end"
    file = tmp_path_factory.mktemp("marks") / "evidence.jsonl"
    file.write_text(json.dumps({"feature": 1, "contexts": [text]}) + "\n")
    (found,) = read_evidence(file, "s")
    assert found.activations
    (context,) = found.activations.top
    letters = [letter for letter in text if letter in "abxyz"]
    assert [letter for letter in "".join(context.tokens) if letter in "abxyz"] == letters


def test_a_contexts_activations_are_one_a_token(copy_of: Callable[[Path], Path], judged: Path) -> None:
    copy = copy_of(judged)
    text = (copy / "evidence.jsonl").read_text()
    (copy / "evidence.jsonl").write_text(text.replace('"activations":[0.0,', '"activations":[', 1))
    with pytest.raises(RunError, match=r"evidence\.jsonl:1: .*32 tokens but 31 activations"):
        RunFolder.open(copy).evidence()
