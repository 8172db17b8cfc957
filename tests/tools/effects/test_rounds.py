"""Pairs in rounds: the first for every direction, more for those that it does not decide."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tools.bench.workbench import Workbench
from tools.effects.contrast import Contest
from tools.effects.rounds import go_on
from tools.effects.sequence import LEAST_OPEN, follow, further_seeds, plan_sequence
from tools.observation import observe
from tools.records import Evidence, FeatureRef, SteeringEvidence, Stratum
from tools.study.definition import SteeringDefaults, SteeringSequence, Study
from tools.survey.features import Survey

SEQUENCE = SteeringSequence(win_rate=0.75, power=0.8, alpha=0.01)


class Choice:
    """One selected direction."""

    def __init__(self, index: int, kind: str = "feature") -> None:
        self.feature = FeatureRef.model_validate({"study": "tiny", "sae": "base", "index": index, "kind": kind})
        self.stratum: Stratum = "candidates"


def with_steering(study: Study, **changes: Any) -> Study:
    settings = SteeringDefaults.model_validate({**study.steering.model_dump(), **changes})
    return study.model_copy(update={"steering": settings})


def steering(evidence: Sequence[Evidence]) -> list[SteeringEvidence]:
    return [record.steering for record in evidence if record.steering]


CHOSEN = [Choice(0), Choice(5), Choice(20), Choice(0, "random_direction"), Choice(35)]
LENGTH = 18
"""Of texts: shorter ones of this model hardly hold a word."""


@pytest.fixture(scope="module")
def fixed(bench: Workbench, study: Study, survey: Survey) -> list[Evidence]:
    return observe(bench, with_steering(study, new_tokens=LENGTH), survey, CHOSEN, seed=0)


@pytest.fixture(scope="module")
def in_sequence(bench: Workbench, study: Study, survey: Survey) -> list[Evidence]:
    return observe(bench, with_steering(study, sequence=SEQUENCE, new_tokens=LENGTH), survey, CHOSEN, seed=0)


def test_without_a_sequence_nothing_of_it_is_stored(fixed: list[Evidence]) -> None:
    """The bytes, and so the hash, of evidence are what they were before there were sequences."""
    for one in steering(fixed):
        stored = json.loads(one.model_dump_json())
        assert not {"sequence", "prompt_form"} & stored.keys()
        assert SteeringEvidence.model_validate(stored) == one
        assert one.n in (0, len(one.pairs))


def test_the_opening_is_what_every_direction_is_given_without_a_sequence(
    fixed: list[Evidence], in_sequence: list[Evidence], study: Study
) -> None:
    opening = len(study.steering.prompts) * len(study.steering.seeds)
    longer = 0
    for plain, own in zip(steering(fixed), steering(in_sequence), strict=True):
        assert own.pairs[:opening] == plain.pairs
        assert (own.strength, own.kl, own.graded_score) == (plain.strength, plain.kl, plain.graded_score)
        longer += len(own.pairs) > opening
    assert longer, "some direction is given more"


def test_pairs_are_written_until_they_decide_and_no_further(in_sequence: list[Evidence]) -> None:
    for one in steering(in_sequence):
        if one.sequence is None:
            assert one.n == 0, "without words of its own nothing can be won"
            continue
        test, size = one.sequence, one.sequence.opening
        wins, null = np.array([pair.win for pair in one.pairs]), np.array(test.null)
        assert len(null) == len(one.pairs) == one.n
        assert one.n % size == 0
        assert one.n <= test.most == plan_sequence(SEQUENCE, size).most
        assert (test.verdict, test.p_value) == follow(SEQUENCE, wins, null)
        before = [follow(SEQUENCE, wins[:end], null[:end])[0] for end in range(size, one.n, size)]
        assert set(before) <= {"undecided"}
        assert test.verdict != "undecided" or one.n == test.most or (null > 0).mean() < LEAST_OPEN
        assert one.null_win_rate == pytest.approx(null.mean())


def test_further_pairs_have_seeds_of_their_own_and_no_controls(in_sequence: list[Evidence], study: Study) -> None:
    prompts, seeds = study.steering.prompts, study.steering.seeds
    longest = max(steering(in_sequence), key=lambda one: len(one.pairs))
    size = len(prompts) * len(seeds)
    for number in range(1, len(longest.pairs) // size):
        part = longest.pairs[number * size : (number + 1) * size]
        expected = [(prompt, seed) for prompt in prompts for seed in further_seeds(seeds, number)]
        assert [(pair.prompt, pair.seed) for pair in part] == expected
        assert {pair.random for pair in part} == {pair.flipped for pair in part} == {None}
    texts = [(pair.prompt, pair.unsteered) for pair in longest.pairs]
    assert len(set(texts)) > 0.8 * len(texts)


def test_a_direction_is_given_alone_what_it_is_given_beside_others(
    bench: Workbench, study: Study, survey: Survey, in_sequence: list[Evidence]
) -> None:
    for place in (1, 3):
        (alone,) = observe(
            bench, with_steering(study, sequence=SEQUENCE, new_tokens=LENGTH), survey, [CHOSEN[place]], seed=0
        )
        together = in_sequence[place].steering
        assert alone.steering
        assert together
        assert [pair.steered for pair in alone.steering.pairs] == [pair.steered for pair in together.pairs]
        assert alone.steering.sequence == together.sequence


def test_texts_without_controls_are_judged_alike_and_leave_a_direction_to_itself(
    bench: Workbench, study: Study, survey: Survey
) -> None:
    asked = with_steering(study, sequence=SEQUENCE, new_tokens=LENGTH, unsteered="shared", controls=False)
    together = observe(bench, asked, survey, CHOSEN, seed=0)
    (alone,) = observe(bench, asked, survey, [CHOSEN[3]], seed=0)
    assert alone.steering and together[3].steering
    assert [pair.steered for pair in alone.steering.pairs] == [pair.steered for pair in together[3].steering.pairs]
    assert alone.steering.sequence == together[3].steering.sequence
    longer, stock = 0, Counter[str]()
    for one in steering(together):
        assert one.graded_score is None
        assert {pair.random for pair in one.pairs} == {pair.flipped for pair in one.pairs} == {None}
        assert SteeringEvidence.model_validate(json.loads(one.model_dump_json())) == one
        keys = [(pair.prompt, pair.unsteered) for pair in one.pairs]
        stock.update(set(pair.unsteered for pair in one.pairs))
        assert len(set(keys)) > 0.8 * len(keys), "no text of the stock comes twice; few are worded alike"
        if one.sequence:
            wins, null = np.array([pair.win for pair in one.pairs]), np.array(one.sequence.null)
            assert (one.sequence.verdict, one.sequence.p_value) == follow(SEQUENCE, wins, null)
            longer += len(one.pairs) > one.sequence.opening
    assert longer
    assert stock.most_common(1)[0][1] > 1, "directions share texts"


def contest(wins: Sequence[bool], chance: float = 0.5, measurable: bool = True) -> Contest:
    n = len(wins)
    null = np.zeros((n, 10), dtype=bool)
    null[:, : round(10 * chance)] = True
    return Contest((), np.array(wins), null, np.zeros(n), 0.0, measurable)


def test_only_open_directions_are_asked_for_and_at_most_so_often(study: Study) -> None:
    size = len(study.steering.prompts) * len(study.steering.seeds)
    undecided, lost = [True, False] * (size // 2), [False] * size
    rounds = [[contest(undecided)], [contest(lost)], [contest(undecided, measurable=False)], [contest(lost, chance=0)]]
    asked: list[tuple[tuple[int, ...], list[int]]] = []

    def write(study: Study, places: Sequence[int]) -> list[Contest]:
        asked.append((study.steering.seeds, list(places)))
        return [contest([True, True, False, True][:size]) for _ in places]

    settings = SteeringSequence(win_rate=0.75, power=0.8, alpha=0.01)
    go_on(study, settings, rounds, write)
    most = plan_sequence(settings, size).most
    assert asked, "the first is asked for"
    assert all(places == [0] for _, places in asked)
    assert len(asked) < most // size
    assert len({seeds for seeds, _ in asked}) == len(asked)
    assert [len(own) for own in rounds[1:]] == [1, 1, 1]
