"""The text that labels are scored on, and what is drawn from it of every feature."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

from rich.progress import Progress

from evals.scoring.levels import ACTIVE_SHARE, FEWEST_DOCUMENTS, draw_by_level
from evals.scoring.records import Drawn
from evals.scoring.restaging import Stage
from evals.scoring.subjects import FEWEST
from tools.activity.heldout import Draw, HeldOut, draw_contexts, trace_features
from tools.activity.text import HeldText, read_held_text, tokenize_passages
from tools.bench.workbench import Workbench
from tools.records import FeatureRef


class Found(NamedTuple):
    """The contexts of each feature, in order."""

    any: list[HeldOut]
    """Where any activation counts."""
    levels: list[HeldOut]


def read_text(stage: Stage, arguments: argparse.Namespace, progress: Progress | None = None) -> HeldText:
    """The study's held-out split, or as much of the user's texts as is asked for.

    Raises:
        StudyError, LoadError: a text cannot be read, or nothing is left of it.
    """
    if arguments.corpus is None:
        return tokenize_passages(stage.bench, stage.held_out)
    return read_held_text(stage.bench, [arguments.corpus], stage.labelled_from, arguments.tokens, progress)


def draw_twice(
    bench: Workbench,
    text: HeldText,
    features: Sequence[FeatureRef],
    wanted: Sequence[FeatureRef],
    draw: Draw,
    directions_seed: int,
    progress: Progress | None = None,
    *,
    at_median: bool = False,
) -> Found:
    """Contexts where any activation counts, and by level, from one pass over the text (`tools.activity.heldout`).

    Args:
        bench: model and SAE.
        text: as tokens.
        features: all of a run, so that one pass, which is kept, serves every scoring of it.
        wanted: those among them that contexts are drawn of.
        draw: what to take.
        directions_seed: of the run.
        progress: for the pass, and for the draws.
        at_median: as for `tools.activity.heldout.draw_held_out`.
    """
    found = Found([], [])
    if not wanted:
        return found
    traces = trace_features(bench, text, features, directions_seed, progress, at_median=at_median)
    task = progress.add_task("draw         contexts", total=len(wanted)) if progress else None
    places = {ref.key: number for number, ref in enumerate(features)}
    for ref in wanted:
        recording = traces.recording(places[ref.key])
        found.any.append(draw_contexts(recording, 0, ref, bench.token_strings, draw))
        found.levels.append(draw_contexts(recording, 0, ref, bench.token_strings, draw_by_level(draw)))
        if progress and task is not None:
            progress.advance(task)
    return found


def describe_draw(text: HeldText, found: Found, draw: Draw, source: Sequence[str]) -> Drawn:
    """Where the texts come from, for the report."""
    return Drawn(
        documents=len(set(text.documents)),
        tokens=found.any[0].tokens if found.any else 0,
        contexts=draw.contexts,
        quantiles=draw.quantiles,
        context_tokens=draw.length,
        fewest=FEWEST,
        source=tuple(source),
        left_out=text.left_out,
        share=ACTIVE_SHARE,
        fewest_documents=FEWEST_DOCUMENTS,
    )
