"""Whether the tokens at which a direction is active say anything of it: how often it is active where one of them stands again.

Any direction is active most at some tokens or other, and a list of them looks like a meaning. It is one if the direction
is active at the other places of these tokens too, more than a random reading of the same text is that is active as often.
Random readings are whitened: the text is spread as far along each of them, whereas directions drawn on the sphere are
mixtures of the few along which it is spread most, among them those that a model tells single tokens by.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tools.activity.activations import Recording
from tools.bench.workbench import Workbench
from tools.maths import seed_of, upper_share
from tools.study.corpus import TokenRows

READINGS = 200
"""Random readings: one in a hundred of them is two."""
TOKENS_A_DIMENSION = 8
"""Tokens, for each dimension of the residual stream, that its spread is measured on."""
RIDGE = 1e-3
"""Share of the mean variance that is added to the covariance before it is inverted."""


class Recurrence(NamedTuple):
    """Of one direction."""

    share: float
    usual: float
    """Of the median random reading that is active as often."""
    null_share: float
    """Random readings whose share is as large."""


def draw_readings(bench: Workbench, rows: TokenRows, n: int = READINGS) -> Float[Tensor, "n d_model"]:
    """Random readings of the residual stream at the hook, the same for the same model and text whatever is observed.

    Args:
        bench: whose hook.
        rows: the text; some of it, evenly drawn, says how far the stream is spread in each direction.
        n: readings.
    """
    d_model = bench.directions.shape[1]
    found = list[Float[np.ndarray, "tokens d_model"]]()
    wanted = TOKENS_A_DIMENSION * d_model
    order = np.random.default_rng(seed_of("spread")).permutation(len(rows.tokens))
    for row in map(int, order):
        tokens, real = torch.from_numpy(rows.tokens[row : row + 1]), torch.from_numpy(rows.real[row : row + 1])
        residuals = bench.residuals(tokens)
        found.append(residuals[bench.is_text(residuals, real)].float().cpu().numpy())
        if sum(map(len, found)) >= wanted:
            break
    drawn = np.random.default_rng(seed_of("readings")).standard_normal((n, d_model))
    return torch.from_numpy((drawn @ _whitening(np.concatenate(found))).astype(np.float32))


def _whitening(residuals: Float[np.ndarray, "tokens d_model"]) -> Float[np.ndarray, "d_model d_model"]:
    """Inverse square root of the covariance."""
    centred = residuals - residuals.mean(axis=0, dtype=np.float64)
    d_model = centred.shape[1]
    covariance = centred.T @ centred / max(len(centred), 1)
    covariance += max(RIDGE * np.trace(covariance) / d_model, 1e-12) * np.eye(d_model)
    values, vectors = np.linalg.eigh(covariance)
    return (vectors / np.sqrt(values)) @ vectors.T


def measure_recurrence(
    tokens: Int64[np.ndarray, " text"], active: Bool[np.ndarray, " text"], everywhere: Int64[np.ndarray, " ids"]
) -> float:
    """The share of the other places of a token at which a direction is active too, mean over the places at which it is.

    0 for a token that stands once: nothing repeats.

    Args:
        tokens: of the text.
        active: where the direction is; at one place at least.
        everywhere: how often each token id stands in the text.
    """
    counts = np.bincount(tokens[active], minlength=len(everywhere))
    return float((counts * (counts - 1) / np.maximum(everywhere - 1, 1)).sum() / counts.sum())


class RecurrenceNull(NamedTuple):
    """What random readings reach, each where it is largest, for any number of places at which it might count as active."""

    tokens: Int64[np.ndarray, " text"]
    everywhere: Int64[np.ndarray, " ids"]
    shares: Float[np.ndarray, "readings most"]
    """Of the n + 1 places at which a reading is largest, at n."""

    @classmethod
    def of(cls, recording: Recording) -> RecurrenceNull | None:
        """For all that was recorded; None without readings."""
        if recording.components is None:
            return None
        rows, n_active = recording.rows, (recording.activations > 0).sum(axis=(0, 1))
        return cls.draw(rows.tokens[rows.real], recording.components, int(n_active.max(initial=1)))

    @classmethod
    def draw(
        cls, tokens: Int64[np.ndarray, " text"], components: Float[np.ndarray, "text readings"], most: int
    ) -> RecurrenceNull:
        """From random readings of every token.

        Args:
            tokens: of the text.
            components: of the readings.
            most: places at which any direction that is held against them is active.
        """
        everywhere = np.bincount(tokens)
        most = min(max(most, 1), len(tokens))
        shares = [_share_by_number(tokens, column, most, everywhere) for column in components.T]
        return cls(tokens, everywhere, np.array(shares, dtype=np.float32).reshape(-1, most))

    def measure(self, active: Bool[np.ndarray, " text"]) -> Recurrence | None:
        """Of a direction that is active there; None if it never is."""
        n = int(active.sum())
        if n == 0 or not len(self.shares):
            return None
        share, null = measure_recurrence(self.tokens, active, self.everywhere), self.shares[:, n - 1]
        return Recurrence(
            share, float(np.median(null)), float(upper_share(null, np.array([share], dtype=null.dtype))[0])
        )


def _share_by_number(
    tokens: Int64[np.ndarray, " text"],
    component: Float[np.ndarray, " text"],
    most: int,
    everywhere: Int64[np.ndarray, " ids"],
) -> Float[np.ndarray, " most"]:
    """As `measure_recurrence`, of the one, two, … places at which a reading is largest.

    One more place of a token that was there k times adds 2 k pairs of places.
    """
    largest = np.argpartition(-component, most - 1)[:most]
    at = tokens[largest[np.argsort(-component[largest], kind="stable")]]
    by_token = np.argsort(at, kind="stable")
    begins = np.flatnonzero(np.diff(at[by_token], prepend=-1))
    lengths = np.diff(begins, append=len(at))
    earlier = np.empty(len(at))
    earlier[by_token] = np.arange(len(at)) - np.repeat(begins, lengths)
    return np.cumsum(2 * earlier / np.maximum(everywhere[at] - 1, 1)) / np.arange(1, len(at) + 1)
