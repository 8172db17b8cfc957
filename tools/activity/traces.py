"""Where directions are active in a long text: read part by part, and only what is active is kept.

A part is `PART_TOKENS` long, so that the activations of all directions at all its tokens are in memory at once, and those
of no other part. What is kept of a part is a few bytes a token and eight for every activation. A long text takes
minutes: its parts are kept in the user's cache, and the same text on the same weights goes on from there.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64
from rich.progress import Progress
from torch import Tensor

from tools.activity.activations import Neighbours, Recording, record_activations
from tools.activity.text import HeldText
from tools.bench.workbench import Workbench
from tools.border.cache import cache_folder
from tools.display.terminal import complain
from tools.study.corpus import TokenRows, cut_rows
from tools.whole_files import replacing

PART_TOKENS = 65_536
"""Where random directions' levels are set, on the first part, some 400 activations of a usual density stand above them."""
VERSION = 1
"""Of what is kept in the cache."""


class Part(NamedTuple):
    """One part of a text: its rows, and every activation in it, ordered by direction."""

    rows: TokenRows
    starts: Int64[np.ndarray, " n_and_one"]
    """Of each direction, where its activations begin in the two arrays below."""
    places: Int64[np.ndarray, " active"]
    """Row times width plus position."""
    values: Float[np.ndarray, " active"]
    near: Neighbours
    levels: tuple[float, ...]


class Traces(NamedTuple):
    """Every activation of n directions in a text."""

    rows: TokenRows
    parts: tuple[Part, ...]
    columns: tuple[int, ...] = ()
    """Where each direction that was asked for is, if they were not asked for in the order of `trace`."""

    @property
    def tokens(self) -> int:
        """Number of tokens, attention sinks left out."""
        return int(self.rows.real.sum())

    def recording(self, number: int) -> Recording:
        """One direction's activations at every token, as instruments take them."""
        column = self.columns[number] if self.columns else number
        width = self.rows.tokens.shape[1]
        values = np.zeros(self.rows.tokens.shape, dtype=np.float32)
        first = 0
        for part in self.parts:
            n_rows, own_width = part.rows.tokens.shape
            span = slice(part.starts[column], part.starts[column + 1])
            row, place = np.divmod(part.places[span], own_width)
            values.reshape(-1)[(first + row) * width + place] = part.values[span]
            first += n_rows
        features = self.parts[0].near.features[[column]] if self.parts else np.zeros(1, dtype=np.int64)
        peaks = np.concatenate([part.near.peaks[:, [column]] for part in self.parts])
        places = np.concatenate([part.near.places[:, [column]] for part in self.parts])
        return Recording(self.rows, values[..., None], float("nan"), np.zeros(0), Neighbours(features, peaks, places))


def trace(
    bench: Workbench,
    text: HeldText,
    features: Sequence[int],
    directions: Float[Tensor, "m d_model"],
    progress: Progress | None = None,
    cache: Path | None = None,
    part_tokens: int = PART_TOKENS,
) -> Traces:
    """One forward pass over a text: the listed features, then m random directions, whose levels the first part sets.

    Args:
        bench: model and SAE.
        text: tokens by document.
        features: by number.
        directions: at random.
        progress: where it is shown how far it is.
        cache: folder in which parts of a text of several are kept; None for the user's.
        part_tokens: least tokens of a part, but for the last.
    """
    pieces = [cut_rows(ids, names, bench.row_width, bench.bos) for names, ids in _cut(text, part_tokens)]
    total = sum(len(rows.tokens) for rows in pieces)
    task = progress.add_task("observe      contexts", total=total) if progress else None
    folder = None
    if len(pieces) > 1:
        folder = (cache or cache_folder("activity")) / _name(bench, text, features, directions, part_tokens)
    parts: list[Part] = []
    for number, rows in enumerate(pieces):
        file = folder and folder / f"{number:05d}.npz"
        found = file and _read(file, rows)
        if found is None:
            levels = parts[0].levels if parts else None
            found = _compress(record_activations(bench, rows, features, directions, progress, levels=levels, task=task))
            if file:
                _keep(file, found)
        elif progress and task is not None:
            progress.advance(task, len(rows.tokens))
        parts.append(found)
    return Traces(_join([part.rows for part in parts], bench), tuple(parts))


_WANT = ("real", "starts", "places", "values", "features", "peaks", "near_places", "levels")


def _cut(text: HeldText, least: int) -> Iterator[tuple[list[str], list[Int64[np.ndarray, " _"]]]]:
    """Documents, whole, in parts of at least so many tokens; a text without any is one empty part."""
    names, ids, n = list[str](), list[Int64[np.ndarray, " _"]](), 0
    for document, tokens in zip(text.documents, text.ids, strict=True):
        names.append(document)
        ids.append(tokens)
        n += len(tokens)
        if n >= least:
            yield names, ids
            names, ids, n = [], [], 0
    if names or not text.documents:
        yield names, ids


def _compress(recording: Recording) -> Part:
    """Only what is active."""
    n = recording.activations.shape[-1]
    starts, places, values = [0], list[np.ndarray](), list[np.ndarray]()
    for column in range(n):
        flat = recording.activations[..., column].ravel()
        places.append(np.flatnonzero(flat))
        values.append(flat[places[-1]])
        starts.append(starts[-1] + len(places[-1]))
    assert recording.neighbours is not None
    return Part(
        recording.rows,
        np.array(starts, dtype=np.int64),
        np.concatenate(places or [np.zeros(0, dtype=np.int64)]).astype(np.int32),
        np.concatenate(values or [np.zeros(0, dtype=np.float32)]),
        recording.neighbours._replace(places=recording.neighbours.places.astype(np.int32)),
        recording.levels,
    )


def _join(parts: Sequence[TokenRows], bench: Workbench) -> TokenRows:
    """Rows of all parts, as wide as the widest."""
    width = max(rows.tokens.shape[1] for rows in parts)

    def wide(array: np.ndarray, fill: int) -> np.ndarray:
        return np.pad(array, ((0, 0), (0, width - array.shape[1])), constant_values=fill)

    opens = [rows.opens for rows in parts if rows.opens is not None]
    return TokenRows(
        np.concatenate([wide(rows.tokens, bench.bos) for rows in parts]),
        np.concatenate([wide(rows.real, 0) for rows in parts]),
        tuple(name for rows in parts for name in rows.documents),
        np.concatenate(opens) if len(opens) == len(parts) else None,
    )


def _name(
    bench: Workbench, text: HeldText, features: Sequence[int], directions: Float[Tensor, "m d_model"], part: int
) -> str:
    """Of what is kept: text, weights, precision, what counts as text, and which directions."""
    known = (VERSION, bench.hashes, str(bench.dtype), bench.hook_name, bench.row_width, bench.sink_multiple, part)
    digest = hashlib.sha256(repr((known, text.sha256, list(features))).encode())
    digest.update(directions.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()[:24]


def _keep(file: Path, part: Part) -> None:
    """What stands in the way of keeping a part is said in a line, and costs time only."""
    arrays = (
        part.rows.real, part.starts, part.places, part.values, part.near.features, part.near.peaks, part.near.places,
        np.array(part.levels),
    )  # fmt: skip
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as fresh, fresh.open("wb") as opened:
            np.savez_compressed(opened, allow_pickle=False, **dict(zip(_WANT, arrays, strict=True)))
    except OSError as error:
        complain(f"note: what was read is not kept in {file.parent} ({error.strerror}): another reading takes as long")


def _read(file: Path, rows: TokenRows) -> Part | None:
    """A part that was kept; None where there is none, or it does not read or fit."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as kept:
            real, starts, places, values, features, peaks, near, levels = (kept[name] for name in _WANT)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if real.shape != rows.real.shape or starts[-1] != len(places) or len(values) != len(places):
        return None
    return Part(
        rows._replace(real=real), starts, places, values, Neighbours(features, peaks, near), tuple(levels.tolist())
    )
