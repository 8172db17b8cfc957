"""Figures of acting on verdicts: the worst quadrant, and SCR, by how many features are taken out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes

from evals.shifting.results import Cell, ShiftReport, Side, Way
from evals.shifting.ways import SIZES
from tools.display.plots import FLOOR, INK, Draw, save_figure

SHOWN: dict[Way, tuple[str, str, str]] = {
    "judged": (INK, "o-", "judged beside the point"),
    "to the point": (FLOOR, "v-", "judged to the point instead"),
    "no judge": ("#5b7083", "s--", "by effect on the biased classifier"),
    "SCR": ("#3465a4", "D--", "by effect on a classifier of what goes"),
    "random like judged": ("0.45", "x:", "random, like those judged"),
    "random like SCR": ("0.65", "+:", "random, like those by effect"),
    "tokens": ("#8a5a00", "^-.", "tokens at the embedding"),
}
"""Colour, line and name of each way."""
WORDS: Way = "words, trained again"


def draw_figures(folder: Path, report: ShiftReport) -> list[Path]:
    """Write the figures as PNG and return their paths.

    Raises:
        OSError: one cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [save_figure(folder / "worst_quadrant.png", (10.5, 5.2), *_panels(report, _draw_worst))]
    if any(not side.dead for side in report.sides):
        drawn.append(save_figure(folder / "scr.png", (10.5, 5.2), *_panels(report, _draw_scr)))
    return drawn


def _panels(report: ShiftReport, draw: Callable[[Axes, ShiftReport, Side], None]) -> list[tuple[str, Draw]]:
    def panel(side: Side) -> Draw:
        return lambda axes: draw(axes, report, side)

    return [(f"{side.removed} taken out, {side.kept} read", panel(side)) for side in report.sides]


def _draw_worst(axes: Axes, report: ShiftReport, side: Side) -> None:
    axes.axhline(side.oracle_worst, color=INK, linewidth=0.8, linestyle="--")
    axes.axhline(side.biased_worst, color=FLOOR, linewidth=0.8, linestyle="--")
    axes.text(1, side.oracle_worst, " oracle", fontsize=7, va="bottom", color=INK)
    axes.text(1, side.biased_worst, " biased", fontsize=7, va="bottom", color=FLOOR)
    _draw_lines(axes, report, side, lambda cell: (cell.worst.value, cell.worst_by_seed))
    axes.set(ylabel="accuracy in the worst quadrant", ylim=(-0.03, 1.03))


def _draw_scr(axes: Axes, report: ShiftReport, side: Side) -> None:
    axes.axhline(0, color=FLOOR, linewidth=0.8, linestyle="--")
    axes.axhline(1, color=INK, linewidth=0.8, linestyle="--")
    if side.dead:
        axes.text(0.5, 0.5, "no way to go", transform=axes.transAxes, ha="center")
    _draw_lines(axes, report, side, lambda cell: (cell.scr.value, cell.by_seed))
    axes.set(ylabel="SCR")


def _draw_lines(
    axes: Axes,
    report: ShiftReport,
    side: Side,
    read: Callable[[Cell], tuple[float | None, tuple[float | None, ...]]],
) -> None:
    """A line a way with a band from the lowest seed to the highest."""
    for way, (colour, line, name) in SHOWN.items():
        own = [
            one
            for one in report.cells
            if (one.way, one.direction, one.threshold) == (way, side.direction, "old") and 0 < one.taken <= SIZES[-1]
        ]
        points = sorted((one.taken, *read(one)) for one in own)
        drawn = [
            (taken, value, [one for one in seeds if one is not None])
            for taken, value, seeds in points
            if value is not None
        ]
        if not drawn:
            continue
        at, values = [one[0] for one in drawn], [one[1] for one in drawn]
        axes.plot(
            at,
            values,
            line,
            color=colour,
            markersize=4,
            linewidth=1.2,
            label=name,
        )
        low, high = [min(one[2]) for one in drawn], [max(one[2]) for one in drawn]
        axes.fill_between(at, low, high, color=colour, alpha=0.12, linewidth=0)
    words = next((one for one in report.cells if one.way == WORDS and one.direction == side.direction), None)
    if words is not None and (value := read(words)[0]) is not None:
        axes.axhline(value, color="#8a5a00", linewidth=0.8, linestyle=":", label="cue words deleted")
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks((1, *SIZES), [str(size) for size in (1, *SIZES)])
    axes.set(xlabel="taken out", xlim=(0.9, 1.1 * SIZES[-1]))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.14))
