"""What a judge's confidence is worth: scores with their parts, reliability, maps that mend it, and risk by coverage.

Confidence is the judge's own chance of being right; right is agreeing with the people's consensus. Only answers count:
what was left undecided, or failed, has no confidence to examine.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import isotonic_regression, minimize_scalar
from scipy.special import expit, logit

from evals.agreement.results import Bin, Calibration, Calibrator, RiskPoint, Scores
from evals.statistics.bootstrap import gather_units, resample
from evals.statistics.estimate import Estimate, estimate_statistic
from tools.maths import wilson_interval

BINS = 10
FEWEST_IN_BIN = 10
FEWEST_TO_FIT = 20
"""Answers on each half; with fewer, no map is fitted."""
_EDGE = 1e-6
_WIDEST = 4.0
"""Log of the largest temperature considered."""


class Answered(NamedTuple):
    """Answers with a confidence, and whether they are right."""

    confidence: Float[np.ndarray, " n"]
    right: Bool[np.ndarray, " n"]
    owner: Int[np.ndarray, " n"]
    """The feature each is about."""

    def part(self, kept: Bool[np.ndarray, " n"]) -> Answered:
        """Some of them."""
        return Answered(self.confidence[kept], self.right[kept], self.owner[kept])

    def stating(self, confidence: Float[np.ndarray, " n"]) -> Answered:
        """The same answers with other confidences."""
        return self._replace(confidence=confidence)


def calibrate(answered: Answered, unanswered: int, seed: int = 0) -> Calibration:
    """Score the confidences, fit maps on a random half of the features and score them on the other.

    Args:
        answered: answers of people-labelled features.
        unanswered: labelled features without one.
        seed: of the halves and the bootstrap.
    """
    rng = np.random.default_rng(seed)
    constant = np.full(len(answered.right), answered.right.mean())
    scores = [
        score("stated", answered, seed),
        score("control: always the share of right answers", answered.stating(constant), seed),
        score("control: shuffled", answered.stating(rng.permutation(answered.confidence)), seed),
    ]
    features = np.unique(answered.owner)
    fitted_on = np.isin(answered.owner, rng.permutation(features)[: len(features) // 2])
    fitted, held_out = answered.part(fitted_on), answered.part(~fitted_on)
    calibrators: list[Calibrator] = []
    if min(len(fitted.right), len(held_out.right)) >= FEWEST_TO_FIT:
        calibrators = [fit_temperature(fitted), fit_isotonic(fitted)]
        scores.append(score("stated, held-out half", held_out, seed))
        for one in calibrators:
            mapped = held_out.stating(apply_calibrator(one, held_out.confidence))
            scores.append(score(f"{one.method}, held-out half", mapped, seed))
    curve = risk_by_coverage(answered, unanswered)
    return Calibration(
        scores=tuple(scores),
        bins=reliability_bins(answered),
        calibrators=tuple(calibrators),
        curve=curve,
        area=_area(curve),
        area_floor=float(1 - answered.right.mean()),
        unanswered=unanswered,
    )


def score(name: str, answered: Answered, seed: int = 0) -> Scores:
    """Brier score with its decomposition, expected calibration error over equal-mass bins, and log loss.

    Args:
        name: of the confidences.
        answered: at least one answer.
        seed: of the bootstrap.
    """
    p, y = answered.confidence, answered.right.astype(float)
    places = equal_mass_bins(p)
    hot = (places[:, None] == np.arange(places.max() + 1)).astype(float)
    n = hot.sum(0)
    mean_p, mean_y = hot.T @ p / n, hot.T @ y / n
    spread_p = p - mean_p[places]
    clipped = np.clip(p, _EDGE, 1 - _EDGE)
    brier, ece = _resampled(answered, (p - y) ** 2, hot * (y - p)[:, None], seed)
    return Scores(
        name=name,
        n=len(p),
        brier=brier,
        reliability=float(n @ (mean_p - mean_y) ** 2 / len(p)),
        resolution=float(n @ (mean_y - y.mean()) ** 2 / len(p)),
        uncertainty=float(y.mean() * (1 - y.mean())),
        within_bins=float((spread_p**2).mean() - 2 * (spread_p * (y - mean_y[places])).mean()),
        ece=ece,
        log_loss=float(-(y * np.log(clipped) + (1 - y) * np.log1p(-clipped)).mean()),
    )


def equal_mass_bins(confidence: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Bin of each answer: up to ten bins of about equal size; equal confidences share a bin, so there may be fewer."""
    wanted = int(np.clip(len(confidence) // FEWEST_IN_BIN, 1, BINS))
    edges = np.unique(np.quantile(confidence, np.arange(1, wanted) / wanted))
    places = np.searchsorted(edges, confidence, "right")
    return np.unique(places, return_inverse=True)[1]


def reliability_bins(answered: Answered) -> tuple[Bin, ...]:
    """Share of right answers by stated confidence."""
    places = equal_mass_bins(answered.confidence)
    bins: list[Bin] = []
    for place in range(int(places.max()) + 1):
        inside = answered.part(places == place)
        right, n = int(inside.right.sum()), len(inside.right)
        interval = wilson_interval(right, n)
        mean = float(inside.confidence.mean())
        bins.append(Bin(n=n, confidence=mean, right=right / n, low=interval.low, high=interval.high))
    return tuple(bins)


def fit_temperature(answered: Answered) -> Calibrator:
    """The one number that the log-odds are divided by so that the log loss is least (Guo et al. 2017)."""
    odds, y = logit(np.clip(answered.confidence, _EDGE, 1 - _EDGE)), answered.right

    def loss(log_temperature: float) -> float:
        scaled = odds / np.exp(log_temperature)
        return float(np.logaddexp(0, np.where(y, -scaled, scaled)).mean())

    found: Any = minimize_scalar(loss, bounds=(-_WIDEST, _WIDEST), method="bounded")
    return Calibrator(method="temperature", n_fitted=len(y), temperature=float(np.exp(found.x)))


def fit_isotonic(answered: Answered) -> Calibrator:
    """The non-decreasing map with the least squared error (pool adjacent violators)."""
    levels, place, counts = np.unique(answered.confidence, return_inverse=True, return_counts=True)
    means = np.bincount(place, weights=answered.right.astype(float)) / counts
    fitted: Any = isotonic_regression(means, weights=counts)
    return Calibrator(
        method="isotonic",
        n_fitted=len(answered.right),
        confidence=tuple(map(float, levels)),
        calibrated=tuple(map(float, fitted.x)),
    )


def apply_calibrator(calibrator: Calibrator, confidence: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Mended confidences."""
    if calibrator.temperature is not None:
        return expit(logit(np.clip(confidence, _EDGE, 1 - _EDGE)) / calibrator.temperature)
    return np.interp(confidence, calibrator.confidence, calibrator.calibrated)


def risk_by_coverage(answered: Answered, unanswered: int) -> tuple[RiskPoint, ...]:
    """Errors among the answers if only those at least so sure were given, from the surest on."""
    total = len(answered.right) + unanswered
    points: list[RiskPoint] = []
    for threshold in np.unique(answered.confidence)[::-1]:
        kept = answered.right[answered.confidence >= threshold]
        points.append(RiskPoint(threshold=float(threshold), coverage=len(kept) / total, risk=float(1 - kept.mean())))
    return tuple(points)


def _area(curve: tuple[RiskPoint, ...]) -> float | None:
    """Mean risk over the answered share; answers of equal confidence count as one step."""
    if not curve:
        return None
    widths = np.diff([0.0, *(point.coverage for point in curve)])
    return float(widths @ np.array([point.risk for point in curve]) / curve[-1].coverage)


def _resampled(
    answered: Answered, squares: Float[np.ndarray, " n"], gaps: Float[np.ndarray, "n bins"], seed: int
) -> tuple[Estimate, Estimate]:
    """Mean square and summed size of the mean gaps, with their intervals over features."""
    table = np.zeros((int(answered.owner.max()) + 1, gaps.shape[1] + 2))
    np.add.at(table, answered.owner, np.column_stack([squares, gaps, np.ones(len(squares))]))
    units = gather_units(table[table[:, -1] > 0])
    sums = resample(units, seed)
    brier, ece = (
        estimate_statistic(statistic, units, sums)
        for statistic in (
            lambda total: total[..., 0] / np.maximum(total[..., -1], 1),
            lambda total: np.abs(total[..., 1:-1]).sum(-1) / np.maximum(total[..., -1], 1),
        )
    )
    return brier, ece
