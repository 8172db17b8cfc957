"""Stretches of text around a token, and near misses: stretches in which a feature might be expected but is silent.

Contexts without the feature that are drawn at random are told from those with it by anything. A near miss shares what
the label may rest on by mistake: the very word at which the feature is most active elsewhere, or activity of the
feature whose decoder row is most like its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from tools.records import Context, Shared
from tools.records.activity import Beginning
from tools.study.corpus import TokenRows

MIDDLE = 0.5
LATE = 0.75
"""Share of a context that lies before its place: all that a causal model knows of the place stands there."""


class Candidates(NamedTuple):
    """Places at which a near miss may be cut, best first."""

    rows: Int64[np.ndarray, " n"]
    places: Int64[np.ndarray, " n"]
    kind: Literal["word", "neighbour"]


class NearMiss(NamedTuple):
    """Where a feature is silent, and what of a place in which it is active is there all the same."""

    row: int
    place: int
    kind: Literal["word", "neighbour"]


def cut_context(
    rows: TokenRows,
    values: Float[np.ndarray, "rows width"],
    row: int,
    place: int,
    token_strings: Sequence[str],
    length: int,
    quantile: int | None = None,
    *,
    lead: float = MIDDLE,
    shared: Literal["word", "neighbour"] | None = None,
) -> Context:
    """At most `length` real tokens around a place of a row, with the activations there.

    Args:
        rows: the corpus.
        values: activations of the feature.
        row: number of the row.
        place: of the token that the context is about.
        token_strings: text of every token id.
        length: tokens at most.
        quantile: of the place's activation.
        lead: share of the context that lies before the place, as far as the text has so much.
        shared: of a near miss, what the place shares with contexts in which the feature is active.
    """
    first, stop = (int(edge[0]) for edge in _window(rows.real[[row]], np.array([place]), length, lead))
    shown = values[row, first:stop]
    return Context(
        document=rows.documents[row],
        tokens=tuple(token_strings[int(token)] for token in rows.tokens[row, first:stop]),
        activations=tuple(round(float(value), 4) for value in shown),
        max_activation=float(shown.max()),
        quantile=quantile,
        begins=_beginning(rows, row, first),
        shared=None if shared is None else Shared(kind=shared, place=place - first),
    )


def _beginning(rows: TokenRows, row: int, first: int) -> Beginning | None:
    """What begins with a token: of rows of which nobody knows which open a text, nothing is said."""
    if rows.opens is None or first != int(rows.real[row].argmax()):
        return None
    return "text" if rows.opens[row] else "row"


def find_near_misses(
    rows: TokenRows,
    values: Float[np.ndarray, "rows width"],
    top: Sequence[int],
    shown: Sequence[int],
    neighbour: tuple[Float[np.ndarray, " rows"], Int64[np.ndarray, " rows"]] | None,
    token_strings: Sequence[str],
    length: int,
    n: int,
    lead: float = MIDDLE,
) -> list[NearMiss]:
    """At most `n` stretches of `length` tokens in which a feature is silent throughout.

    Args:
        rows: the corpus.
        values: activations of the feature.
        top: rows of its top examples; without one there are no near misses.
        shown: rows of all its examples. Documents that are not among theirs come first.
        neighbour: of the feature most like it, the largest activation in each row and where that is.
        token_strings: text of every token id.
        length: of a context, in tokens.
        n: most near misses. They alternate between the two kinds and come from different documents.
        lead: share of a context that lies before its place.
    """
    if not len(top):
        return []
    seen = {rows.documents[row] for row in shown}
    known = np.array([document in seen for document in rows.documents])
    kinds = [_places_of_word(rows, values, top, known, token_strings)]
    if neighbour is not None:
        kinds.append(_places_of_neighbour(*neighbour, known))
    queues = [iter(_silent(rows, values, found, length, lead)) for found in kinds]
    chosen: dict[str, NearMiss] = {}
    while queues and len(chosen) < n:
        queue = queues.pop(0)
        for miss in queue:
            if rows.documents[miss.row] not in chosen:
                chosen[rows.documents[miss.row]] = miss
                queues.append(queue)
                break
    return list(chosen.values())


def _places_of_word(
    rows: TokenRows,
    values: Float[np.ndarray, "rows width"],
    top: Sequence[int],
    known: Bool[np.ndarray, " rows"],
    token_strings: Sequence[str],
) -> Candidates:
    """Where a token stands at which a top example peaks, in any case and with or without its space.

    Rows come in a fixed order that is none of the corpus, whose neighbours are often of one topic.
    """
    peaks = {token_strings[int(rows.tokens[row, values[row].argmax()])].strip().lower() for row in top} - {""}
    same = np.array([token.strip().lower() in peaks for token in token_strings])
    found, places = np.nonzero(same[rows.tokens] & rows.real)
    shuffled = np.random.default_rng(0).permutation(len(rows.tokens))
    order = np.lexsort((places, shuffled[found], known[found]))
    return Candidates(found[order], places[order], "word")


def _places_of_neighbour(
    peaks: Float[np.ndarray, " rows"], places: Int64[np.ndarray, " rows"], known: Bool[np.ndarray, " rows"]
) -> Candidates:
    """Where the neighbour is most active in each row in which it is active at all, strongest first."""
    order = np.lexsort((-peaks, known))
    order = order[peaks[order] > 0]
    return Candidates(order, places[order], "neighbour")


def _silent(
    rows: TokenRows, values: Float[np.ndarray, "rows width"], found: Candidates, length: int, lead: float
) -> list[NearMiss]:
    """Those with no activation at all in the whole context around them."""
    first, stop = _window(rows.real[found.rows], found.places, length, lead)
    before = np.pad(np.cumsum(values != 0, axis=1), ((0, 0), (1, 0)))  # [rows, width + 1]
    quiet = before[found.rows, stop] == before[found.rows, first]
    places = zip(found.rows[quiet].tolist(), found.places[quiet].tolist(), strict=True)
    return [NearMiss(row, place, found.kind) for row, place in places]


def _window(
    real: Bool[np.ndarray, "n width"], places: Int64[np.ndarray, " n"], length: int, lead: float
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """First position and the one behind the last of the context around a place, which has `lead` of it to its left.

    Where the text has not as much on one side, there is more of the other.
    """
    begin = real.argmax(axis=1)
    end = real.shape[1] - real[:, ::-1].argmax(axis=1)
    first = np.maximum(begin, np.minimum(places - int(length * lead), end - length))
    return first, np.minimum(first + length, end)
