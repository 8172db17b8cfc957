"""A scoring by level in words: what it rests on, and whether labels are right of the strong and wrong of the weak."""

from __future__ import annotations

from collections.abc import Iterator

from evals.scoring.level_rows import STRONG_LESS_WEAK
from evals.scoring.records import ALL, Drawn, LevelRow, ScoreReport
from evals.statistics.estimate import Estimate, format_estimate

MANY_TOKENS = 1_000_000
NAMED = 8
"""Features that a sentence names."""


def say_levels(report: ScoreReport) -> Iterator[str]:
    """How much the figures by level rest on, and what they say of strong and weak contexts."""
    drawn = report.drawn
    if drawn.share is None:
        return
    if drawn.tokens < MANY_TOKENS:
        yield (
            f"{drawn.tokens:,} held-out tokens hold few strong contexts of a rare feature: figures that are to be quoted come from "
            f"{MANY_TOKENS:,} and more (--corpus)"
        )
    if drawn.left_out:
        yield f"left out: {drawn.left_out} documents that labels were made from, or copies of them"
    thin = [one for one in report.features if any(size.why for size in one.sizes if size.level == "top tenth")]
    if thin:
        yield (
            f"{len(thin)} of the features scored are not scorable at their top tenth: fewer than {drawn.fewest} contexts, or of "
            f"fewer than {drawn.fewest_documents} documents"
        )
    rows = {(row.scorer, row.level): row for row in report.levels if _says_yes(row)}
    for scorer in report.scorers:
        ends = [rows.get((scorer.name, level)) for level in ("top tenth", "lower half", "by mass")]
        strong, weak, mass = ends
        if strong and weak and mass:
            yield _strong_and_weak(scorer.name, strong, weak, mass)
    said = [one.feature.key for one in report.features if one.said and one.feature.kind == "feature"]
    if said:
        listed = ", ".join(said[:NAMED]) + (f" and {len(said) - NAMED} more" if len(said) > NAMED else "")
        yield f"right of the strong and wrong of the weak are the labels of {listed}"


def _says_yes(row: LevelRow) -> bool:
    return (row.name, row.task, row.against) == ("labels", "detection by level", ALL)


def _strong_and_weak(scorer: str, strong: LevelRow, weak: LevelRow, mass: LevelRow) -> str:
    gap = mass.statistics[STRONG_LESS_WEAK]
    yeses = [one.statistics["recall"] for one in (strong, weak)]
    silent = mass.statistics["false_alarms"]
    told = (
        f"by level, labels say yes ({scorer}) to {format_estimate(yeses[0])} of the texts of their features' top tenth, to "
        f"{format_estimate(yeses[1])} of the lower half, and to {format_estimate(silent)} of silent ones"
    )
    if gap.low is not None and gap.low > 0:
        said = "right of the strong and wrong of the weak" if _is_right_and_wrong(*yeses) else "better on the strong"
        return f"{told}: {said} (difference {format_estimate(gap)})"
    return told


def _is_right_and_wrong(strong: Estimate, weak: Estimate) -> bool:
    return (strong.value or 0) > 0.5 > (weak.value or 0)


def describe_levels(drawn: Drawn) -> Iterator[str]:
    """What levels are, for a page; nothing where nothing was scored by level."""
    if drawn.share is None:
        return
    yield (
        f"By level, an activation counts from {drawn.share:.0%} of its feature's largest one on, and less is silence. Active "
        "stretches are cut by their peaks: the top tenth, the upper half (with that tenth), the lower half. As many texts are "
        "drawn of each, and each stands for the stretches of its part; by mass it also weighs as much as the activation in it. "
        "All active texts together weigh as much as all silent ones: chance is worth 0.5 in balanced accuracy, and 0 in the "
        f"correlation of simulated with real activations. A level of fewer than {drawn.fewest} contexts, or of fewer than "
        f"{drawn.fewest_documents} documents, is not scored. In brackets: features."
    )
