"""Everything a judge may look at, end to end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from tools.activity.activations import Recording, record_activations
from tools.bench.workbench import Workbench
from tools.effects.causal import Place, measure_effects
from tools.effects.promise import order_by_frequency
from tools.errors import StudyError
from tools.observation import CAUSAL_ROWS, Chosen, observe, observe_effects, prepare, read_levels
from tools.records import CausalEvidence, DensityNull, Evidence, FeatureRef, SteeringEvidence, Stratum
from tools.study.corpus import Corpus, TokenRows
from tools.study.definition import SteeringDefaults, Study
from tools.survey.features import Survey
from tools.survey.projection import draw_random_stratum, project

PLANTED, DEAD = 0, 47


class Choice(NamedTuple):
    """One selected direction."""

    feature: FeatureRef
    stratum: Stratum


def choice(index: int, kind: str = "feature", stratum: Stratum = "candidates") -> Choice:
    return Choice(FeatureRef.model_validate({"study": "tiny", "sae": "base", "index": index, "kind": kind}), stratum)


def with_steering(study: Study, **changes: Any) -> Study:
    settings = SteeringDefaults.model_validate({**study.steering.model_dump(), **changes})
    return study.model_copy(update={"steering": settings})


SELECTED = (
    choice(3),
    choice(1, "random_direction", "random directions"),
    choice(PLANTED),
    choice(DEAD, stratum="unrelated controls"),
    choice(0, "random_direction", "random directions"),
    choice(20, stratum="near controls"),
)
"""Features and random directions mixed, and in no order."""


@pytest.fixture(scope="session")
def evidence(bench: Workbench, study: Study, survey: Survey) -> list[Evidence]:
    return observe(bench, study, survey, SELECTED, seed=0)


def dump(evidence: Sequence[Evidence]) -> list[str]:
    return [item.model_dump_json() for item in evidence]


# End to end


def test_one_seed_gives_identical_evidence(
    bench: Workbench, study: Study, survey: Survey, evidence: list[Evidence]
) -> None:
    assert dump(observe(bench, study, survey, SELECTED, seed=0)) == dump(evidence)


def test_another_seed_gives_other_evidence(
    bench: Workbench, study: Study, survey: Survey, evidence: list[Evidence]
) -> None:
    other = observe(bench, study, survey, SELECTED, seed=1)
    assert all(left != right for left, right in zip(dump(other), dump(evidence), strict=True))
    assert other[2].projection == evidence[2].projection, "what weights say has no seed"
    assert other[2].activations == evidence[2].activations
    assert other[1].projection != evidence[1].projection, "random directions are drawn by it"
    left, right = other[2].steering, evidence[2].steering
    assert left is not None and right is not None
    assert [pair.unsteered for pair in left.pairs] != [pair.unsteered for pair in right.pairs], "and so are the texts"


def test_evidence_is_complete_and_survives_its_file(evidence: list[Evidence]) -> None:
    assert [(item.feature, item.stratum) for item in evidence] == list(SELECTED)
    for item in evidence:
        assert None not in (item.projection, item.keywords, item.coherence, item.activations, item.steering)
        assert item.promotion is not None and item.steering is not None and item.steering.words is not None
        assert item.promotion.kl == pytest.approx(item.steering.kl)
        assert item.activations is not None
        assert (item.activations.statistics is None) == (item.activations.density == 0)
        assert Evidence.model_validate_json(item.model_dump_json()) == item


def test_evidence_belongs_to_the_direction_it_names(bench: Workbench, study: Study, evidence: list[Evidence]) -> None:
    drawn = draw_random_stratum(bench, 0, 2)
    passages = Corpus(study).passages("train")
    for item in evidence:
        is_feature = item.feature.kind == "feature"
        direction = bench.directions[item.feature.index] if is_feature else drawn[item.feature.index]
        table = project(direction[None], bench.W_U, 10)
        assert item.projection is not None and item.activations is not None
        assert [entry.token_id for entry in item.projection.top] == table.top_ids[0].tolist()
        if is_feature:
            maxima = []
            for passage in passages:
                ids = bench.tokenize(passage.text)
                for start in range(0, len(ids), bench.context_size - 1):
                    row = torch.tensor([[bench.bos, *ids[start : start + bench.context_size - 1]]])
                    activations = bench.encode(bench.residuals(row))[0, 1:, item.feature.index]
                    maxima.append(float(activations.max()))
            assert item.activations.max_activation == pytest.approx(max(maxima), abs=1e-3)


def test_contexts_come_from_the_train_split_alone(study: Study, evidence: list[Evidence]) -> None:
    train = {passage.document for passage in Corpus(study).passages("train")}
    shown = {
        context.document
        for item in evidence
        if item.activations is not None
        for context in (*item.activations.top, *item.activations.quantiles)
    }
    assert shown
    assert shown <= train


def test_random_directions_are_observed_like_features(evidence: list[Evidence]) -> None:
    for item in (evidence[1], evidence[4]):
        assert item.activations is not None and item.activations.top
        assert item.causal is not None
        assert item.steering is not None and item.steering.n == 4


def test_how_often_directions_are_active_is_noted_beside_the_densities_of_features(
    bench: Workbench, study: Study, survey: Survey
) -> None:
    noted: list[DensityNull] = []
    found = observe(bench, study, survey, SELECTED, 0, None, noted.append)
    (null,) = noted
    assert null.features + null.silent == bench.d_sae
    assert len(null.deciles) == 11 and list(null.deciles) == sorted(null.deciles) and null.deciles[0] > 0
    randoms = sorted((one for one in found if one.feature.kind != "feature"), key=lambda one: one.feature.index)
    counted = [one.activations.density for one in randoms if one.activations]
    assert list(null.directions) == pytest.approx(counted, abs=0.01)


def test_dead_feature_has_no_contexts_and_no_causal_effect(evidence: list[Evidence]) -> None:
    dead = evidence[3]
    assert dead.activations is not None
    assert (dead.activations.density, dead.activations.top, dead.activations.domain_lift) == (0.0, (), None)
    assert dead.causal is None


def test_steering_evidence_proves_that_the_hook_acted(study: Study, evidence: list[Evidence]) -> None:
    for item in evidence:
        steering = item.steering
        assert steering is not None
        assert steering.policy == "all"
        assert steering.hook_calls == study.steering.new_tokens
        assert steering.positions_steered > steering.hook_calls
        assert 0 < steering.strength <= study.steering.max_strength
        assert [(pair.prompt, pair.seed) for pair in steering.pairs] == [
            (prompt, seed) for prompt in study.steering.prompts for seed in study.steering.seeds
        ]
        assert steering.win_rate == pytest.approx(np.mean([pair.win for pair in steering.pairs]))
        assert any(pair.steered != pair.unsteered for pair in steering.pairs)


def test_causal_evidence_is_that_of_the_direction_it_names(
    bench: Workbench, study: Study, evidence: list[Evidence]
) -> None:
    rows = bench.read_text(study, "train", bench.context_size)
    for item in (evidence[0], evidence[5]):
        feature = item.feature.index
        direction = bench.directions[feature]
        values = record_activations(bench, rows, [feature], torch.zeros(0, 32)).activations[..., 0]
        best = np.argsort(-values.max(axis=1), kind="stable")[:CAUSAL_ROWS]
        place = Place(torch.from_numpy(rows.tokens[best]), torch.from_numpy(values[best]), direction)
        ((_, effect),) = measure_effects(bench, [place])
        top = project(direction[None], bench.W_U, 10).top_ids[0]
        found = item.causal
        assert found is not None and found.verdict is not None and found.promise_ratio is not None
        assert found.n_contexts == effect.n_positions
        assert found.ablation_effect == pytest.approx(float(effect.ablated[top].mean()), rel=1e-3)
        assert found.addition_effect == pytest.approx(float(effect.added[top].mean()), rel=1e-3)
        assert found.projection_curve == pytest.approx(effect.curve, abs=1e-3)
        assert found.raised[0].token_id == int(effect.having.argmax())


def test_evidence_on_a_direction_does_not_depend_on_what_else_is_selected(
    bench: Workbench, study: Study, survey: Survey, evidence: list[Evidence]
) -> None:
    """Not its texts in any arm, not its null, not its causal effect; sums may differ in their last bits."""
    for place in (0, 4):
        (alone,) = observe(bench, study, survey, [SELECTED[place]], seed=0)
        together = evidence[place]
        left, right = alone.steering, together.steering
        assert left is not None and right is not None
        assert texts_of(left) == texts_of(right)
        assert (left.win_rate, left.null_win_rate, left.null_lists) == (
            right.win_rate,
            right.null_win_rate,
            right.null_lists,
        )
        assert left.perplexity_bound == right.perplexity_bound
        assert left.strength == pytest.approx(right.strength, rel=1e-4)
        assert alone.causal is not None and together.causal is not None
        assert alone.causal.auroc == pytest.approx(together.causal.auroc, abs=1e-3)
        assert alone.causal.verdict == together.causal.verdict
        assert alone.keywords == together.keywords
    assert evidence[2].activations == observe(bench, study, survey, [SELECTED[2]], seed=0)[0].activations


def texts_of(steering: SteeringEvidence) -> list[tuple[str, ...]]:
    return [(pair.unsteered, pair.steered, pair.random, pair.flipped) for pair in steering.pairs]


def test_random_arms_of_different_features_are_different_directions(evidence: list[Evidence]) -> None:
    texts = [item.steering.pairs[0].random for item in evidence if item.steering is not None]
    assert len(set(texts)) > 1


def test_nothing_selected_gives_no_evidence(bench: Workbench, study: Study, survey: Survey) -> None:
    assert observe(bench, study, survey, [], seed=0) == []


def test_random_stratum_is_never_the_survey_null(bench: Workbench) -> None:
    from tools.survey.projection import random_directions

    stratum, null = draw_random_stratum(bench, 0, 20), random_directions(200, 32, 0)
    assert float((stratum @ null.T).abs().max()) < 0.99
    assert torch.equal(draw_random_stratum(bench, 0, 3), stratum[:3]), "a direction keeps its number"


# Settings


def test_prompts_that_leave_no_room_are_refused_before_anything_is_measured(
    bench: Workbench, study: Study, survey: Survey
) -> None:
    with pytest.raises(StudyError, match=r"steering.prompts: 'The captain of the' takes 5 positions"):
        observe(bench, with_steering(study, new_tokens=20), survey, SELECTED, seed=0)


def test_strength_of_the_study_is_recorded_as_it_was_asked_for(
    bench: Workbench, study: Study, survey: Survey, evidence: list[Evidence]
) -> None:
    by_effect = evidence[0].steering
    assert by_effect is not None
    assert (by_effect.asked_unit, by_effect.asked) == ("kl", study.steering.target_kl)
    asked = with_steering(study, unit="max_activation", strength=3.0)
    measured, dead = observe(bench, asked, survey, [SELECTED[0], SELECTED[3]], seed=0)
    assert dead.steering is None, "there is no multiple of an activation that it never has"
    assert measured.steering is not None and measured.activations is not None
    assert (measured.steering.asked_unit, measured.steering.asked) == ("max_activation", 3.0)
    assert measured.steering.activation_ratio == pytest.approx(3.0, rel=1e-4)
    assert by_effect.activation_ratio == pytest.approx(3.0 * by_effect.strength / measured.steering.strength, rel=1e-3)


@pytest.mark.parametrize("kind", ["clamp", "ablate"])
def test_features_and_random_directions_can_be_clamped_and_ablated(
    bench: Workbench, study: Study, survey: Survey, kind: str
) -> None:
    found = observe(bench, with_steering(study, kind=kind), survey, [SELECTED[0], SELECTED[4]], seed=0)
    for item in found:
        assert item.steering is not None
        assert item.steering.kind == kind
        assert item.steering.hook_calls == study.steering.new_tokens
        assert (item.steering.strength > 0) == (kind == "clamp")


def test_levels_are_those_at_which_random_directions_were_counted_as_active(
    bench: Workbench, study: Study, survey: Survey
) -> None:
    chosen = prepare(bench, study, survey, SELECTED, 0)
    rows = bench.read_text(study, "train", bench.context_size)
    randoms = chosen.directions[[i for i, feature in enumerate(chosen.features) if feature < 0]]
    recording = record_activations(bench, rows, [i for i in chosen.features if i >= 0], randoms, numbers=[7, 2])
    levels = read_levels(bench, chosen, recording)
    components = bench.residuals(torch.from_numpy(rows.tokens)) @ chosen.directions.T
    real = torch.from_numpy(rows.real)
    for place, feature in enumerate(chosen.features):
        if feature >= 0:
            assert float(levels[place]) == 0
            continue
        active = torch.from_numpy(recording.activations[..., chosen.columns[place]])[real]
        expected = (components[..., place][real] - levels[place]).clamp_min(0)
        torch.testing.assert_close(active, expected, atol=1e-3, rtol=1e-3)


# Causal effect


def test_causal_effect_is_measured_where_the_feature_is_most_active(
    bench: Workbench, study: Study, survey: Survey
) -> None:
    values = np.zeros((6, 9, 1), dtype=np.float32)
    values[[0, 1, 3, 4, 5], 4, 0] = [1, 5, 3, 4, 2]
    generator = torch.Generator().manual_seed(3)
    many = torch.randint(1, 300, (6, 9), generator=generator)
    recording = Recording(TokenRows(many.numpy(), np.ones((6, 9), dtype=bool), ("d",) * 6), values, 1.0, np.ones(1))
    chosen: Chosen = prepare(bench, study, survey, [choice(2)], 0)
    order = order_by_frequency(recording.rows.tokens, recording.rows.real, bench.W_U.shape[1], 0)
    (found,) = observe_effects(bench, study, survey, chosen, recording, order)
    best = [1, 4, 3, 5, 0][:CAUSAL_ROWS]
    place = Place(many[best], torch.from_numpy(values[best, :, 0]), bench.directions[2])
    ((_, expected),) = measure_effects(bench, [place])
    assert isinstance(found, CausalEvidence)
    assert found.n_contexts == len(best)
    ids = torch.from_numpy(chosen.top_ids[0])
    assert found.ablation_effect == pytest.approx(float(expected.ablated[ids].mean()), abs=1e-6)
