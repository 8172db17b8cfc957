"""Figures of a run: where people would rather look than read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from agent.folder.records import Summary
from tools.display.plots import Draw, save_figure
from tools.maths import wilson_interval
from tools.records import STRATA, Evidence

COLOURS = {
    "candidates": "#0b6e4f",
    "near controls": "#c17c00",
    "unrelated controls": "#5b7083",
    "random directions": "#a23b4a",
    "imported": "#4a4e8c",
}


def draw_figures(folder: Path, summary: Summary, evidence: Sequence[Evidence]) -> list[Path]:
    """Write a figure of each kind of evidence that there is, as PNG, and return their paths.

    What measured nothing is neither in the summary nor in the evidence that this is given.
    """
    folder.mkdir(exist_ok=True)
    present = [stratum for stratum in STRATA if any(e.stratum == stratum for e in evidence)]
    drawings: dict[str, tuple[str, Draw]] = {
        "keywords": ("Keyword hits among the top ten tokens", lambda axes: _draw_keywords(axes, evidence, present)),
        "coherence": (
            "Coherence of the top tokens (each word once)",
            lambda axes: _draw_coherence(axes, evidence, present),
        ),
        "steering": (
            "Steered text more like the feature's words: share of wins",
            lambda axes: _draw_steering(axes, summary),
        ),
        "enrichment": (
            "Domain words near active tokens, relative to the corpus",
            lambda axes: _draw_lift(axes, evidence, present),
        ),
    }
    measured = {
        "keywords": any(e.keywords for e in evidence),
        "coherence": any(e.coherence for e in evidence),
        "steering": any(row.steering_n for row in summary.strata),
        "enrichment": any(e.activations and e.activations.domain_lift is not None for e in evidence),
    }
    for name in (name for name in drawings if not measured[name]):
        (folder / f"{name}.png").unlink(missing_ok=True)  # of before what it showed was found dead
    return [save_figure(folder / f"{name}.png", (4.6, 2.7), drawings[name]) for name in drawings if measured[name]]


def _draw_keywords(axes: Axes, evidence: Sequence[Evidence], strata: Sequence[str]) -> None:
    width = 0.8 / max(1, len(strata))
    for number, stratum in enumerate(strata):
        counts = [len(e.keywords.hits) for e in evidence if e.stratum == stratum and e.keywords]
        shares = np.bincount(counts, minlength=11)[:11] / max(1, len(counts))
        axes.bar(
            np.arange(11) + (number - (len(strata) - 1) / 2) * width,
            shares,
            width,
            color=COLOURS[stratum],
            label=stratum,
        )
    axes.set(xlabel="hits", ylabel="share of stratum", xticks=range(11))
    axes.legend(frameon=False, fontsize=7)


def _draw_coherence(axes: Axes, evidence: Sequence[Evidence], strata: Sequence[str]) -> None:
    groups = [
        [
            e.coherence.deduplicated
            for e in evidence
            if e.stratum == s and e.coherence and e.coherence.deduplicated is not None
        ]
        for s in strata
    ]
    _strip(axes, groups, strata)
    axes.set_ylabel("mean weighted cosine")


def _draw_lift(axes: Axes, evidence: Sequence[Evidence], strata: Sequence[str]) -> None:
    groups = [
        [
            e.activations.domain_lift
            for e in evidence
            if e.stratum == s and e.activations and e.activations.domain_lift is not None
        ]
        for s in strata
    ]
    _strip(axes, groups, strata)
    axes.axhline(1, color="0.6", linewidth=0.8, linestyle="--")
    axes.set_ylabel("times the corpus's share")


def _strip(axes: Axes, groups: Sequence[Sequence[float]], strata: Sequence[str]) -> None:
    """Every value as a dot with its median as a bar: no bin hides anything."""
    rng = np.random.default_rng(0)
    for place, (values, stratum) in enumerate(zip(groups, strata, strict=True)):
        spread = place + rng.uniform(-0.18, 0.18, len(values))
        axes.scatter(spread, values, s=9, alpha=0.55, color=COLOURS[stratum], linewidths=0)
        if values:
            axes.hlines(float(np.median(values)), place - 0.28, place + 0.28, color=COLOURS[stratum], linewidth=2)
    axes.set_xticks(range(len(strata)), [s.replace(" ", "\n") for s in strata])


def _draw_steering(axes: Axes, summary: Summary) -> None:
    rows = [(row.stratum.replace(" ", "\n"), row, COLOURS[row.stratum]) for row in summary.strata if row.steering_n]
    if summary.accepted and summary.accepted.steering_n:
        rows.append(("accepted", summary.accepted, "#111111"))
    for place, (_, row, colour) in enumerate(rows):
        share = row.steering_wins / row.steering_n
        interval = wilson_interval(row.steering_wins, row.steering_n)
        # Rounding may put the share a hair outside its interval when all texts were won, or none.
        below, above = max(0.0, share - interval.low), max(0.0, interval.high - share)
        axes.errorbar(place, share, [[below], [above]], fmt="o", color=colour, capsize=3)
        if row.null_win_rate is not None:
            axes.hlines(row.null_win_rate, place - 0.3, place + 0.3, color="0.5", linestyle="--", linewidth=1)
    axes.set_xticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set(ylabel="wins (dashed: null)", ylim=(0, 1))
