"""What a model's answers come to, against known answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.folder.judged import count_verdicts, harmonic, latest, measure_floor, rated, settle
from agent.folder.steered import Judged
from agent.llm.records import Failure

RATING = st.integers(0, 2)
FAILURE = Failure(type="unparseable", message="no JSON", attempts=2)


def said(prefers: bool | None = None, swapped: bool = False, failed: bool = False, **more: object) -> Judged:
    fields: dict[str, object] = {"target": "law", "arm": "swap", "prompt": 0, "sample": 0, "task": "more alike"}
    fields |= {"request_sha256": "ab" * 32, "prefers_arm": prefers, "swapped": swapped}
    return Judged.model_validate(fields | ({"failure": FAILURE} if failed else {}) | more)


@pytest.mark.parametrize(
    ("ratings", "mean"), [((2, 2, 2), 2.0), ((2, 2, 1), 1.5), ((2, 0, 2), 0.0), ((1, 1, 1), 1.0), ((1, 2, 1), 1.2)]
)
def test_ratings_come_to_their_harmonic_mean(ratings: tuple[int, ...], mean: float) -> None:
    assert harmonic(ratings) == pytest.approx(mean)


@given(st.lists(RATING, min_size=1, max_size=5))
def test_the_mean_lies_between_the_least_and_the_plain_mean_and_is_blind_to_order(ratings: list[int]) -> None:
    mean = harmonic(ratings)
    assert min(ratings) - 1e-9 <= mean <= sum(ratings) / len(ratings) + 1e-9
    assert harmonic(sorted(ratings)) == pytest.approx(mean)


@pytest.mark.parametrize("ratings", [(), (3, 1), (-1, 2)])
def test_what_is_no_rating_has_no_mean(ratings: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="0 to 2"):
        harmonic(ratings)


def test_a_failure_is_not_zero() -> None:
    whole = said(task="rating", concept=2, relevance=2, fluency=1)
    assert rated(whole) == pytest.approx(1.5)
    assert rated(said(task="rating", failed=True)) is None
    found = count_verdicts([whole, said(task="rating", failed=True, sample=1), said(failed=True)])
    assert (list(found.ratings.values()), found.wins, found.failed) == ([pytest.approx(1.5)], {}, {("law", "swap"): 2})


@pytest.mark.parametrize(
    ("answers", "worth"),
    [
        ([said(True)], 1.0),
        ([said(False)], 0.0),
        ([said(None)], 0.5),
        ([said(True), said(True, True)], 1.0),
        ([said(True), said(False, True)], 0.5),
        ([said(True), said(None, True)], 0.5),
        ([said(True), said(failed=True, swapped=True)], 1.0),
        ([said(failed=True)], None),
    ],
)
def test_only_what_both_orders_say_is_won(answers: list[Judged], worth: float | None) -> None:
    assert settle(answers) == worth


def test_a_failure_gives_way_to_an_answer_and_an_answer_to_nothing() -> None:
    for order in ([said(failed=True), said(True)], [said(True), said(failed=True)], [said(True), said(False)]):
        assert list(latest(order).values()) == [said(True)]


def test_the_floor_counts_for_no_arm() -> None:
    judgements = [said(False, shown="cooking"), said(True, arm="unsteered"), said(True)]
    assert count_verdicts(judgements).wins == {("law", "swap", 0, 0): 1.0}
    floor = measure_floor(judgements)
    assert (floor.shuffled, floor.first_of_same, floor.first) == ((0.0, 1), (1.0, 1), (1.0, 1))
    assert floor.consistent == (None, 0)
