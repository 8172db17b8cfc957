"""The table of a run on answers that are known."""

from __future__ import annotations

import pytest
from scipy.stats import t

from agent.folder.steered import ArmRef, HeldOutLikelihood, SteeredText
from agent.steering.results import Found, bounds_of, contrast, interval, pairs_of, tabulate
from tests.agent.steering.made import text

ARMS = (
    ArmRef(kind="unsteered"),
    ArmRef(kind="swap", whose="target"),
    ArmRef(kind="swap", whose="shuffled"),
    ArmRef(kind="prompt"),
)


def likelihoods(target: str, nats: dict[str, list[float]]) -> list[HeldOutLikelihood]:
    return [
        HeldOutLikelihood(target=target, arm=arm, document=place, tokens=10, nats=value)
        for arm, values in nats.items()
        for place, value in enumerate(values)
    ]


def texts(target: str, likeness: dict[str, list[float | None]]) -> list[SteeredText]:
    """A text a prompt."""
    return [
        text(target, arm, prompt, 0, likeness=value)
        for arm, values in likeness.items()
        for prompt, value in enumerate(values)
    ]


def found() -> Found:
    nats = {
        "unsteered": [4.0, 5.0, 6.0],
        "swap": [3.5, 4.4, 5.3],
        "swap, shuffled": [4.5, 5.5, 6.5],
        "prompt": [4.0, 5.0, 6.0],
    }
    likeness: dict[str, list[float | None]] = {
        "unsteered": [0.1, 0.2], "swap": [0.3, 0.6], "swap, shuffled": [0.1, None], "prompt": [0.5, 0.5]
    }  # fmt: skip
    both = ("one", "two")
    return Found(
        [t for name in both for t in texts(name, likeness)], [x for n in both for x in likelihoods(n, nats)], ()
    )


def test_gains_are_of_the_same_document_and_the_same_prompt() -> None:
    rows = tabulate(found(), ("one", "two"), ARMS, bounds_of(found().texts, 5.0))
    swap = next(row for row in rows if (row.target, row.arm) == ("one", "swap"))
    assert swap.nats_gained and swap.nats_gained.mean == pytest.approx(0.6)
    half = t.ppf(0.975, 2) * 0.1 / 3**0.5
    assert (swap.nats_gained.low, swap.nats_gained.high) == pytest.approx((0.6 - half, 0.6 + half))
    assert swap.likeness_gained and swap.likeness_gained.mean == pytest.approx(0.3)
    shuffled = next(row for row in rows if row.arm == "swap, shuffled")
    assert shuffled.likeness_gained and shuffled.likeness_gained.n == 1, "a text without a known word is in no pair"
    assert shuffled.likeness_gained.low is None


def test_over_all_targets_it_is_the_targets_that_are_drawn() -> None:
    rows = tabulate(found(), ("one", "two"), ARMS, bounds_of(found().texts, 5.0))
    swap = next(row for row in rows if row.target is None and row.arm == "swap")
    assert swap.nats_gained and swap.nats_gained.n == 2
    assert swap.nats_gained.mean == pytest.approx(0.6)


def test_an_arm_is_held_against_its_own_controls_and_the_prompt() -> None:
    assert pairs_of(ARMS) == [("swap", "swap, shuffled"), ("swap", "prompt")]
    first = contrast(found(), ("one", "two"), ARMS)[0]
    assert (first.target, first.arm, first.against) == ("one", "swap", "swap, shuffled")
    assert first.nats and first.nats.mean == pytest.approx((1.0 + 1.1 + 1.2) / 3)


def test_what_is_much_more_perplexing_than_unsteered_text_has_collapsed() -> None:
    some = [text("one", "unsteered", p, perplexity=10.0 + p) for p in range(2)]
    some += [text("one", "swap", 0, perplexity=54.0), text("one", "swap", 1, perplexity=56.0)]
    rows = tabulate(Found(some, (), ()), ("one",), ARMS[:2], bounds_of(some, 5.0))
    assert rows[1].collapsed == 0.5
    assert rows[1].nats_gained is None


@pytest.mark.parametrize(("values", "ends"), [([], None), ([2.0], (None, None)), ([2.0, 2.0], (None, None))])
def test_too_few_values_have_no_interval(values: list[float], ends: tuple[float | None, float | None] | None) -> None:
    got = interval(values)
    assert (got and (got.low, got.high)) == ends
