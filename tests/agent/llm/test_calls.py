"""The memory of calls: what a kill leaves of it, and what a resumed run finds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.errors import RunError, Unwritable
from agent.llm.calls import CallStore
from agent.llm.records import Failure, LlmCall, Usage


def call(number: int, failed: bool = False) -> LlmCall:
    return LlmCall(
        request_sha256=f"{number:064d}",
        request={"model": "stub", "messages": [{"role": "user", "content": f"Frage {number}: Ägypten?"}]},
        reply=None if failed else {"message": {"content": str(number)}},
        failure=Failure(type="timeout", message="no answer", attempts=3) if failed else None,
        purpose="test",
        usage=Usage(calls=1, input_tokens=0 if failed else 10),
        attempts=1,
    )


def filled(path: Path, calls: list[LlmCall]) -> CallStore:
    async def fill() -> CallStore:
        store = CallStore(path)
        await asyncio.gather(*(store.put(each) for each in calls))
        return store

    return asyncio.run(fill())


def test_a_reopened_store_returns_the_same_calls_and_sums(tmp_path: Path) -> None:
    path = tmp_path / "run" / "llm_calls.jsonl"
    calls = [call(number) for number in range(300)]
    store = filled(path, calls)
    again = CallStore(path)
    for each in calls:
        assert store.get(each.request_sha256) == again.get(each.request_sha256) == each
    assert again.spent == store.spent == Usage(calls=300, input_tokens=3000)
    assert len(path.read_bytes().splitlines()) == 300
    assert store.get("unknown") is None


def test_a_last_line_cut_by_a_kill_is_dropped_wherever_the_cut_is(tmp_path: Path) -> None:
    path = tmp_path / "llm_calls.jsonl"
    filled(path, [call(1), call(2)])
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole), 7):
        path.write_bytes(whole[:cut])
        store = CallStore(path)
        assert store.get(call(1).request_sha256) and store.get(call(2).request_sha256) is None
        assert path.read_bytes() == whole[:first]
    filled(path, [call(3)])
    assert CallStore(path).get(call(3).request_sha256) == call(3)


def test_replay_reads_past_a_cut_line_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "llm_calls.jsonl"
    filled(path, [call(1)])
    with path.open("ab") as file:
        file.write(b'{"request_sha')
    before = path.read_bytes()
    store = CallStore(path, replay_only=True)
    assert store.get(call(1).request_sha256) == call(1)
    with pytest.raises(RunError, match="replayed"):
        asyncio.run(store.put(call(2)))
    assert path.read_bytes() == before


def test_a_damaged_line_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "llm_calls.jsonl"
    filled(path, [call(1)])
    with path.open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(RunError, match=r"llm_calls\.jsonl:2: "):
        CallStore(path)


def test_a_reply_outlives_failures_before_and_after_it(tmp_path: Path) -> None:
    path = tmp_path / "llm_calls.jsonl"
    for each in (call(1, failed=True), call(1), call(1, failed=True), call(2, failed=True)):
        store = filled(path, [each])
        assert store.get(each.request_sha256) == CallStore(path).get(each.request_sha256)
    assert store.get(call(1).request_sha256) == call(1)
    assert store.get(call(2).request_sha256) == call(2, failed=True)


def test_a_write_that_fails_reaches_every_caller_and_leaves_the_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "llm_calls.jsonl"
    filled(path, [call(1)])

    async def fill() -> list[BaseException | None]:
        store = CallStore(path)
        path.unlink()
        path.mkdir()  # nothing can be appended to a folder
        return await asyncio.gather(*(store.put(call(number)) for number in (2, 3, 4)), return_exceptions=True)

    assert [type(result) for result in asyncio.run(fill())] == [Unwritable] * 3


def test_a_cancelled_caller_loses_no_line(tmp_path: Path) -> None:
    path = tmp_path / "llm_calls.jsonl"

    async def fill() -> None:
        store = CallStore(path)
        tasks = [asyncio.create_task(store.put(call(number))) for number in range(20)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(fill())
    assert len(path.read_bytes().splitlines()) == 20


def test_a_call_carries_a_reply_or_a_failure_never_both_or_neither() -> None:
    whole = call(1).model_dump()
    with pytest.raises(ValueError, match="either"):
        LlmCall.model_validate({**whole, "reply": None})
    with pytest.raises(ValueError, match="either"):
        LlmCall.model_validate({**whole, "failure": call(1, failed=True).failure})
