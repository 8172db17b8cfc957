"""Models that think: once more room where thoughts used up what there was, and a message that says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from agent.llm.calls import CallStore
from agent.llm.client import LlmClient
from agent.llm.errors import LlmFailure
from agent.llm.settings import LlmSettings
from tests.servers.openai_stub import JsonDict, Policy, Scripted, happy, saying, serve


def thinking(needed: int, **shown: Any) -> Policy:
    """Thinks for so many tokens before it answers."""

    def policy(body: JsonDict, attempt: int) -> Scripted:
        limit = body["max_tokens"]
        if limit < needed:
            return Scripted(**{"content": "", "thoughts": limit, **shown}, finish_reason="length")
        return Scripted(content="done", thoughts=needed)

    return policy


def ask(
    policy: Policy, file: Path, texts: tuple[str, ...] = ("a",), replay: bool = False
) -> tuple[list[str], list[int]]:
    """What each question brings, and the limits under which the server was asked."""

    async def work(client: LlmClient) -> list[str]:
        met: list[str] = []
        for text in texts:
            try:
                reply = await client.complete([{"role": "user", "content": text}], purpose="test")
                met.append(f"{reply.text}, {reply.usage.output_tokens} tokens, {reply.attempts} attempts")
            except LlmFailure as failure:
                met.append(
                    f"{failure}, {failure.usage and failure.usage.output_tokens} tokens, {failure.attempts} attempts"
                )
        return met

    with serve(policy) as server:
        met = asyncio.run(opened(server.base_url, file, work, replay))
        return met, [request.body["max_tokens"] for request in server.requests]


async def opened(
    url: str, file: Path, work: Callable[[LlmClient], Coroutine[Any, Any, list[str]]], replay: bool
) -> list[str]:
    settings = LlmSettings(model="stub", base_url=url, max_output_tokens=100, backoff_s=0.001, max_attempts=2)
    async with LlmClient(settings, CallStore(file, replay_only=replay)) as client:
        return await work(client)


@pytest.mark.parametrize(
    "shown",
    [{}, {"content": None}, {"content": "<think>Let me see"}, {"thoughts": 0}],
    ids=["counted", "null", "opened", "empty"],
)
def test_a_reply_cut_in_its_thoughts_is_asked_for_once_more_with_more_room(shown: JsonDict, tmp_path: Path) -> None:
    met, limits = ask(thinking(300, **shown), tmp_path / "calls")
    assert limits == [100, 400]
    assert met[0].startswith("done") and met[0].endswith("2 attempts")


def test_a_model_that_thinks_is_given_the_room_at_once_from_then_on(tmp_path: Path) -> None:
    met, limits = ask(thinking(300), tmp_path / "calls", ("a", "b", "c"))
    assert limits == [100, 400, 400, 400]
    assert met[1:] == ["done, 301 tokens, 1 attempts"] * 2


def test_a_replay_and_a_resumed_run_take_the_same_path_and_ask_nothing(tmp_path: Path) -> None:
    texts = ("a", "b", "c")
    met, _ = ask(thinking(300), tmp_path / "calls", texts)
    for replay in (True, False):
        for order in (texts, texts[::-1]):
            again, limits = ask(thinking(300), tmp_path / "calls", order, replay)
            assert dict(zip(order, again, strict=True)) == dict(zip(texts, met, strict=True)) and not limits


def test_the_message_names_the_thoughts_and_the_flag(tmp_path: Path) -> None:
    (met,), limits = ask(thinking(10**6), tmp_path / "calls")
    assert limits == [100, 400]
    assert (
        "length: the reply was cut at its limit of 400 tokens, 400 of them thoughts: give --max-output-tokens 1600"
        in met
    )
    assert met.endswith("500 tokens, 2 attempts")
    assert ask(thinking(10**6), tmp_path / "calls", replay=True) == ([met], [])


def test_an_answer_that_is_cut_is_not_asked_for_again(tmp_path: Path) -> None:
    met, limits = ask(saying("word word", finish_reason="length"), tmp_path / "calls")
    assert limits == [100] and met[0].startswith("length: ")


def test_a_run_from_before_there_was_more_room_replays_as_it_ended(tmp_path: Path) -> None:
    (met,), _ = ask(thinking(300), tmp_path / "calls")
    first_line = (tmp_path / "calls").read_text().splitlines(keepends=True)[0]
    (tmp_path / "calls").write_text(first_line)
    (old,), limits = ask(happy, tmp_path / "calls", replay=True)
    assert old.startswith("length: the reply was cut at its limit after 100 tokens") and not limits
    assert met.startswith("done")


def test_a_server_that_has_no_more_room_is_told_of_as_such(tmp_path: Path) -> None:
    def policy(body: JsonDict, attempt: int) -> Scripted:
        if body["max_tokens"] > 200:
            error = {"message": "max_tokens is too large: this model's context length is 200"}
            return Scripted(status=400, error=error)
        return thinking(300)(body, attempt)

    (met,), limits = ask(policy, tmp_path / "calls")
    assert limits == [100, 400] and met.startswith("context_length: ")
