"""Small statistics that more than one instrument needs. Checked against known answers and scipy in tests.

Wilson's interval, the binomial tail and Fisher's combination are ours although scipy has them: theirs differ in the last
digits, verdicts and confidences of stored runs rest on these, and such a run has to replay byte for byte.
"""

from __future__ import annotations

import hashlib
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64, Real


class Interval(NamedTuple):
    """A two-sided confidence interval."""

    low: float
    high: float


def seed_of(*parts: object) -> int:
    """64 bits of the sha256 of the parts, joined by `|`: the same in every process, and far apart for like parts."""
    return int.from_bytes(hashlib.sha256("|".join(map(str, parts)).encode()).digest()[:8], "big")


def wilson_interval(successes: int, n: int, z: float = 1.959964) -> Interval:
    """Wilson score interval of a proportion (Wilson 1927), 95 % by default; [0, 1] when nothing was observed."""
    if n == 0:
        return Interval(0.0, 1.0)
    share = successes / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return Interval(max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale))


def binomial_tail(successes: int, n: int, p: float) -> float:
    """P(X >= successes) for X ~ Binomial(n, p): how often chance alone does at least as well."""
    if successes <= 0:
        return 1.0
    if successes > n or p <= 0:
        return 0.0
    if p >= 1:
        return 1.0
    whole, yes, no = math.lgamma(n + 1), math.log(p), math.log1p(-p)  # logarithms: comb(n, k) outgrows a float
    logs = [
        whole - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * yes + (n - k) * no for k in range(successes, n + 1)
    ]
    return min(1.0, math.fsum(map(math.exp, logs)))


def combine_tails(first: float, second: float) -> float:
    """Fisher's combined p-value of two independent tail probabilities: q (1 - ln q) with q their product."""
    product = max(first * second, 1e-300)
    return min(1.0, product * (1 - math.log(product)))


def upper_share(null: Real[np.ndarray, " n"], values: Real[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """For each value the share of a null sample that is at least as large, never 0: (1 + count) / (1 + n).

    The permutation p-value of Phipson and Smyth (2010).
    """
    order = np.sort(null)
    at_least = len(order) - np.searchsorted(order, values, side="left")
    return (1.0 + at_least) / (1.0 + len(order))


def derangement(n: int, seed: int) -> Int64[np.ndarray, " n"]:
    """A random permutation of 0..n-1 that leaves no element in place.

    Raises:
        ValueError: n is 1, for which there is none.
    """
    if n == 1:
        raise ValueError("one element has no derangement")
    rng = np.random.default_rng(seed)
    while True:
        permutation = rng.permutation(n)
        if not np.any(permutation == np.arange(n)):
            return permutation
