"""What is said of calls while they are made."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from agent.llm.calls import CallStore
from agent.llm.client import LlmClient
from agent.llm.meter import Meter
from agent.llm.records import Failure, LlmCall, Usage
from agent.llm.settings import LlmSettings
from tests.servers.openai_stub import StubServer, saying, serve


def call(tokens: int, failed: bool = False) -> LlmCall:
    failure = Failure(type="timeout", message="no word", attempts=3) if failed else None
    reply = None if failed else {"message": {"content": "x"}}
    return LlmCall(
        request_sha256="0", request={}, reply=reply, failure=failure, purpose="test",
        usage=Usage(calls=1, output_tokens=tokens), attempts=1,
    )  # fmt: skip


def test_nothing_is_said_before_the_first_request() -> None:
    assert str(Meter()) == ""


def test_tokens_count_while_they_arrive_and_once_only() -> None:
    now = [100.0]
    meter = Meter(lambda: now[0])
    meter.begin()
    now[0] = 110.0
    meter.arrive(30)
    assert meter.tokens_per_second == 3.0
    meter.arrive(-30)
    meter.end()
    meter.note(call(40))
    assert str(meter) == "1 calls, 0 under way, 4.0 tokens/s"


def test_failures_so_far_are_said_by_type() -> None:
    meter = Meter()
    meter.begin()
    for _ in range(2):
        meter.note(call(0, failed=True))
    assert str(meter).endswith("failed: 2 timeout")


def test_a_reply_is_counted_while_it_is_sent_and_as_the_server_counts_it_when_it_is_whole(tmp_path: Path) -> None:
    async def work(server: StubServer) -> tuple[str, str]:
        settings = LlmSettings(model="stub", base_url=server.base_url)
        async with LlmClient(settings, CallStore(tmp_path / "calls")) as client:
            asking = asyncio.create_task(client.complete([{"role": "user", "content": "?"}], purpose="test"))
            while not client.with_model("other").meter.tokens_per_second:
                await asyncio.sleep(0.01)
            during = str(client.meter)
            await asking
            return during, str(client.meter)

    with serve(saying("word " * 20, pace=0.05)) as server:
        during, after = asyncio.run(work(server))
    assert during.startswith("0 calls, 1 under way, ") and after.startswith("1 calls, 0 under way, ")
    usage = json.loads((tmp_path / "calls").read_text())["usage"]
    assert usage["output_tokens"] == 25
