"""Held-out text as it is scored under every arm: the same tokens for all of them, behind a request in the one that asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from tools.bench.workbench import Workbench
from tools.effects.intervention import Change
from tools.errors import StudyError
from tools.study.corpus import TokenRows, cut_rows
from tools.toward.likelihood import nats_per_token

LEAST_ROOM = 8
"""Tokens of text that a row has beside what is asked before it."""


class HeldOut(NamedTuple):
    """Documents in rows, none of them so long that the request would not fit before it."""

    rows: TokenRows
    documents: Int64[np.ndarray, " rows"]
    """Which document a row is of."""
    ahead: tuple[int, ...]
    """Token ids of the request."""


class DocumentNats(NamedTuple):
    """Of documents with at least one token that is predicted."""

    documents: Int64[np.ndarray, " n"]
    tokens: Int64[np.ndarray, " n"]
    nats: Float[np.ndarray, " n"]
    """A token."""


def lay_out(bench: Workbench, texts: Sequence[str], ahead: str) -> HeldOut:
    """Cut documents into rows.

    Args:
        bench: whose tokens they become.
        texts: documents.
        ahead: what the arm that asks says before each row.

    Raises:
        StudyError: that leaves no room for text.
    """
    said = tuple(bench.tokenize(ahead)) if ahead else ()
    width = bench.row_width - len(said)
    if width < LEAST_ROOM:
        raise StudyError(
            f"what is asked before a text takes {len(said)} of {bench.row_width} positions: ask in fewer words"
        )
    ids = [bench.tokenize(text) for text in texts]
    rows = cut_rows(ids, [str(place) for place in range(len(texts))], width, bench.bos)
    return HeldOut(rows, np.array([int(name) for name in rows.documents], dtype=np.int64), said)


def score_held_out(bench: Workbench, held_out: HeldOut, change: Change | None, asks: bool) -> DocumentNats:
    """Nats a token of every document, under a model that is changed or asked, or neither.

    Args:
        bench: model and SAE.
        held_out: as `lay_out` gives it.
        change: of one row, made at every position.
        asks: whether the request stands before each row; its own tokens are not counted.
    """
    rows = _behind(held_out, bench.bos) if asks else held_out.rows
    nats, counts = nats_per_token(bench, rows, change), rows.real.sum(axis=1)
    known = ~np.isnan(nats)
    totals = np.bincount(held_out.documents[known], nats[known] * counts[known])
    tokens = np.bincount(held_out.documents[known], counts[known]).astype(np.int64)
    there = np.flatnonzero(tokens)
    return DocumentNats(there, tokens[there], totals[there] / tokens[there])


def _behind(held_out: HeldOut, bos: int) -> TokenRows:
    rows, ahead = held_out.rows, held_out.ahead
    n = len(rows.tokens)
    said = np.tile(np.array([bos, *ahead], dtype=np.int64), (n, 1))
    tokens = np.concatenate([said, rows.tokens[:, 1:]], axis=1)
    real = np.concatenate([np.zeros((n, 1 + len(ahead)), dtype=bool), rows.real[:, 1:]], axis=1)
    return TokenRows(tokens, real, rows.documents, rows.opens)
