"""How many are let through at once, whatever happens to them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.llm.http.pacing import Gate


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_silences_of_requests_that_were_under_way_together_count_once() -> None:
    async def work() -> None:
        gate = Gate(8)
        entries = [await gate.enter() for _ in range(8)]
        told = [gate.was_silent(entry) for entry in entries]
        assert told == [True, *[False] * 7] and gate.limit == 4

    run(work())


def test_a_silence_after_that_halves_again_down_to_one() -> None:
    async def work() -> None:
        gate, limits = Gate(8), list[int]()
        for _ in range(5):
            entry = await gate.enter()
            gate.leave()
            gate.was_silent(entry)
            limits.append(gate.limit)
        assert limits == [4, 2, 1, 1, 1]

    run(work())


def test_after_a_round_of_replies_one_more_is_let_through_but_never_more_than_at_first() -> None:
    async def work() -> None:
        gate = Gate(4)
        entry = await gate.enter()
        gate.leave()
        gate.was_silent(entry)
        limits: list[int] = []
        for _ in range(12):
            gate.went_well()
            limits.append(gate.limit)
        assert limits == [2, 3, 3, 3, *[4] * 8]

    run(work())


@given(st.integers(1, 12), st.lists(st.sampled_from(["silence", "reply"]), max_size=60))
def test_no_more_than_the_limit_are_ever_inside_once_those_before_have_left(most: int, events: list[str]) -> None:
    async def work() -> None:
        gate, inside, peak = Gate(most), 0, 0

        async def one(event: str) -> None:
            nonlocal inside, peak
            entry = await gate.enter()
            inside += 1
            peak = max(peak, inside)
            await asyncio.sleep(0)
            inside -= 1
            gate.leave()
            if event == "silence":
                gate.was_silent(entry)
            else:
                gate.went_well()

        await asyncio.gather(*map(one, events))
        assert peak <= most and 1 <= gate.limit <= most
        free = [asyncio.create_task(gate.enter()) for _ in range(most + 1)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sum(task.done() for task in free) == gate.limit
        for task in free:
            task.cancel()

    run(work())


def test_who_gives_up_waiting_leaves_no_place_taken() -> None:
    async def work() -> None:
        gate = Gate(1)
        await gate.enter()
        waiting = [asyncio.create_task(gate.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        gate.leave()  # the second has its turn, and is cancelled before it knows
        waiting[1].cancel()
        await asyncio.gather(*waiting[:2], return_exceptions=True)
        assert await asyncio.wait_for(waiting[2], 1) == 2

    run(work())
