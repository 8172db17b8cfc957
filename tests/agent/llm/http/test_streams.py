"""Replies that come in pieces, cut anywhere, in every form servers send them in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.llm.http.streams import ReplyStream


def event(delta: dict[str, Any] | None = None, finish: str | None = None, **rest: Any) -> dict[str, Any]:
    return {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}],
        **rest,
    }


def sse(*events: dict[str, Any], end: str = "data: [DONE]\n\n") -> bytes:
    return "".join(f"data: {json.dumps(each)}\n\n" for each in events).encode() + end.encode()


def lines(*objects: dict[str, Any]) -> bytes:
    return "\n".join(map(json.dumps, objects)).encode()


def read(data: bytes, step: int | None = None) -> ReplyStream:
    stream = ReplyStream()
    for start in range(0, len(data), step or len(data) or 1):
        stream.feed(data[start : start + (step or len(data))])
    stream.close()
    return stream


def message(stream: ReplyStream) -> dict[str, Any]:
    return stream.body()["choices"][0]["message"]  # type: ignore[index, call-overload, return-value]


WORDS = sse(
    event({"role": "assistant", "content": ""}), event({"content": "Ägyp"}), event({"content": "ten ☕"}, "stop")
)
BODY = {"choices": [{"message": {"content": "Ägypten ☕", "annotations": []}, "finish_reason": "stop"}], "model": "m"}
FORMS = {
    "events": WORDS,
    "carriage returns": WORDS.replace(b"\n", b"\r\n"),
    "carriage returns alone": WORDS.replace(b"\n", b"\r"),
    "no space after the colon": WORDS.replace(b"data: ", b"data:"),
    "comments and empty events": b": OPENROUTER PROCESSING\n\n:\n\ndata:\n\n"
    + WORDS.replace(b"\n\n", b"\n\n: ping\n\n"),
    "fields of events": WORDS.replace(b"data: {", b"event: message\nid: 7\nretry: 10\ndata: {"),
    "no blank lines between events": WORDS.replace(b"\n\n", b"\n"),
    "an event over several lines": WORDS.replace(b'", "choices"', b'",\ndata: "choices"'),
    "no last line end": WORDS.rstrip(),
    "no [DONE]": WORDS.replace(b"data: [DONE]\n\n", b""),
    "no finish reason": WORDS.replace(b'"stop"', b"null"),
    "a byte order mark": b"\xef\xbb\xbf" + WORDS,
    "text instead of delta": sse(
        {"choices": [{"text": "Ägypten "}]}, {"choices": [{"text": "☕", "finish_reason": "stop"}]}
    ),
    "a body sent whole": json.dumps(BODY).encode(),
    "a body on many lines": json.dumps(BODY, indent=2).encode(),
    "a body after signs of life": b"\n\n: waiting\n\n" + json.dumps(BODY).encode(),
    "a body as one event": sse(BODY, end=""),
    "a body in a list": json.dumps([BODY]).encode(),
    "lines of chunks": lines(event({"content": "Ägypten"}), event({"content": " ☕"}, "stop")),
    "Ollama's own lines": lines(
        {"message": {"content": "Ägypten "}, "done": False},
        {"message": {"content": "☕"}, "done": True, "done_reason": "stop"},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_text_comes_out_of_every_form_wherever_it_is_cut(form: str) -> None:
    for step in (None, 1, 3, 7):
        stream = read(FORMS[form], step)
        assert stream.finished and message(stream)["content"] == "Ägypten ☕"
        assert stream.pieces in (1, 2)


@given(st.lists(st.text(min_size=1)), st.integers(1, 40))
def test_any_text_in_any_pieces_comes_out_whole(pieces: list[str], step: int) -> None:
    events = [event({"content": piece}) for piece in pieces]
    raw = "".join(f"data: {json.dumps(each, ensure_ascii=False)}\n\n" for each in events).encode("utf-8", "replace")
    stream = read(raw + sse(event(finish="stop")), step)
    sent = "".join(pieces).encode("utf-8", "replace").decode()
    assert (message(stream)["content"] or "") == sent and stream.pieces == len(pieces)


def test_thoughts_and_usage_and_model_and_refusal_are_kept_apart() -> None:
    stream = read(
        sse(
            event({"reasoning_content": "hm", "reasoning": "hm"}),
            event({"content": "{", "refusal": "no"}),
            event(finish="length"),
            {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}, "model": "served"},
        )
    )
    assert message(stream) == {
        "role": "assistant", "content": "{", "reasoning_content": "hm", "reasoning": "hm", "refusal": "no",
    }  # fmt: skip
    body = stream.body()
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 1} and body["model"] == "served"
    assert body["choices"][0]["finish_reason"] == "length"  # type: ignore[index, call-overload]


def test_counts_in_unusual_places_are_found() -> None:
    groq = sse(
        event({"content": "a"}), event(finish="stop", x_groq={"usage": {"prompt_tokens": 9, "completion_tokens": 1}})
    )
    own = b'{"message":{"content":"a"},"done":true,"prompt_eval_count":9,"eval_count":1}'
    assert read(groq).body()["usage"] == read(own).body()["usage"] == {"prompt_tokens": 9, "completion_tokens": 1}


def calls_of(*deltas: dict[str, Any]) -> list[tuple[str, str, str]]:
    stream = read(sse(*(event({"tool_calls": [delta]}) for delta in deltas), event(finish="tool_calls")))
    return [
        (call["id"], call["function"]["name"], call["function"]["arguments"]) for call in message(stream)["tool_calls"]
    ]


def test_tool_calls_grow_by_their_number() -> None:
    assert calls_of(
        {"index": 0, "id": "a", "function": {"name": "x", "arguments": ""}},
        {"index": 1, "id": "b", "function": {"name": "y", "arguments": '{"k"'}},
        {"index": 0, "function": {"arguments": "{}"}},
        {"index": 1, "function": {"name": None, "arguments": ": 1}"}},
    ) == [("a", "x", "{}"), ("b", "y", '{"k": 1}')]


def test_calls_that_all_have_number_0_or_none_stay_apart() -> None:
    first = {"index": 0, "id": "a", "function": {"name": "x", "arguments": "{}"}}
    second = {"index": 0, "id": "b", "function": {"name": "x", "arguments": '{"k": 1}'}}
    assert calls_of(first, second) == [("a", "x", "{}"), ("b", "x", '{"k": 1}')]
    bare = [{key: value for key, value in call.items() if key != "index"} for call in (first, second)]
    assert calls_of(*bare) == [("a", "x", "{}"), ("b", "x", '{"k": 1}')]


def test_a_name_repeated_in_every_piece_and_arguments_as_an_object_are_understood() -> None:
    assert calls_of(
        {"index": 0, "id": "a", "function": {"name": "x", "arguments": '{"k"'}},
        {"index": 0, "id": "a", "function": {"name": "x", "arguments": ": 1}"}},
    ) == [("a", "x", '{"k": 1}')]
    assert calls_of({"index": 0, "id": "a", "function": {"name": "x", "arguments": {"k": 1}}}) == [
        ("a", "x", '{"k": 1}')
    ]


@pytest.mark.parametrize(
    "data",
    [
        sse(event({"content": "a"}), {"error": {"message": "out of memory"}}, end=""),
        sse(event({"content": "a"}, "error", error={"message": "out of memory"})),
        sse(event({"content": "a"}), end='error: {"message": "out of memory"}\n\ndata: [DONE]\n\n'),
        sse(event({"content": "a"}), end="error: out of memory\n\n"),
        sse(event({"content": "a"}), end='event: error\ndata: {"message": "out of memory"}\n\n'),
        sse(event({"content": "a"}), {"object": "error", "message": "out of memory"}),
        sse(event({"content": "a"}), end='{"error": {"message": "out of memory"}}'),
        b'[{"error": {"message": "out of memory"}}]',
    ],
)
def test_an_error_in_the_middle_is_in_the_body(data: bytes) -> None:
    stream = read(data, 5)
    assert stream.finished and "out of memory" in json.dumps(stream.body()["error"])


@pytest.mark.parametrize(
    "data",
    [
        sse(event({"content": "a"}), end=""),
        sse(event({"content": "a"}), end='data: {"choices": [{"del'),
        sse(event({"content": "a"}), end='data: {"choi\n\ndata: [DONE]\n\n'),
        json.dumps(BODY).encode()[:-5],
        b'{"message":{"content":"a"},"done":false}\n',
        b"",
    ],
    ids=["no end", "an event cut", "an event damaged in the middle", "a whole body cut", "a line missing", "nothing"],
)
def test_what_broke_off_or_lost_a_piece_is_not_finished(data: bytes) -> None:
    assert not read(data).finished


def test_parts_are_kept_and_text_cut_between_them_is_joined() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    stream = read(
        sse(
            event({"content": [thought]}),
            event({"content": [{"type": "text", "text": "wo"}]}),
            event({"content": [{"type": "text", "text": "rd"}]}),
            event({"content": "s"}, "stop"),
        )
    )
    assert message(stream)["content"] == [thought, {"type": "text", "text": "words"}]


def test_a_message_sent_whole_keeps_all_that_is_in_it() -> None:
    assert message(read(json.dumps(BODY).encode())) == {"content": "Ägypten ☕", "annotations": []}


def test_a_page_of_words_is_a_body_without_a_choice() -> None:
    assert read(b"<html>\n<p>error: gone</p>\n</html>").body() == {}
