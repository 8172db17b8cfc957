"""What a server sends is data with a size: it reads back once it is written, costs time by its length, tells no secret."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import html
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.folder.measurements import Measurement
from agent.lines import parse_record, read_lines
from agent.llm.errors import LlmFailure
from agent.llm.http.answers import Trouble, answer_in
from agent.llm.http.wire import Wire
from agent.llm.prices import PriceTable
from agent.llm.records import MOST_USED, LlmCall, Usage
from agent.llm.replies import estimated_tokens, read_reply, reported_tokens
from agent.llm.secrecy import Redactor
from agent.llm.settings import LlmSettings
from agent.toolbox import Toolbox
from tests.agent.cases import make_evidence
from tests.servers.openai_stub import Policy, Scripted, happy, saying, serve
from tools.catalogue.instruments import TOOLS

ODD = (
    *("NaN", "Infinity", "-Infinity", "1e999", "9" * 19, "-" + "9" * 25, "9" * 5000, "1e308", "-1", "1.5", "true", "null"),
    *('""', '"\\ud800"', '"\\u0000"', '"\\u2028\\u001b[31m"', "[]", "{}", "[null]", '["a",1]', '{"a":[1e999]}', '{"text":5}'),
)  # fmt: skip
"""JSON, or nearly, that stands where a server should have written something else."""
CALL = {"index": 0, "id": "1", "type": "function", "function": {"name": "n", "arguments": '{"a":1}'}}
SAID = {"role": "assistant", "content": "c", "refusal": None, "reasoning": "r", "extra": 1, "tool_calls": [CALL]}
COUNTS = {"prompt_tokens": 5, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 1}}
WHOLE: dict[str, Any] = {
    "model": "m",
    "choices": [{"index": 0, "message": SAID, "finish_reason": "stop"}],
    "usage": COUNTS,
    "error": None,
}
PIECE: dict[str, Any] = {
    "model": "m",
    "choices": [{"index": 0, "delta": SAID, "finish_reason": "stop"}],
    "usage": COUNTS,
}
LINE = {"model": "m", "message": SAID, "done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 4}
ERROR = {"error": {"message": "m", "code": "c", "type": "t", "param": "p", "metadata": {"raw": "x"}}}
FORMS: dict[str, tuple[Any, str]] = {
    "whole": (WHOLE, "{}"),
    "streamed": (PIECE, "data: {}\n\ndata: [DONE]\n\n"),
    "a line": (LINE, "{}\n"),
    "an error": (ERROR, "{}"),
}
REQUEST: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "?"}],
    "tools": [{"function": {"name": "n"}}],
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def spoilt(value: Any, path: tuple[Any, ...], odd: str) -> str:
    holder = changed = copy.deepcopy(value)
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = "@mark@"
    return json.dumps(changed).replace('"@mark@"', odd)


def stored(answer: dict[str, Any]) -> LlmCall:
    tokens = reported_tokens(answer) or estimated_tokens(REQUEST, answer)
    usage = PriceTable.read().usage("gpt-4o", *tokens)
    return LlmCall(request_sha256="", request=REQUEST, reply=answer, purpose="", usage=usage, attempts=1, rules=2)


@pytest.mark.parametrize("form", FORMS)
def test_whatever_stands_at_any_place_of_a_reply_reads_back_once_it_is_written(form: str) -> None:
    value, frame = FORMS[form]
    tried = 0
    for path in places(value):
        for odd in ODD:
            tried += 1
            answer = answer_in(frame.replace("{}", spoilt(value, path, odd), 1))
            if isinstance(answer, Trouble):
                answer.message.encode()
                continue
            call = stored(answer)
            assert parse_record(LlmCall, call.model_dump_json().encode(), "line") == call, (path, odd)
            with contextlib.suppress(LlmFailure):
                json.dumps(read_reply(call, cached=False).message(), ensure_ascii=False).encode()
    assert tried >= 150


def test_only_the_fields_that_are_read_are_stored() -> None:
    more = {"annotations": [1], "audio": {"data": "x" * 999}, "logprobs": [1.0]}
    body = {
        **WHOLE,
        "choices": [{**WHOLE["choices"][0], "message": {**SAID, **more}}],
        "usage": {**COUNTS, "cost": 1e9},
    }
    answer = answer_in(json.dumps({**body, "model": "m" * 999_999, "citations": ["x"]}))
    assert isinstance(answer, dict)
    assert set(answer["message"]) == {"role", "content", "refusal", "reasoning", "tool_calls"}  # type: ignore[arg-type]
    assert answer["usage"] == COUNTS and answer["model"] == "m" * 200 and len(json.dumps(answer)) < 1000


@pytest.mark.parametrize("count", [10**10, 2**62, 2**63, 10**30, -1, True, 1.5, "7", None, [7]])
def test_counts_that_no_call_has_are_estimated_and_so_no_budget_is_deceived(count: Any) -> None:
    for name in ("prompt_tokens", "completion_tokens"):
        answer = answer_in(json.dumps({**WHOLE, "usage": {**COUNTS, name: count}}))
        assert isinstance(answer, dict) and reported_tokens(answer) is None
        assert 0 < stored(answer).usage.input_tokens < 1000


@given(st.lists(st.integers(0, MOST_USED), min_size=2, max_size=6))
def test_stored_usage_adds_up_to_what_can_be_stored(counts: list[int]) -> None:
    total = sum((Usage(calls=n, input_tokens=n, output_tokens=n, usd=n) for n in counts), Usage())
    assert total.input_tokens == min(MOST_USED, sum(counts))
    assert Usage.model_validate_json(total.model_dump_json()) == total


@pytest.mark.parametrize("field", ["calls", "input_tokens", "output_tokens", "usd"])
@pytest.mark.parametrize("value", [-1, MOST_USED * 2, float("inf"), float("nan")])
def test_a_stored_call_cannot_give_back_what_was_spent(field: str, value: float) -> None:
    with pytest.raises(ValidationError):
        Usage.model_validate({field: value})


@pytest.mark.parametrize("arguments", ['{"sentence": N}', '{"a": {"b": [N]}}', "N", '[1, "N", N]'])
@pytest.mark.parametrize("number", ["9" * 19, "-" + "9" * 30, "9" * 4000, "9" * 5000, "NaN", "-Infinity", "1e999"])
def test_what_a_tool_was_given_opens_again(arguments: str, number: str, tmp_path: Path) -> None:
    toolbox = Toolbox(TOOLS, tmp_path / "tool_calls.jsonl")
    kept = asyncio.run(toolbox.measure(make_evidence(), "ablate", arguments.replace("N", number)))
    toolbox.close()
    assert kept.status == "error"
    assert list(read_lines(tmp_path / "tool_calls.jsonl", Measurement)) == [kept]


# --- time -------------------------------------------------------------------------------------------------------------


def whole(**message: Any) -> str:
    return json.dumps(
        {"choices": [{"message": {"role": "assistant", "content": None, **message}, "finish_reason": "stop"}]}
    )


def streamed(**delta: Any) -> str:
    event = {"choices": [{"index": 0, "delta": delta, "finish_reason": "stop"}]}
    return f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"


HEAVY: dict[str, Callable[[int], str]] = {
    "calls of other numbers": lambda n: streamed(tool_calls=[{"index": k} for k in range(n)]),
    "calls without a number": lambda n: streamed(tool_calls=[{"function": {"name": "a", "arguments": "{}"}}] * n),
    "calls in one piece": lambda n: whole(tool_calls=[{"function": {"name": "a", "arguments": "{}"}}] * n),
    "a name that grows": lambda n: streamed(
        tool_calls=[{"index": 0, "function": {"name": "ab"[k % 2]}} for k in range(n)]
    ),
    "texts": lambda n: whole(content=["ab"] * n),
    "parts": lambda n: whole(content=[{"type": "text", "text": "abcdefgh"}] * n),
    "parts in a stream": lambda n: streamed(content=[{"type": "text", "text": "abcdefgh"}] * n),
    "empty lines": lambda n: "\r" * n,
    "empty events": lambda n: "data:\n\n" * n,
    "an error's words": lambda n: json.dumps({"error": {"message": "model context insufficient account " * n}}),
    "an error of words": lambda n: json.dumps({"error": {"message": ["input"] * n}}),
}


@pytest.mark.parametrize("name", HEAVY)
def test_a_reply_of_a_megabyte_holds_nobody_up(name: str) -> None:
    make = HEAVY[name]
    text = make(500_000 * 10 // len(make(10)))
    tries: list[float] = []
    while len(tries) < 3 and (not tries or min(tries) > 3):
        started = time.process_time()
        answer = answer_in(text)
        if isinstance(answer, dict):
            with contextlib.suppress(LlmFailure):
                read_reply(stored(answer), cached=False)
        tries.append(time.process_time() - started)
    assert min(tries) < 3, tries


# --- secrets ----------------------------------------------------------------------------------------------------------

SIGNS = st.sampled_from("".join(map(chr, range(33, 127))))
KEY = "sk-Planted/0123+abc\"d'ef&<\\g"
ECHOES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in small letters": str.lower,
    "in JSON": lambda key: json.dumps(key),
    "in JSON within JSON": lambda key: json.dumps(json.dumps({"key": key})),
    "in JSON of PHP within JSON": lambda key: json.dumps(json.dumps(key).replace("/", "\\/")),
    "in JSON of Go within JSON": lambda key: json.dumps(
        json.dumps(key).replace("&", "\\u0026").replace("<", "\\u003c")
    ),
    "in Python": repr,
    "in a URL": lambda key: f"https://x/?key={quote(key)}",
    "in a form": lambda key: f"key={quote(key, safe='')}",
    "on a page": html.escape,
    "in hexadecimal digits": lambda key: key.encode().hex(),
    "in base64": lambda key: base64.b64encode(key.encode()).decode(),
    "in base64 with a user": lambda key: base64.b64encode(f"me:{key}".encode()).decode(),
    "in base64 with its header": lambda key: base64.b64encode(f"Bearer {key}\n".encode()).decode(),
    "in base64 for URLs": lambda key: base64.urlsafe_b64encode(f"x{key}yz".encode()).decode(),
}


def escaped(text: str) -> bytes:
    """JSON of a text in which every letter is escaped, as it may be."""
    return ('"' + "".join(f"\\u{ord(letter):04x}" for letter in text) + '"').encode()


def replies(echo: str) -> dict[str, Policy]:
    raw = escaped(f"it was {echo}")
    return {
        "a reply": saying(f"it was {echo}"),
        "a thought": saying(raw=json.dumps({"choices": [{"message": {"content": "x", "reasoning": echo}}]}).encode()),
        "a call": lambda body, attempt: Scripted(calls=(("n", json.dumps({"a": echo})),)),
        "an error": saying(status=400, raw=json.dumps({"error": {"message": echo}}).encode()),
        "a text": saying(status=400, raw=f"no: {echo}".encode()),
        "an escaped error": saying(status=401, raw=b'{"error": {"message": ' + raw + b', "code": ' + raw + b"}}"),
        "an escaped error in a 200": saying(raw=b'{"error": {"message": ' + raw + b"}}"),
        "an escaped reply": saying(raw=b'{"choices": [{"message": {"content": ' + raw + b"}}]}"),
        "an error after many words": saying(status=400, raw=json.dumps({"error": "x" * 980 + echo}).encode()),
        "no choice": saying(raw=b'{"detail": ' + raw + b"}"),
        "the model's name": saying(raw=json.dumps({**WHOLE, "model": echo}).encode()),
    }


@pytest.mark.parametrize("form", ECHOES)
def test_a_key_that_is_quoted_stands_nowhere(form: str) -> None:
    """In no form of reply, whatever form it is quoted in; a part that a bound has cut off is as secret as the whole."""
    for name, policy in replies(echo := ECHOES[form](KEY)).items():
        with serve(policy) as server:
            found = str(answer_from(server.base_url))
        assert "[key]" in found or len(found) > 1000, (name, found)  # or what stood instead was cut off
        for place in range(len(echo) - 12 if form in ("as it is", "in hexadecimal digits") else 0):
            assert echo[place : place + 12] not in found.replace("[key]", ""), name


def answer_from(base_url: str, key: str = KEY) -> Any:
    settings = LlmSettings.model_validate(
        {"model": "m", "base_url": base_url, "api_key": key, "max_attempts": 1, "backoff_s": 0.0}
    )

    async def run() -> Any:
        wire = Wire(settings)
        try:
            answer, _ = await wire.send(b'{"model":"m","messages":[{"role":"user","content":"?"}]}')
            return answer
        finally:
            await wire.aclose()

    return asyncio.run(run())


def test_a_redirect_that_holds_the_key_is_named_without_it() -> None:
    key = "sk-0123456789abcdef"
    with serve(saying(status=307, headers={"Location": f"http://{key}.example/v1"})) as server:
        answer = answer_from(server.base_url, key)
    assert isinstance(answer, Trouble) and "[key].example" in answer.message and key not in answer.message


@given(st.text(SIGNS, min_size=8, max_size=20), st.text(SIGNS, max_size=30), st.text(SIGNS, max_size=30))
def test_a_secret_of_any_letters_is_found_in_any_text(secret: str, before: str, after: str) -> None:
    found = Redactor({"[key]": secret})(before + secret + after)
    assert "[key]" in found and secret.lower() not in found.replace("[key]", "\0").lower()


@pytest.mark.parametrize("key", ["00000000", "u0000000", "finish_reason", '{"role": "assistant"', "assistant"])
def test_a_key_that_is_part_of_the_form_breaks_no_reply(key: str) -> None:
    raw = json.dumps(
        {"choices": [{"message": {"role": "assistant", "content": f"\x80{key}"}, "finish_reason": "stop"}]}
    )
    with serve(saying(raw=raw.encode())) as server:
        answer = answer_from(server.base_url, key)
    assert not isinstance(answer, Trouble) or "[key]" not in answer.message


def test_a_server_that_does_as_it_is_asked_loses_nothing() -> None:
    with serve(happy) as server:
        assert answer_from(server.base_url)["message"]["content"] == "stub"
