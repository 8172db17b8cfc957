"""Tokens as features at the embedding: what they write, and what the model reads without them."""

from __future__ import annotations

import numpy as np
import pytest

from tools.bench.workbench import Workbench
from tools.probes.pooling import pool_texts
from tools.probes.token_features import TokenFeatures

TEXTS = ("the doctor met the nurse in the hospital", "a garden and a river", "the river and the bridge " * 9)


@pytest.fixture(scope="module")
def tokens(bench: Workbench) -> TokenFeatures:
    return TokenFeatures(bench, TEXTS)


def test_shares_are_of_a_texts_tokens_and_features_average_to_nothing(bench: Workbench, tokens: TokenFeatures) -> None:
    np.testing.assert_allclose(tokens.shares.sum(axis=1), 1, rtol=1e-5)
    weights = pool_texts(bench, TEXTS).tokens @ tokens.shares  # how often each token stands in all texts
    np.testing.assert_allclose(weights @ tokens.directions, 0, atol=1e-4)
    assert len(tokens.names) == len(set(tokens.names)) == tokens.shares.shape[1] == len(tokens.directions)


def test_what_was_read_is_not_read_again(
    bench: Workbench, tokens: TokenFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tokens.without([2, 1], np.array([0, 2]))
    monkeypatch.setattr(Workbench, "residuals", None)
    again = TokenFeatures(bench, TEXTS)
    np.testing.assert_array_equal(again.shares, tokens.shares)
    np.testing.assert_array_equal(again.without([1, 2], np.array([0, 2])), first)


def test_without_any_the_stream_is_as_it_was(bench: Workbench, tokens: TokenFeatures) -> None:
    pooled = pool_texts(bench, TEXTS)
    np.testing.assert_allclose(tokens.without([], np.arange(3)), pooled.residual, rtol=1e-5, atol=1e-6)


def test_texts_without_the_token_stay_as_they_were_and_others_do_not(bench: Workbench, tokens: TokenFeatures) -> None:
    pooled, place = pool_texts(bench, TEXTS), tokens.names.index(" garden")
    found = tokens.without([place], np.array([0, 1]))
    np.testing.assert_allclose(found[0], pooled.residual[0], rtol=1e-5, atol=1e-6)
    assert not np.allclose(found[1], pooled.residual[1], atol=1e-4)
    assert np.isnan(found[2]).all(), "nobody wanted it"


def test_a_token_that_is_taken_out_looks_like_any_other(bench: Workbench) -> None:
    """With all of them gone, texts of one length are told apart by nothing but where tokens stand: by their positions."""
    texts = ("the doctor met the nurse", "a garden and a river")
    own = TokenFeatures(bench, texts)
    gone, there = own.without(range(len(own.names)), np.arange(2)), own.without([], np.arange(2))
    apart = [float(np.linalg.norm(one[0] - one[1])) for one in (gone, there)]
    assert apart[0] < 0.5 * apart[1]
