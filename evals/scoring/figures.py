"""The figure of a scoring: balanced accuracy against each kind of text, the controls beside it."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

from evals.scoring.aggregate import PLACES
from evals.scoring.records import ALL, ScoreReport, ScoreRow
from tools.display.plots import FLOOR, INK, save_figure
from tools.display.unseen import spell_out

CONTROL, WORDS = "0.55", "#d08c2f"


def draw_scores(file: Path, report: ScoreReport) -> Path:
    """Write the PNG and return its path."""
    panel = ("Do labels tell held-out texts apart?", lambda axes: _draw_series(axes, _series(report)))
    return save_figure(file, (6.4, 3.6), panel)


def _draw_series(axes: Axes, series: list[tuple[str, list[ScoreRow], str]]) -> None:
    axes.axvline(0.5, color=FLOOR, linewidth=0.8, linestyle="--")
    for number, (name, rows, colour) in enumerate(series):
        shift = 0.5 - (number + 0.5) / len(series)
        _draw(axes, rows, 0.8 * shift, name, colour)
    axes.set_yticks(range(len(PLACES)), [_tick(*place) for place in PLACES])
    axes.invert_yaxis()
    axes.set(xlabel="balanced accuracy, mean over features with 95 % interval")
    lowest = min(0.25, axes.get_xlim()[0])
    axes.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0])
    axes.set_xlim(lowest, 1.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=7, loc="upper right")


def _series(report: ScoreReport) -> list[tuple[str, list[ScoreRow], str]]:
    main, floor = report.scorers[-1].name, report.scorers[0].name
    wanted = [("labels", main, INK), ("control: shuffled labels", main, CONTROL)]
    wanted.append(("control: random directions", main, FLOOR))
    if main != floor:
        wanted.insert(1, ("labels", floor, WORDS))
    found = [
        (
            f"{name.removeprefix('control: ')} ({spell_out(scorer)})",
            [r for r in report.rows if (r.name, r.scorer) == (name, scorer)],
            c,
        )
        for name, scorer, c in wanted
    ]
    return [(name, rows, colour) for name, rows, colour in found if rows]


def _draw(axes: Axes, rows: list[ScoreRow], shift: float, name: str, colour: str) -> None:
    for row in rows:
        estimate = row.statistics.get("balanced_accuracy")
        if estimate is None or estimate.value is None:
            continue
        low, high = (estimate.value if end is None else end for end in (estimate.low, estimate.high))
        y = PLACES.index((row.task, row.against)) - shift
        ends = [[estimate.value - low], [high - estimate.value]]
        first = not any(text == name for text in axes.get_legend_handles_labels()[1])
        axes.errorbar(
            estimate.value, y, xerr=ends, fmt="o", color=colour, capsize=2, markersize=4, label=name if first else None
        )


def _tick(task: str, against: str) -> str:
    return f"{task}: all" if against == ALL else against
