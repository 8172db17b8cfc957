"""The published scorer (IBM's sae-steering): features that are active in prompts like the target, which the SAE never sees.

With a_rj the share of feature j in what all features do in reference prompt r, and d_r the Euclidean distance of r's
sentence embedding from that of the nearest target document,

    raw_j = sum over r of d_r^2 a_rj / sum over r of a_rj
    score_j = 1 - (raw_j - min) / (max - min), over features that are active in some prompt

Features that are active in none have no score: as published they would be 0 / 0, and one such number makes all scores
none. Scores are scaled by their extremes, so that one feature of one far prompt moves all others; and there is no null.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from rich.progress import Progress

from tools.alignment.background import LEAST_PROMPTS
from tools.alignment.documents import sum_documents, tokenize
from tools.alignment.encoders import SentenceEncoder
from tools.alignment.scores import FeatureScores
from tools.bench.workbench import Workbench
from tools.errors import UnveilError

_SAME = 1e-12
"""Squared distances that differ by less do not tell features apart."""


class UnknownText(UnveilError):
    """A sentence encoder has no embedding for anything in a text."""


def score_by_reference(
    bench: Workbench,
    prompts: Sequence[str],
    target: Sequence[str],
    encoder: SentenceEncoder,
    progress: Progress | None = None,
) -> FeatureScores:
    """Score every feature by how like the target the prompts are that it is active in.

    Args:
        bench: model and SAE.
        prompts: reference prompts, in which features are active.
        target: its documents, which are only embedded.
        encoder: of sentences; what it knows nothing of is left out.
        progress: where it is shown how far it is.

    Raises:
        UnveilError: the encoder knows nothing of the target or of the prompts, or an activation is no number.
    """
    return score_by_distance(bench, prompts, measure_distances(prompts, target, encoder), progress)


def measure_distances(
    prompts: Sequence[str], target: Sequence[str], encoder: SentenceEncoder
) -> Float[np.ndarray, " prompts"]:
    """What the scorer takes of the target: squared distances of the prompts from the nearest of its documents.

    Raises:
        UnknownText: the encoder knows nothing of the target or of the prompts.
    """
    return nearest_squared(encoder.encode(prompts), encoder.encode(target), encoder.name)


def score_by_distance(
    bench: Workbench,
    prompts: Sequence[str],
    squared: Float[np.ndarray, " prompts"],
    progress: Progress | None = None,
) -> FeatureScores:
    """The same from squared distances, which are infinite for prompts that are left out.

    Raises:
        UnveilError: an activation is no number.
    """
    known = np.isfinite(squared)
    read = [ids for ids, kept in zip(tokenize(bench, prompts), known, strict=True) if kept]
    found = sum_documents(bench, read, progress, "score        prompts")
    alive = bench.alive.cpu().numpy()
    return score_prompts(np.where(alive, found.sums, 0), squared[known])


def nearest_squared(
    prompts: Float[np.ndarray, "prompts d"], target: Float[np.ndarray, "documents d"], encoder: str
) -> Float[np.ndarray, " prompts"]:
    """Squared distance of each prompt from the nearest target document; infinite for rows of zeros, which are no embedding.

    Raises:
        UnknownText: either side has nothing but such rows.
        UnveilError: an embedding is no number.
    """
    if not (np.isfinite(prompts).all() and np.isfinite(target).all()):
        raise UnveilError(f"sentence encoder {encoder}: an embedding is no number")
    some, known = target[target.any(axis=1)], prompts.any(axis=1)
    if not len(some) or known.sum() < LEAST_PROMPTS:
        which = "the target" if not len(some) else "the reference prompts"
        raise UnknownText(f"sentence encoder {encoder} knows nothing of {which}: name another with --encoder")
    squared = np.full(len(prompts), np.inf)
    cosines = (prompts[known] @ some.T).max(axis=1).astype(np.float64)
    squared[known] = np.maximum(2 - 2 * cosines, 0)  # of unit rows
    return squared


def score_prompts(sums: Float[np.ndarray, "prompts d_sae"], squared: Float[np.ndarray, " prompts"]) -> FeatureScores:
    """The same from summed activations and squared distances.

    Raises:
        UnveilError: an activation is no number.
    """
    totals = sums.sum(axis=1, dtype=np.float64)
    shares = np.divide(sums, totals[:, None], out=np.zeros(sums.shape), where=(totals != 0)[:, None])
    weight = shares.sum(axis=0)
    scored = weight != 0
    raw = np.divide(squared @ shares, weight, out=np.zeros(len(weight)), where=scored)
    score = np.zeros(len(weight))
    if scored.any():
        low, high = raw[scored].min(), raw[scored].max()
        # Where nothing tells features apart all are as good: swapping by such scores is to swap nothing.
        score[scored] = 1.0 if high - low < _SAME else 1 - (raw[scored] - low) / (high - low)
    return FeatureScores(scorer="reference", score=score, scored=scored, statistic=raw)
