"""What is written where features are weighed: known answers, and properties that hold whatever the scores are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.tools.toward.conftest import draw_scores
from tools.bench.workbench import Workbench
from tools.effects.intervention import Change, Intervention
from tools.errors import StudyError
from tools.study.definition import Study
from tools.toward.activity import measure_activity
from tools.toward.rewriting import BEST, Rewrite, Scheme, rewrite
from tools.toward.support import Support, choose_support

OWN = Support(k=6, rule="k of the SAE")
WITH_PREACTIVATIONS = ("standard", "gated", "jumprelu", "topk", "abstopk", "batchtopk", "matryoshka_batchtopk")
PEAKS = torch.full((48,), 2.0)


def make(
    bench: Workbench, scores: torch.Tensor, scheme: Scheme = "swap", support: Support = OWN, **more: Any
) -> Rewrite:
    peaks = PEAKS if scheme == "clamp" else None
    return rewrite(bench, scores, scheme, support, peaks=peaks, **more)


def one_row(scores: torch.Tensor, n: int = 4) -> dict[str, Any]:
    assert len(scores) == 1
    return {"rows": torch.zeros(n, dtype=torch.int64)}


def rebuilt(bench: Workbench, residual: torch.Tensor) -> torch.Tensor:
    return bench.decode_activations(bench.encode(residual), residual)


# Known answers


@pytest.mark.parametrize("score", [1.0, 0.3, 1e-3])
def test_equal_scores_are_the_plain_reconstruction(topk_bench: Workbench, residual: torch.Tensor, score: float) -> None:
    equal = torch.full((1, 48), score)
    dropped = make(topk_bench, equal, keep_error=False, **one_row(equal))
    torch.testing.assert_close(residual + dropped(residual), rebuilt(topk_bench, residual), atol=1e-6, rtol=1e-6)
    kept = make(topk_bench, equal, **one_row(equal)).compare(residual)
    assert not kept.added.any() and not kept.displaced.any() and not kept.moved.any(), "the identity, to the last bit"


@pytest.mark.parametrize("architecture", WITH_PREACTIVATIONS)
def test_equal_scores_are_the_identity_for_every_architecture(
    architecture: str, bench_of: Callable[..., Workbench], residual: torch.Tensor
) -> None:
    own = bench_of(architecture)
    support = Support(k=5, rule="mean L0")
    equal = torch.full((1, 48), 0.7)
    assert not make(own, equal, support=support, **one_row(equal))(residual).any()
    drawn = draw_scores(1)
    assert make(own, drawn, support=support, **one_row(drawn))(residual).any()


@pytest.mark.parametrize("scheme", ["swap", "weight"])
def test_only_feature_with_a_score_is_the_support_wherever_it_is_positive(
    topk_bench: Workbench, residual: torch.Tensor, scheme: Scheme
) -> None:
    before = topk_bench.autoencoder.preactivations(residual)
    share = (before > 0).float().mean(dim=(0, 1))
    feature = int((share - 0.5).abs().argmin())  # positive at about half of the positions
    only = torch.zeros(1, 48)
    only[0, feature] = 1
    found = make(topk_bench, only, scheme, keep_error=False, **one_row(only))
    alone = torch.zeros_like(before)
    alone[..., feature] = before[..., feature].clamp_min(0)
    assert 0.1 < float((alone > 0).any(dim=-1).float().mean()) < 0.9
    expected = topk_bench.decode_activations(alone, residual)
    torch.testing.assert_close(residual + found(residual), expected, atol=1e-5, rtol=1e-5)


def test_swap_writes_the_original_preactivations_of_the_features_with_the_largest_products(
    topk_bench: Workbench, residual: torch.Tensor
) -> None:
    """Against a loop over positions and features, with nothing of the rewriting in it."""
    scores = draw_scores(1)
    before = topk_bench.autoencoder.preactivations(residual)
    own = before / topk_bench.autoencoder.written_norms
    swapped, weighed = torch.zeros_like(before), torch.zeros_like(before)
    for row in range(4):
        for place in range(8):
            products = (own[row, place] * scores[0]).tolist()
            for feature in sorted(range(48), key=lambda i: -products[i])[:6]:
                if products[feature] > 0:
                    swapped[row, place, feature] = before[row, place, feature]
                    weighed[row, place, feature] = before[row, place, feature] * scores[0, feature]
    expectations: tuple[tuple[Scheme, torch.Tensor], ...] = (("swap", swapped), ("weight", weighed))
    for scheme, expected in expectations:
        made = make(topk_bench, scores, scheme, **one_row(scores))
        change = topk_bench.decode_activations(expected, residual) - rebuilt(topk_bench, residual)
        torch.testing.assert_close(made(residual), change, atol=1e-5, rtol=1e-5)
        found, encoded = made.compare(residual), topk_bench.encode(residual)
        torch.testing.assert_close(
            found.moved, (expected - encoded).abs().sum(-1) / encoded.sum(-1), atol=1e-5, rtol=1e-5
        )
        stayed = ((expected > 0) & (encoded > 0)).sum(-1)
        torch.testing.assert_close(found.displaced, 1 - stayed / (encoded > 0).sum(-1))
        mass = torch.zeros(48).index_add(0, found.features.flatten(), found.masses.flatten())
        torch.testing.assert_close(mass, (expected - encoded).abs().sum(dim=(0, 1)), atol=1e-4, rtol=1e-4)


def test_clamp_raises_the_best_scored_features_by_a_share_of_their_peaks(
    topk_bench: Workbench, residual: torch.Tensor
) -> None:
    scores = draw_scores(1)
    best = scores[0].topk(BEST).indices
    made = make(topk_bench, scores, "clamp", raised_by=0.25, **one_row(scores))
    written = (0.25 * PEAKS[best])[:, None] * topk_bench.directions[best]
    torch.testing.assert_close(made(residual), written.sum(0).expand_as(residual), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", WITH_PREACTIVATIONS)
@pytest.mark.parametrize("kind", ["none", "layer_norm"])
def test_reconstruction_drops_the_error_whatever_is_asked_for(
    architecture: str, kind: str, bench_of: Callable[..., Workbench], residual: torch.Tensor
) -> None:
    own = bench_of(architecture, normalize_activations=kind)
    scores = draw_scores(1)
    made = make(own, scores, "reconstruction", keep_error=True, **one_row(scores))
    torch.testing.assert_close(residual + made(residual), rebuilt(own, residual), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("scheme", ["swap", "weight", "clamp"])
def test_what_is_dropped_is_the_error(topk_bench: Workbench, residual: torch.Tensor, scheme: Scheme) -> None:
    scores = draw_scores(1)
    kept, dropped = (make(topk_bench, scores, scheme, keep_error=keep, **one_row(scores)) for keep in (True, False))
    error = residual - rebuilt(topk_bench, residual)
    torch.testing.assert_close(kept(residual) - dropped(residual), error, atol=1e-5, rtol=1e-5)


def test_features_that_write_either_way_are_chosen_by_how_much(
    bench_of: Callable[..., Workbench], residual: torch.Tensor
) -> None:
    own = bench_of("abstopk")
    only = torch.zeros(1, 48)
    only[0, 7] = 1
    before = own.autoencoder.preactivations(residual)[..., 7]
    assert bool((before < 0).any())
    made = make(own, only, keep_error=False, **one_row(only))
    alone = torch.zeros(*before.shape, 48)
    alone[..., 7] = before
    expected = own.decode_activations(alone, residual)
    torch.testing.assert_close(residual + made(residual), expected, atol=1e-5, rtol=1e-5)


# What is refused, and what is left alone


@pytest.mark.parametrize(
    ("value", "said"), [(torch.nan, "1 scores are NaN"), (1.01, "outside"), (-0.01, "outside"), (torch.inf, "outside")]
)
@pytest.mark.parametrize("scheme", get_args(Scheme))
def test_scores_that_are_none_are_refused_at_once(
    topk_bench: Workbench, scheme: Scheme, value: float, said: str
) -> None:
    scores = draw_scores(2)
    scores[1, 5] = value
    with pytest.raises(ValueError, match=said):
        make(topk_bench, scores, scheme)


def test_shapes_that_do_not_fit_are_refused(topk_bench: Workbench) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        make(topk_bench, draw_scores(1, 47))
    with pytest.raises(ValueError, match="49 features cannot be chosen of 48"):
        make(topk_bench, draw_scores(1), support=Support(k=49, rule="mean L0"))
    with pytest.raises(ValueError, match="a clamp, and nothing else"):
        rewrite(topk_bench, draw_scores(1), "clamp", OWN)


@pytest.mark.parametrize("architecture", ["temporal", "matching_pursuit"])
def test_architectures_that_read_no_feature_alone_are_refused_before_anything_is_measured(
    architecture: str, bench_of: Callable[..., Workbench]
) -> None:
    with pytest.raises(StudyError, match="features are not read one by one: use another SAE"):
        make(bench_of(architecture), draw_scores(1))


def test_bos_and_attention_sinks_are_left_as_they_are(topk_bench: Workbench, tokens: torch.Tensor) -> None:
    stream = topk_bench.residuals(tokens)
    stream[1, 4] *= 100
    for scheme in get_args(Scheme):
        found = make(topk_bench, draw_scores(2), scheme).compare(stream)
        untouched = ~found.added.any(dim=-1)
        assert untouched.nonzero().tolist() == [[0, 0], [1, 0], [1, 4]]
        assert not found.masses[untouched].any() and not found.displaced[untouched].any()


# Rows


@pytest.mark.parametrize("scheme", get_args(Scheme))
def test_rows_with_different_scores_do_not_touch_each_other(
    topk_bench: Workbench, residual: torch.Tensor, scheme: Scheme
) -> None:
    scores = draw_scores(3)
    rows = torch.tensor([2, 0, 2, 1])
    together = make(topk_bench, scores, scheme, rows=rows)(residual)
    for place, row in enumerate(rows.tolist()):
        alone = make(topk_bench, scores[[row]], scheme)(residual[[place]])
        torch.testing.assert_close(together[[place]], alone, atol=1e-6, rtol=1e-6)
    part = make(topk_bench, scores, scheme, rows=rows).take(torch.tensor([3, 3, 0]))
    torch.testing.assert_close(part(residual[[3, 3, 0]]), together[[3, 3, 0]], atol=1e-6, rtol=1e-6)


def test_rows_that_are_changed_alike_have_one_signature_and_scores_are_kept_once(topk_bench: Workbench) -> None:
    rows = torch.arange(400) % 2
    made = make(topk_bench, draw_scores(2), rows=rows)
    assert isinstance(made, Change)
    assert made.signature().shape == (400, 1) and made.scores.shape == (2, 48)
    chosen, places = Intervention(made).distinct_rows()
    assert chosen.tolist() == [0, 1] and torch.equal(places, rows)
    assert made.take(chosen).scores.data_ptr() == made.scores.data_ptr()


def test_blocks_of_positions_change_nothing(
    topk_bench: Workbench, residual: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(topk_bench, draw_scores(4))
    whole = made.compare(residual)
    monkeypatch.setattr(topk_bench, "budget", 1)
    for one, other in zip(made.compare(residual), whole, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


# Whatever the scores are


@pytest.fixture(scope="module")
def toy(bench_of: Callable[..., Workbench]) -> Workbench:
    """Seven features, three at a time."""
    return bench_of("topk", d_sae=7, k=3)


score = st.floats(0, 1, width=32, allow_subnormal=False)


@given(scores=st.lists(score, min_size=7, max_size=7), k=st.integers(1, 7), seed=st.integers(0, 2**16))
def test_support_never_exceeds_k_and_holds_positive_features_with_a_score(
    toy: Workbench, scores: list[float], k: int, seed: int
) -> None:
    given_scores = torch.tensor([scores])
    stream = 3 * torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(seed))
    before = toy.autoencoder.preactivations(stream)[0]
    found = rewrite(toy, given_scores, "swap", Support(k=k, rule="mean L0"))
    text = found.site.is_text(stream)[0]
    moves = found.move(toy.autoencoder.read_preactivations(stream[0]), torch.zeros(5, dtype=torch.int64))
    after = torch.zeros(5, 7).scatter_add(1, moves.features, moves.after)
    assert int((after != 0).sum(dim=1).max()) <= k
    chosen = after != 0
    torch.testing.assert_close(after[chosen], before[chosen], atol=1e-6, rtol=1e-6)
    assert bool((before[chosen] > 0).all()) and not bool(chosen[:, given_scores[0] == 0].any())
    products = before / toy.autoencoder.written_norms * given_scores
    for place in range(5):  # nothing that was left out has a larger product than what was taken
        left, taken = products[place][~chosen[place]].clamp_min(0), products[place][chosen[place]]
        if int(chosen[place].sum()) == k:
            assert float(left.max() if len(left) else 0) <= float(taken.min()) * (1 + 1e-6)
        else:
            assert not bool((left > 1e-30).any())
    compared = found.compare(stream)
    assert bool((compared.displaced >= 0).all()) and bool((compared.displaced <= 1).all())
    assert bool(compared.added[0][~text].eq(0).all())


@given(seed=st.integers(0, 2**16), constant=st.floats(2**-10, 1, width=32))
def test_equal_scores_move_nothing(toy: Workbench, seed: int, constant: float) -> None:
    stream = 3 * torch.randn(2, 4, 32, generator=torch.Generator().manual_seed(seed))
    found = rewrite(toy, torch.full((2, 7), constant), "swap", Support(k=3, rule="k of the SAE")).compare(stream)
    assert float(found.added.abs().max()) < 1e-6 and not found.displaced.any()


# The support


def test_support_is_the_saes_own_k_or_its_mean_l0(
    topk_bench: Workbench, bench_of: Callable[..., Workbench], study: Study
) -> None:
    assert choose_support(topk_bench) == Support(k=6, rule="k of the SAE")
    own = bench_of("jumprelu")
    with pytest.raises(ValueError, match="has no k of its own: measure its activity"):
        choose_support(own)
    text = own.read_text(study, "train", own.row_width)
    activity = measure_activity(own, text)
    real = torch.from_numpy(text.real)
    encoded = own.encode(own.residuals(torch.from_numpy(text.tokens)))[real]
    assert activity.n_tokens == len(encoded)
    assert activity.l0 == pytest.approx(float((encoded > 0).sum(dim=1).double().mean()))
    torch.testing.assert_close(activity.density, (encoded > 0).float().mean(dim=0))
    torch.testing.assert_close(activity.peaks, encoded.amax(dim=0))
    assert choose_support(own, activity) == Support(k=round(activity.l0), rule="mean L0", l0=activity.l0)
    with pytest.raises(StudyError, match="nothing to rewrite"):
        choose_support(own, activity._replace(l0=0.2))
