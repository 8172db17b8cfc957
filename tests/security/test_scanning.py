"""Text from outside is gone through once, within bounds: twice the length takes about twice the time, and depth is bounded."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.briefing.first.forms import Hypotheses, JudgeReply
from agent.errors import RunError
from agent.folder.measurements import Measurement
from agent.folder.records import TranscriptStep
from agent.llm.errors import Unfit
from agent.llm.http.answers import answer_in
from agent.llm.http.streams import ReplyStream
from agent.llm.http.troubles import trouble_of
from agent.llm.reading.contents import tool_calls_in
from agent.llm.reading.markup import object_in
from agent.llm.reading.structured import parse
from agent.llm.reading.told_calls import told_calls
from agent.read import show
from agent.stages.imported import LONGEST_TEXT, read_evidence
from agent.toolbox import LONGEST_ARGUMENTS, Toolbox
from evals.manual.files import import_labels
from evals.manual.reading import Collector, Options, read_csv, read_item
from evals.review.text import show_text
from prompts.fence import fence
from tests.agent.cases import make_evidence
from tools.border.json_text import DEEPEST, is_deep, read_json
from tools.catalogue.instruments import TOOLS
from tools.display.spreadsheets import bare, inert
from tools.display.unseen import spell_out

PIECES = (
    *("{a}", "{}", "{", "}", "[", "]", "[{", '{"a":', '{"a":1}', '"', '\\"', "'", "\\", "{'a':", ",", "null", "1", "1e", "-1."),
    *("{/*}", "{/*", "//", "{//}", "{//}\n", "{/**/", " ", "\n", "\t", "\r", "\x1b[", "\u202e", "\u200b", "\ufeff", "漢"),
    *("<think>", "</think>", "<think", "<|channel|>", "<|channel|>analysis", "<|message|>", "[THINK]", "analysis", "assistant "),
    *("<tool_call>", "[TOOL_CALLS]", "<function=a>", "to=functions.a", "```", "```json\n", "<", "</", "<<<a", "context ", "tools"),
    *("<<", ">>", "<<a>>", "<<a>>(1)", "<<a>>(1", "=", "-", "'=", "a-0", "|", "data: {}\n\n", "data:", "data: {", "[ ", "[\n"),
    *("Here's my thought process:", "Here is my response:"),
)  # fmt: skip
"""What scanners look for, and what they might begin anew at."""
LENGTH, GROWTH, SPARE_S = 8_000, 8.0, 0.05
"""Four times the length takes about 4 times the time, or 16 if each step looks at all before it."""
TRIES = 5
"""A busy machine makes one measurement slow; a scan that is quadratic is slow at every try."""


def quietly(call: Callable[[str], object]) -> Callable[[str], None]:
    def run(text: str) -> None:
        with suppress(Unfit, ValueError, RunError):
            call(text)

    return run


def one_message(text: str) -> object:
    call = {"id": "1", "type": "function", "function": {"name": "ablate", "arguments": text}}
    return tool_calls_in({"role": "assistant", "content": None, "tool_calls": [call]}, strict=False)


def one_context(text: str) -> object:
    file = Path("/dev/shm" if Path("/dev/shm").is_dir() else "/tmp") / f"unveil-scan-{id(text)}.jsonl"
    file.write_text(json.dumps({"feature": 1, "contexts": [text[:19_000]] * (len(text) // 19_000 + 1)}) + "\n", "utf-8")
    try:
        return read_evidence(file, "s")
    finally:
        file.unlink()


def one_transcript(text: str) -> object:
    return list(
        show([TranscriptStep(step=0, kind="reply", node="n", content={"text": text, "parsed": {"a": text}})], None)
    )


SCANNERS: dict[str, Callable[[str], object]] = {
    "an answer's object": object_in,
    "an answer as a judgement": lambda text: parse(text, JudgeReply),
    "an answer within an object": lambda text: parse('{"hypotheses": "' + text, Hypotheses),
    "calls told as text": lambda text: told_calls(text, ("a", "ablate")),
    "a tool's arguments": one_message,
    "a reply's body": answer_in,
    "an error's body": lambda text: trouble_of(400, text, {}),
    "a marked context": one_context,
    "a text in a fence": lambda text: fence("text", text, 400),
    "a text on a page": show_text,
    "a text on a terminal": spell_out,
    "a transcript": one_transcript,
    "a cell of a table": lambda text: (inert(text), bare(text)),
    "the depth of JSON": is_deep,
    "a feature's name": lambda text: read_item(text, Options()),
}  # fmt: skip


def seconds(call: Callable[[str], None], text: str) -> float:
    gc.disable()  # its rounds come when they will
    try:
        started = time.process_time()
        call(text)
        return time.process_time() - started
    finally:
        gc.enable()


def too_slow(take: Callable[[int], float], length: int) -> list[tuple[float, float]]:
    """The seconds for a length and for four times as much, of each try; nothing if one was about linear."""
    tries: list[tuple[float, float]] = []
    while len(tries) < TRIES:
        short, long = take(length), take(4 * length)
        if long <= GROWTH * short + SPARE_S:
            return []
        tries.append((short, long))
    return tries


@pytest.mark.parametrize("name", SCANNERS)
@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.endurance)], ids=["some", "all"])
def test_four_times_the_length_takes_about_four_times_the_time(name: str, every: int) -> None:
    call, slow = quietly(SCANNERS[name]), dict[str, list[tuple[float, float]]]()
    for piece in PIECES[::every]:
        times = LENGTH // len(piece)
        if seconds(call, piece * (2 * times)) > SPARE_S:  # else it is too fast to be measured
            slow[piece] = too_slow(lambda length, piece=piece: seconds(call, piece * length), times)
    assert not any(slow.values()), slow


def test_a_stream_in_many_pieces_takes_time_by_its_length() -> None:
    call = {"index": 0, "function": {"arguments": "x" * 8}}
    event = {"choices": [{"delta": {"tool_calls": [call], "content": "x" * 8}}]}
    chunk = f"data: {json.dumps(event)}\n\n".encode()

    def take(pieces: int) -> float:
        started = time.process_time()
        stream = ReplyStream()
        for _ in range(pieces):
            stream.feed(chunk)
        stream.close()
        stream.body()
        return time.process_time() - started

    assert not too_slow(take, 2_000)


@pytest.mark.parametrize("piece", [b"}", b"{}\n", b"data: }", b"data: {}\n", b"data: {\n", b'"', b"\n"])
def test_a_body_that_comes_byte_by_byte_takes_time_by_its_length(piece: bytes) -> None:
    def take(times: int) -> float:
        text, started = piece * times, time.process_time()
        stream = ReplyStream()
        for place in range(len(text)):
            stream.feed(text[place : place + 1])
        stream.close()
        return time.process_time() - started

    assert not too_slow(take, 20_000 // len(piece))


@given(
    st.recursive(
        st.none() | st.text('[]{}"\\,:a'), lambda inner: st.lists(inner) | st.dictionaries(st.text('[{"\\'), inner)
    )
)
def test_depth_is_told_as_it_is(value: Any) -> None:
    def depth(part: Any) -> int:
        inside = part.values() if isinstance(part, dict) else part if isinstance(part, list) else None
        return 0 if inside is None else 1 + max(map(depth, inside), default=0)

    text = json.dumps(value)
    assert is_deep(text + " " * 9, depth(value)) is False
    assert depth(value) == 0 or is_deep(text, depth(value) - 1)
    assert read_json(text) == value


@pytest.mark.parametrize("depth", [DEEPEST + 1, 250, 900, 100_000])
@pytest.mark.parametrize("form", [("[", "]"), ('{"a":', "}")])
def test_what_is_nested_too_deep_is_no_json_and_costs_no_run(depth: int, form: tuple[str, str], tmp_path: Path) -> None:
    text = form[0] * depth + "1" + form[1] * depth
    with pytest.raises(ValueError, match="deeper"):
        read_json(text)
    answer = json.dumps({"choices": [{"message": {"role": "assistant", "content": "x"}}]}).replace('"x"', text)
    assert not isinstance(answer_in(answer), dict)
    with pytest.raises(Unfit):
        parse(text, JudgeReply)
    toolbox = Toolbox(TOOLS, tmp_path / "tool_calls.jsonl")
    if len(text) <= LONGEST_ARGUMENTS:
        assert asyncio.run(toolbox.measure(make_evidence(), "ablate", '{"sentence": ' + text + "}")).status == "error"
    toolbox.close()
    Toolbox(TOOLS, tmp_path / "tool_calls.jsonl").close()  # opens again
    (call,) = tool_calls_in({"tool_calls": [{"function": {"name": "ablate", "arguments": text}}]}, strict=False)
    assert call.parsed is None
    file = tmp_path / "evidence.jsonl"
    file.write_text(text + "\n")
    with pytest.raises(RunError, match="line 1: .*deeper"):
        read_evidence(file, "s")
    with pytest.raises(Exception, match="deeper"):
        import_labels("own", file)


def test_what_is_nested_as_deep_as_may_be_reads_back(tmp_path: Path) -> None:
    deep = "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)
    toolbox = Toolbox(TOOLS, tmp_path / "tool_calls.jsonl")
    kept = asyncio.run(toolbox.measure(make_evidence(), "ablate", '{"sentence": ' + deep + "}"))
    toolbox.close()
    assert Measurement.model_validate_json(kept.model_dump_json()) == kept
    Toolbox(TOOLS, tmp_path / "tool_calls.jsonl").close()


def test_long_arguments_are_an_observation_and_never_run_or_kept(tmp_path: Path) -> None:
    file = tmp_path / "tool_calls.jsonl"
    for replay_only in (False, True):  # the same in a replay, which has no memory of it
        toolbox = Toolbox(TOOLS, file, replay_only=replay_only)
        long = json.dumps({"sentence": "x" * (20 * 2**20)})
        found = asyncio.run(toolbox.measure(make_evidence(), "ablate", long))
        toolbox.close()
        assert found.status == "error" and "at most 100,000" in str(found.result)
        assert len(found.model_dump_json()) < 1000
    assert not file.exists()


@pytest.mark.parametrize(
    "line",
    [
        {"contexts": ["x" * (LONGEST_TEXT + 1)]},
        {"top_tokens": ["x" * (LONGEST_TEXT + 1)]},
        {"top_tokens": [["x" * (LONGEST_TEXT + 1), 1.0]]},
        {"contexts": [{"tokens": ["x" * (LONGEST_TEXT + 1)]}]},
        {"contexts": [{"tokens": ["x"] * 20_001}]},
        {"contexts": ["x"] * 1_001},
        {"top_tokens": ["x"] * 1_001},
    ],
)
def test_evidence_that_no_judge_could_be_shown_is_refused_by_line(line: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "evidence.jsonl"
    file.write_text(json.dumps({"feature": 1, "top_tokens": ["a"], "sae": "s"} | line) + "\n")
    with pytest.raises(RunError, match="line 1: ") as refused:
        read_evidence(file, "s")
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e999"])
def test_evidence_with_no_number_where_one_belongs_is_refused(number: str, tmp_path: Path) -> None:
    file = tmp_path / "evidence.jsonl"
    for field in ('"top_tokens": [["a", N]]', '"contexts": [{"tokens": ["a"], "activations": [N]}]'):
        file.write_text('{"feature": 1, ' + field.replace("N", number) + "}\n")
        with pytest.raises(RunError, match="line 1: "):
            read_evidence(file, "s")


@given(st.text(st.sampled_from("<>() 1.-a\n"), max_size=40))
def test_marks_are_found_as_ever(text: str) -> None:
    import re

    from agent.stages.imported import _find_marks  # pyright: ignore[reportPrivateUsage]

    as_before = re.compile(r"<<(.+?)>>(?:\((-?\d+(?:\.\d+)?)\))?", re.DOTALL)
    expected = [(m.start(), m.end(), m[1], m[2]) for m in as_before.finditer(text)]
    assert [tuple(mark) for mark in _find_marks(text)] == expected


def test_tables_with_quotes_that_never_end_are_read_once(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    for piece in ('"', '"a,', "a;", "\t", '""'):

        def read(text: str) -> None:
            file.write_text(text, "utf-8")
            list(read_csv(file, Collector()))

        short, long = (min(seconds(read, piece * (n // len(piece))) for _ in range(2)) for n in (100_000, 200_000))
        assert long < GROWTH * short + SPARE_S, piece
