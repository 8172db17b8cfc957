"""Over SAE seeds: what three against three can show, and which runs may be taken together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_ind

from evals.arms.guards import ComparisonError
from evals.arms.results import ArmSummary
from evals.arms.seeds import compare_over_seeds, compare_seeds, least_p, sort_seeds
from evals.arms.summary import read_run, read_summaries, write_summaries
from tests.evals.arms.worlds import World, write_arm


def summary(
    arm: str, model: str, sae: str, settings: dict[str, str | None] | None = None, **figures: float
) -> ArmSummary:
    return ArmSummary(
        run_id=f"run-{arm}",
        arm=arm,
        model_sha256=model,
        sae_sha256=sae,
        size=100,
        settings=settings or {"seed": "0"},
        figures=figures,
        n={},
    )


def test_three_against_three_cannot_give_less_than_a_tenth() -> None:
    assert least_p(3, 3) == pytest.approx(0.1)
    assert least_p(2, 2) == pytest.approx(1 / 3)
    assert least_p(3, 4) == pytest.approx(1 / 35)
    found = compare_seeds([0.1, 0.11, 0.12], [0.5, 0.52, 0.51])
    assert found is not None
    assert found.p_permutation == pytest.approx(0.1)
    assert found.p < 0.001


def test_the_interval_is_welchs() -> None:
    left, right = [1.0, 1.4, 1.1], [1.9, 2.5, 2.0]
    found = compare_seeds(left, right)
    assert found is not None
    tested = ttest_ind(right, left, equal_var=False)
    ends = tested.confidence_interval(0.95)
    assert (found.low, found.high, found.p) == pytest.approx((ends.low, ends.high, tested.pvalue))
    assert found.noise == pytest.approx(np.sqrt((np.var(left, ddof=1) + np.var(right, ddof=1)) / 2))


def test_a_difference_within_seed_noise_is_not_found() -> None:
    rng = np.random.default_rng(0)
    p = [compare_seeds(rng.normal(0, 1, 3).tolist(), rng.normal(0, 1, 3).tolist()) for _ in range(400)]
    assert np.mean([one is not None and one.p <= 0.05 for one in p]) < 0.075


def test_one_sae_an_arm_says_nothing() -> None:
    assert compare_seeds([0.1], [0.2, 0.3]) is None


def test_seeds_without_any_noise_leave_the_difference_as_it_is() -> None:
    found = compare_seeds([1.0, 1.0], [1.0, 1.0])
    assert found is not None and (found.difference, found.p) == (0, 1)


def test_runs_go_to_the_arm_whose_model_they_ran() -> None:
    base, tuned = summary("base", "B", "b0"), summary("tuned", "T", "t0")
    seeds = sort_seeds(base, tuned, [summary("base-1", "B", "b1"), summary("tuned-1", "T", "t1")])
    assert [one.arm for one in seeds.base] == ["base", "base-1"]
    assert [one.arm for one in seeds.finetuned] == ["tuned", "tuned-1"]
    assert seeds.faults == []


def test_the_compared_saes_are_not_counted_twice() -> None:
    base, tuned = summary("base", "B", "b0"), summary("tuned", "T", "t0")
    assert len(sort_seeds(base, tuned, [base, tuned, base]).base) == 1


def test_a_run_of_a_third_model_is_refused() -> None:
    with pytest.raises(ComparisonError, match="ran neither arm's model"):
        sort_seeds(summary("base", "B", "b0"), summary("tuned", "T", "t0"), [summary("x", "X", "x0")])


def test_a_seed_run_with_other_settings_is_a_fault() -> None:
    base, tuned = summary("base", "B", "b0"), summary("tuned", "T", "t0")
    other = summary("base-1", "B", "b1", {"seed": "1"})
    assert sort_seeds(base, tuned, [other]).faults == ["seed differs (base: 0, base-1: 1)"]


def test_a_measure_that_one_sae_lacks_is_left_out() -> None:
    sides = [summary("base", "B", f"b{i}", relevant=0.1 * i, excess=0.1) for i in range(2)]
    others = [summary("tuned", "T", "t0", relevant=0.3, excess=0.2), summary("tuned-1", "T", "t1", relevant=0.4)]
    assert set(compare_over_seeds(sort_seeds(sides[0], others[0], [sides[1], others[1]]))) == {"relevant"}


def test_summaries_are_small_and_read_back_as_written(tmp_path: Path) -> None:
    one = read_run(write_arm(tmp_path / "b")).summary
    file = tmp_path / "arms.jsonl"
    write_summaries(file, [one])
    write_summaries(file, [one])  # the same run again replaces its line
    assert [known.summary for known in read_summaries(file)] == [one]
    assert [known.summary for known in read_summaries(tmp_path / "b")] == [one]
    assert file.stat().st_size < 8000


def test_a_summary_has_the_runs_own_figures(tmp_path: Path) -> None:
    found = read_run(write_arm(tmp_path / "b", World(relevant=5))).summary
    assert found.figures["relevant"] == pytest.approx(5 / 60)
    assert found.n["relevant"] == 60
    assert found.n["excess"] == found.n["excess_over_random"] == 5
