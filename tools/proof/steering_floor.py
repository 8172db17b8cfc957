"""Whether steered texts measured anything: those that could be won, and the null they were won against."""

from __future__ import annotations

from collections.abc import Sequence

from tools.records import SteeredPair, SteeringEvidence

LEAST_DECIDABLE = 0.5
"""Share of pairs that either text can win. Of a run that is well it is above nine tenths; with the key-value cache lost, a
tenth."""
NULL_RANGE = (0.25, 0.75)
"""Where the null must lie. Under words that have nothing to do with a direction, steered and unsteered text are as likely
to win, so that it is half the share of decidable pairs, and moves from there only as far as steering drags texts along."""


def pooled_reason(found: Sequence[SteeringEvidence], alpha: float) -> str | None:
    """Why the texts of some directions measured nothing; None where they did, or there are none."""
    if not found:
        return None
    scored = [one for one in found if one.n]
    n = sum(one.n for one in scored)
    if not n:
        return f"none of the {len(found)} directions has words that a text could be compared with"
    if all(one.positions_steered == 0 for one in scored):
        return "the hook changed no position"
    if why := _undecided([pair for one in scored for pair in one.pairs]):
        return why
    null = sum(one.null_win_rate * one.n for one in scored) / n
    low, high = NULL_RANGE
    if not low <= null <= high:
        return f"{null:.0%} of {n} texts are won under other features' words, where about half must be"
    if null**n > alpha:
        return f"{n} texts are too few: even if all were won, it would be no more than chance"
    return None


def _undecided(pairs: Sequence[SteeredPair]) -> str | None:
    """Which pairs nobody can win, where they are most of them."""
    refused = sum(pair.collapsed for pair in pairs)
    rest = [pair for pair in pairs if not pair.collapsed]
    unscored = sum(pair.score_steered is None or pair.score_unsteered is None for pair in rest)
    tied = sum(pair.score_steered is not None and pair.score_steered == pair.score_unsteered for pair in rest)
    decidable = len(rest) - unscored - tied
    if not pairs or decidable >= LEAST_DECIDABLE * len(pairs):
        return None
    kinds = ((refused, "refused as not fluent"), (unscored, "without words to compare"), (tied, "tied"))
    listed = ", ".join(f"{count} {kind}" for count, kind in kinds if count)
    return f"of {len(pairs)} steered texts only {decidable} can win or lose: {listed}"
