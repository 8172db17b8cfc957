"""The alternative annotator test (Calderon, Reichart and Dror, ACL 2025): may the judge stand in for an annotator?

Each annotator is left out in turn; the others are the reference. On every instance the judge and the annotator are
scored by how near they are to the others. The judge wins an annotator if the hypothesis is rejected that the annotator
is nearer by epsilon or more, after Benjamini and Yekutieli's correction; it passes if it wins at least half of them.
Instances of one feature depend on each other, so the test is over features' means.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import false_discovery_control, ttest_1samp, wilcoxon

from evals.agreement.pairing import Case, Matching
from evals.agreement.results import Advantage, AltTest
from evals.manual.records import Value

EPSILON = 0.15
"""For skilled annotators; the authors give 0.2 for experts and 0.1 for a crowd."""
ALPHA = 0.05
FEWEST_FOR_T = 30
FEWEST = 6
"""With fewer features not even a judge that is better on every one of them is told from chance after correction."""

Score = Literal["accuracy", "neg_rmse"]
Instance = tuple[str, str]
"""A feature and a question about it."""
Answers = Mapping[Instance, float]


class _Left(NamedTuple):
    annotator: str
    advantage: float
    difference: Float[np.ndarray, " features"]


def alternative_annotator_test(
    judged: Answers, people: Mapping[str, Answers], score: Score, epsilon: float = EPSILON, name: str = "judge"
) -> AltTest:
    """Test the judge against each annotator in turn.

    Args:
        judged: the judge's answers as numbers; instances that it failed at are absent.
        people: the same by annotator.
        score: `accuracy`, share of the others that agree; `neg_rmse`, for ratings.
        epsilon: how much better an annotator may be before the judge's cheapness no longer makes up for it.
        name: of the judge.
    """
    left, left_out = list[_Left](), dict[str, str]()
    for annotator in people:
        measured = _leave_out(annotator, judged, people, score)
        if len(measured.difference) < FEWEST:
            left_out[annotator] = f"{len(measured.difference)} features shared with the judge and another annotator"
        else:
            left.append(measured)
    tests = [_test(one.difference, epsilon) for one in left]
    corrected = false_discovery_control([p for p, _ in tests], method="by") if tests else np.array([])
    results = tuple(
        Advantage(
            annotator=one.annotator,
            n=len(one.difference),
            advantage=one.advantage,
            difference=float(one.difference.mean()),
            p=float(p),
            test=test,
            won=bool(p <= ALPHA),
        )
        for one, (_, test), p in zip(left, tests, corrected, strict=True)
    )
    rate = float(np.mean([one.won for one in results])) if results else None
    return AltTest(
        name=name,
        epsilon=epsilon,
        score=score,
        winning_rate=rate,
        advantage=float(np.mean([one.advantage for one in results])) if results else None,
        passed=rate is not None and rate >= 0.5,
        annotators=results,
        left_out=left_out,
    )


def try_stand_ins(matching: Matching, epsilon: float = EPSILON, seed: int = 0) -> tuple[AltTest, ...]:
    """The test for the judge, and for two that know nothing: one answer for all, and the judge's answers shuffled.

    Empty where fewer than two people answered.
    """
    if len(matching.annotators) < 2:
        return ()
    people = {
        name: {_instance(case): _number(case.answers[name]) for case in matching.cases if name in case.answers}
        for name in matching.annotators
    }
    own: dict[Instance, float] = {
        _instance(case): _number(case.judged) for case in matching.cases if case.judged is not None
    }
    given = Counter(value for answers in people.values() for value in answers.values())
    common = given.most_common(1)[0][0]
    moved = np.random.default_rng(seed).permutation(np.array(list(own.values())))
    stand_ins: Mapping[str, Answers] = {
        "judge": own,
        "control: always the commonest answer": dict.fromkeys(own, common),
        "control: shuffled labels": dict(zip(own, map(float, moved), strict=True)),
    }
    score = "neg_rmse" if matching.ordinal else "accuracy"
    return tuple(
        alternative_annotator_test(answers, people, score, epsilon, name) for name, answers in stand_ins.items()
    )


def _instance(case: Case) -> Instance:
    return (case.feature.key, case.question)


def _number(value: Value | None) -> float:
    """An answer as a number: ratings as they are; undecided as a category of its own."""
    if isinstance(value, int | float):
        return float(value)
    return {"no": 0.0, "yes": 1.0}.get(str(value), 0.5)


def _leave_out(annotator: str, judged: Answers, people: Mapping[str, Answers], score: Score) -> _Left:
    wins, differences = list[float](), dict[str, list[float]]()
    for instance, own in people[annotator].items():
        others = [answers[instance] for name, answers in people.items() if name != annotator and instance in answers]
        if not others or instance not in judged:
            continue
        judge, person = _nearness(judged[instance], others, score), _nearness(own, others, score)
        wins.append(float(judge >= person))
        differences.setdefault(instance[0], []).append(float(person >= judge) - float(judge >= person))
    means = np.array([np.mean(values) for values in differences.values()])
    return _Left(annotator, float(np.mean(wins)) if wins else float("nan"), means)


def _nearness(answer: float, others: Sequence[float], score: Score) -> float:
    apart = np.array(others) - answer
    return float(np.mean(apart == 0)) if score == "accuracy" else -float(np.sqrt(np.mean(apart**2)))


def _test(
    difference: Float[np.ndarray, " features"], epsilon: float
) -> tuple[float, Literal["t", "wilcoxon", "constant"]]:
    """One-sided p-value of a mean difference of at least epsilon."""
    if np.ptp(difference) == 0 and len(difference) >= FEWEST_FOR_T:
        return float(difference[0] >= epsilon), "constant"  # no variance: the t statistic would divide by zero
    if len(difference) >= FEWEST_FOR_T:
        by_t: Any = ttest_1samp(difference, epsilon, alternative="less")
        return float(by_t.pvalue), "t"
    by_rank: Any = wilcoxon(difference - epsilon, alternative="less", method="approx")
    return float(by_rank.pvalue), "wilcoxon"
