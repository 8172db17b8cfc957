"""Does coherence, or the shape of the logit weights, tell how well a feature steers? The published study planned to ask.

Ordinary least squares over the investigated features of both arms, with heteroscedasticity-robust standard errors (HC3) and
the strata and arms as groups of their own. The same is fitted to random directions: what holds for them as well is no
property of features.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from evals.arms.inference import adjust
from evals.arms.results import Coefficient, Regression
from evals.arms.runs import Arm, column, equals

PREDICTORS = {
    "coherence": "coherence",
    "lead": "largest logit weight, in the row's standard deviations",
    "kurtosis": "kurtosis of the logit weights",
}
OUTCOMES = {
    "excess": "wins beyond the null",
    "lift": "log-probability of the words, nats",
}
FEWEST = 30
"""Directions that a regression needs."""
SAME = 1e-9
"""A predictor that spreads less does not vary."""


class _Row(NamedTuple):
    name: str
    of_interest: bool
    value: float
    low: float
    high: float
    p: float


class _Fit(NamedTuple):
    outcome: str
    over: str
    n: int
    r_squared: float
    rows: list[_Row]


def regress(base: Arm, finetuned: Arm) -> list[Regression]:
    """Both outcomes over features, and over random directions; nothing where too few were investigated."""
    arms = (base, finetuned)
    sets = {
        "investigated features": _stack([(arm.name, arm.table) for arm in arms]),
        "random directions": _stack([(arm.name, arm.random) for arm in arms]),
    }
    fits = [
        fitted
        for over, table in sets.items()
        for outcome in OUTCOMES
        if (fitted := _fit(table, outcome, over)) is not None
    ]
    corrected = iter(adjust([row.p for fit in fits for row in fit.rows if row.of_interest], "holm"))
    return [_as_record(fit, [next(corrected) if row.of_interest else None for row in fit.rows]) for fit in fits]


def _stack(tables: Sequence[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """What was investigated of all arms, in one table."""
    columns = [*PREDICTORS, *OUTCOMES, "stratum"]
    return pd.concat([table.dropna(subset=["judged"])[columns].assign(arm=name) for name, table in tables])


def _fit(table: pd.DataFrame, outcome: str, over: str) -> _Fit | None:
    """Predictors and outcome that are continuous are standardised, the outcome is left in its own unit."""
    known = table.dropna(subset=[*PREDICTORS, outcome])
    if len(known) < FEWEST or any(column(known, name).std() < SAME for name in PREDICTORS):
        return None
    columns: list[tuple[str, bool, np.ndarray]] = []
    for name, title in PREDICTORS.items():
        values = column(known, name)
        columns.append((title, True, (values - values.mean()) / values.std()))
    for name in ("arm", "stratum"):
        for group in list(dict.fromkeys(known[name]))[1:]:
            columns.append((f"{name} {group}", False, equals(known, name, str(group)).astype(float)))
    result = _least_squares(column(known, outcome), [values for _, _, values in columns])
    ends = np.asarray(result.conf_int())
    rows: list[_Row] = []
    for place, (name, of_interest, _) in enumerate(columns, 1):
        value, p = float(result.params[place]), float(result.pvalues[place])
        rows.append(_Row(name, of_interest, value, float(ends[place][0]), float(ends[place][1]), p))
    return _Fit(outcome, over, len(known), float(result.rsquared), rows)


def _least_squares(outcome: np.ndarray, columns: Sequence[np.ndarray]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations that importing statsmodels raises inside its own dependencies
        import statsmodels.api as sm

    return sm.OLS(outcome, np.column_stack([np.ones(len(outcome)), *columns])).fit(cov_type="HC3", use_t=True)


def _as_record(fit: _Fit, corrected: Sequence[float | None]) -> Regression:
    return Regression(
        outcome=OUTCOMES[fit.outcome],
        over=fit.over,
        n=fit.n,
        r_squared=fit.r_squared,
        coefficients=tuple(
            Coefficient(name=row.name, value=row.value, low=row.low, high=row.high, p=row.p, p_adjusted=adjusted)
            for row, adjusted in zip(fit.rows, corrected, strict=True)
        ),
    )
