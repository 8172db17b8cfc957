"""Strengths are chosen by their effect, small ones as exactly as large ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from rich.progress import Progress

from tools.bench.workbench import Workbench
from tools.effects.intervention import Addition, Change, Clamp, Readers
from tools.effects.strength import TOLERANCE, MakeChange, choose_strengths, measure_strengths
from tools.survey.projection import random_directions


@pytest.fixture(scope="module")
def prompts(bench: Workbench) -> list[list[int]]:
    return [bench.tokenize("The captain of the"), bench.tokenize("In the market")]


class CountingBench(Workbench):
    """The bench, counting rows that were passed through the model under an intervention."""

    def __init__(self, bench: Workbench) -> None:
        self.__dict__.update(bench.__dict__)
        self.n_rows = 0

    def next_logits(self, tokens: torch.Tensor, edit: Any, below: torch.Tensor | None = None) -> torch.Tensor:
        self.n_rows += len(tokens) if edit is not None else 0
        return super().next_logits(tokens, edit, below)


def adding(directions: torch.Tensor) -> MakeChange:
    def change(which: torch.Tensor, norms: torch.Tensor) -> Change:
        return Addition(directions[which] * norms[:, None])

    return change


def mean_kl(bench: Workbench, prompts: list[list[int]], vectors: torch.Tensor) -> torch.Tensor:
    """KL(unsteered || steered) of the next token, mean over the prompts."""
    total = torch.zeros(len(vectors))
    for prompt in prompts:
        before, after = log_probs(bench, prompt, 0 * vectors), log_probs(bench, prompt, vectors)
        total += torch.nn.functional.kl_div(after, before, log_target=True, reduction="none").sum(dim=1)
    return total / len(prompts)


def log_probs(bench: Workbench, prompt: list[int], vectors: torch.Tensor) -> torch.Tensor:
    """Of the token after the prompt, with a vector added everywhere in each row."""
    tokens = torch.tensor([[bench.bos, *prompt]] * len(vectors))
    return torch.log_softmax(bench.logits(tokens, lambda residual: residual + vectors[:, None])[:, -1], -1)


@pytest.mark.parametrize(("target", "longest"), [(0.05, 20.0), (0.5, 20.0), (0.5, 4000.0), (2.0, 40.0)])
def test_strength_hits_its_target_or_is_the_longest(
    bench: Workbench, prompts: list[list[int]], target: float, longest: float
) -> None:
    """Also where the strength is a thousandth of the longest one."""
    directions = bench.directions[:12]
    chosen = choose_strengths(bench, prompts, adding(directions), 12, target_kl=target, max_norm=longest)
    at = mean_kl(bench, prompts, directions * chosen.norms[:, None])
    torch.testing.assert_close(chosen.kl, at, atol=1e-4, rtol=1e-3)
    longest_kl = mean_kl(bench, prompts, directions * longest)
    reaches = longest_kl > target * (1 + TOLERANCE)
    assert bool(((at / target - 1).abs()[reaches] < 1.5 * TOLERANCE).all())
    assert bool((chosen.norms[~reaches] == longest).all())
    assert int(reaches.sum()) >= 6, "a target that nothing reaches would pass"


def test_search_stops_as_soon_as_the_target_is_met(bench: Workbench, prompts: list[list[int]]) -> None:
    counting = CountingBench(bench)
    choose_strengths(counting, prompts, adding(bench.directions[:12]), 12, target_kl=0.3, max_norm=20.0)
    assert 12 * len(prompts) * 3 <= counting.n_rows <= 12 * len(prompts) * 8


def test_a_search_that_begins_near_and_asks_for_less_is_shorter_and_keeps_what_it_asked_for(
    bench: Workbench, prompts: list[list[int]]
) -> None:
    directions = bench.directions[:12]
    exact = choose_strengths(bench, prompts, adding(directions), 12, target_kl=0.3, max_norm=40.0)
    counting = CountingBench(bench)
    chosen = choose_strengths(
        counting,
        prompts,
        adding(directions),
        12,
        target_kl=0.3,
        max_norm=40.0,
        first_norm=float(exact.norms.median()),
        tolerance=0.1,
    )
    assert counting.n_rows <= 12 * len(prompts) * 4
    assert bool(((mean_kl(bench, prompts, directions * chosen.norms[:, None]) / 0.3 - 1).abs() < 0.11).all())


@pytest.mark.parametrize("first", [0.01, 6.0, 20.0])
def test_a_search_may_begin_anywhere_and_reaches_the_longest_vector_where_it_must(
    bench: Workbench, prompts: list[list[int]], first: float
) -> None:
    directions, longest = bench.directions[:12], 20.0
    change = adding(directions)
    target = float(mean_kl(bench, prompts, directions * longest).median())
    chosen = choose_strengths(bench, prompts, change, 12, target_kl=target, max_norm=longest, first_norm=first)
    reached = mean_kl(bench, prompts, directions * longest)
    short, beyond = reached < target * (1 - TOLERANCE), reached > target * (1 + TOLERANCE)
    assert int(short.sum()) >= 3 <= int(beyond.sum())
    assert bool((chosen.norms[short] == longest).all())
    assert bool(((chosen.kl[beyond] / target - 1).abs() <= TOLERANCE).all())
    assert float(chosen.norms.max()) <= longest


def test_a_search_shows_how_far_it_is(bench: Workbench, prompts: list[list[int]]) -> None:
    with Progress(disable=True) as progress:
        choose_strengths(
            bench, prompts, adding(bench.directions[:5]), 5, target_kl=0.3, max_norm=20.0, progress=progress
        )
        measure_strengths(bench, prompts, adding(bench.directions[:5]), torch.ones(5), progress)
    assert [(task.completed, task.total) for task in progress.tasks] == [(10, 10), (5, 5)]


def test_direction_without_effect_is_given_the_longest_vector(bench: Workbench) -> None:
    """Every layer's norm takes the mean over d_model out, so that this direction moves nothing."""
    nothing = adding(torch.full((1, 32), 32**-0.5))
    chosen = choose_strengths(bench, [bench.tokenize("In the")], nothing, 1, target_kl=0.1, max_norm=7.0)
    assert chosen.norms.tolist() == [7.0]
    assert float(chosen.kl[0]) == pytest.approx(0, abs=1e-4)


def test_higher_target_asks_for_longer_vectors(bench: Workbench, prompts: list[list[int]]) -> None:
    change = adding(random_directions(10, 32, 0))
    norms = [
        choose_strengths(bench, prompts, change, 10, target_kl=target, max_norm=40.0).norms for target in (0.05, 0.5)
    ]
    assert bool((norms[0] < norms[1]).all())


def test_strength_of_a_direction_is_its_own_whatever_else_is_searched(
    bench: Workbench, prompts: list[list[int]]
) -> None:
    directions = bench.directions[:9]
    together = choose_strengths(bench, prompts, adding(directions), 9, target_kl=0.4, max_norm=30.0)
    for i in (0, 4, 8):
        alone = choose_strengths(bench, prompts, adding(directions[i : i + 1]), 1, target_kl=0.4, max_norm=30.0)
        assert float(alone.norms[0]) == pytest.approx(float(together.norms[i]), rel=1e-4)


def test_clamps_are_searched_too(bench: Workbench, prompts: list[list[int]]) -> None:
    readers = Readers(bench.directions[:6], torch.arange(6), torch.zeros(6))

    def clamping(which: torch.Tensor, values: torch.Tensor) -> Change:
        return Clamp(bench, readers.take(which), values, readers.directions[which])

    chosen = choose_strengths(bench, prompts, clamping, 6, target_kl=0.3, max_norm=40.0)
    reached = chosen.norms < 40
    assert int(reached.sum()) >= 3
    assert bool(((chosen.kl[reached] / 0.3 - 1).abs() < 0.05).all())


def test_tokens_moved_are_those_whose_log_probability_changes_most(bench: Workbench, prompts: list[list[int]]) -> None:
    directions = bench.directions[:3] * 8
    found = measure_strengths(bench, prompts, adding(directions), torch.ones(3))
    changes = [log_probs(bench, prompt, directions) - log_probs(bench, prompt, 0 * directions) for prompt in prompts]
    change = torch.stack(changes).mean(dim=0)
    torch.testing.assert_close(found.moves.raised, change.topk(10).values, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(found.moves.lowered, change.topk(10, largest=False).values, atol=1e-3, rtol=1e-3)
    assert found.moves.raised_ids[:, 0].tolist() == change.argmax(dim=1).tolist()
