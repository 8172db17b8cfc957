"""Which features are investigated, and with what sampling weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent.errors import RunError
from agent.folder.config import RunConfig
from agent.folder.records import Selection
from agent.selection import everything, keywords, listed
from agent.selection.strategy import Ground
from tools.study.definition import (
    ControlDefaults,
    CorpusSource,
    Domain,
    SteeringDefaults,
    Study,
    SurveyDefaults,
    VectorsSource,
)

STUDY = Study(
    name="tiny",
    title="Tiny",
    folder=Path(),
    domain=Domain(name="medicine", definition="Care.", vocabulary="v.txt", guideline="g.md"),
    arms={},
    vectors=VectorsSource(),
    corpus=CorpusSource(),
    steering=SteeringDefaults(prompts=("The",)),
    controls=ControlDefaults(near=5, unrelated=7, random_directions=9),
    candidate_limit=4,
)


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    hits = np.zeros(200, dtype=int)
    hits[[3, 50, 120, 7, 9, 11]] = [5, 2, 3, 2, 2, 4]
    return pd.DataFrame(
        {
            "keyword_hits": hits,
            "top_weights": [np.array([weight]) for weight in rng.random(200)],
            "domain_similarity": rng.random(200),
            "alive": np.ones(200, dtype=bool),
        }
    )


def select_features(table: pd.DataFrame, study: Study, config: RunConfig) -> Selection:
    """As a run does, by a strategy that needs no model."""
    strategies = {"keywords": keywords.choose, "listed": listed.choose, "all": everything.choose}
    return strategies[config.strategy](Ground(table, study, config)).selection


def of(selection, stratum: str) -> list[int]:
    return [item.feature.index for item in selection.items if item.stratum == stratum]


def test_candidates_with_most_hits_come_first_and_the_limit_holds(table: pd.DataFrame) -> None:
    chosen = of(select_features(table, STUDY, RunConfig()), "candidates")
    assert chosen[:3] == [3, 11, 120]
    assert len(chosen) == 4


KNOWN = {
    "as it stands": (
        STUDY,
        RunConfig(),
        [3, 11, 120, 9],
        [20, 39, 108, 149, 182],
        [14, 35, 69, 113, 117, 164, 191],
    ),
    "another seed, few candidates, twice the controls": (
        STUDY,
        RunConfig(seed=3, controls=2, limit=2),
        [3, 11],
        [18, 39, 41, 47, 52, 82, 97, 150, 168, 182],
        [8, 17, 19, 26, 37, 42, 80, 81, 90, 115, 118, 134, 136, 138],
    ),
    "beyond the null": (
        STUDY.model_copy(update={"survey": SurveyDefaults(candidates="null")}),
        RunConfig(seed=1),
        [3, 11],
        [18, 47, 52, 79, 182],
        [19, 25, 93, 96, 106, 129, 143],
    ),
}
"""What was chosen when keywords were the only way to choose."""


@pytest.mark.parametrize("case", KNOWN)
def test_keywords_choose_the_features_that_they_always_chose(surveyed: pd.DataFrame, case: str) -> None:
    study, config, candidates, near, unrelated = KNOWN[case]
    selection = select_features(surveyed, study, config)
    assert of(selection, "candidates") == candidates
    assert of(selection, "near controls") == near
    assert of(selection, "unrelated controls") == unrelated
    assert of(selection, "random directions") == list(range(9 * int(config.controls)))
    assert (selection.strategy, selection.basis, selection.notes) == ("keywords", {}, ())
    assert all("score" not in item.model_dump() for item in selection.items)


def test_all_takes_every_live_feature_and_random_directions(table: pd.DataFrame) -> None:
    table.loc[[3, 0], "alive"] = False
    selection = select_features(table, STUDY, RunConfig(choose="all", controls=0.5))
    features = [item.feature.index for item in selection.items if item.feature.kind == "feature"]
    assert sorted(features) == [i for i in range(200) if i not in (0, 3)]
    assert of(selection, "candidates") == [11, 120, 9, 50, 7]
    assert all(size.drawn == size.population for size in selection.sizes if size.population is not None)
    assert len(of(selection, "random directions")) == round(0.5 * 9)


def test_strata_do_not_overlap_and_controls_have_no_hits(table: pd.DataFrame) -> None:
    selection = select_features(table, STUDY, RunConfig())
    near, unrelated = of(selection, "near controls"), of(selection, "unrelated controls")
    assert (len(near), len(unrelated)) == (5, 7)
    assert not set(near) & set(unrelated)
    assert (table["keyword_hits"][near + unrelated] < 2).all()


def test_near_controls_come_from_the_nearest_tenth(table: pd.DataFrame) -> None:
    negatives = table[table["keyword_hits"] < 2]
    edge = negatives["domain_similarity"].quantile(0.89)
    near = of(select_features(table, STUDY, RunConfig()), "near controls")
    assert (table["domain_similarity"][near] >= edge).all()


def test_sizes_carry_the_sampling_weights(table: pd.DataFrame) -> None:
    sizes = {s.stratum: (s.population, s.drawn) for s in select_features(table, STUDY, RunConfig()).sizes}
    assert sizes == {
        "candidates": (6, 4),
        "near controls": (19, 5),
        "unrelated controls": (175, 7),
        "random directions": (None, 9),
    }


def test_the_seed_decides_the_controls_and_nothing_else(table: pd.DataFrame) -> None:
    one, same, other = (select_features(table, STUDY, RunConfig(seed=seed)) for seed in (1, 1, 2))
    assert one == same
    assert of(one, "candidates") == of(other, "candidates")
    assert of(one, "unrelated controls") != of(other, "unrelated controls")


def test_more_controls_are_the_fewer_ones_and_others(table: pd.DataFrame) -> None:
    few, many = (select_features(table, STUDY, RunConfig(controls=share)) for share in (1, 3))
    for stratum in ("near controls", "unrelated controls"):
        assert set(of(few, stratum)) < set(of(many, stratum))


def test_controls_can_be_left_out(table: pd.DataFrame) -> None:
    selection = select_features(table, STUDY, RunConfig(controls=0))
    assert {item.stratum for item in selection.items} == {"candidates"}


def test_dead_features_are_in_no_stratum(table: pd.DataFrame) -> None:
    table.loc[[3, 0, 1, 2], "alive"] = False
    selection = select_features(table, STUDY, RunConfig(controls=100))
    chosen = {item.feature.index for item in selection.items if item.feature.kind == "feature"}
    assert not chosen & {0, 1, 2, 3}


def test_named_features_are_taken_as_they_are(table: pd.DataFrame) -> None:
    selection = select_features(table, STUDY, RunConfig(features=(3, 0)))
    assert [(i.feature.index, i.stratum) for i in selection.items] == [(3, "candidates"), (0, "unrelated controls")]


def test_a_feature_the_sae_does_not_have_is_refused(table: pd.DataFrame) -> None:
    with pytest.raises(RunError, match="0 to 199, not 200"):
        select_features(table, STUDY, RunConfig(features=(200,)))


def with_rule(**settings: object) -> Study:
    return STUDY.model_copy(update={"survey": SurveyDefaults.model_validate({"candidates": "null", **settings})})


@pytest.fixture
def surveyed(table: pd.DataFrame) -> pd.DataFrame:
    """With the null: 4 % of random directions have two hits, 2 % have three, 0.5 % four, 0.1 % five."""
    shares = {0: 1.0, 2: 0.04, 3: 0.02, 4: 0.005, 5: 0.001}
    return table.assign(keyword_null_share=[shares[hits] for hits in table["keyword_hits"]])


def test_candidates_beyond_the_null_are_the_only_ones_where_the_study_says_so(surveyed: pd.DataFrame) -> None:
    selection = select_features(surveyed, with_rule(), RunConfig())
    assert of(selection, "candidates") == [3, 11]
    assert (selection.rule, selection.least_hits) == ("null", 4)
    assert selection.sizes[0].population == 2
    wider = select_features(surveyed, with_rule(alpha=0.03), RunConfig())
    assert of(wider, "candidates") == [3, 11, 120]
    assert wider.least_hits == 3


def test_published_rule_takes_the_same_features_whatever_the_null_says(
    table: pd.DataFrame, surveyed: pd.DataFrame
) -> None:
    blind, seeing = (select_features(survey, STUDY, RunConfig()) for survey in (table, surveyed))
    assert blind == seeing
    assert (seeing.rule, seeing.least_hits) == ("hits", 2)


def test_features_short_of_the_null_may_be_controls(surveyed: pd.DataFrame) -> None:
    many = with_rule().model_copy(update={"controls": ControlDefaults(near=20, unrelated=500, random_directions=0)})
    selection = select_features(surveyed, many, RunConfig())
    controls = {*of(selection, "near controls"), *of(selection, "unrelated controls")}
    assert controls == set(range(200)) - {3, 11}


def test_null_that_no_feature_beats_leaves_no_candidate(surveyed: pd.DataFrame) -> None:
    selection = select_features(surveyed, with_rule(alpha=1e-4), RunConfig())
    assert of(selection, "candidates") == []
    assert selection.least_hits is None
    named = select_features(surveyed, with_rule(alpha=1e-4), RunConfig(features=(3,)))
    assert [item.stratum for item in named.items] == ["unrelated controls"]


def test_study_may_ask_for_more_hits_than_the_null_does(surveyed: pd.DataFrame) -> None:
    assert select_features(surveyed, with_rule(candidate_hits=5), RunConfig()).least_hits == 5
