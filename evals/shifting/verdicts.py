"""What acting on verdicts is worth: against other ways and other judges, verdict by verdict, and on controls."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from agent.folder.records import Decision
from evals.shifting.classifiers import Direction
from evals.shifting.judges import Judge, rate
from evals.shifting.measuring import THRESHOLDS, Column, Ends, Stand, measure_set
from evals.shifting.resampling import correct_together
from evals.shifting.results import Compared, JudgeRow, Kept, StratumBeside, Threshold, Way
from evals.shifting.ways import Chooser, choose_judged, size_of
from evals.statistics.estimate import Estimate, estimate_share
from tools.probes.beside import is_beside, is_published
from tools.records import STRATA

AGAINST: tuple[Way, ...] = (
    "random like judged",
    "SCR",
    "no judge",
    "to the point",
    "tokens",
    "words",
    "words, trained again",
)
"""What the judged features are held against, named before anything was seen."""


def compare_ways(
    stand: Stand, columns: Sequence[Column], own: int, direction: Direction, ends: Ends
) -> Iterator[Compared]:
    """The judged features less every other way at their number, corrected for all that is compared by a threshold.

    Args:
        stand: where.
        columns: of the direction.
        own: features judged beside the point; there is nothing to compare where there are none.
        direction: what was taken out.
        ends: of the direction.
    """
    for threshold in THRESHOLDS if own else ():
        judged = _at(columns, "judged", threshold, own)
        assert judged is not None
        others = [(way, found) for way in AGAINST if (found := _at(columns, way, threshold, own)) is not None]
        yield from _corrected([_compare(stand, judged, other, way, direction, ends) for way, other in others])


def _at(columns: Sequence[Column], way: Way, threshold: Threshold, own: int) -> Column | None:
    """A way's column at that number, or all that it names where that is fewer; what has one threshold has no other."""
    mine = [one for one in columns if one.way == way and one.threshold == threshold]
    mine = mine or [one for one in columns if one.way == way and one.threshold == "old"]
    exact = [one for one in mine if one.asked == own]
    return next(iter(exact or [one for one in mine if one.asked is None]), None)


def _compare(
    stand: Stand, one: Column, other: Column, against: str, direction: Direction, ends: Ends, way: str = "judged"
) -> Compared:
    difference, p = stand.frame.difference(one.correct, other.correct, *ends)
    return Compared(
        direction=direction.number,
        threshold=one.threshold,
        way=way,
        against=against,
        taken=one.taken,
        against_taken=other.taken,
        difference=difference,
        p=p,
        p_corrected=None,
    )


def _corrected(found: Sequence[Compared]) -> list[Compared]:
    corrected = correct_together([one.p for one in found])
    return [one.model_copy(update={"p_corrected": p}) for one, p in zip(found, corrected, strict=True)]


def compare_judges(
    stand: Stand, judges: Sequence[Judge], directions: Sequence[tuple[Direction, Ends]]
) -> Iterator[Compared]:
    """Each further judge less the first, on the features that both were asked about."""
    for threshold in THRESHOLDS:
        found: list[Compared] = []
        for direction, ends in directions:
            for other in judges[1:]:
                shared = judges[0].asked & other.asked
                own, theirs = (
                    next(
                        one
                        for one in measure_set(stand, direction, choose_judged(judge.on(shared), direction), None)
                        if one.threshold == threshold
                    )
                    for judge in (judges[0], other)
                )
                found.append(_compare(stand, theirs, own, judges[0].name, direction, ends, way=other.name))
        yield from _corrected(found)


def describe_judges(
    stand: Stand, judges: Sequence[Judge], directions: Sequence[tuple[Direction, Ends]]
) -> Iterator[JudgeRow]:
    """A row each."""
    for judge in judges:
        scores: list[Estimate] = []
        for direction, ends in directions:
            column = next(measure_set(stand, direction, choose_judged(judge, direction), None))
            scores.append(stand.frame.scr(column.correct, *ends))
        first, second = (size_of(judge, direction) for direction, _ in directions)
        yield JudgeRow(
            name=judge.name,
            rated=len(judge.ratings),
            failed=len(judge.failed),
            judged=(first, second),
            scr=(scores[0], scores[1]),
        )


def keep_each(
    stand: Stand,
    judge: Judge,
    direction: Direction,
    ends: Ends,
    decisions: Mapping[int, Decision],
    transcripts: Path | None,
    advance: Callable[[], object],
) -> Iterator[Kept]:
    """What SCR loses when one of the judged features stays in while all others are taken out.

    Args:
        stand: where.
        judge: whose verdicts are acted on.
        direction: what is taken out.
        ends: of the direction.
        decisions: of the run, by feature.
        transcripts: their folder as seen from the report.
        advance: called after each feature.
    """
    beside = judge.beside(direction.removed, direction.kept)
    full = {one.threshold: one for one in measure_set(stand, direction, choose_judged(judge, direction), None)}
    for feature in beside:
        rest = [one for one in beside if one != feature]

        def without(reader: object, n: int | None, draw: int, rest: list[int] = rest) -> list[int]:
            return rest

        losses: dict[Threshold, Estimate] = {}
        for column in measure_set(stand, direction, Chooser("judged", without, (None,)), None):
            whole = full[column.threshold]
            losses[column.threshold] = stand.frame.difference(whole.correct, column.correct, *ends)[0]
        effects = [float(reader.biased[feature]) for reader in stand.readers]
        decision = decisions[feature]
        yield Kept(
            feature=decision.feature.key,
            label=decision.label,
            ratings=dict(judge.ratings[feature]),
            effect=sum(effects) / len(effects),
            loss=losses["old"],
            loss_centred=losses["centred"],
            word=_word(losses["old"]),
            transcript="" if transcripts is None else (transcripts / f"{decision.feature.key}.jsonl").as_posix(),
        )
        advance()


def _word(loss: Estimate) -> Literal["helped", "hurt", "not told apart"]:
    if loss.low is not None and loss.low > 0:
        return "helped"
    return "hurt" if loss.high is not None and loss.high < 0 else "not told apart"


def count_strata(decisions: Sequence[Decision], directions: Sequence[Direction]) -> Iterator[StratumBeside]:
    """How many of each stratum were judged beside the point."""
    concepts = (directions[0].removed, directions[0].kept)
    for stratum in STRATA:
        own = [one for one in decisions if one.stratum == stratum]
        rated = [found for one in own if (found := rate(one, concepts)) is not None]
        if not own:
            continue
        beside = [sum(is_beside(one, way.removed, way.kept) for one in rated) for way in directions]
        published = [sum(is_published(one, way.removed) for one in rated) for way in directions]
        first, second = (estimate_share(count, len(rated)) for count in beside)
        third, fourth = (estimate_share(count, len(rated)) for count in published)
        yield StratumBeside(
            stratum=stratum,
            rated=len(rated),
            failed=len(own) - len(rated),
            beside=(first, second),
            published=(third, fourth),
        )


def find_transcripts(run: Path, report: Path) -> Path:
    """Where a run's transcripts are, as seen from the report's folder."""
    return Path(os.path.relpath((run / "transcripts").resolve(), report.resolve()))
