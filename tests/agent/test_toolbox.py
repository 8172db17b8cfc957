from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import pytest

from agent.errors import RunError
from agent.folder.measurements import Measurement
from agent.llm.errors import LlmFailure
from agent.toolbox import Toolbox, describe
from tests.agent.cases import (
    INSTRUMENTS,
    StrawBench,
    make_evidence,
    make_toolbox,
    measure_activations,
    promote_words,
)
from tools.records import Record


def measure(toolbox: Toolbox, instrument: str, arguments: str) -> Measurement:
    return asyncio.run(toolbox.measure(make_evidence(), instrument, arguments))


def test_schema_and_documentation_come_from_signature_and_docstring(tmp_path: Path) -> None:
    toolbox = make_toolbox(tmp_path)
    spec = {spec.name: spec for spec in toolbox.specs}["promote_words"]
    assert spec.description == "Change of each word's log-probability."
    assert spec.parameters == {
        "type": "object",
        "properties": {
            "words": {"type": "array", "items": {"type": "string"}, "description": "single words."},
            "strength": {"type": "number", "description": "0.05 to 4."},
        },
        "required": ["words", "strength"],
        "additionalProperties": False,
    }
    assert toolbox.documentation.split("\n")[:2] == [
        "- measure_activations: Largest activation in each of the sentences you write.",
        "    sentences (list of string): 1 to 12 short texts.",
    ]
    assert describe(INSTRUMENTS[3]).spec.parameters["properties"] == {}


def test_an_instrument_without_types_or_descriptions_is_refused() -> None:
    def untyped(subject: Any, x) -> Record:  # type: ignore[no-untyped-def]  # noqa: ANN001
        """Something.

        Args:
            subject: given.
            x: a number.
        """
        raise NotImplementedError

    def undescribed(subject: Any, x: int) -> Record:
        """Something."""
        raise NotImplementedError

    for function in (untyped, undescribed):
        with pytest.raises(TypeError, match="x needs a type and a line under Args"):
            describe(function)


def test_a_measurement_is_made_once_and_then_recalled(tmp_path: Path) -> None:
    bench = StrawBench()
    toolbox = make_toolbox(tmp_path, bench=bench)
    first = measure(toolbox, "measure_activations", '{"sentences": ["my heart", "a garden"]}')
    assert first.status == "ok"
    assert [s["max_activation"] for s in first.result["sentences"]] == [5.0, 0.0]  # type: ignore[index, call-overload]
    assert measure(toolbox, "measure_activations", ' {"sentences":["my heart","a garden"]}') == first
    assert bench.uses == 1
    again = make_toolbox(tmp_path, bench=None, replay_only=True)
    assert measure(again, "measure_activations", '{"sentences": ["my heart", "a garden"]}') == first
    assert len((tmp_path / "tool_calls.jsonl").read_text().splitlines()) == 1


def test_a_replay_measures_nothing(tmp_path: Path) -> None:
    toolbox = make_toolbox(tmp_path, replay_only=True)
    with pytest.raises(LlmFailure) as caught:
        measure(toolbox, "measure_activations", '{"sentences": ["x"]}')
    assert caught.value.type == "replay_missing"
    assert not (tmp_path / "tool_calls.jsonl").exists()


@pytest.mark.parametrize(
    ("instrument", "arguments", "words"),
    [
        ("launch_rocket", "{}", "there is no instrument 'launch_rocket': use one of measure_activations"),
        ("measure_activations", "{}", "sentences: Field required"),
        ("measure_activations", "", "sentences: Field required"),
        ("measure_activations", '{"sentences": ', "valid dictionary"),
        ("measure_activations", "[1]", "valid dictionary"),
        ("measure_activations", "null", "valid dictionary"),
        ("measure_activations", '{"sentences": "one"}', "valid list"),
        ("measure_activations", '{"sentences": [1]}', "valid string"),
        ("measure_activations", '{"sentences": ["x"], "more": 1}', "more: Extra inputs"),
        ("measure_activations", json.dumps({"sentences": ["x"] * 13}), "1 to 12, not 13"),
        ("promote_words", '{"words": ["x"], "strength": "strong"}', "strength: Input should be a valid number"),
        ("promote_words", '{"words": ["x"], "strength": NaN}', "valid dictionary"),
        ("promote_words", '{"words": ["x"], "strength": 1e999}', "valid dictionary"),
        ("promote_words", '{"words": ["\\ud800"], "strength": 1}', "valid dictionary"),
        ("promote_words", "[" * 100_000, "valid dictionary"),
    ],
)
def test_what_the_llm_gets_wrong_comes_back_as_an_observation(
    tmp_path: Path, instrument: str, arguments: str, words: str
) -> None:
    found = measure(make_toolbox(tmp_path), instrument, arguments)
    assert found.status == "error"
    assert words in found.observation()
    assert measure(make_toolbox(tmp_path, replay_only=True), instrument, arguments) == found


def test_a_bug_in_an_instrument_is_no_observation(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        measure(make_toolbox(tmp_path), "explode", "{}")


def test_equal_arguments_on_another_feature_are_another_measurement(tmp_path: Path) -> None:
    toolbox = make_toolbox(tmp_path)
    here = make_evidence()
    there = here.model_copy(update={"feature": here.feature.model_copy(update={"index": 1})})
    addresses = {
        asyncio.run(toolbox.measure(e, name, '{"sentences": ["x"]}')).sha256
        for e in (here, there)
        for name in ("measure_activations", "continue_text")
    }
    assert len(addresses) == 4


def test_without_a_bench_nothing_is_offered_or_measured(tmp_path: Path) -> None:
    empty = Toolbox((), tmp_path / "none.jsonl")
    assert empty.specs == ()
    assert empty.documentation == ""
    assert "use one of none" in measure(empty, "measure_activations", "{}").observation()
    nothing = Toolbox((measure_activations,), tmp_path / "more.jsonl")
    assert "no model" in measure(nothing, "measure_activations", '{"sentences": ["x"]}').observation()


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "tool_calls.jsonl").write_text("{}\n")
    with pytest.raises(RunError, match=r"tool_calls\.jsonl:1"):
        make_toolbox(tmp_path)


def test_time_that_was_up_is_up_in_every_replay_and_no_other_time_is(tmp_path: Path) -> None:
    evidence, toolbox = make_evidence(), make_toolbox(tmp_path)
    assert not toolbox.time_is_up(evidence, 3, over=False)
    assert toolbox.time_is_up(evidence, 5, over=True)
    replay = make_toolbox(tmp_path, replay_only=True)
    assert not replay.time_is_up(evidence, 3, over=True)
    assert replay.time_is_up(evidence, 5, over=False)


def test_instruments_run_one_at_a_time_beside_the_event_loop(tmp_path: Path) -> None:
    toolbox = make_toolbox(tmp_path)

    async def many() -> list[Measurement]:
        calls = [
            toolbox.measure(make_evidence(), "promote_words", json.dumps({"words": ["x"], "strength": s / 10}))
            for s in range(1, 20)
        ]
        return await asyncio.gather(*calls)

    found = asyncio.run(many())
    assert [m.result["strength"] for m in found] == [s / 10 for s in range(1, 20)]  # type: ignore[index, call-overload]
    toolbox.close()


def test_numbers_survive_the_file(tmp_path: Path) -> None:
    found = measure(make_toolbox(tmp_path), "promote_words", '{"words": ["x"], "strength": 1}')
    assert math.isclose(promote_words(make_evidence(), ["x"], 1).words[0].change, found.result["words"][0]["change"])  # type: ignore[index, call-overload, arg-type]
