"""Four paired arms, each direction by itself whatever else is steered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tools.bench.workbench import Workbench
from tools.effects.continuations import ARMS, SteeredTexts, Targets, control_direction, find_strengths, steer
from tools.effects.intervention import Addition, Clamp, Readers
from tools.effects.steering import generate, row_noise, score_perplexity
from tools.effects.stock import UsualTexts, draw_shared, write_usual_texts
from tools.study.definition import SteeringDefaults, Study
from tools.survey.projection import project, random_directions

NORM = 11.0


class SpyingBench(Workbench):
    """The bench, remembering the last change that was made while text was written."""

    def __init__(self, bench: Workbench) -> None:
        self.__dict__.update(bench.__dict__)
        self.last: Any = None

    def step(self, tokens: torch.Tensor, cache: Any, edit: Any) -> Any:
        if cache is not None and edit is not None:
            self.last = edit.change
        return super().step(tokens, cache, edit)


def targets(bench: Workbench, features: list[int], peaks: list[float] | None = None) -> Targets:
    directions = bench.directions[features]
    readers = Readers(directions, torch.tensor(features), torch.zeros(len(features)))
    ids = project(directions, bench.W_U, 10).top_ids
    return Targets([f"base-{i:06d}" for i in features], readers, ids, torch.tensor(peaks or [2.0] * len(features)))


def with_steering(study: Study, **changes: Any) -> Study:
    settings = SteeringDefaults.model_validate({**study.steering.model_dump(), **changes})
    return study.model_copy(update={"steering": settings})


def steered(bench: Workbench, study: Study, features: list[int], seed: int = 0) -> SteeredTexts:
    return steer(bench, study, targets(bench, features), NORM, seed)


def test_arms_of_a_pair_differ_by_the_intervention_alone(bench: Workbench, study: Study) -> None:
    spy = SpyingBench(bench)
    found = steered(spy, study, [3, 20])
    n_seeds = len(study.steering.seeds)
    assert isinstance(spy.last, Addition)
    vectors = spy.last.vectors.reshape(2, n_seeds, len(ARMS), 32)
    assert torch.equal(vectors[:, 0], vectors[:, 1]), "seeds of one prompt are steered alike"
    unsteered, added, control, flipped = vectors[:, 0].unbind(dim=1)
    lengths = torch.from_numpy(found.strengths * NORM)
    assert not unsteered.any()
    torch.testing.assert_close(added, bench.directions[[3, 20]] * lengths[:, None], atol=1e-5, rtol=1e-5)
    assert torch.equal(flipped, -added)
    torch.testing.assert_close(control.norm(dim=1), lengths, atol=1e-4, rtol=1e-4)
    assert float(torch.cosine_similarity(control, added).abs().max()) < 0.9


def test_a_direction_is_steered_alone_as_it_is_beside_others(bench: Workbench, study: Study) -> None:
    """All four arms, the random control among them, and every number."""
    together = steered(bench, study, [3, 20, 7, 11, 30, 41])
    for features, places in (([7], [2]), ([41, 3], [5, 0])):
        apart = steered(bench, study, features)
        for alone, place in enumerate(places):
            assert apart.texts[alone].tolist() == together.texts[place].tolist()
            np.testing.assert_allclose(apart.log_mass[alone], together.log_mass[place], atol=1e-4)
            np.testing.assert_allclose(apart.perplexity[alone], together.perplexity[place], rtol=1e-3)
            assert apart.strengths[alone] == pytest.approx(together.strengths[place], rel=1e-4)


def test_batches_of_any_size_write_the_same_texts(bench: Workbench, study: Study) -> None:
    whole = steered(bench, study, [3, 20, 7])
    cut = steer(bench, study, targets(bench, [3, 20, 7]), NORM, 0, most_rows=5)
    assert cut.texts.tolist() == whole.texts.tolist()
    np.testing.assert_allclose(cut.perplexity, whole.perplexity, rtol=1e-3)


def test_texts_are_those_of_one_row_at_a_time(bench: Workbench, study: Study) -> None:
    found, aimed, settings = steered(bench, study, [3, 20]), targets(bench, [3, 20]), study.steering
    for place in range(2):
        prompt = bench.tokenize(settings.prompts[1])
        noise = row_noise(f"0|{aimed.keys[place]}|{settings.prompts[1]}|{settings.seeds[0]}", settings.new_tokens)[None]
        alone = generate(
            bench,
            prompt,
            Addition(bench.directions[[3, 20]][place][None] * float(found.strengths[place]) * NORM),
            noise,
            temperature=settings.temperature,
            top_k=settings.top_k,
            reference=aimed.token_ids[place][None],
        )
        pair, arm = len(settings.seeds), ARMS.index("steered")
        assert found.texts[place, pair, arm] == bench.decode(alone.tokens[0].tolist())
        assert found.log_mass[place, pair, arm] == pytest.approx(float(alone.log_mass[0]), abs=1e-4)
        expected = score_perplexity(bench, prompt, alone.tokens)[0]
        assert found.perplexity[place, pair, 1] == pytest.approx(float(expected), rel=1e-3)


def test_control_direction_is_the_one_it_has_always_been() -> None:
    known = [0.2634177, -0.0365726, -0.7689903, -0.5813152]
    assert control_direction(3, "base-000001", 4).tolist() == pytest.approx(known, abs=1e-6)


def test_control_direction_is_a_function_of_seed_and_key() -> None:
    one = control_direction(0, "base-000001", 32)
    assert float(one.norm()) == pytest.approx(1, abs=1e-5)
    assert torch.equal(one, control_direction(0, "base-000001", 32))
    for other in (control_direction(1, "base-000001", 32), control_direction(0, "base-000002", 32)):
        assert abs(float(one @ other)) < 0.9


def test_usual_texts_have_nothing_to_do_with_what_is_steered(bench: Workbench, study: Study) -> None:
    usual = write_usual_texts(bench, study, 0)
    assert len(usual.texts) == len(usual.perplexity) == 200
    assert usual.texts == write_usual_texts(bench, study, 0).texts != write_usual_texts(bench, study, 1).texts
    assert (usual.perplexity > 1).all()


# Unsteered texts that all directions share


def shared_texts(bench: Workbench, study: Study, features: list[int], least: int = 0) -> UsualTexts:
    return write_usual_texts(bench, study, 0, followed=targets(bench, features).token_ids, least=least)


def test_shared_texts_are_those_that_the_bounds_are_drawn_from(bench: Workbench, study: Study) -> None:
    features = [3, 20, 7]
    shared = shared_texts(bench, study, features)
    assert shared.texts == write_usual_texts(bench, study, 0).texts
    found = steer(bench, study, targets(bench, features), NORM, 0, shared=shared, arms=2)
    assert shared.log_mass is not None
    drawn = draw_shared(study, targets(bench, features).keys, 0, shared)
    n_prompts, n_seeds = len(study.steering.prompts), len(study.steering.seeds)
    assert drawn.shape == (3, n_prompts, n_seeds)
    for direction, places in enumerate(drawn.reshape(3, -1)):
        assert len(set(places.tolist())) == len(places), "no text comes twice"
        assert found.texts[direction, :, 0].tolist() == [shared.texts[place] for place in places]
        np.testing.assert_array_equal(found.perplexity[direction, :, 0], shared.perplexity[places])
        np.testing.assert_array_equal(found.log_mass[direction, :, 0], shared.log_mass[places, direction])
    size = len(shared.texts) // n_prompts
    assert (drawn // size == np.arange(n_prompts)[:, None]).all(), "each of its own prompt"
    assert drawn[0].tolist() != drawn[1].tolist()


def test_a_pair_of_a_shared_text_differs_by_the_intervention_alone(bench: Workbench, study: Study) -> None:
    """Strength 0 writes the shared text again, and says as much of the direction's tokens."""
    nothing = with_steering(study, kind="ablate", strength=None)
    features = [3, 20]
    aimed = targets(bench, features)
    silent = aimed._replace(
        readers=Readers(0 * aimed.readers.directions, torch.tensor([-1, -1]), torch.full((2,), 99.0))
    )
    shared = shared_texts(bench, study, features)
    found = steer(bench, nothing, silent, NORM, 0, shared=shared)
    assert all(len(set(texts)) == 1 for texts in found.texts.reshape(-1, len(ARMS)).tolist())
    np.testing.assert_allclose(found.log_mass, found.log_mass[..., :1].repeat(len(ARMS), axis=-1), atol=1e-4)
    np.testing.assert_allclose(found.perplexity[..., 1], found.perplexity[..., 0], rtol=1e-3)


def test_sharing_texts_leaves_a_direction_to_itself(bench: Workbench, study: Study) -> None:
    together = steer(bench, study, targets(bench, [3, 20, 7]), NORM, 0, shared=shared_texts(bench, study, [3, 20, 7]))
    alone = steer(bench, study, targets(bench, [7]), NORM, 0, shared=shared_texts(bench, study, [7]), most_rows=3)
    assert alone.texts[0].tolist() == together.texts[2].tolist()
    np.testing.assert_allclose(alone.log_mass[0], together.log_mass[2], atol=1e-4)


def test_a_stock_that_is_too_small_is_refused_and_grows_as_asked_for(bench: Workbench, study: Study) -> None:
    size = len(shared_texts(bench, study, [3]).texts) // len(study.steering.prompts)
    later = study.model_copy(update={"steering": study.steering.model_copy(update={"seeds": (size, size + 1)})})
    with pytest.raises(ValueError, match="too few"):
        steer(bench, later, targets(bench, [3]), NORM, 0, shared=shared_texts(bench, study, [3]))
    larger = shared_texts(bench, study, [3], least=size + 2)
    assert len(larger.texts) == (size + 2) * len(study.steering.prompts)
    assert steer(bench, later, targets(bench, [3]), NORM, 0, shared=larger, arms=2).texts.shape[-1] == 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"unsteered": "shared", "seeds": (0, 2)}, "seeds must be 0, 1, 2"),
        ({"first_strength": 3.0, "max_strength": 2.0}, "first_strength 3 exceeds max_strength 2"),
        ({"kl_tolerance": 0}, "kl_tolerance"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(study: Study, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        with_steering(study, **wrong)


# Units and kinds


def test_strength_in_residual_norms_is_that_length(bench: Workbench, study: Study) -> None:
    asked = with_steering(study, unit="residual_norm", strength=0.4)
    found = find_strengths(bench, asked, targets(bench, [3, 20]), NORM)
    assert found.norms.tolist() == pytest.approx([0.4 * NORM] * 2)
    assert bool((found.kl > 0).all()), "its effect is measured all the same"


def test_strength_in_activations_is_a_multiple_of_each_features_own_largest(bench: Workbench, study: Study) -> None:
    asked = with_steering(study, unit="max_activation", strength=3)
    found = find_strengths(bench, asked, targets(bench, [3, 20], [2.0, 0.5]), NORM)
    assert found.norms.tolist() == [6.0, 1.5]


def test_clamped_arms_hold_write_elsewhere_and_oppose(bench: Workbench, study: Study) -> None:
    spy = SpyingBench(bench)
    steer(spy, with_steering(study, kind="clamp"), targets(bench, [3, 20]), NORM, 0)
    change = spy.last
    assert isinstance(change, Clamp)
    writes = change.writes.reshape(2, len(study.steering.seeds), len(ARMS), 32)[:, 0]
    assert not writes[:, 0].any()
    torch.testing.assert_close(writes[:, 1], bench.directions[[3, 20]])
    torch.testing.assert_close(writes[:, 2].norm(dim=1), torch.ones(2))
    assert torch.equal(writes[:, 3], -writes[:, 1])
    assert change.readers.features.reshape(2, -1)[:, 0].tolist() == [3, 20]


def test_ablating_a_silent_feature_writes_the_unsteered_text_in_every_arm(bench: Workbench, study: Study) -> None:
    found = steer(bench, with_steering(study, kind="ablate"), targets(bench, [47]), NORM, 0)
    assert found.kl.tolist() == pytest.approx([0.0], abs=1e-6)
    assert found.strengths.tolist() == [0.0]
    for arms in found.texts[0]:
        assert len(set(arms.tolist())) == 1


def test_policy_of_the_study_is_the_one_used(bench: Workbench, study: Study) -> None:
    everywhere, prompt_only = (
        steer(bench, with_steering(study, policy=policy), targets(bench, [3]), NORM, 0) for policy in ("all", "prompt")
    )
    assert everywhere.strengths.tolist() == prompt_only.strengths.tolist(), "policies are compared at one strength"
    assert everywhere.counter.positions == prompt_only.counter.positions + study.steering.new_tokens - 1
    assert everywhere.texts[..., 1].tolist() != prompt_only.texts[..., 1].tolist()
    assert everywhere.texts[..., 0].tolist() == prompt_only.texts[..., 0].tolist()


def test_random_directions_can_be_clamped(bench: Workbench, study: Study) -> None:
    directions = random_directions(1, 32, 3)
    readers = Readers(directions, torch.tensor([-1]), torch.tensor([1.0]))
    aimed = Targets(["base-r000000"], readers, project(directions, bench.W_U, 10).top_ids, torch.tensor([2.0]))
    found = steer(bench, with_steering(study, kind="clamp"), aimed, NORM, 0)
    assert found.kl[0] == pytest.approx(study.steering.target_kl, rel=0.05)
