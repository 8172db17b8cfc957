"""Figures of steering over targets: what the surest targets risk, and what an arm gains against the fluency it loses."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

from evals.statistics.estimate import Estimate
from evals.steerings.results import SteeredReport
from tools.display.plots import FLOOR, INK, save_figure


def draw_figures(folder: Path, report: SteeredReport) -> list[Path]:
    """Write every figure that there is something to draw of, as PNG, and return their paths.

    Raises:
        OSError: one cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [save_figure(folder / "gain_and_fluency.png", (5.4, 3.4), ("", lambda axes: _draw_gain(axes, report)))]
    if report.curve:
        drawn.append(
            save_figure(folder / "risk_and_coverage.png", (4.6, 3.2), ("", lambda axes: _draw_risk(axes, report)))
        )
    return drawn


def _draw_risk(axes: Axes, report: SteeredReport) -> None:
    """Steps: a point's risk stands for all that it added."""
    coverage, risk = ([getattr(one, name) for one in report.curve] for name in ("coverage", "risk"))
    axes.step([0.0, *coverage], [risk[0], *risk], where="pre", color=INK, label="by confidence, each target left out")
    axes.plot(coverage, risk, "o", color=INK, markersize=4)
    axes.axhline(risk[-1], color=FLOOR, linestyle="--", linewidth=1, label="in no order")
    axes.set(
        xlabel="share of beginnings that are answered, the surest targets first",
        ylabel="share of these that fail",
        xlim=(0, 1),
        ylim=(-0.02, 1.02),
    )
    axes.legend(frameon=False, fontsize=7)


def _draw_gain(axes: Axes, report: SteeredReport) -> None:
    for place, row in enumerate(one for one in report.arms if one.fluency.value is not None):
        if row.likeness.value is None or row.fluency.value is None:
            continue
        reach = [[[max(0.0, side)] for side in _reach(one)] for one in (row.likeness, row.fluency)]
        face = "none" if "," in row.arm else f"C{place}"
        axes.errorbar(
            row.fluency.value,
            row.likeness.value,
            *reach,
            fmt="o",
            color=f"C{place}",
            mfc=face,
            capsize=2,
            label=row.arm,
        )
    axes.axhline(0, color="0.6", linewidth=0.8, linestyle="--")
    axes.set(xlabel="fluency lost (nats a token, to the unsteered model)", ylabel="likeness gained")
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _reach(one: Estimate) -> tuple[float, float]:
    """From the value to its ends."""
    value = one.value or 0.0
    return value - (value if one.low is None else one.low), (value if one.high is None else one.high) - value
