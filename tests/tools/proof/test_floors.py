"""Floors with known answers, both ways: what is dead is told, and nothing that is alive is called dead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agent.cases import make_evidence, make_pairs
from tools.proof.floors import (
    DeadFloor,
    NullSample,
    Surveyed,
    find_dead,
    keep_alive,
    reasons_for,
    reasons_in,
    steering_reason,
)
from tools.records import (
    ActivationEvidence,
    CausalEvidence,
    CoherenceEvidence,
    Evidence,
    FeatureRef,
    KeywordEvidence,
    KeywordHit,
    SteeringEvidence,
    Stratum,
)


def steered(fluent: int, n: int = 10, null: float = 0.5, **changes: Any) -> SteeringEvidence:
    """Steering of which only some texts are fluent; those are won, the null is what it must then be."""
    pairs = tuple(pair.model_copy(update={"collapsed": place >= fluent}) for place, pair in enumerate(make_pairs(n)))
    fields = {"pairs": pairs, "n": n, "win_rate": fluent / n, "null_win_rate": null * fluent / n, **changes}
    whole = make_evidence().steering
    assert whole
    return whole.model_copy(update=fields)


def record(index: int, stratum: Stratum = "candidates", **changes: Any) -> Evidence:
    kind = "random_direction" if stratum == "random directions" else "feature"
    feature = FeatureRef.model_validate({"study": "toy", "sae": "base", "index": index, "kind": kind})
    projection = make_evidence().projection
    assert projection
    own = projection.top[0].model_copy(update={"token": f" unit{index}"})
    changes = {"projection": projection.model_copy(update={"top": (own, *projection.top[1:])}), **changes}
    return make_evidence(feature=feature, stratum=stratum, **changes)


def keywords(hits: int, share: float) -> KeywordEvidence:
    found = tuple(KeywordHit(token=f" w{i}", word=f"w{i}", joined=False) for i in range(hits))
    return KeywordEvidence(hits=found, n_top=10, substring_hits=0, null_share=share)


def coherence(value: float | None, share: float | None = 0.3, coverage: float = 0.8) -> CoherenceEvidence:
    return CoherenceEvidence(
        weighted=value, deduplicated=value, n_valid=round(10 * coverage), coverage=coverage, null_share=share
    )


def contexts(share: float, peaks: int = 10, documents: int = 20) -> ActivationEvidence:
    return ActivationEvidence(
        domain_lift=2.0, domain_share=share, domain_peaks=peaks, peak_documents=documents, density=0.01, top=()
    )


def healthy(n: int = 6) -> list[Evidence]:
    """Two strata in which everything differs from direction to direction, as it does in a run that is well."""
    strata: tuple[Stratum, ...] = ("candidates", "random directions")
    return [
        record(
            i,
            stratum,
            keywords=keywords(i % 4, (1.0, 0.05, 0.01, 0.002)[i % 4]),
            coherence=coherence(0.1 + 0.07 * i, 1 - 0.14 * i),
            activations=contexts(0.06),
            steering=steered(10 - i % 2),
        )
        for stratum in strata
        for i in range(n)
    ]


def found(evidence: Sequence[Evidence], **more: Any) -> dict[tuple[str, str | None], str]:
    return {(one.instrument, one.stratum): one.why for one in find_dead(evidence, **more)}


# --- alive ------------------------------------------------------------------------------------------------------------


def test_nothing_is_dead_in_evidence_that_looks_healthy() -> None:
    assert found(healthy()) == {}
    assert find_dead([]) == ()
    assert find_dead([Evidence(feature=make_evidence().feature, stratum="imported")]) == ()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_healthy_steering_keywords_and_coherence_stay_alive(seed: int) -> None:
    """As a run that is well leaves them: nine texts in ten can be won, the null is about half, shares are a survey's."""
    rng = np.random.default_rng(seed)
    null_hits, null_scores = rng.poisson(0.4, 4000), rng.normal(0.3, 0.1, 4000)
    evidence: list[Evidence] = []
    strata: tuple[Stratum, ...] = ("candidates", "near controls", "random directions")
    for stratum in strata:
        for i in range(int(rng.integers(8, 20))):
            hits, score = int(rng.poisson(0.6)), float(rng.normal(0.35, 0.1))
            evidence.append(
                record(
                    i,
                    stratum,
                    keywords=keywords(hits, float((1 + (null_hits >= hits).sum()) / 4001)),
                    coherence=coherence(score, float((1 + (null_scores >= score).sum()) / 4001)),
                    activations=contexts(float(rng.uniform(0.01, 0.3))),
                    steering=steered(int(rng.integers(8, 11)), null=float(rng.uniform(0.4, 0.6))),
                    causal=CausalEvidence(
                        n_contexts=9, ablation_effect=-0.3, survival_ratio=0.8, auroc=rng.uniform(0.6, 1)
                    ),
                )
            )
    assert find_dead(evidence) == ()
    assert find_dead(evidence, null=NullSample(null_hits, null_scores)) == ()


# --- steering ---------------------------------------------------------------------------------------------------------


def test_a_stratum_whose_texts_are_mostly_refused_is_dead_and_its_neighbour_is_not() -> None:
    evidence = [record(i, steering=steered(1)) for i in range(5)]
    evidence += [record(i, "near controls", steering=steered(9)) for i in range(5)]
    dead = found(evidence)
    assert list(dead) == [("steering", "candidates")]
    assert dead["steering", "candidates"] == "of 50 steered texts only 5 can win or lose: 45 refused as not fluent"


def test_steering_that_is_dead_in_every_stratum_is_dead_altogether() -> None:
    evidence = [record(i, stratum, steering=steered(1)) for stratum in ("candidates", "near controls") for i in (1, 2)]
    assert list(found(evidence)) == [("steering", None)]


@pytest.mark.parametrize(
    ("steering", "why"),
    [
        (steered(10, null=0.0), "0% of 10 texts"),
        (steered(10, null=1.0), "100% of 10 texts"),
        (steered(10, null=0.2), "20% of 10 texts"),
        (steered(10, pairs=(), null_win_rate=0.04), "4% of 10 texts"),
        (
            steered(10).model_copy(update={"n": 0, "win_rate": 0.0, "null_win_rate": 0.0}),
            "none of the 1 directions has words",
        ),
        (steered(10, positions_steered=0), "changed no position"),
        (steered(4, n=4), "4 texts are too few"),
        (
            steered(10, pairs=tuple(p.model_copy(update={"score_steered": p.score_unsteered}) for p in make_pairs(10))),
            "only 0 can win or lose: 10 tied",
        ),
        (
            steered(10, pairs=tuple(p.model_copy(update={"score_steered": None}) for p in make_pairs(10))),
            "10 without words to compare",
        ),
    ],
)
def test_every_way_in_which_steered_texts_measure_nothing(steering: SteeringEvidence, why: str) -> None:
    told = steering_reason([record(1, steering=steering)])
    assert told is not None
    assert why in told


@pytest.mark.parametrize(("fluent", "null"), [(10, 0.3), (10, 0.7), (5, 0.5), (7, 0.5)])
def test_texts_of_which_half_can_win_against_a_null_near_half_are_alive(fluent: int, null: float) -> None:
    assert steering_reason([record(1, steering=steered(fluent, null=null))]) is None


def test_five_texts_are_the_fewest_that_could_show_anything() -> None:
    assert steering_reason([record(1, steering=steered(5, n=5))]) is None  # 0.5 ** 5 is below 5 %
    assert steering_reason([record(1, steering=steered(4, n=4))]) is not None


# --- keywords and the lens --------------------------------------------------------------------------------------------


def test_a_lens_whose_random_directions_all_have_as_many_hits_is_dead() -> None:
    scores = np.linspace(0, 1, 50)
    told = found(healthy(), null=NullSample(np.full(50, 3), scores))
    assert told == {("keywords", None): "all 50 random directions have 3 hits, so that none can be told from them"}
    assert found(healthy(), null=NullSample(np.array([0] * 49 + [1]), scores)) == {}


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_keyword_null_of_nothing_or_everything_is_dead(share: float) -> None:
    evidence = [record(i, keywords=keywords(1 + i % 3, share)) for i in range(5)]
    assert list(found(evidence)) == [("keywords", None)]


def test_a_constant_keyword_null_is_told_from_a_stored_survey() -> None:
    hits = np.array([0, 1, 2, 3, 4])
    constant, graded = np.array([1, 1, 0.01, 0.01, 0.01]), np.array([1, 0.4, 0.05, 0.01, 0.01])
    evidence = [record(1, keywords=keywords(3, 0.01))]
    assert list(found(evidence, surveyed=Surveyed(hits, constant))) == [("keywords", None)]
    assert found(evidence, surveyed=Surveyed(hits, graded)) == {}


def test_a_lens_that_reads_every_random_direction_alike_is_dead() -> None:
    same = [record(i, "random directions", projection=make_evidence().projection) for i in range(6)]
    assert ("keywords", None) in found(same)
    assert ("keywords", None) not in found(same[:2])


# --- coherence --------------------------------------------------------------------------------------------------------


def test_a_constant_coherence_null_is_dead() -> None:
    evidence = [record(i, coherence=coherence(0.1 * i, 1.0 if i < 3 else 0.001)) for i in range(8)]
    assert list(found(evidence)) == [("coherence", None)]
    flat = NullSample(np.array([0, 1]), np.array([0.3, 0.3, np.nan]))
    assert list(found(healthy(), null=flat)) == [("coherence", None)]
    assert list(found(healthy(), null=flat._replace(coherence=np.full(3, np.nan)))) == [("coherence", None)]


def test_word_vectors_that_cover_almost_nothing_are_dead_where_that_is_so() -> None:
    bare = [record(i, coherence=coherence(None, None, 0.1)) for i in range(4)]
    rich = [record(i, "near controls", coherence=coherence(0.1 * i, 0.2 * i + 0.1)) for i in range(4)]
    dead = found([*bare, *rich])
    assert list(dead) == [("coherence", "candidates")]
    assert "4 of 4 directions have no value" in dead["coherence", "candidates"]
    thin = [record(i, coherence=coherence(0.1 * i, 0.2 * i + 0.1, 0.15)) for i in range(4)]
    assert "only 15% of the top tokens" in found(thin)["coherence", None]


# --- contexts and the causal check ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activations", "why"),
    [
        (contexts(0.0), "no token of the corpus"),
        (contexts(1.0), "100% of all tokens"),
        (contexts(0.9), "90% of all tokens"),
        (contexts(0.06, 0, 0), "active anywhere"),
    ],
)
def test_contexts_from_which_nothing_could_stand_out_are_dead(activations: ActivationEvidence, why: str) -> None:
    assert why in found([record(i, activations=activations) for i in range(3)])["contexts", None]


@pytest.mark.parametrize("causal", [{"ablation_effect": 0.0}, {"ablation_effect": -0.1, "auroc": 0.5}])
def test_a_causal_check_that_moves_nothing_is_dead(causal: dict[str, float]) -> None:
    evidence = [record(i, causal=CausalEvidence(n_contexts=9, survival_ratio=None, **causal)) for i in range(3)]
    assert list(found(evidence)) == [("causal check", None)]


# --- what follows -----------------------------------------------------------------------------------------------------


def test_a_floor_holds_for_its_stratum_or_for_all() -> None:
    floors = (
        DeadFloor(instrument="steering", stratum="candidates", why="a"),
        DeadFloor(instrument="coherence", why="b"),
    )
    assert reasons_in(floors, "candidates") == {"steering": "a", "coherence": "b"}
    assert reasons_in(floors, "near controls") == {"coherence": "b"}
    assert reasons_in(None, "candidates") == {}


def test_a_direction_whose_own_texts_are_refused_has_no_steering_though_its_stratum_is_well() -> None:
    lucky = record(1, steering=steered(1))  # one win of ten, against a null of 5 %
    assert list(reasons_for((), lucky)) == ["steering"]
    assert reasons_for(None, lucky) == {}  # nobody looked when such a run was judged
    assert reasons_for((), record(1, steering=steered(2, n=2))) == {}  # the tail knows how few they are


def test_what_is_dead_is_taken_out_and_contexts_stay_to_be_read() -> None:
    whole = make_evidence()
    dead = dict.fromkeys(("keywords", "coherence", "contexts", "steering", "causal check"), "why")
    alive = keep_alive(whole, dead)  # pyright: ignore[reportArgumentType]
    assert (alive.keywords, alive.coherence, alive.steering, alive.causal) == (None,) * 4
    assert alive.activations and whole.activations
    assert alive.activations.top == whole.activations.top
    assert (alive.activations.domain_lift, alive.activations.domain_share) == (None, None)
    assert keep_alive(whole, {}) is whole


def test_a_reason_names_no_stratum() -> None:
    """A judge reads it, who does not know where a feature was drawn from."""
    evidence = [record(i, steering=steered(1)) for i in range(5)]
    evidence += [record(i, "near controls") for i in range(5)]
    assert all("candidates" not in one.why for one in find_dead(evidence))
    assert find_dead(evidence)[0].text.startswith("steering (candidates): this instrument measured nothing here: of 50")
