"""Steered text: the same with and without a cache, alone and in a batch; sampling; perplexity."""

from __future__ import annotations

import copy
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tools.bench.workbench import Workbench
from tools.effects.intervention import Addition, Change, Clamp, HookCounter, Readers
from tools.effects.steering import (
    FEWEST_ROWS,
    MOST_ROWS,
    Generated,
    check_room,
    generate,
    read_prompt,
    row_noise,
    rows_per_batch,
    sample,
    score_perplexity,
    split_rows,
)
from tools.errors import StudyError
from tools.records import Policy
from tools.survey.projection import project

POLICIES: tuple[Policy, ...] = ("all", "prompt", "generated", "published")
NEW = 6


@pytest.fixture(scope="session")
def prompt(bench: Workbench) -> list[int]:
    return bench.tokenize("The captain of the river")


class CountingBench(Workbench):
    """The bench, remembering how many rows each pass had."""

    def __init__(self, bench: Workbench) -> None:
        self.__dict__.update(bench.__dict__)
        self.rows: list[int] = []

    def step(self, tokens: torch.Tensor, cache: Any, edit: Any) -> Any:
        self.rows.append(len(tokens))
        return super().step(tokens, cache, edit)


def noise_of(n_rows: int, name: str = "row") -> np.ndarray:
    return np.stack([row_noise(f"{name} {i}", NEW) for i in range(n_rows)])


def run(bench: Workbench, prompt: list[int], change: Change | torch.Tensor, **changes: object) -> Generated:
    settings = {"temperature": 1.0, "top_k": 50, **changes}
    change = Addition(change) if isinstance(change, torch.Tensor) else change
    noise = settings.pop("noise", noise_of(len(change.signature())))
    return generate(bench, prompt, change, noise, **settings)  # type: ignore[arg-type]


def strong(bench: Workbench, n: int = 6) -> torch.Tensor:
    return bench.directions[:n] * 15


def clamps(bench: Workbench, n: int = 6) -> Clamp:
    readers = Readers(bench.directions[:n], torch.arange(n), torch.zeros(n))
    return Clamp(bench, readers, torch.full((n,), 12.0), readers.directions)


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


# Policies, with and without a cache


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", ["add", "clamp"])
def test_cache_changes_no_token_of_a_steered_text(
    bench: Workbench, prompt: list[int], policy: Policy, kind: str
) -> None:
    change = Addition(strong(bench)) if kind == "add" else clamps(bench)
    reference = torch.arange(40).expand(6, -1)
    cached = run(bench, prompt, change, policy=policy, reference=reference)
    uncached = run(bench, prompt, change, policy=policy, reference=reference, use_cache=False)
    assert cached.tokens.tolist() == uncached.tokens.tolist()
    np.testing.assert_allclose(cached.log_mass, uncached.log_mass, atol=1e-4)
    np.testing.assert_allclose(cached.log_probs, uncached.log_probs, atol=1e-3)
    unsteered = run(bench, prompt, torch.zeros(6, 32))
    assert cached.tokens.tolist() != unsteered.tokens.tolist(), "a policy that does nothing would pass"


def test_policies_are_different_interventions(bench: Workbench, prompt: list[int]) -> None:
    texts = {policy: run(bench, prompt, strong(bench), policy=policy).tokens.tobytes() for policy in POLICIES}
    assert len(set(texts.values())) == len(POLICIES)


@pytest.mark.parametrize(
    ("policy", "positions"),
    [("all", 6 + NEW - 1), ("prompt", 6), ("generated", NEW - 1), ("published", 5)],
)
@pytest.mark.parametrize("kind", ["add", "clamp"])
def test_counter_tells_what_a_policy_changed(
    bench: Workbench, prompt: list[int], policy: Policy, positions: int, kind: str
) -> None:
    assert len(prompt) == 5, "six positions with BOS"
    made = run(bench, prompt, strong(bench) if kind == "add" else clamps(bench), policy=policy)
    assert made.counter == HookCounter(calls=NEW, positions=positions)


@pytest.mark.parametrize("policy", POLICIES)
def test_counter_counts_without_a_cache_too(bench: Workbench, prompt: list[int], policy: Policy) -> None:
    made = run(bench, prompt, strong(bench), policy=policy, use_cache=False)
    assert made.counter.calls == NEW
    assert made.counter.positions > 0


def test_published_policy_never_touches_a_generated_token_under_a_cache(last_bench: Workbench) -> None:
    prompt = last_bench.tokenize("In the market")
    steered = run(last_bench, prompt, strong(last_bench), policy="published")
    unsteered = run(last_bench, prompt, torch.zeros(6, 32))
    assert steered.counter == HookCounter(calls=NEW, positions=len(prompt))
    assert steered.tokens.tolist() == unsteered.tokens.tolist()


# Rows


def test_row_noise_is_the_one_it_has_always_been() -> None:
    assert row_noise("base-000001|0", 3).tolist() == pytest.approx([0.6519015, 0.7088988, 0.1034932], abs=1e-7)


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


@pytest.mark.parametrize("kind", ["add", "clamp"])
def test_rows_changed_alike_read_the_prompt_once_and_go_on_by_themselves(
    bench: Workbench, prompt: list[int], kind: str
) -> None:
    change = Addition(strong(bench, 2)) if kind == "add" else clamps(bench, 2)
    change, counting = change.take(torch.tensor([0, 1, 0, 0, 1])), CountingBench(bench)
    together = run(counting, prompt, change)
    assert counting.rows == [2] + [5] * (NEW - 1)
    assert len({tuple(row) for row in together.tokens.tolist()}) > 2, "noise tells the rows apart"
    alone = [run(bench, prompt, change.take(torch.tensor([i])), noise=noise_of(5)[i : i + 1]) for i in range(5)]
    assert together.tokens.tolist() == [made.tokens[0].tolist() for made in alone]


def test_rows_with_one_noise_differ_by_their_vectors_alone(bench: Workbench, prompt: list[int]) -> None:
    noise = np.repeat(noise_of(1), 3, axis=0)
    vectors = torch.stack([torch.zeros(32), torch.zeros(32), 15 * bench.directions[0]])
    made = run(bench, prompt, vectors, noise=noise).tokens.tolist()
    assert made[0] == made[1] != made[2]


def test_fewer_rows_fit_for_longer_texts_and_larger_vocabularies(bench: Workbench) -> None:
    def wide(d_vocab: int) -> Workbench:
        other = CountingBench(bench)
        other.W_U = torch.empty(768, d_vocab, device="meta")
        return other

    small, large = rows_per_batch(wide(8_000), 40), rows_per_batch(wide(250_000), 40)
    assert MOST_ROWS >= small > large >= FEWEST_ROWS
    assert rows_per_batch(wide(50_000), 40) > rows_per_batch(wide(50_000), 400)
    assert large * 250_000 * 4 * 3 <= bench.budget
    assert rows_per_batch(bench, 10, most_bytes=1) == FEWEST_ROWS
    assert rows_per_batch(bench, 10) == MOST_ROWS


def test_more_rows_fit_where_heads_share_their_keys_and_numbers_are_short(bench: Workbench) -> None:
    other = CountingBench(bench)
    other.W_U, other.budget = torch.empty(32, 500, device="meta"), 2**20
    usual = rows_per_batch(other, 40)
    other.bridge = SimpleNamespace(cfg=SimpleNamespace(n_layers=3, n_key_value_heads=1, d_head=8))
    shared = rows_per_batch(other, 40)
    other.dtype = torch.bfloat16
    assert FEWEST_ROWS < usual < shared < rows_per_batch(other, 40) < MOST_ROWS


@given(st.integers(1, 500), st.integers(1, 100))
def test_rows_are_split_evenly_and_within_the_limit(n_rows: int, limit: int) -> None:
    parts = [len(part) for part in split_rows(n_rows, limit)]
    assert sum(parts) == n_rows
    assert max(parts) <= limit
    assert max(parts) - min(parts) <= 1


def test_texts_that_do_not_fit_the_context_are_named_in_one_line(bench: Workbench) -> None:
    check_room(bench, ["In the market"], 20)
    with pytest.raises(StudyError) as caught:
        check_room(bench, ["In the market", "The captain of the river"], 21)
    assert str(caught.value) == (
        "steering.prompts: 'In the market' takes 4 positions, which leaves 20 of the model's 24 for "
        "steering.new_tokens = 21"
    )


# Prompts


class Templated(Workbench):
    """The bench, with a chat template that opens as the model's rows do."""

    def __init__(self, bench: Workbench) -> None:
        self.__dict__.update(bench.__dict__)
        self.tokenizer = copy.deepcopy(bench.tokenizer)
        self.tokenizer.chat_template = (
            "{{ bos_token }}{% for m in messages %}In the {{ m.role }}: {{ m.content }}{% endfor %}"
            "{% if add_generation_prompt %} and{% endif %}"
        )


def test_a_chat_prompt_is_what_a_user_says_and_opens_with_one_bos(bench: Workbench) -> None:
    templated = Templated(bench)
    ids = read_prompt(templated, "the river", "chat")
    assert templated.decode(ids) == "In the user: the river and"
    assert bench.bos not in ids, "the row brings its own"
    assert read_prompt(templated, "the river") == bench.tokenize("the river")


def test_a_tokenizer_without_a_chat_template_is_said_to_have_none(bench: Workbench) -> None:
    with pytest.raises(StudyError, match="no chat template"):
        check_room(bench, ["In the market"], 5, "chat")


def test_a_chat_prompt_takes_the_room_of_its_template(bench: Workbench) -> None:
    templated = Templated(bench)
    room = templated.context_size - 1 - len(read_prompt(templated, "the river", "chat"))
    check_room(templated, ["the river"], room, "chat")
    with pytest.raises(StudyError, match="which leaves"):
        check_room(templated, ["the river"], room + 1, "chat")


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
    vocabulary = torch.arange(bench.W_U.shape[1])
    made = run(bench, prompt, torch.zeros(1, 32), reference=torch.tensor([[3, 5, 8]]), temperature=0.5)
    tokens, masses = [bench.bos, *prompt], []
    for chosen in made.tokens[0].tolist():
        masses.append(float(torch.softmax(bench.logits(torch.tensor([tokens]))[0, -1], -1)[[3, 5, 8]].sum().log()))
        tokens.append(chosen)
    assert made.log_mass[0] == pytest.approx(np.mean(masses), abs=1e-4)
    everything = run(bench, prompt, torch.zeros(1, 32), reference=vocabulary[None])
    assert everything.log_mass[0] == pytest.approx(0, abs=1e-4)


def test_direction_after_the_last_layer_raises_the_tokens_it_projects_on(last_bench: Workbench) -> None:
    prompt = last_bench.tokenize("In the market")
    directions = last_bench.directions[:8]
    reference = project(directions, last_bench.W_U, 10).top_ids
    steered = run(last_bench, prompt, directions * 15, reference=reference).log_mass
    opposed = run(last_bench, prompt, directions * -15, reference=reference).log_mass
    unsteered = run(last_bench, prompt, directions * 0, reference=reference).log_mass
    assert (steered > unsteered + 0.1).all()
    assert (opposed < unsteered - 0.1).all()


# Perplexity


def test_perplexity_is_that_of_the_unsteered_model(bench: Workbench, prompt: list[int]) -> None:
    made = run(bench, prompt, strong(bench))
    found = score_perplexity(bench, prompt, made.tokens)
    for row, continuation in enumerate(made.tokens.tolist()):
        tokens = torch.tensor([[bench.bos, *prompt, *continuation]])
        surprise = -torch.log_softmax(bench.logits(tokens)[0], -1)[len(prompt) : -1]
        expected = surprise[torch.arange(NEW), torch.tensor(continuation)].mean().exp()
        assert found[row] == pytest.approx(float(expected), rel=1e-3)


def test_unsteered_rows_know_their_perplexity_already(bench: Workbench, prompt: list[int]) -> None:
    made = run(bench, prompt, torch.cat([torch.zeros(3, 32), strong(bench, 3)]))
    known, found = np.exp(-made.log_probs.mean(axis=1)), score_perplexity(bench, prompt, made.tokens)
    np.testing.assert_allclose(known[:3], found[:3], rtol=1e-3)
    assert (found[3:] > 1.5 * known[3:]).all(), "what a steered model finds likely is not what the unsteered one does"


@pytest.mark.parametrize("name", ["bench", "last_bench"])
def test_perplexity_needs_nothing_below_the_hook_again(
    name: str, prompt: list[int], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in blocks; a hook behind its block sees too little for that, and nothing is kept."""
    one: Workbench = request.getfixturevalue(name)
    made = run(one, prompt, strong(one), keep_below=True)
    assert (made.below is not None) == (name == "bench") == one.hook_name.endswith("hook_resid_pre")
    whole = score_perplexity(one, prompt, made.tokens)
    np.testing.assert_allclose(score_perplexity(one, prompt, made.tokens, made.below), whole, rtol=1e-4)
    monkeypatch.setattr(one, "budget", 1)
    np.testing.assert_allclose(score_perplexity(one, prompt, made.tokens, made.below), whole, rtol=1e-4)


def test_one_pass_follows_several_lists_of_tokens(bench: Workbench, prompt: list[int]) -> None:
    lists = torch.tensor([[3, 4, 5], [60, 61, 62]])
    both = run(bench, prompt, strong(bench), reference=lists.expand(6, 2, 3)).log_mass
    for place in range(2):
        alone = run(bench, prompt, strong(bench), reference=lists[place].expand(6, 3)).log_mass
        np.testing.assert_allclose(both[:, place], alone, atol=1e-5)
    assert both.shape == (6, 2)


def test_perplexity_in_blocks_is_the_same(bench: Workbench, prompt: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    made = run(bench, prompt, strong(bench))
    whole = score_perplexity(bench, prompt, made.tokens)
    monkeypatch.setattr(bench, "budget", 1)
    np.testing.assert_allclose(score_perplexity(bench, prompt, made.tokens), whole, rtol=1e-4)
