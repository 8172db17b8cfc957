"""SAE against SAE: by how far the features that effects choose go (SCR), and how well they keep classes apart (TPP)."""

from __future__ import annotations

from collections.abc import Sequence

from evals.shifting.classes import score_at
from evals.shifting.examining import Examined, find_cell
from evals.shifting.measuring import Ends
from evals.shifting.resampling import Correct, Frame, correct_together
from evals.shifting.results import Ranked, ShiftReport
from evals.shifting.ways import SIZES
from evals.statistics.estimate import Estimate

RANKED_AT = 10
"""Features taken out, by which SAEs are ranked; what SAEBench shows first."""


def rank(examined: Sequence[Examined], frame: Frame) -> tuple[Ranked, ...]:
    """SAEs, the one that goes farthest first; each with what it lacks to that one.

    Args:
        examined: on the same test texts, with the same probe seeds.
        frame: the resamples of these.
    """
    order = sorted(examined, key=lambda one: -(_scr(one.report, RANKED_AT).value or float("-inf")))
    first = order[0]
    behind = [_lack(frame, first, one) for one in order]
    corrected = correct_together([p for _, p in behind[1:]])
    return tuple(_row(one, lack, p) for one, (lack, _), p in zip(order, behind, [None, *corrected], strict=True))


def choose_direction(report: ShiftReport) -> int:
    """The direction that SAEBench reports: what the biased classifier is worse at is to be read."""
    first, second = ((side.biased.value or 0.0) for side in report.sides)
    return 1 if first < second else 2


def _scr(report: ShiftReport, n: int) -> Estimate:
    cell = find_cell(report, "SCR", n, choose_direction(report))
    return cell.scr if cell else Estimate(value=None)


def _lack(frame: Frame, first: Examined, other: Examined) -> tuple[Estimate, float | None]:
    """Both SCR in their own gaps, resampled together."""
    if first is other:
        return Estimate(value=None), None
    sides: list[tuple[Correct, Ends]] = []
    for one in (first, other):
        direction = choose_direction(one.report)
        ends = one.ends[direction - 1]
        if frame.is_dead(*ends):
            return Estimate(value=None), None
        sides.append((one.published[direction, RANKED_AT], ends))
    return frame.difference_between(*((correct, ends.biased, ends.oracle) for correct, ends in sides))


def _row(one: Examined, behind: Estimate, p: float | None) -> Ranked:
    report = one.report
    judged = find_cell(report, "judged", None)
    return Ranked(
        run=report.run,
        sae=report.sae,
        sae_sha256=report.sae_sha256,
        features=one.features,
        direction=1 if choose_direction(report) == 1 else 2,
        scr=tuple(_scr(report, n) for n in SIZES),
        tpp=tuple(score_at(report.classes, n) for n in SIZES),
        judged=report.sides[0].judged,
        judged_scr=judged.scr if judged else Estimate(value=None),
        behind=behind,
        p_corrected=p,
    )
