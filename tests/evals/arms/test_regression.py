"""A planted slope is found, its absence is not, and too little gives no regression."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from evals.arms.regression import regress
from evals.arms.runs import Arm
from evals.arms.summary import read_run
from tests.evals.arms.worlds import World, write_arm


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> tuple[Arm, Arm]:
    folder = tmp_path_factory.mktemp("regression")
    worlds = (World(), World("tuned", seed=5))
    left, right = (read_run(write_arm(folder / world.name, world)).arm for world in worlds)
    return left, right


def planted(arm: Arm, slope: float, n: int = 120, seed: int = 0) -> Arm:
    """Investigated features whose wins rise with coherence, noisier the more coherent they are."""
    rng = np.random.default_rng(seed)
    coherence = rng.uniform(0, 1, n)
    table = pd.DataFrame(
        {
            "judged": "no",
            "stratum": "candidates",
            "coherence": coherence,
            "lead": rng.normal(4, 1, n),
            "kurtosis": rng.normal(3, 1, n),
            "excess": slope * coherence + rng.normal(0, 0.05 + 0.2 * coherence, n),
            "lift": rng.normal(3, 1, n),
        }
    )
    return arm._replace(table=table)


def test_a_planted_slope_is_found_and_others_are_not(arms: tuple[Arm, Arm]) -> None:
    found = regress(planted(arms[0], 1.0), planted(arms[1], 1.0, seed=1))
    wins = next(one for one in found if one.outcome == "wins beyond the null")
    by_name = {row.name: row for row in wins.coefficients}
    slope = by_name["coherence"]
    assert slope.low < np.std(np.random.default_rng(0).uniform(0, 1, 120)) < slope.high  # per standard deviation
    assert slope.p_adjusted is not None and slope.p_adjusted < 1e-6
    assert by_name["kurtosis of the logit weights"].p_adjusted > 0.2
    assert by_name["arm tuned"].p_adjusted is None
    assert wins.n == 240


def test_errors_are_robust_to_unequal_spread(arms: tuple[Arm, Arm]) -> None:
    left, right = planted(arms[0], 0.3), planted(arms[1], 0.3, seed=1)
    row = regress(left, right)[0].coefficients[0]
    table = pd.concat([left.table.assign(arm=0.0), right.table.assign(arm=1.0)])
    columns = [
        (table[name] - table[name].mean()) / table[name].std(ddof=0) for name in ("coherence", "lead", "kurtosis")
    ]
    design = np.column_stack([np.ones(len(table)), *columns, table["arm"]])
    robust = sm.OLS(table["excess"].to_numpy(), design).fit(cov_type="HC3", use_t=True)
    assert (row.value, row.low, row.high) == pytest.approx((robust.params[1], *robust.conf_int()[1]))


def test_too_few_features_give_no_regression(arms: tuple[Arm, Arm]) -> None:
    assert regress(planted(arms[0], 1.0, n=8), planted(arms[1], 1.0, n=8)) == []


def test_a_predictor_that_never_varies_gives_no_regression(arms: tuple[Arm, Arm]) -> None:
    left, right = (planted(arm, 1.0) for arm in arms)
    flat = [arm._replace(table=arm.table.assign(kurtosis=3.0)) for arm in (left, right)]
    assert regress(*flat) == []


def test_real_runs_are_read(arms: tuple[Arm, Arm], tmp_path: Path) -> None:
    found = regress(*arms)
    assert [one.over for one in found] == ["investigated features"] * 2  # ten random directions an arm are too few
    assert all(0 <= one.r_squared <= 1 for one in found)
