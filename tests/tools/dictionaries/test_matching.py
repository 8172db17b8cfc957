"""Dictionaries with known relations: copies, strangers, replaced, planted, flipped, split and dead rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from tools.dictionaries.assignment import Likeness, assign, compare_rows, max_null
from tools.dictionaries.matching import (
    KEPT_COSINE,
    DictionaryMatching,
    FeatureMatch,
    MatchStatus,
    match_dictionaries,
    seed_ceiling,
)

N, D_MODEL = 300, 96


def draw(n: int, seed: int, d_model: int = D_MODEL, flat: bool = True) -> torch.Tensor:
    """Rows of different lengths; not flat: crowded in few directions, as decoder rows are."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(n, d_model, generator=generator)
    spectrum = torch.ones(d_model) if flat else torch.linspace(1, 0.05, d_model) ** 2
    return rows * spectrum * (0.5 + torch.rand(n, 1, generator=generator))


def shuffle(rows: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return rows[order], order


def normed(rows: torch.Tensor) -> torch.Tensor:
    return rows / rows.norm(dim=1, keepdim=True)


def counts(matching: DictionaryMatching) -> tuple[int, int, int, int]:
    return matching.kept, matching.shifted, matching.new, matching.lost


@pytest.mark.parametrize("flat", [True, False])
def test_permuted_copy_is_kept_whole_and_every_row_finds_itself(flat: bool) -> None:
    left = draw(N, seed=1, flat=flat)
    right, order = shuffle(2.5 * left, seed=2)
    matching = match_dictionaries(left, right)
    assert counts(matching) == (N, 0, 0, 0)
    assert matching.kept_share == matching.paired_share == 1
    assert {m.left: m.right for m in matching.matches} == {int(row): place for place, row in enumerate(order)}
    assert all(m.cosine == pytest.approx(1) for m in matching.matches)


@pytest.mark.parametrize("flat", [True, False])
def test_strangers_share_nothing_even_where_rows_crowd(flat: bool) -> None:
    matching = match_dictionaries(draw(N, seed=1, flat=flat), draw(N, seed=2, flat=flat))
    assert matching.kept == 0
    assert matching.paired <= 0.03 * N  # one in a hundred passes the null by its definition
    assert matching.lost >= 0.95 * N
    assert matching.new >= 0.95 * N


def test_three_in_ten_replaced_leaves_seven_in_ten() -> None:
    left = draw(N, seed=1)
    changed = left.clone()
    changed[: N * 3 // 10] = draw(N * 3 // 10, seed=9)
    right, _ = shuffle(changed, seed=2)
    matching = match_dictionaries(left, right)
    assert matching.kept_share == 0.7
    assert {row for row, status in matching.left_status.items() if status == "kept"} == set(range(N * 3 // 10, N))
    assert matching.lost >= 0.28 * N
    assert matching.new >= 0.28 * N


def test_planted_direction_is_the_only_new_one() -> None:
    left = draw(N, seed=1)
    right, _ = shuffle(torch.cat([left, draw(1, seed=11)]), seed=4)
    matching = match_dictionaries(left, right)
    (new,) = [m for m in matching.matches if m.status == "new"]
    assert new.left is None
    assert new.right is not None
    torch.testing.assert_close(right[new.right], draw(1, seed=11)[0])
    assert new.cosine is not None
    assert new.cosine < matching.null_threshold
    assert counts(matching) == (N, 0, 1, 0)


def test_turned_rows_are_shifted_not_kept() -> None:
    left = normed(draw(N, seed=1))
    across = draw(20, seed=5)
    across = normed(across - (across * left[:20]).sum(dim=1, keepdim=True) * left[:20])
    matching = match_dictionaries(left, torch.cat([0.6 * left[:20] + 0.8 * across, left[20:]]))
    shifted = [m for m in matching.matches if m.status == "shifted"]
    assert [(m.left, m.right) for m in shifted] == [(row, row) for row in range(20)]
    assert all(m.cosine == pytest.approx(0.6) for m in shifted)
    assert matching.kept == N - 20


def test_sign_counts() -> None:
    left = draw(N, seed=1)
    flipped = torch.cat([-left[:10], left[10:]])
    matching = match_dictionaries(left, flipped)
    assert matching.kept == N - 10
    assert {row for row, status in matching.left_status.items() if status == "lost"} == set(range(10))
    assert {row for row, status in matching.right_status.items() if status == "new"} == set(range(10))


def test_feature_split_in_two_is_not_taken_for_a_new_one() -> None:
    left = normed(draw(N, seed=1))
    halves = left[0] + 0.6 * normed(draw(2, seed=7))
    matching = match_dictionaries(left, torch.cat([halves, left[1:]]))
    assert matching.new == 0
    assert matching.left_status[0] == "kept"
    (spare,) = [m for m in matching.matches if m.left is None]
    assert spare.status == "shifted"
    assert spare.cosine is not None
    assert spare.cosine > KEPT_COSINE
    back = match_dictionaries(torch.cat([halves, left[1:]]), left)
    assert (back.lost, back.shifted) == (0, 1)


def test_dead_features_and_rows_without_length_are_left_out() -> None:
    left = draw(N, seed=1)
    right = left.clone()
    right[0] = 0
    alive = torch.ones(N, dtype=torch.bool)
    alive[-30:] = False
    matching = match_dictionaries(left, right, left_alive=alive, right_alive=alive)
    assert (matching.n_left, matching.n_right) == (N - 30, N - 31)
    assert counts(matching) == (N - 31, 0, 0, 1)
    assert set(matching.left_status) == set(range(N - 30))
    assert set(matching.right_status) == set(range(1, N - 30))


def test_empty_dictionary_loses_everything() -> None:
    none = torch.zeros(N, dtype=torch.bool)
    matching = match_dictionaries(draw(N, seed=1), draw(N, seed=1), right_alive=none)
    assert counts(matching) == (0, 0, 0, N)
    assert {m.cosine for m in matching.matches} == {None}
    assert match_dictionaries(draw(N, seed=1), draw(N, seed=1), left_alive=none).kept_share == 0


def test_assignment_is_the_best_of_all_where_cosines_below_the_null_count_as_the_null() -> None:
    left = normed(draw(60, seed=1, d_model=8))
    right = normed(draw(50, seed=2, d_model=8))
    matching = match_dictionaries(left, right)
    clipped = np.maximum((left @ right.T).numpy(), matching.null_threshold)
    rows, columns = linear_sum_assignment(-clipped)
    best = float((clipped[rows, columns] - matching.null_threshold).sum())
    pairs = [m for m in matching.matches if m.left is not None and m.right is not None]
    gained = sum(m.cosine - matching.null_threshold for m in pairs if m.cosine is not None)
    assert best > 0
    assert gained == pytest.approx(best, abs=1e-5)
    assert len({m.right for m in pairs}) == len(pairs)


def test_one_near_pair_is_worth_more_than_two_hardly_beyond_chance() -> None:
    pairs = np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0.9, 0.5, 0.5])
    like = Likeness(*pairs, nearest_left=np.array([0.9, 0.5]), nearest_right=np.array([0.9, 0.5]))
    assert assign(like, threshold=0.45) == {0: (0, 0.9)}
    assert assign(like, threshold=0.0) == {0: (1, 0.5), 1: (0, 0.5)}


def test_blocks_change_nothing() -> None:
    left, right = normed(draw(N, seed=1, flat=False)), normed(draw(N, seed=2, flat=False))
    threshold = max_null(left, right)
    assert max_null(left, right, block_rows=37) == pytest.approx(threshold, abs=1e-6)
    whole, cut = compare_rows(left, right, threshold), compare_rows(left, right, threshold, block_rows=37)
    assert (cut.left.tolist(), cut.right.tolist()) == (whole.left.tolist(), whole.right.tolist())
    for name in ("cosine", "nearest_left", "nearest_right"):
        np.testing.assert_allclose(getattr(cut, name), getattr(whole, name), atol=1e-6)


def test_sides_can_be_exchanged() -> None:
    left, right = draw(N, seed=1), draw(N, seed=1) + 0.8 * draw(N, seed=2)
    there, back = match_dictionaries(left, right), match_dictionaries(right, left)
    assert counts(there) == (back.kept, back.shifted, back.lost, back.new)
    assert there.null_threshold == pytest.approx(back.null_threshold)


def test_null_is_passed_by_one_random_direction_in_a_hundred() -> None:
    left, right = normed(draw(N, seed=1, flat=False)), normed(draw(20, seed=2, flat=False))
    threshold = max_null(left, right, seed=0)
    for source, target in ((left, right), (right, left)):
        weights = torch.randn(20_000, len(source), generator=torch.Generator().manual_seed(123))
        best = (normed(weights @ source) @ target.T).amax(dim=1)
        assert float((best > threshold).float().mean()) < 0.016


def test_null_is_higher_where_rows_crowd() -> None:
    flat = max_null(normed(draw(N, seed=1)), normed(draw(N, seed=2)))
    crowded = max_null(normed(draw(N, seed=1, flat=False)), normed(draw(N, seed=2, flat=False)))
    assert crowded > flat + 0.1


def test_kept_asks_for_more_than_chance_where_chance_finds_more_than_the_usual_bound() -> None:
    left, right = draw(200, seed=1, d_model=3), draw(200, seed=2, d_model=3)
    matching = match_dictionaries(left, right)
    assert matching.kept_threshold == matching.null_threshold > KEPT_COSINE
    assert matching.kept <= 0.1 * 200


def test_same_seed_gives_the_same_record() -> None:
    left, right = draw(N, seed=1, flat=False), draw(N, seed=2, flat=False)
    first = match_dictionaries(left, right, seed=3)
    assert first == match_dictionaries(left, right, seed=3)
    assert first.null_threshold != match_dictionaries(left, right, seed=4).null_threshold
    assert DictionaryMatching.model_validate_json(first.model_dump_json()) == first


def test_rows_of_another_dimension_are_refused() -> None:
    with pytest.raises(ValueError, match="96 and of 95 dimensions"):
        match_dictionaries(draw(4, seed=1), draw(4, seed=1, d_model=95))


def test_nearest_is_the_largest_cosine_on_either_side() -> None:
    left, right = normed(draw(20, seed=1)), normed(draw(30, seed=2))
    cosines = (left @ right.T).numpy()
    like = compare_rows(left, right, threshold=0.1)
    np.testing.assert_allclose(like.nearest_left, cosines.max(axis=1))
    np.testing.assert_allclose(like.nearest_right, cosines.max(axis=0))
    assert len(like.cosine) == (cosines >= 0.1).sum()


def matching_with(kept: int, shifted: int, lost: int) -> DictionaryMatching:
    sizes: tuple[tuple[MatchStatus, int], ...] = (("kept", kept), ("shifted", shifted), ("lost", lost))
    statuses: list[MatchStatus] = [status for status, n in sizes for _ in range(n)]
    return DictionaryMatching(
        n_left=len(statuses),
        n_right=kept + shifted,
        null_threshold=0.3,
        kept_threshold=0.7,
        null_draws=1,
        seed=0,
        matches=tuple(
            FeatureMatch(left=row, right=None if status == "lost" else row, cosine=0.5, status=status)
            for row, status in enumerate(statuses)
        ),
    )


def test_ceiling_is_mean_and_range_of_the_shares() -> None:
    ceiling = seed_ceiling([matching_with(2, 3, 5), matching_with(4, 4, 2), matching_with(3, 2, 5)])
    assert ceiling.n == 3
    assert (ceiling.kept.mean, ceiling.kept.minimum, ceiling.kept.maximum) == (pytest.approx(0.3), 0.2, 0.4)
    assert (ceiling.paired.mean, ceiling.paired.minimum, ceiling.paired.maximum) == (pytest.approx(0.6), 0.5, 0.8)


def test_ceiling_of_no_matching_is_refused() -> None:
    with pytest.raises(ValueError, match="no matching"):
        seed_ceiling([])
