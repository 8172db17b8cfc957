"""Which features a measure is taken over, and how limited candidates are dealt with."""

from __future__ import annotations

import numpy as np
import pytest

from evals.arms.contrasts import bound_difference
from evals.arms.measures import MEASURES
from evals.arms.runs import Arm
from evals.arms.strata import count_strata
from evals.arms.summary import read_run
from tests.evals.arms.worlds import N_FEATURES, World, write_arm


def take(arm: Arm, key: str) -> float | None:
    return next(measure for measure in MEASURES if measure.key == key).take(arm).value


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Arm]:
    worlds = {
        "all": World(),
        "limited": World(investigated=14, relevant=5),
        "few": World(investigated=6, relevant=3),
        "limited llm": World(investigated=10, relevant=5, judge="llm"),
    }
    folder = tmp_path_factory.mktemp("arms")
    return {name: read_run(write_arm(folder / name, world)).arm for name, world in worlds.items()}


def test_the_published_share_counts_direct_hits_of_the_whole_sae(arms: dict[str, Arm]) -> None:
    assert take(arms["all"], "hits_direct") == pytest.approx(16 / N_FEATURES)
    assert take(arms["all"], "beyond_null") < take(arms["all"], "hits")


def test_the_rules_judge_leaves_nothing_unknown_where_candidates_are_limited(arms: dict[str, Arm]) -> None:
    """The candidates not drawn have no more hits than random directions: it would reject them unseen."""
    drawn, *_ = count_strata(arms["limited"])
    assert int(arms["limited"].table["beyond"].sum()) <= 14
    assert (drawn.population, drawn.drawn, drawn.ruled_out, drawn.unknown) == (16, 14, 2, 0)
    assert take(arms["limited"], "relevant") == pytest.approx(5 / N_FEATURES)


def test_candidates_of_which_nothing_is_known_are_estimated_without_those_that_are_settled(
    arms: dict[str, Arm],
) -> None:
    """Half of the six investigated are relevant: they stand for the candidates beyond the null, not for all sixteen."""
    beyond = int(arms["few"].table["beyond"].sum())
    drawn, *_ = count_strata(arms["few"])
    assert (drawn.weighed, drawn.unknown, drawn.ruled_out) == (6, beyond - 6, 16 - beyond)
    assert take(arms["few"], "relevant") == pytest.approx(beyond * 3 / 6 / N_FEATURES)


def test_whatever_was_not_investigated_is_within_the_bounds(tmp_path: Path) -> None:
    limited = read_run(write_arm(tmp_path / "few", World(investigated=6, relevant=3))).summary
    unknown = limited.strata[0].unknown
    assert unknown == 8
    assert limited.relevant_bounds == pytest.approx((3 / N_FEATURES, (3 + unknown) / N_FEATURES))
    whole = read_run(write_arm(tmp_path / "all", World("tuned"))).summary
    assert whole.relevant_bounds == pytest.approx((8 / N_FEATURES, 8 / N_FEATURES))
    assert bound_difference([limited], [whole]) == pytest.approx((-3 / N_FEATURES, 5 / N_FEATURES))
    assert bound_difference([whole], [whole]) is None


def test_of_an_llm_judge_nothing_is_known_of_what_it_did_not_see(arms: dict[str, Arm]) -> None:
    strata = count_strata(arms["limited llm"])
    assert [stratum.ruled_out for stratum in strata] == [0, 0, 0]
    assert strata[0].unknown == 6
    share = 16 / N_FEATURES * 5 / 10  # no feature of the control strata is relevant
    assert take(arms["limited llm"], "relevant") == pytest.approx(share)


def test_all_features_are_strata_at_their_shares_of_the_living(arms: dict[str, Arm]) -> None:
    arm = arms["all"]
    strata = {stratum.stratum: stratum.population for stratum in count_strata(arm)}
    assert sum(strata.values()) == N_FEATURES - 1
    means = {name: arm.table.loc[arm.table["stratum"] == name, "excess"].mean() for name in strata}
    expected = sum(strata[name] * means[name] for name in strata) / (N_FEATURES - 1)
    assert take(arm, "excess_all") == pytest.approx(expected)


def test_what_random_directions_reach_is_taken_off(arms: dict[str, Arm]) -> None:
    arm = arms["all"]
    floor = float(arm.random["excess"].mean())
    assert take(arm, "excess_over_random") == pytest.approx(take(arm, "excess") - floor)
    assert take(arm, "coherence_over_random_all") == pytest.approx(
        take(arm, "coherence_all") - arm.random["coherence"].mean()
    )


def test_coherence_without_a_value_is_0_as_published_and_missing_as_corrected(arms: dict[str, Arm]) -> None:
    table = arms["all"].table
    assert table["coherence_published"].iloc[N_FEATURES - 2] == 0
    assert np.isnan(table["coherence"].iloc[N_FEATURES - 1])
    measure = next(one for one in MEASURES if one.key == "coherence_all")
    assert measure.take(arms["all"]).n == N_FEATURES - 6  # every tenth has no value; the dead feature is one of them


def test_keys_are_unique_and_five_measures_carry_the_verdicts() -> None:
    measures = MEASURES
    assert len({measure.key for measure in measures}) == len(measures)
    assert [measure.claim for measure in measures if measure.claim].count("relevant") == 1
    assert sum(measure.claim is not None for measure in measures) == 5
