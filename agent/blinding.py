"""What the judge must not be able to guess from order: which text is steered, and which hypothesis came first.

Orders follow from the feature's key and the number of the repeat, so that they can be derived again from a transcript.
The second of two repeats shows every pair the other way round: a judge that favours a position contradicts itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from agent.schemas import JudgeReply
from tools.records import SteeredPair, SteeringEvidence

MOST_PAIRS = 10


def choose_pairs(steering: SteeringEvidence | None) -> tuple[SteeredPair, ...]:
    """The pairs a judge is shown: those whose steered text has not collapsed, spread over the prompts.

    A collapsed text gives itself away without showing anything, and cannot win by the measure either.
    """
    usable = [pair for pair in steering.pairs if not pair.collapsed] if steering else []
    if len(usable) <= MOST_PAIRS:
        return tuple(usable)
    return tuple(usable[place * len(usable) // MOST_PAIRS] for place in range(MOST_PAIRS))


def order_pairs(key: str, n: int, repeat: int) -> tuple[bool, ...]:
    """For each pair, whether the steered text is A; repeats 0 and 1, 2 and 3, … are each other's opposites.

    Args:
        key: of the feature.
        n: number of pairs.
        repeat: number of the judge's repeat, from 0.
    """
    drawn = [_number(f"{key}|pairs|{repeat // 2}|{place}") % 2 == 0 for place in range(n)]
    return tuple(is_a != bool(repeat % 2) for is_a in drawn)


def order_hypotheses(key: str, n: int, repeat: int) -> tuple[int, ...]:
    """The order in which hypotheses are shown: numbers from 0 in the investigator's order."""
    return tuple(sorted(range(n), key=lambda place: _number(f"{key}|hypotheses|{repeat}|{place}")))


def named_steered(reply: JudgeReply, steered_is_a: Sequence[bool]) -> tuple[bool, ...]:
    """For each pair, whether the reply names the steered text; not if it says nothing of the pair, or two things."""
    said: dict[int, set[str]] = {}
    for choice in reply.steered_choices:
        said.setdefault(choice.pair, set()).add(choice.steered)
    return tuple(said.get(number) == {"A" if is_a else "B"} for number, is_a in enumerate(steered_is_a, 1))


def count_identified(named: Sequence[Sequence[bool]]) -> int:
    """Pairs whose steered text more than half of the repeats named.

    Args:
        named: for each repeat, what `named_steered` says.
    """
    return sum(2 * sum(column) > len(named) for column in zip(*named, strict=True))


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
