"""Linear probes where the answer is linear, and where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tools.truth.worlds import chunked
from tools.truth.examples import Chunk
from tools.truth.scores import measure
from tools.truth.skyline import Linear, fit_logistic, fit_ridge

FITS = (fit_ridge, fit_logistic)


@pytest.fixture(scope="module")
def splits() -> list[list[Chunk]]:
    """Residuals of which the first variable is half a space, the second a rare one, the third an exclusive or, the fourth
    true throughout; far from the origin and unequally long, as residuals are."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(3):
        z = rng.normal(size=(1500, 6))
        truths = np.stack(
            [z[:, 0] > 0, z[:, 1] + z[:, 2] > 2.5, (z[:, 3] > 0) ^ (z[:, 4] > 0), np.ones(1500)], axis=1
        ).astype(bool)
        made.append(chunked(z * [5, 1, 1, 1, 1, 9] + [100, 0, -7, 0, 0, 30], truths))
    return made


@pytest.mark.parametrize("fit", FITS)
def test_what_is_linear_is_read_and_what_is_not_is_not(splits: list[list[Chunk]], fit: object) -> None:
    train, development, test = splits
    probes: Linear = fit(train, development)  # type: ignore[operator]
    f1 = measure(test, [probes.predict])[0].by_variable()
    assert f1[0] > 0.95
    assert f1[1] > 0.85
    assert f1[2] < 0.75
    assert np.isnan(f1[3])


def test_ridge_is_the_textbook_one(splits: list[list[Chunk]]) -> None:
    from sklearn.linear_model import LinearRegression

    train, development, _ = splits
    inputs = np.concatenate([chunk.activations for chunk in train]).astype(np.float64)
    truths = np.concatenate([chunk.truths for chunk in train])
    expected = LinearRegression().fit(inputs, truths[:, 0])
    found = fit_ridge(train, development)
    cosine = expected.coef_ @ found.weights[:, 0] / np.linalg.norm(expected.coef_) / np.linalg.norm(found.weights[:, 0])
    assert cosine == pytest.approx(1, abs=1e-3)


def test_cuts_are_chosen_for_f1_which_half_is_not_for_a_rare_variable(splits: list[list[Chunk]]) -> None:
    from sklearn.linear_model import LinearRegression

    train, development, test = splits
    inputs, truths = (np.concatenate([chunk[i] for chunk in train]) for i in (0, 1))
    plain = LinearRegression().fit(inputs.astype(np.float64), truths[:, 1])
    at_half = Linear(np.tile(plain.coef_[:, None], 4), np.full(4, plain.intercept_ - 0.5))
    chosen, half = (
        scores.by_variable()[1] for scores in measure(test, [fit_ridge(train, development).predict, at_half.predict])
    )
    assert half < chosen - 0.1


@pytest.mark.parametrize("fit", FITS)
def test_constant_inputs_break_nothing(fit: object) -> None:
    rng = np.random.default_rng(1)
    stream = chunked(np.ones((60, 3)), rng.random((60, 2)) < 0.5)
    probes: Linear = fit(stream, stream)  # type: ignore[operator]
    assert np.isfinite(probes.weights).all()
    assert np.isfinite(probes.biases).all()
