"""Table 2: what the coherence tables give, for the kept features and for all."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from evals.audit.checks import Check, Finding, each_arm, of_all
from evals.audit.claims import D_SAE, DIFFERENCE, NORMALISED_DIFFERENCE
from evals.audit.clone import Arm, Clone, fill
from evals.audit.fitting import fit_statistic
from evals.audit.records import Status

SECTION = "coherence"


def list_checks(clone: Clone) -> list[Check]:
    """Every line on coherence."""
    line = partial(each_arm, clone, SECTION)
    return [
        *line("mean, said to be of the entire feature set", _published_mean, _mean_all),
        *line("the same figure as the kept features' mean", _published_mean, _mean_kept),
        Check(SECTION, "difference of the means", f"{DIFFERENCE:.4f}", partial(_difference, clone.arms)),
        Check(SECTION, "normalised difference", f"{NORMALISED_DIFFERENCE:.4f}", partial(_normalised, clone.arms)),
        *line("scores lie between 0 and 1", "all", _negative),
        *line("the tables agree with each other", "yes", _consistent),
    ]


def _published_mean(arm: Arm) -> str:
    return f"{arm.claims.coherence:.4f}"


def _kept_scores(arm: Arm) -> list[list[float]]:
    return [[row.coherence] for row in fill(arm.scored_kept, arm.scored_kept_file).values()]


def _mean_all(arm: Arm) -> Finding:
    groups = [[row.coherence] for row in arm.all_scored().values()]
    return fit_statistic(np.mean, [groups], [D_SAE], arm.claims.coherence, 4)


def _mean_kept(arm: Arm) -> Finding:
    return fit_statistic(np.mean, [_kept_scores(arm)], [arm.claims.kept], arm.claims.coherence, 4)


def _negative(arm: Arm) -> Finding:
    scores = [row.coherence for row in arm.all_scored().values()]
    outside = sum(not -1e-6 <= score <= 1 + 1e-6 for score in scores)
    status: Status = "differs" if outside else of_all(len(scores), D_SAE)
    return Finding(f"{outside:,} of {len(scores):,} lie outside", status)


def _consistent(arm: Arm) -> Finding:
    """The kept features' table, the list of kept features and the table of all say the same."""
    rows = fill(arm.scored_kept, arm.scored_kept_file)
    kept, everything = arm.kept_features(), arm.all_scored()
    odd = set(rows) ^ set(kept)
    odd |= {i for i in rows if i in everything and rows[i].tokens != everything[i].tokens}
    odd |= {i for i in rows if i in everything and abs(rows[i].coherence - everything[i].coherence) > 1e-6}
    odd |= {i for i in rows if i in kept and not set(rows[i].tokens) <= set(kept[i].top)}
    recorded = f"{len(odd)} of {len(set(rows) | set(kept))} kept features are told otherwise by one of three files"
    return Finding(recorded, "differs" if odd else "agrees")


def _difference(arms: tuple[Arm, Arm]) -> Finding:
    return fit_statistic(_mean_difference, [_kept_scores(arm) for arm in arms], _wholes(arms), DIFFERENCE, 4)


def _normalised(arms: tuple[Arm, Arm]) -> Finding:
    scores = [_kept_scores(arm) for arm in arms]
    return fit_statistic(_normalised_difference, scores, _wholes(arms), NORMALISED_DIFFERENCE, 4)


def _wholes(arms: tuple[Arm, Arm]) -> list[int]:
    return [arm.claims.kept for arm in arms]


def _mean_difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(one.mean() - other.mean())


def _normalised_difference(one: np.ndarray, other: np.ndarray) -> float:
    spread = float(np.ptp(one) + np.ptp(other)) / 2
    return _mean_difference(one, other) / spread if spread else math.nan
