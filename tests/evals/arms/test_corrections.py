"""Corrections for the number of tests, against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from evals.arms.corrections import benjamini_hochberg, holm

P_VALUES = (0.01, 0.04, 0.03, 0.005, 0.5, 0.04)


def test_holm_steps_down() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@pytest.mark.parametrize(("correct", "method"), [(holm, "holm"), (benjamini_hochberg, "fdr_bh")])
def test_both_agree_with_statsmodels(correct: object, method: str) -> None:
    assert callable(correct)
    for seed in range(20):
        p = np.random.default_rng(seed).uniform(0, 0.2, 7).tolist() if seed else list(P_VALUES)
        assert correct(p) == pytest.approx(multipletests(p, method=method)[1].tolist())


def test_nothing_to_correct_is_nothing() -> None:
    assert holm([]) == benjamini_hochberg([]) == []
