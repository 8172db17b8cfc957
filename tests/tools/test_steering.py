"""Steering proves itself: it does nothing at strength 0, what its policy says otherwise, and counts it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tools.projection import project, random_directions
from tools.steering import (
    SEARCH_STEPS,
    Generated,
    HookCounter,
    Intervention,
    Policy,
    choose_strengths,
    generate,
    row_noise,
    sample,
)
from tools.workbench import Workbench

POLICIES: tuple[Policy, ...] = ("all", "prompt", "generated", "published")
NEW = 6


@pytest.fixture(scope="session")
def prompt(bench: Workbench) -> list[int]:
    return bench.tokenize("The captain of the river")


def noise_of(n_rows: int, name: str = "row") -> np.ndarray:
    return np.stack([row_noise(f"{name} {i}", NEW) for i in range(n_rows)])


def run(bench: Workbench, prompt: list[int], vectors: torch.Tensor, **changes: object) -> Generated:
    settings = {"temperature": 1.0, "top_k": 50, **changes}
    noise = settings.pop("noise", noise_of(len(vectors)))
    return generate(bench, prompt, vectors, noise, **settings)  # type: ignore[arg-type]


def strong(bench: Workbench, n: int = 6) -> torch.Tensor:
    return bench.directions[:n] * 15


def plain_loop(bench: Workbench, prompt: list[int], noise: np.ndarray) -> np.ndarray:
    """Continuation by whole forward passes, with no intervention anywhere."""
    tokens = torch.tensor([[bench.bos, *prompt]] * len(noise))
    for place in range(NEW):
        chosen = sample(bench.logits(tokens)[:, -1], torch.from_numpy(noise[:, place]), 1.0, 50)
        tokens = torch.cat([tokens, chosen[:, None]], dim=1)
    return tokens[:, 1 + len(prompt) :].numpy()


# Strength 0


@pytest.mark.parametrize("policy", POLICIES)
def test_strength_zero_writes_the_unsteered_text(bench: Workbench, prompt: list[int], policy: Policy) -> None:
    noise = noise_of(6)
    made = run(bench, prompt, torch.zeros(6, 32), noise=noise, policy=policy)
    assert made.tokens.tobytes() == plain_loop(bench, prompt, noise).tobytes()


def test_strength_zero_leaves_every_bit_of_the_logits(bench: Workbench, tokens: torch.Tensor) -> None:
    edited = bench.logits(tokens, Intervention(torch.zeros(2, 32), "all"))
    assert edited.numpy().tobytes() == bench.logits(tokens).numpy().tobytes()


# Policies, with and without a cache


@pytest.mark.parametrize("policy", POLICIES)
def test_cache_changes_no_token_of_a_steered_text(bench: Workbench, prompt: list[int], policy: Policy) -> None:
    vectors = strong(bench)
    reference = torch.zeros(1, bench.W_U.shape[1])
    reference[0, :40] = 1
    cached = run(bench, prompt, vectors, policy=policy, reference=reference)
    uncached = run(bench, prompt, vectors, policy=policy, reference=reference, use_cache=False)
    assert cached.tokens.tolist() == uncached.tokens.tolist()
    np.testing.assert_allclose(cached.log_mass, uncached.log_mass, atol=1e-4)
    unsteered = run(bench, prompt, torch.zeros_like(vectors))
    assert cached.tokens.tolist() != unsteered.tokens.tolist(), "a policy that does nothing would pass"


def test_policies_are_different_interventions(bench: Workbench, prompt: list[int]) -> None:
    texts = {policy: run(bench, prompt, strong(bench), policy=policy).tokens.tobytes() for policy in POLICIES}
    assert len(set(texts.values())) == len(POLICIES)


@pytest.mark.parametrize(
    ("policy", "positions"),
    [("all", 6 + NEW - 1), ("prompt", 6), ("generated", NEW - 1), ("published", 5)],
)
def test_counter_tells_what_a_policy_changed(
    bench: Workbench, prompt: list[int], policy: Policy, positions: int
) -> None:
    assert len(prompt) == 5, "six positions with BOS"
    made = run(bench, prompt, strong(bench), policy=policy)
    assert made.counter == HookCounter(calls=NEW, positions=positions)


@pytest.mark.parametrize("policy", POLICIES)
def test_counter_counts_without_a_cache_too(bench: Workbench, prompt: list[int], policy: Policy) -> None:
    made = run(bench, prompt, strong(bench), policy=policy, use_cache=False)
    assert made.counter.calls == NEW
    assert made.counter.positions > 0


def test_published_policy_leaves_the_last_position_at_the_hook(bench: Workbench, tokens: torch.Tensor) -> None:
    residual, vectors = bench.residuals(tokens), strong(bench, 2)
    edited = Intervention(vectors, "published")(residual)
    assert torch.equal(edited[:, -1], residual[:, -1])
    torch.testing.assert_close(edited[:, :-1], residual[:, :-1] + vectors[:, None])
    everywhere = Intervention(vectors, "all")(residual)
    torch.testing.assert_close(everywhere, residual + vectors[:, None])


def test_published_policy_has_no_direct_effect_on_the_next_token(last_bench: Workbench, tokens: torch.Tensor) -> None:
    """After the last layer nothing carries an edit from one position to another."""
    vectors, clean = strong(last_bench, 2), last_bench.logits(tokens)
    published = last_bench.logits(tokens, Intervention(vectors, "published"))
    assert torch.equal(published[:, -1], clean[:, -1])
    assert bool(((published - clean).abs().amax(-1) > 0.1)[:, :-1].all())
    everywhere = last_bench.logits(tokens, Intervention(vectors, "all"))
    assert bool(((everywhere - clean).abs().amax(-1) > 0.1).all())


def test_published_policy_never_touches_a_generated_token_under_a_cache(last_bench: Workbench) -> None:
    prompt = last_bench.tokenize("In the market")
    steered = run(last_bench, prompt, strong(last_bench), policy="published")
    unsteered = run(last_bench, prompt, torch.zeros(6, 32))
    assert steered.counter == HookCounter(calls=NEW, positions=len(prompt))
    assert steered.tokens.tolist() == unsteered.tokens.tolist()


def test_intervention_does_not_write_into_the_residual_stream_it_was_given(bench: Workbench) -> None:
    residual = torch.ones(2, 3, 32)
    Intervention(strong(bench, 2), "all")(residual)
    assert torch.equal(residual, torch.ones(2, 3, 32))


# Rows


def test_row_noise_is_a_function_of_its_key() -> None:
    assert row_noise("a|1", 20).tobytes() == row_noise("a|1", 20).tobytes()
    assert row_noise("a|1", 20).tolist() != row_noise("a|2", 20).tolist()
    many = np.concatenate([row_noise(str(i), 50) for i in range(100)])
    assert many.min() >= 0 and many.max() < 1
    assert many.mean() == pytest.approx(0.5, abs=0.02)


def test_row_in_a_batch_of_many_equals_the_row_alone(bench: Workbench, prompt: list[int]) -> None:
    vectors, noise = bench.directions[:40] * 5, noise_of(40)
    together = run(bench, prompt, vectors, noise=noise).tokens
    for row in (0, 7, 39):
        alone = run(bench, prompt, vectors[row : row + 1], noise=noise[row : row + 1]).tokens
        assert alone[0].tolist() == together[row].tolist()
    assert len({tuple(row) for row in together.tolist()}) > 20, "rows that are all alike would pass"


def test_rows_with_one_noise_differ_by_their_vectors_alone(bench: Workbench, prompt: list[int]) -> None:
    noise = np.repeat(noise_of(1), 3, axis=0)
    vectors = torch.stack([torch.zeros(32), torch.zeros(32), 15 * bench.directions[0]])
    made = run(bench, prompt, vectors, noise=noise).tokens.tolist()
    assert made[0] == made[1] != made[2]


# Sampling


@given(st.lists(st.floats(-4, 4), min_size=2, max_size=8), st.floats(0.2, 3), st.integers(1, 9))
def test_samples_follow_the_truncated_distribution(logits: list[float], temperature: float, top_k: int) -> None:
    row = torch.tensor([logits])
    uniform = (torch.arange(4000) + 0.5) / 4000
    drawn = Counter(sample(row.expand(4000, -1), uniform, temperature, top_k).tolist())
    kept = row[0].topk(min(top_k, len(logits)))
    expected = torch.softmax(kept.values / temperature, -1)
    assert set(drawn) <= set(kept.indices.tolist())
    for token, probability in zip(kept.indices.tolist(), expected.tolist(), strict=True):
        assert drawn[token] / 4000 == pytest.approx(probability, abs=2e-3)


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-24])
def test_extreme_numbers_still_name_a_token(uniform: float) -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0, -50.0]])
    assert int(sample(logits, torch.tensor([uniform]), 1.0, 3)[0]) in (1, 2, 0)


def test_temperature_zero_takes_the_likeliest_token(bench: Workbench, prompt: list[int]) -> None:
    made = run(bench, prompt, torch.zeros(3, 32), temperature=0.0).tokens
    tokens = torch.tensor([[bench.bos, *prompt]])
    assert int(made[0, 0]) == int(bench.logits(tokens)[0, -1].argmax())
    assert made[0].tolist() == made[1].tolist() == made[2].tolist()


# What a steered text says


def test_log_mass_is_the_log_probability_of_the_listed_tokens(bench: Workbench, prompt: list[int]) -> None:
    reference = torch.zeros(2, bench.W_U.shape[1])
    reference[0, [3, 5, 8]] = 1
    reference[1, :] = 1
    made = run(bench, prompt, torch.zeros(1, 32), reference=reference, temperature=0.5)
    tokens, masses = [bench.bos, *prompt], []
    for chosen in made.tokens[0].tolist():
        masses.append(float(torch.softmax(bench.logits(torch.tensor([tokens]))[0, -1], -1)[[3, 5, 8]].sum().log()))
        tokens.append(chosen)
    assert made.log_mass[0] == pytest.approx([np.mean(masses), 0.0], abs=1e-4)


def test_direction_after_the_last_layer_raises_the_tokens_it_projects_on(last_bench: Workbench) -> None:
    prompt = last_bench.tokenize("In the market")
    directions = last_bench.directions[:8]
    reference = torch.zeros(8, last_bench.W_U.shape[1])
    reference.scatter_(1, project(directions, last_bench.W_U, 10).top_ids, 1.0)
    steered = run(last_bench, prompt, directions * 15, reference=reference).log_mass
    opposed = run(last_bench, prompt, directions * -15, reference=reference).log_mass
    unsteered = run(last_bench, prompt, directions * 0, reference=reference).log_mass
    assert (np.diag(steered) > np.diag(unsteered) + 0.1).all()
    assert (np.diag(opposed) < np.diag(unsteered) - 0.1).all()


# Strength by effect


def mean_kl(bench: Workbench, prompts: list[list[int]], vectors: torch.Tensor) -> torch.Tensor:
    """KL(unsteered || steered) of the next token, prompt by prompt and row by row."""
    total = torch.zeros(len(vectors))
    for prompt in prompts:
        tokens = torch.tensor([[bench.bos, *prompt]])
        before = torch.log_softmax(bench.logits(tokens)[0, -1], -1)
        for row, vector in enumerate(vectors):
            after = torch.log_softmax(bench.logits(tokens, lambda r, v=vector: r + v)[0, -1], -1)
            total[row] += torch.nn.functional.kl_div(after, before, log_target=True, reduction="sum")
    return total / len(prompts)


@pytest.mark.parametrize("target", [0.05, 0.5])
def test_strength_hits_its_target_to_within_a_search_step_or_is_capped(bench: Workbench, target: float) -> None:
    prompts = [bench.tokenize("The captain of the"), bench.tokenize("In the market")]
    directions, longest = bench.directions[:12], 20.0
    chosen = choose_strengths(bench, prompts, directions, target_kl=target, max_norm=longest)
    at = mean_kl(bench, prompts, directions * chosen.norms[:, None])
    torch.testing.assert_close(chosen.kl, at, atol=1e-4, rtol=1e-3)
    step = longest / 2**SEARCH_STEPS
    below = mean_kl(bench, prompts, directions * (chosen.norms - step)[:, None])
    capped = chosen.norms == longest
    assert bool((at[~capped] >= target - 1e-4).all())
    assert bool((below[~capped] <= target + 1e-4).all())
    assert bool((at[capped] <= target + 1e-4).all())
    assert int((~capped).sum()) >= 10


def test_direction_without_effect_is_given_the_longest_vector(bench: Workbench) -> None:
    """Every layer's norm takes the mean over d_model out, so that this direction moves nothing."""
    nothing = torch.full((1, 32), 32**-0.5)
    chosen = choose_strengths(bench, [bench.tokenize("In the")], nothing, target_kl=0.1, max_norm=7.0)
    assert chosen.norms.tolist() == [7.0]
    assert float(chosen.kl[0]) == pytest.approx(0, abs=1e-4)


def test_higher_target_asks_for_longer_vectors(bench: Workbench) -> None:
    prompts, directions = [bench.tokenize("In the market")], random_directions(10, 32, 0)
    norms = [
        choose_strengths(bench, prompts, directions, target_kl=target, max_norm=40.0).norms for target in (0.05, 0.5)
    ]
    assert bool((norms[0] < norms[1]).all())
