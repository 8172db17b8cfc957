"""Measures of an SAE of sums of known directions: known answers, floors, and the edges of the library's own functions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sae_lens.synthetic import eval_sae_on_synthetic_data, feature_uniqueness

from tools.errors import LoadError
from tools.truth.sums_run import as_sae, count_presences, measure_directions, measure_recovery
from tools.worlds.sums import Sums

N, D, EXAMPLES = 24, 24, 3000


@pytest.fixture(scope="module")
def sums() -> Sums:
    """Hardly any overlap: as many dimensions as directions, which are all but orthogonal."""
    made = Sums(
        {
            "num_features": N,
            "hidden_dim": D,
            "bias": 1.0,
            "firing_probability": {"generator_name": "linear", "max_prob": 0.2, "min_prob": 0.05},
            "std_firing_magnitudes": 0.1,
        }
    )
    made.model.feature_dict.feature_vectors.data = torch.linalg.qr(made.directions).Q.contiguous()
    return made


def shape(sae: Any, order: torch.Tensor) -> Any:
    """Its features in another order, some perhaps twice or not at all."""
    sae.W_enc.data, sae.W_dec.data = sae.W_enc.data[:, order].contiguous(), sae.W_dec.data[order].contiguous()
    sae.b_enc.data, sae.threshold.data = sae.b_enc.data[order], sae.threshold.data[order]
    return sae


def test_the_directions_in_any_order_are_found_one_and_all(sums: Sums) -> None:
    found = measure_recovery(shape(as_sae(sums, 0.5), torch.randperm(N)), sums, EXAMPLES)
    assert found.mcc == pytest.approx(1) == found.mcc_active
    assert found.uniqueness == 1 == found.uniqueness_active
    assert found.f1 > 0.999 and found.explained_variance > 0.999 and found.dead == 0
    assert found.l0 == pytest.approx(count_presences(sums, EXAMPLES), rel=1e-3)
    assert found.exchanged_f1 < 0.2


def test_the_directions_themselves_are_the_ceiling(sums: Sums) -> None:
    assert measure_directions(sums, 1000).f1 > 0.999
    crowded = Sums({**sums.generator, "num_features": 96})
    best = measure_directions(crowded, 1000)
    assert best.mcc == pytest.approx(1) and best.uniqueness == 1  # and presences cannot all be read off what overlaps
    assert best.f1 < 0.9
    assert best.f1 >= max(measure_recovery(as_sae(crowded, share), crowded, 1000).f1 for share in (0.1, 0.9)) - 0.05


def test_random_directions_are_at_their_floor(sums: Sums) -> None:
    many = Sums({**sums.generator, "num_features": 200, "hidden_dim": 50})
    sae, drawn = as_sae(many, 0.5), torch.Generator().manual_seed(1)
    sae.W_dec.data = torch.randn(200, 50, generator=drawn)
    sae.W_enc.data = sae.W_dec.data.T / 50**0.5
    found = measure_recovery(sae, many, 500)
    assert found.mcc == pytest.approx(0.37, abs=0.06)
    assert found.uniqueness == pytest.approx(1 - (1 - 1 / 200) ** 200, abs=0.08)  # of 200 throws at 200 places
    assert found.f1 < 0.25


def test_features_that_are_there_twice_lower_uniqueness_and_what_they_took_the_place_of_lowers_mcc(sums: Sums) -> None:
    half = torch.arange(N // 2).repeat(2)
    found = measure_recovery(shape(as_sae(sums, 0.5), half), sums, 500)
    assert found.uniqueness == 0.5
    assert found.mcc == pytest.approx(0.5, abs=0.01)  # directions are orthogonal: the others are met by nothing


def test_a_row_that_points_the_other_way_counts_by_its_size_alone(sums: Sums) -> None:
    sae = as_sae(sums, 0.5)
    sae.W_dec.data = -sae.W_dec.data
    found = measure_recovery(sae, sums, EXAMPLES)
    assert found.mcc == pytest.approx(1) and found.f1 > 0.999
    assert found.explained_variance < 0  # what is written says that it is wrong


def test_a_feature_that_is_never_active_counts_in_the_published_figures_and_not_beside_them(sums: Sums) -> None:
    sae = as_sae(sums, 0.5)
    sae.threshold.data[: N // 2] = 1e6
    found = measure_recovery(sae, sums, 500)
    assert (found.dead, found.mcc, found.uniqueness) == (N // 2, pytest.approx(1), 1)
    assert found.mcc_active == pytest.approx(0.5) and found.uniqueness_active == 0.5
    assert found.f1 == pytest.approx(0.5, abs=0.01)


def test_an_sae_with_nothing_active_has_found_nothing(sums: Sums) -> None:
    sae = as_sae(sums, 1e6)
    found = measure_recovery(sae, sums, 200)
    assert (found.dead, found.l0, found.f1, found.mcc_active, found.uniqueness_active) == (N, 0, 0, 0, 0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["W_dec", "W_enc", "b_dec", "threshold"])
def test_weights_that_are_no_numbers_are_refused(sums: Sums, name: str, value: float) -> None:
    sae = as_sae(sums, 0.5)
    getattr(sae, name).data[5] = value
    with pytest.raises(LoadError, match=f"{name} holds values that are not finite"):
        measure_recovery(sae, sums, 200)


def test_of_weights_that_are_no_numbers_the_library_would_give_a_figure_like_any_other(sums: Sums) -> None:
    """Why they are refused: once this fails, they need not be."""
    broken = sums.directions.clone()
    broken[0] = torch.nan
    assert 0 < feature_uniqueness(broken, sums.directions) <= 1


def test_the_figures_are_those_of_the_librarys_own_evaluation(sums: Sums) -> None:
    sae = as_sae(sums, 0.4)
    found = measure_recovery(sae, sums, 4000)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        theirs = eval_sae_on_synthetic_data(
            sae, sums.model.feature_dict, sums.model.activation_generator, num_samples=4000
        )
    assert found.mcc == pytest.approx(theirs.mcc) and found.uniqueness == theirs.uniqueness
    for own, other in (
        (found.f1, theirs.classification.f1_score),
        (found.precision, theirs.classification.precision),
        (found.recall, theirs.classification.recall),
        (found.explained_variance, theirs.explained_variance),
        (found.l0, theirs.sae_l0),
    ):
        assert own == pytest.approx(other, abs=0.03)


def test_a_seed_gives_the_same_figures_twice_and_another_one_nearly_the_same(sums: Sums) -> None:
    sae = as_sae(sums, 1.0)
    first = measure_recovery(sae, sums, 2000, seed=1)
    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    assert measure_recovery(sae, sums, 2000, seed=1) == first
    assert torch.equal(torch.rand(3), expected)
    other = measure_recovery(sae, sums, 2000, seed=2)
    assert other != first and other.f1 == pytest.approx(first.f1, abs=0.03)


def test_fewer_features_than_directions_are_matched_to_as_many(sums: Sums) -> None:
    """As published: an SAE of few features may have found all that it can, and only SAEs of one size are compared."""
    few = shape(as_sae(sums, 0.5), torch.arange(4))
    few.cfg.d_sae = 4
    found = measure_recovery(few, sums, 500)
    assert found.mcc == pytest.approx(1) and found.uniqueness == 1
