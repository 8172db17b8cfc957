"""Figures of an examination: the confusion matrix, reliability, and risk by coverage."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

from evals.agreement.results import Agreement, Calibration, Confusion
from tools.display.plots import FLOOR, INK, Draw, save_figure


def draw_figures(folder: Path, report: Agreement, suffix: str = "") -> list[Path]:
    """Write a PNG of each thing there is to see, and return their paths."""
    drawings: dict[str, tuple[str, Draw]] = {
        "confusion": ("Answers", lambda axes: _draw_confusion(axes, report.confusion))
    }
    calibration = report.calibration
    if calibration is not None:
        drawings["reliability"] = ("How often it is right", lambda axes: _draw_reliability(axes, calibration))
        drawings["risk_coverage"] = ("Errors if only the surest answer", lambda axes: _draw_risk(axes, calibration))
    return [save_figure(folder / f"{name}{suffix}.png", (4.2, 3.0), panel) for name, panel in drawings.items()]


def _draw_confusion(axes: Axes, confusion: Confusion) -> None:
    most = max(1, max(max(line) for line in confusion.counts))
    axes.imshow(confusion.counts, cmap="Greens", vmin=0, vmax=most, aspect="auto")
    for y, line in enumerate(confusion.counts):
        for x, count in enumerate(line):
            axes.text(x, y, f"{count:,}", ha="center", va="center", color="white" if count > most * 0.6 else "black")
    axes.set_xticks(range(len(confusion.columns)), confusion.columns)
    axes.set_yticks(range(len(confusion.rows)), confusion.rows)
    axes.set(xlabel="judge", ylabel="people")


def _draw_reliability(axes: Axes, calibration: Calibration) -> None:
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle="--")
    for one in calibration.bins:
        below, above = max(0.0, one.right - one.low), max(0.0, one.high - one.right)
        axes.errorbar(one.confidence, one.right, [[below], [above]], fmt="o", color=INK, capsize=3, markersize=4)
        axes.annotate(f"{one.n}", (one.confidence, one.right), textcoords="offset points", xytext=(4, 4), fontsize=7)
    axes.set(xlabel="stated confidence (equal-mass bins, with their size)", ylabel="share right")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))


def _draw_risk(axes: Axes, calibration: Calibration) -> None:
    coverage = [point.coverage for point in calibration.curve]
    axes.step(coverage, [point.risk for point in calibration.curve], where="post", color=INK, label="surest first")
    axes.plot(coverage[-1], calibration.curve[-1].risk, "o", color=INK, markersize=4)
    if calibration.area_floor is not None:
        axes.axhline(calibration.area_floor, color=FLOOR, linewidth=0.8, linestyle="--", label="in random order")
    axes.set(xlabel="share of labelled features answered", ylabel="share wrong", xlim=(0, 1.02))
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=7)
