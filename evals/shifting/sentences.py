"""What the figures say, in plain sentences made of them alone: nulls are told as nulls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evals.shifting.results import Compared, ShiftReport, Side, Threshold, Way
from evals.statistics.estimate import format_estimate

ALPHA = 0.05
VERBS = ("beats", "falls short of", "cannot be told from")


def name_way(way: str, report: ShiftReport, direction: int = 1) -> str:
    """What a way of choosing is called."""
    side = report.sides[direction - 1]
    names: dict[Way, str] = {
        "judged": f"judged beside the point by {report.judges[0].name}",
        "published rule": f"any trace of {side.removed}, by {report.judges[0].name}",
        "no judge": "largest effects on the biased classifier, no judge",
        "SCR": f"largest effects on a classifier of {side.removed}, no judge (SCR)",
        "random like judged": "random, as dense and strong as those judged",
        "random like SCR": "random, as dense and strong as SCR's",
        "to the point": f"judged to the point ({side.kept}) instead",
        "tokens": "tokens at the embedding, by effect",
        "words": "cue words deleted",
        "words, trained again": "cue words deleted, trained again",
    }
    return {str(key): name for key, name in names.items()}.get(way, way)


def say_value(report: ShiftReport) -> Iterator[str]:
    """The downstream value of a better label: what another judge's verdicts would have changed."""
    own, side = report.judges[0].name, report.sides[0]
    values = [one for one in report.values if one.direction == 1 and one.threshold == "old"]
    if not values:
        score = format_estimate(report.judges[0].scr[0])
        yield (
            f"Acting on the verdicts of {own} ({_features(side.judged)} taken out) goes {score} of the way from the biased "
            "classifier to the oracle; what a better label would be worth is not known, for no other judge was named "
            "(--judges, --labels)."
            if not side.dead
            else "What a label is worth is not known: the oracle cannot be told to be better than the biased classifier here."
        )
    for one in values:
        yield (
            f"Acting on the verdicts of {one.way} instead of {own}'s changes SCR by {_signed(one)} "
            f"({one.taken:.0f} features taken out instead of {one.against_taken:.0f}; paired over {report.texts} test texts and "
            f"{len(report.seeds)} probe seeds{_p(one)}): {_say_change(one)}."
        )


def _say_change(one: Compared) -> str:
    value, told = one.difference.value, _told(one)
    if value is None:
        return "no figure, for there is no way to go"
    if value == 0 and one.difference.low == one.difference.high:
        return "they take out what comes to the same"
    if not told:
        return "a difference that cannot be told from none"
    return f"{one.way}'s labels are worth {'more' if value > 0 else 'less'} here"


def say_verdict(report: ShiftReport) -> Iterator[str]:
    """Whether what was judged beats random features, deleted words, and the choice without a judge."""
    for side in report.sides:
        yield _say_side(report, side, "old")
        if side.judged and not side.dead:
            yield _say_side(report, side, "centred")
    if report.compared:
        yield (
            f"Of each direction and threshold, {_count(report)} comparisons are corrected together by Holm's method; "
            f"what is said to differ has a corrected p below {ALPHA} and an interval without 0. In brackets: SCR of what was "
            "judged less that of the other."
        )


def _say_side(report: ShiftReport, side: Side, threshold: Threshold) -> str:
    about = f"{side.removed} taken out, {side.kept} read"
    if side.dead:
        return f"{about}: the oracle cannot be told to be better than the biased classifier, and no way of choosing has a figure."
    if not side.judged:
        return f"{about}: no feature was judged beside the point, so nothing is taken out and SCR is 0."
    own = next(
        one
        for one in report.cells
        if (one.way, one.asked, one.direction, one.threshold) == ("judged", None, side.direction, threshold)
    )
    if threshold == "centred":
        about += ", the threshold centred"
    said = (
        f"{about}: taking out the {_features(side.judged)} judged beside the point, SCR is {format_estimate(own.scr)}"
    )
    compared = [one for one in report.compared if (one.direction, one.threshold) == (side.direction, threshold)]
    parts = [
        f"{verb} {_list([one for one in compared if _verb(one) == verb], report, side)}"
        for verb in VERBS
        if any(_verb(one) == verb for one in compared)
    ]
    return f"{said}. It {'; it '.join(parts)}." if parts else f"{said}."


def _list(compared: Sequence[Compared], report: ShiftReport, side: Side) -> str:
    return ", ".join(f"{name_way(one.against, report, side.direction)} ({_signed(one)})" for one in compared)


def _features(n: int) -> str:
    return f"{n} feature" if n == 1 else f"{n} features"


def _verb(one: Compared) -> str:
    if not _told(one):
        return "cannot be told from"
    return "beats" if (one.difference.value or 0.0) > 0 else "falls short of"


def _told(one: Compared) -> bool:
    """Whether a difference is one: its interval is without 0, and its corrected p small."""
    low, high, p = one.difference.low, one.difference.high, one.p_corrected
    return low is not None and high is not None and (low > 0 or high < 0) and p is not None and p < ALPHA


def _signed(one: Compared) -> str:
    return format_estimate(one.difference, "+.2f")


def _p(one: Compared) -> str:
    return "" if one.p_corrected is None else f", p {one.p_corrected:.2g}"


def _count(report: ShiftReport) -> int:
    first = report.compared[0]
    return sum((one.direction, one.threshold) == (first.direction, first.threshold) for one in report.compared)
