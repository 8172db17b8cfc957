"""The table of a steering run, from its files alone: every arm against unsteered writing, and against its own controls.

Everything is paired: a document with itself, a prompt with itself. What is drawn is the document or the prompt, so these are
what an interval is over, and over all targets it is the target. Intervals are Student's, since there are four documents
rather than forty: a bootstrap of so few is too narrow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import NamedTuple

import numpy as np

from agent.folder.judged import count_verdicts, key_of
from agent.folder.steered import (
    ArmContrast,
    ArmRef,
    ArmResult,
    HeldOutLikelihood,
    Interval,
    Judged,
    SteeredText,
)
from tools.effects.fluency import Bounds, draw_bounds
from tools.effects.stock import UsualTexts

LEVEL = 0.95
UNSTEERED, PROMPT = "unsteered", "prompt"
Values = Mapping[object, float]
"""A figure of each document, or each prompt."""
Figure = Callable[[SteeredText], float | None]


class Found(NamedTuple):
    """What a run has stored."""

    texts: Sequence[SteeredText]
    likelihoods: Sequence[HeldOutLikelihood]
    judgements: Sequence[Judged]


class _Arm(NamedTuple):
    """Of one target and arm."""

    nats: Values
    """By document."""
    likeness: Values
    """By prompt."""
    encoder: Values
    texts: list[SteeredText]
    wins: Values
    ratings: Values
    failed: int


def tabulate(found: Found, targets: Sequence[str], arms: Sequence[ArmRef], bounds: Bounds) -> tuple[ArmResult, ...]:
    """A row of every target and arm, then of every arm over all targets.

    Args:
        found: of the run.
        targets: in order.
        arms: in order.
        bounds: beyond which a text has collapsed.
    """
    cells = _gather(found)
    rows: list[ArmResult] = []
    for target in targets:
        plain = cells[target, UNSTEERED]
        rows += [_row(target, arm.name, cells[target, arm.name], plain, bounds) for arm in arms]
    return (*rows, *(_row_of_all([row for row in rows if row.arm == arm.name]) for arm in arms))


def contrast(found: Found, targets: Sequence[str], arms: Sequence[ArmRef]) -> tuple[ArmContrast, ...]:
    """Every arm with the target's own scores against its controls and against asking, by target and over all."""
    cells, contrasts = _gather(found), list[ArmContrast]()
    for arm, other in pairs_of(arms):
        of_each: list[ArmContrast] = []
        for target in targets:
            own, control = cells[target, arm], cells[target, other]
            nats, likeness = gains(control.nats, own.nats), gains(own.likeness, control.likeness)
            of_each.append(
                ArmContrast(target=target, arm=arm, against=other, nats=interval(nats), likeness=interval(likeness))
            )
        nats, likeness = (_over(getattr(one, name) for one in of_each) for name in ("nats", "likeness"))
        everything = ArmContrast(target=None, arm=arm, against=other, nats=nats, likeness=likeness)
        contrasts += [*of_each, everything]
    return tuple(contrasts)


def pairs_of(arms: Sequence[ArmRef]) -> list[tuple[str, str]]:
    """Which arms are held against which: each with its target's scores against the same scheme's controls, and the prompt."""
    return [
        (arm.name, other.name)
        for arm in arms
        if arm.whose == "target"
        for other in arms
        if (other.kind == arm.kind and other.whose not in (None, "target")) or other.kind == PROMPT
    ]


def gains(larger: Values, smaller: Values) -> list[float]:
    """Differences of what both have a value of."""
    return [larger[unit] - smaller[unit] for unit in larger if unit in smaller]


def interval(values: Sequence[float]) -> Interval | None:
    """Student's 95 % interval of a mean; without ends for a single value or equal ones, which would read as certainty."""
    if not values:
        return None
    mean = fmean(values)
    if len(values) < 2 or np.ptp(values) == 0:
        return Interval(mean=mean, low=None, high=None, n=len(values))
    from scipy.stats import ttest_1samp  # its library takes a second to import

    low, high = ttest_1samp(values, 0.0).confidence_interval(LEVEL)
    return Interval(mean=mean, low=float(low), high=float(high), n=len(values))


def _row(target: str, arm: str, own: _Arm, plain: _Arm, bounds: Bounds) -> ArmResult:
    is_plain, texts = arm == UNSTEERED, own.texts
    displaced = [fmean(text.displaced) for text in texts if text.displaced]
    return ArmResult(
        target=target,
        arm=arm,
        nats_gained=None if is_plain else interval(gains(plain.nats, own.nats)),
        likeness_gained=None if is_plain else interval(gains(own.likeness, plain.likeness)),
        encoder_gained=None if is_plain else interval(gains(own.encoder, plain.encoder)),
        perplexity=median(text.perplexity for text in texts),
        repetition=fmean(text.repetition for text in texts),
        collapsed=fmean(has_collapsed(text, bounds) for text in texts),
        kl=fmean(text.kl for text in texts),
        displaced=fmean(displaced) if displaced else None,
        wins=interval(list(own.wins.values())),
        harmonic=interval(list(own.ratings.values())),
        failed=own.failed,
    )


def _row_of_all(rows: Sequence[ArmResult]) -> ArmResult:
    """An arm over all targets, which are what its intervals are over."""
    displaced = [row.displaced for row in rows if row.displaced is not None]
    return ArmResult(
        target=None,
        arm=rows[0].arm,
        nats_gained=_over(row.nats_gained for row in rows),
        likeness_gained=_over(row.likeness_gained for row in rows),
        encoder_gained=_over(row.encoder_gained for row in rows),
        perplexity=median(row.perplexity for row in rows),
        repetition=fmean(row.repetition for row in rows),
        collapsed=fmean(row.collapsed for row in rows),
        kl=fmean(row.kl for row in rows),
        displaced=fmean(displaced) if displaced else None,
        wins=_over(row.wins for row in rows),
        harmonic=_over(row.harmonic for row in rows),
        failed=sum(row.failed for row in rows),
    )


def has_collapsed(text: SteeredText, bounds: Bounds) -> bool:
    """Whether a text is beyond what unsteered ones show of perplexity and repetition."""
    return text.perplexity > bounds.perplexity or text.repetition > bounds.repetition


def bounds_of(texts: Sequence[SteeredText], factor: float) -> Bounds:
    """Beyond which a text has collapsed: a factor on what unsteered ones usually show."""
    plain = {
        (text.prompt, text.sample): text for text in texts if text.arm == UNSTEERED
    }  # the same toward every target
    usual = list(plain.values())
    return draw_bounds(UsualTexts([t.text for t in usual], np.array([t.perplexity for t in usual])), factor)


def _over(intervals: Iterable[Interval | None]) -> Interval | None:
    return interval([one.mean for one in intervals if one is not None])


def _gather(found: Found) -> dict[tuple[str, str], _Arm]:
    texts: dict[tuple[str, str], list[SteeredText]] = defaultdict(list)
    nats: dict[tuple[str, str], dict[object, float]] = defaultdict(dict)
    for text in found.texts:
        texts[text.target, text.arm].append(text)
    for one in found.likelihoods:
        nats[one.target, one.arm][one.document] = one.nats
    verdicts = count_verdicts(found.judgements)
    return {
        key: _Arm(
            nats[key],
            _by_prompt(some, lambda text: text.likeness),
            _by_prompt(some, lambda text: text.likeness_encoder),
            some,
            _by_prompt(some, lambda text: verdicts.wins.get(key_of(text))),
            _by_prompt(some, lambda text: verdicts.ratings.get(key_of(text))),
            verdicts.failed.get(key, 0),
        )
        for key, some in texts.items()
    }


def _by_prompt(texts: Iterable[SteeredText], figure: Figure) -> dict[object, float]:
    values: dict[object, list[float]] = defaultdict(list)
    for text in texts:
        if (value := figure(text)) is not None:
            values[text.prompt].append(value)
    return {prompt: fmean(some) for prompt, some in values.items()}
