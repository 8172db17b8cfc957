"""Contexts from text that nobody labelled from: where a direction is active, and three kinds in which it is silent.

The text is cut into stretches of as many tokens as a context has. A stretch with any activation is active, and its
context lies around its strongest token. Silent contexts have no activation anywhere. Where a draw says that an activation
counts from a share of the direction's largest one on, all below are taken for none: neither which contexts are drawn nor
which are silent depends on how much of it there is. The kinds of silent contexts, from easy to hard:

- random: any silent stretch;
- near misses: a word is there at which the direction is most active elsewhere;
- neighbour: the feature whose decoder row is most like the direction is active.

What is drawn of a direction does not depend on what else is asked for, but for the level of random directions, which is
set by the features of the SAE (`tools.activity.activations`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64
from rich.progress import Progress

from tools.activity.activations import Recording
from tools.activity.contexts import cut_context, find_near_misses
from tools.activity.text import HeldText, tokenize_passages
from tools.activity.traces import Traces, trace
from tools.bench.workbench import Workbench
from tools.maths import seed_of
from tools.records import Context, FeatureRef, Record
from tools.study.corpus import TokenRows
from tools.study.texts import Passage
from tools.survey.projection import draw_random_stratum

SilentKind = Literal["random", "near miss", "neighbour"]
SILENT_KINDS: tuple[SilentKind, ...] = ("random", "near miss", "neighbour")
TOP_ROWS = 8
"""Rows whose strongest tokens say which words a near miss may hold."""


class Draw(NamedTuple):
    """How many contexts of each direction, of what length."""

    contexts: int = 10
    """Of each kind, and as many again of active ones."""
    quantiles: int = 5
    length: int = 32
    """Tokens."""
    seed: int = 0
    share: float = 0.0
    """An activation counts from this share of the direction's largest one on."""
    cuts: tuple[float, ...] = ()
    """Where the active stretches are cut, by strength and from the strongest; so many contexts are then taken of each part.
    Without any they are cut into `quantiles` equal ones, which share the contexts."""


class PartSize(Record):
    """One part of a direction's active stretches, by strength."""

    stretches: int
    documents: int
    """That they are of."""
    documents_through: int
    """That they and all stronger ones are of."""


class HeldOut(Record):
    """One direction in held-out text."""

    feature: FeatureRef
    stretches: int
    """Number of stretches of the text."""
    active_stretches: int
    tokens: int
    active_tokens: int
    active: tuple[Context, ...]
    """As many from each quantile of the active stretches as can be, strongest first."""
    further: tuple[Context, ...]
    """Other active contexts, drawn in the same way."""
    random: tuple[Context, ...]
    near_misses: tuple[Context, ...]
    neighbour: tuple[Context, ...]
    parts: tuple[PartSize, ...] = ()
    """Of the active stretches, strongest first; the contexts' `quantile` counts them from 1."""

    def silent(self, kind: SilentKind) -> tuple[Context, ...]:
        """The silent contexts of a kind."""
        return {"random": self.random, "near miss": self.near_misses, "neighbour": self.neighbour}[kind]


class Stretches(NamedTuple):
    """The stretches of a text, and of one direction the strongest activation in each."""

    rows: Int64[np.ndarray, " n"]
    middles: Int64[np.ndarray, " n"]
    places: Int64[np.ndarray, " n"]
    """Of the strongest activation."""
    peaks: Float[np.ndarray, " n"]


def draw_held_out(
    bench: Workbench,
    passages: Sequence[Passage],
    features: Sequence[FeatureRef],
    draw: Draw,
    directions_seed: int,
    progress: Progress | None = None,
    *,
    at_median: bool = False,
) -> list[HeldOut]:
    """Contexts of each direction, in order, from one pass over the text.

    Args:
        bench: model and SAE.
        passages: of a split that no label was made from.
        features: features of the SAE, random directions among them or not.
        draw: what to take.
        directions_seed: of the run, from which its random directions follow.
        progress: for the forward pass.
        at_median: all random directions are active as often as the median feature, as in runs that gave each no density
            of its own.
    """
    if not features:
        return []
    text = tokenize_passages(bench, passages)
    traces = trace_features(bench, text, features, directions_seed, progress, at_median=at_median)
    return [
        draw_contexts(traces.recording(place), 0, ref, bench.token_strings, draw) for place, ref in enumerate(features)
    ]


def trace_features(
    bench: Workbench,
    text: HeldText,
    features: Sequence[FeatureRef],
    directions_seed: int,
    progress: Progress | None = None,
    cache: Path | None = None,
    *,
    at_median: bool = False,
) -> Traces:
    """Where directions are active in a text, in the order in which they are given (`tools.activity.traces`).

    Args:
        bench: model and SAE.
        text: as tokens.
        features: features of the SAE, random directions among them or not.
        directions_seed: of the run, from which its random directions follow.
        progress: for the forward pass.
        cache: folder for the parts of a long text; None for the user's.
        at_median: as for `draw_held_out`.
    """
    real = [ref.index for ref in features if ref.kind == "feature"]
    randoms = [ref.index for ref in features if ref.kind != "feature"]
    directions = draw_random_stratum(bench, directions_seed, 1 + max(randoms, default=-1)).to(bench.directions)
    numbers = None if at_median else randoms
    columns = np.argsort(np.argsort([ref.kind != "feature" for ref in features], kind="stable"))
    traces = trace(bench, text, real, directions[randoms], progress, cache, numbers=numbers)
    return traces._replace(columns=tuple(columns.tolist()))


def draw_contexts(
    recording: Recording, column: int, feature: FeatureRef, token_strings: Sequence[str], draw: Draw
) -> HeldOut:
    """The contexts of one direction of a recording."""
    rows, values = recording.rows, recording.activations[..., column]
    if draw.share:
        values = np.where(values >= draw.share * values.max(initial=0), values, 0)
    stretches = cut_stretches(values, rows.real, draw.length)
    rng = np.random.default_rng(seed_of(f"{draw.seed} {feature.key}"))
    parts = _cut_parts(stretches, draw)
    chosen, further = _draw_active(parts, stretches, rows, draw, rng)
    active_rows = {int(stretches.rows[number]) for number, _ in chosen}

    def cut(row: int, place: int, quantile: int | None = None) -> Context:
        return cut_context(rows, values, row, place, token_strings, draw.length, quantile)

    def cut_active(drawn: Iterable[tuple[int, int]]) -> tuple[Context, ...]:
        return tuple(cut(int(stretches.rows[i]), int(stretches.places[i]), quantile) for i, quantile in drawn)

    anywhere = rng.permutation(len(stretches.rows))
    places = zip(stretches.rows[anywhere].tolist(), stretches.middles[anywhere].tolist(), strict=True)
    top = _strongest_rows(values)
    missed = find_near_misses(rows, values, top, sorted(active_rows), None, token_strings, draw.length, draw.contexts)
    return HeldOut(
        feature=feature,
        stretches=len(stretches.rows),
        active_stretches=int((stretches.peaks > 0).sum()),
        tokens=int(rows.real.sum()),
        active_tokens=int((values > 0).sum()),
        active=cut_active(chosen),
        further=cut_active(further),
        random=_take_silent((cut(row, place) for row, place in places), draw.contexts),
        near_misses=tuple(cut(miss.row, miss.place) for miss in missed),
        neighbour=_take_silent((cut(*place) for place in _neighbour_places(recording, column)), draw.contexts),
        parts=tuple(_describe_parts(parts, stretches, rows)),
    )


def cut_stretches(
    values: Float[np.ndarray, "rows width"], real: Bool[np.ndarray, "rows width"], length: int
) -> Stretches:
    """Stretches of `length` tokens from each row's first real token on; the last of a row may be shorter."""
    n_rows, width = values.shape
    n_tiles = -(-(width - 1) // length)
    spare = ((0, 0), (0, n_tiles * length - (width - 1)))
    tiled = np.pad(values[:, 1:], spare).reshape(n_rows, n_tiles, length)
    sizes = np.pad(real[:, 1:], spare).reshape(n_rows, n_tiles, length).sum(axis=2)
    rows, tiles = np.nonzero(sizes)
    start = 1 + tiles * length
    return Stretches(
        rows=rows,
        middles=start + sizes[rows, tiles] // 2,
        places=start + tiled[rows, tiles].argmax(axis=1),
        peaks=tiled[rows, tiles].max(axis=1),
    )


def _cut_parts(stretches: Stretches, draw: Draw) -> list[Int64[np.ndarray, " _"]]:
    """Numbers of the active stretches, strongest first, in parts."""
    order = np.argsort(-stretches.peaks, kind="stable")
    order = order[stretches.peaks[order] > 0]
    if draw.cuts:
        return np.split(order, [math.ceil(cut * len(order)) for cut in draw.cuts])
    return np.array_split(order, draw.quantiles)


def _describe_parts(
    parts: Sequence[Int64[np.ndarray, " _"]], stretches: Stretches, rows: TokenRows
) -> Iterator[PartSize]:
    through: set[str] = set()
    for part in parts:
        own = {rows.documents[row] for row in stretches.rows[part]}
        through |= own
        yield PartSize(stretches=len(part), documents=len(own), documents_through=len(through))


def _draw_active(
    parts: Sequence[Int64[np.ndarray, " _"]],
    stretches: Stretches,
    rows: TokenRows,
    draw: Draw,
    rng: np.random.Generator,
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Numbers of active stretches with their part, from 1 for the strongest; twice, without a stretch in common."""
    used: set[str] = set()
    chosen: list[tuple[int, int]] = []
    further: list[tuple[int, int]] = []
    left = [rng.permutation(part).tolist() for part in parts]
    shares = np.array_split(np.arange(draw.contexts), draw.quantiles)
    quotas = [draw.contexts] * len(parts) if draw.cuts else [len(share) for share in shares]
    for drawn in (chosen, further):
        for quantile, (part, quota) in enumerate(zip(left, quotas, strict=True), 1):
            for number in _new_documents_first(part, stretches, rows, used)[:quota]:
                part.remove(number)
                used.add(rows.documents[int(stretches.rows[number])])
                drawn.append((number, quantile))
    return chosen, further


def _new_documents_first(part: list[int], stretches: Stretches, rows: TokenRows, used: set[str]) -> list[int]:
    """The stretches, those of documents that were not drawn from before the others and each such document once."""
    fresh: dict[str, int] = {}
    for number in part:
        document = rows.documents[int(stretches.rows[number])]
        if document not in used:
            fresh.setdefault(document, number)
    first = set(fresh.values())
    return [*fresh.values(), *(number for number in part if number not in first)]


def _strongest_rows(values: Float[np.ndarray, "rows width"]) -> list[int]:
    peaks = values.max(axis=1)
    order = np.argsort(-peaks, kind="stable")[:TOP_ROWS]
    return order[peaks[order] > 0].tolist()


def _neighbour_places(recording: Recording, column: int) -> Iterator[tuple[int, int]]:
    """Row and place of the neighbour's strongest token in each row in which it is active, strongest first."""
    if recording.neighbours is None:
        return
    peaks, places = recording.neighbours.peaks[:, column], recording.neighbours.places[:, column]
    for row in np.argsort(-peaks, kind="stable").tolist():
        if peaks[row] > 0:
            yield row, int(places[row])


def _take_silent(contexts: Iterable[Context], most: int) -> tuple[Context, ...]:
    """The first silent contexts, of different documents."""
    taken: dict[str, Context] = {}
    for context in contexts:
        if context.max_activation == 0:
            taken.setdefault(context.document, context)
            if len(taken) == most:
                break
    return tuple(taken.values())
