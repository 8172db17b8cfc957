"""The report on SAEs side by side: the verdict, a picture of what each tells against L0, and the command that makes each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter

from evals.reporting.page import Page, Point, Section, write_page
from evals.statistics.estimate import format_estimate
from evals.truths.frontier import HIGHEST, Frontier, name_of, say_verdict
from tools.display.plots import FLOOR, save_figure
from tools.display.tables import Table, as_text

PICTURE = "frontier.png"
_COLOURS = ("#0b6e4f", "#3b6fb6", "#c77d0a", "#7a4fa3", "#a23b4a", "#5b7083")
"""By architecture, in the order of their names."""
CONTRAST_NOTE = (
    "Each SAE of p-annealing less the line through the standard ones of the same seed, at its own L0; those beyond the "
    "standard ones in L0 are left out. Averaged within a seed; Student's 95 % interval over seeds."
)
REFERENCES_NOTE = (
    "What the same measures come to where there is nothing to be found, or everything was: of exchanged truths the highest "
    "figure that an SAE of these has, of others the mean."
)
BEYOND_NOTE = (
    " The floor of a coverage or a reconstruction is what the same SAE tells of the truths of other transcripts at the same "
    "place: SAEs differ in it, so a gain that is not one beyond the floor is one in telling the place."
)
UNIQUENESS_NOTE = (
    " Uniqueness alone says little: random directions have one of 0.63 (1 - 1/e) where there are as many features as directions, "
    "and features that agree on what is frequent have less."
)
POINTS_NOTE = "Every SAE, and the command that makes it again."


def write_report(folder: Path, frontier: Frontier) -> list[Path]:
    """Write page, Markdown, picture, tables and JSON, and return their paths, the page first.

    Raises:
        OSError: one cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page = lay_out(frontier, [draw_frontier(folder / PICTURE, frontier)])
    return write_page(folder, page, "frontier", frontier)


def lay_out(frontier: Frontier, figures: Sequence[Path] = ()) -> Page:
    """The verdict, and what it rests on."""
    verdict = say_verdict(frontier)
    contrasts, points, references = _contrasts(frontier), _points(frontier), _references(frontier)
    note = REFERENCES_NOTE + UNIQUENESS_NOTE * ("uniqueness" in frontier.measures)
    explained = CONTRAST_NOTE + BEYOND_NOTE * ("coverage_beyond" in frontier.measures)
    return Page(
        title="What do SAEs of several architectures tell of a world whose truth is known?",
        heading=f"{len(frontier.points)} SAEs of the world {frontier.world}",
        sections=[
            Section(title="Does p-annealing help?", points=[Point(verdict)], brief=[verdict]),
            Section("contrasts", "p-annealing against standard SAEs", explained, contrasts, brief=as_text(contrasts)),
            Section("points", "Each SAE", POINTS_NOTE, points, brief=as_text([row[:-1] for row in points])),
            Section("references", "What the figures lie between", note, references, brief=as_text(references)),
        ],
        figures=figures,
    )


def draw_frontier(file: Path, frontier: Frontier) -> Path:
    """Every measure against L0: a colour for each architecture, a dot for each SAE, a line through their means.

    Raises:
        OSError: it cannot be written.
    """
    names = frontier.measures
    size = (min(4.5 * len(names), 15.0), 3.6)
    return save_figure(file, size, *((name_of(name), partial(_draw, frontier, name)) for name in names))


def _draw(frontier: Frontier, measure: str, axes: Axes) -> None:
    names = sorted({one.architecture for one in frontier.points})
    for place, name in enumerate(names):
        colour = _COLOURS[place % len(_COLOURS)]
        own = [one for one in frontier.points if one.architecture == name and one.l0 > 0]
        axes.scatter([one.l0 for one in own], [one.told[measure] for one in own], s=14, color=colour, label=name)
        settings = [[one for one in own if one.sparsity == x] for x in sorted({one.sparsity for one in own})]
        means = sorted(
            (float(np.mean([one.l0 for one in some])), float(np.mean([one.told[measure] for one in some])))
            for some in settings
        )
        axes.plot([x for x, _ in means], [y for _, y in means], color=colour, linewidth=1)
    for place, (said, values) in enumerate(frontier.references.items()):
        style = ":" if said == HIGHEST else ("--", "-.")[place]
        axes.axhline(values.get(measure, np.nan), color=FLOOR, linewidth=1, linestyle=style, label=said)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(
        LogFormatter()
    )  # plain numbers: its usual formatter writes mathematics, read by nobody here
    axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.4)))
    axes.set_xlabel("L0")
    axes.set_ylim(0, 1)
    if measure == frontier.measures[0]:
        axes.legend(frameon=False, fontsize=7)


def _contrasts(frontier: Frontier) -> Table:
    table: Table = [("measure", "difference [95 %]", "seeds", "SAEs")]
    for one in frontier.contrasts:
        table.append((name_of(one.measure), format_estimate(one.difference, "+.3f"), str(one.seeds), str(one.saes)))
    return table


def _references(frontier: Frontier) -> Table:
    table: Table = [("", *map(name_of, frontier.measures))]
    for said, values in frontier.references.items():
        table.append((said, *(f"{values[one]:.3f}" if one in values else "-" for one in frontier.measures)))
    return table


def _points(frontier: Frontier) -> Table:
    told = (name_of(one).replace(" beyond its floor", " beyond") for one in frontier.measures)
    counts = frontier.points[0].counts
    table: Table = [("architecture", "sparsity", "seed", "L0", "explained", *told, *counts, "command")]
    for one in frontier.points:
        figures = (f"{value:.3f}" for value in (one.explained_variance, *one.told.values()))
        names = (one.architecture, f"{one.sparsity:g}", str(one.seed), f"{one.l0:.1f}")
        table.append((*names, *figures, *map(str, one.counts.values()), one.command))
    return table
