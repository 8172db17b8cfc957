"""What is said of where a direction is active: tokens, places, density, the domain's words near, and contexts to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from tools.activity.activations import Recording
from tools.activity.contexts import LATE, cut_context, find_near_misses
from tools.activity.places import describe_position
from tools.activity.recurrence import RecurrenceNull
from tools.activity.token_statistics import count_tokens
from tools.records import ActivationEvidence
from tools.study.corpus import TokenRows
from tools.survey.keywords import TokenWord

DOMAIN_REACH = 5
"""Tokens on either side within which a domain word counts as near."""
PEAK_DOCUMENTS = 20
"""Documents in which a direction is most active: it is asked of each whether a domain word stands near."""
NEAR_MISSES = 4


def domain_nearby(
    rows: TokenRows, words: Sequence[TokenWord], vocabulary: frozenset[str], reach: int = DOMAIN_REACH
) -> Bool[np.ndarray, "rows width"]:
    """True at tokens with a word of the domain at most `reach` tokens away."""
    is_domain = np.array([entry.word is not None and entry.word in vocabulary for entry in words])
    hit = is_domain[rows.tokens] & rows.real
    near = hit.copy()
    for shift in range(1, reach + 1):
        near[:, shift:] |= hit[:, :-shift]
        near[:, :-shift] |= hit[:, shift:]
    return near & rows.real


def describe_activations(
    recording: Recording,
    column: int,
    near_domain: Bool[np.ndarray, "rows width"],
    token_strings: Sequence[str],
    *,
    context_tokens: int,
    n_top: int,
    n_quantiles: int,
    n_near_misses: int = NEAR_MISSES,
    null: RecurrenceNull | None = None,
) -> ActivationEvidence:
    """Top and quantile examples, near misses, tokens, density, maximum and domain enrichment of one direction.

    Top examples come from different documents. Quantile examples are the row at the middle of each equal share of the
    active rows, highest first, top examples left out. Near misses: `tools.activity.contexts`.
    """
    rows = recording.rows
    values = recording.activations[..., column]  # [rows, width]
    row_max = values.max(axis=1)
    order = np.argsort(-row_max, kind="stable")
    order = order[row_max[order] > 0]
    top = _different_documents(order, rows.documents, n_top)
    middles = _middles([row for row in order.tolist() if row not in top], n_quantiles)
    peaks: list[int] = values.argmax(axis=1).tolist()
    near = recording.neighbours
    alike = None if near is None else (near.peaks[:, column], near.places[:, column])
    missed = find_near_misses(
        rows, values, top, [*top, *middles], alike, token_strings, context_tokens, n_near_misses, LATE
    )
    strongest = _different_documents(order, rows.documents, PEAK_DOCUMENTS)
    n_real, domain = int(rows.real.sum()), _describe_domain(values > 0, near_domain, rows.real)
    return ActivationEvidence(
        n_tokens=n_real,
        density=float((values > 0).sum() / n_real),
        max_activation=float(values.max()),
        domain_lift=domain.lift,
        peak_documents=len(strongest),
        domain_peaks=sum(bool(near_domain[row, peaks[row]]) for row in strongest),
        domain_share=domain.anywhere,
        top=tuple(cut_context(rows, values, row, peaks[row], token_strings, context_tokens, lead=LATE) for row in top),
        quantiles=tuple(
            cut_context(rows, values, row, peaks[row], token_strings, context_tokens, number, lead=LATE)
            for number, row in enumerate(middles, 1)
        ),
        near_misses=tuple(
            cut_context(rows, values, *miss[:2], token_strings, context_tokens, lead=LATE, shared=miss.kind)
            for miss in missed
        ),
        position=describe_position(rows, values),
        statistics=count_tokens(rows.tokens, rows.real, values, token_strings, null=null),
        usual_density=float(np.median(live)) if len(live := recording.density[recording.density > 0]) else None,
        domain_near=domain.near,
        passage_share=domain.passages,
    )


class _Domain(NamedTuple):
    """Shares of tokens that have a word of the domain near; None of a direction that is never active."""

    anywhere: float
    near: float | None
    """Of those at which it is active."""
    passages: float | None
    """Of all of the rows in which it is active, weighted by its active tokens there."""

    @property
    def lift(self) -> float | None:
        """Of active tokens over all tokens of the corpus."""
        return None if self.near is None or self.anywhere <= 0 else self.near / self.anywhere


def _describe_domain(
    active: Bool[np.ndarray, "rows width"],
    near_domain: Bool[np.ndarray, "rows width"],
    real: Bool[np.ndarray, "rows width"],
) -> _Domain:
    anywhere, n_active = float(near_domain[real].mean()), active.sum(axis=1)
    if not n_active.any():
        return _Domain(anywhere, None, None)
    rows = np.flatnonzero(n_active)
    usual = near_domain[rows].sum(axis=1) / real[rows].sum(axis=1)
    return _Domain(anywhere, float(near_domain[active].mean()), float(np.average(usual, weights=n_active[rows])))


def _middles(rest: Sequence[int], n: int) -> list[int]:
    """The middle of each of n equal parts; nothing where there are fewer."""
    return [rest[int((part + 0.5) * len(rest) / n)] for part in range(n)] if len(rest) >= n else []


def _different_documents(order: Int64[np.ndarray, " r"], documents: Sequence[str], n: int) -> list[int]:
    chosen: dict[str, int] = {}
    for row in order:
        chosen.setdefault(documents[int(row)], int(row))
        if len(chosen) == n:
            break
    return list(chosen.values())
