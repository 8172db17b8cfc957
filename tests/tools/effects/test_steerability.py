"""Input and output scores on directions whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tools.activity.activations import Recording
from tools.bench.workbench import Workbench
from tools.effects.steerability import AMPLITUDE, NEUTRAL_PROMPT, TOKENS, own_tokens, score_input, score_output
from tools.study.corpus import TokenRows
from tools.survey.projection import random_directions


def token_direction(bench: Workbench, token: int) -> torch.Tensor:
    return torch.nn.functional.normalize(bench.W_U[:, token], dim=0)


def recording(tokens: list[int], activations: list[float]) -> Recording:
    """One active token a row, behind BOS."""
    rows = np.array([[0, token, 1] for token in tokens])
    values = np.zeros((len(rows), 3, 1), dtype=np.float32)
    values[:, 1, 0] = activations
    real = np.array([[False, True, True]] * len(rows))
    return Recording(TokenRows(rows, real, ("d",) * len(rows)), values, 1.0, np.ones(1))


def test_own_tokens_are_those_the_direction_alone_makes_likeliest(bench: Workbench) -> None:
    directions = bench.directions[:3]
    found = own_tokens(bench, directions)
    assert found.shape == (3, TOKENS)
    assert found[1].tolist() == bench.unembed(directions[1:2])[0].topk(TOKENS).indices.tolist()


def test_output_score_of_a_tokens_own_direction_grows_with_the_amplitude(last_bench: Workbench) -> None:
    """After the last layer it ends at rank 0, with the probability that the direction alone gives its token."""
    token = last_bench.tokenize(" doctor")[0]
    directions = torch.stack([token_direction(last_bench, token), random_directions(1, 32, 0)[0]])
    listed = torch.full((2, 1), token)
    scores: list[float] = []
    for amplitude in (0.0, 1.0, AMPLITUDE, 1000.0):
        own, random = score_output(last_bench, directions, listed, amplitude=amplitude).tolist()
        scores.append(own)
    assert scores == sorted(scores)
    alone = torch.softmax(last_bench.unembed(1000 * directions[:1])[0], -1)
    assert int(alone.argmax()) == token
    assert scores[-1] == pytest.approx(float(alone[token]), rel=0.02)
    assert scores[0] < 0.1 < 0.5 < scores[-1]
    assert random < 0.01


def test_output_score_is_rank_times_probability_at_the_last_position(bench: Workbench) -> None:
    directions = random_directions(4, 32, 0)
    listed = own_tokens(bench, directions)
    found = score_output(bench, directions, listed)
    tokens = torch.tensor([[bench.bos, *bench.tokenize(NEUTRAL_PROMPT)]])
    strongest = float(bench.encode(bench.residuals(tokens))[0, -1].max())
    assert strongest > 0
    for row in range(4):

        def push(residual: torch.Tensor, row: int = row) -> torch.Tensor:
            pushed = residual.clone()
            pushed[:, -1] += AMPLITUDE * strongest * directions[row]
            return pushed

        probabilities = torch.softmax(bench.logits(tokens, push)[0, -1], -1)
        ranks = probabilities.argsort(descending=True).argsort()[listed[row]]
        expected = (1 - float(ranks.min()) / len(probabilities)) * float(probabilities[listed[row]].max())
        assert float(found[row]) == pytest.approx(expected, rel=1e-3)


def test_input_score_is_the_share_of_texts_whose_peak_is_one_of_the_tokens() -> None:
    tokens = [5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 5, 5]
    found = recording(tokens, [1.0] * 10 + [0.0, 0.0])
    assert score_input(found, 0, torch.tensor([5, 6])) == pytest.approx(0.4), "two rows are not active"
    assert score_input(found, 0, torch.tensor([1])) == 0.0


def test_input_score_looks_at_the_most_active_texts() -> None:
    found = recording([5] * 100 + [6] * 100, [2.0] * 100 + [1.0] * 100)
    assert score_input(found, 0, torch.tensor([5])) == 1.0


def test_too_few_texts_give_no_input_score() -> None:
    assert score_input(recording([5] * 9, [1.0] * 9), 0, torch.tensor([5])) is None
