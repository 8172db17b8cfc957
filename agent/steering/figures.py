"""The frontier of a steering run: how much more like the target texts are, against the fluency it costs; a mark an arm."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from agent.folder.steered import ArmResult, Interval, Results
from tools.display.plots import save_figure

COLOURS = ("#0b6e4f", "#4a4e8c", "#c17c00", "#a23b4a", "#2a7fb8", "#7a5195", "#5b7083")
MARKS = "osD^vPX"
Figure = Callable[[ArmResult], Interval | None]


def draw_frontier(file: Path, results: Results) -> Path:
    """Write the figure as PNG: likeness gained, and comparisons won where a model judged.

    Raises:
        OSError: it cannot be written.
    """
    file.parent.mkdir(exist_ok=True)
    panels: list[tuple[str, Callable[[Axes], object]]] = [
        ("Likeness gained", lambda axes: _draw(axes, results.rows, lambda row: row.likeness_gained, 0.0))
    ]
    if any(row.wins for row in results.rows):
        panels.append(("Won against unsteered text", lambda axes: _draw(axes, results.rows, lambda row: row.wins, 0.5)))
    return save_figure(file, (5.6 * len(panels), 3.4), *panels)


def fluency_lost(row: ArmResult, unsteered: float) -> float | None:
    """Nats a token: how much less likely the unsteered model holds an arm's texts than its own; None without a perplexity."""
    return math.log(row.perplexity / unsteered) if row.perplexity > 0 and unsteered > 0 else None


def _draw(axes: Axes, rows: Sequence[ArmResult], figure: Figure, floor: float) -> None:
    """Over all targets a large mark with its interval, each target a small one; controls are hollow."""
    plain = {row.target: row.perplexity for row in rows if row.arm == "unsteered"}
    arms = list(dict.fromkeys(row.arm for row in rows if row.arm != "unsteered"))
    kinds = list(dict.fromkeys(arm.partition(",")[0] for arm in arms))
    for arm in arms:
        place = kinds.index(arm.partition(",")[0])
        colour, mark = COLOURS[place % len(COLOURS)], MARKS[place % len(MARKS)]
        face = "none" if "," in arm else colour
        for row in (one for one in rows if one.arm == arm):
            found, lost = figure(row), fluency_lost(row, plain.get(row.target, 0.0))
            if found is None or lost is None:
                continue
            if row.target is not None:
                axes.plot(lost, found.mean, mark, color=colour, mfc=face, ms=3.5, alpha=0.45, mew=0.7)
                continue
            ends = [found.mean if end is None else end for end in (found.low, found.high)]
            reach = [[max(0.0, found.mean - ends[0])], [max(0.0, ends[1] - found.mean)]]
            axes.errorbar(lost, found.mean, reach, fmt=mark, color=colour, mfc=face, ms=8, capsize=3, label=arm)
    axes.axhline(floor, color="0.6", linewidth=0.8, linestyle="--")
    axes.axvline(0, color="0.6", linewidth=0.8, linestyle=":")
    axes.set(xlabel="fluency lost (nats a token, to the unsteered model)")
    if axes.get_legend_handles_labels()[0]:  # no text may have a word that a vector is known of
        axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
