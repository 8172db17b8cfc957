"""Activations of a world's model: read once, of tokens that tell something, and drawn in orders that seeds decide."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tools.training.recipe import SaeRecipe
from tools.training.world_activations import draw_batches, read_activations

RECIPE = SaeRecipe(hook_name="blocks.1.hook_resid_pre", corpora=[], heldout=[], context_size=4)
ROWS = np.array([[0, 3, 5, 0], [0, 7, 8, 9]])


class Counting:
    """A model whose stream is the token, twice; it counts how often it is run."""

    def __init__(self) -> None:
        self.cfg = SimpleNamespace(n_layers=2, n_ctx=4, d_model=2)
        self.original_model = torch.nn.Linear(1, 1)
        self.runs = 0

    def __call__(self, tokens: torch.Tensor, stop_at_layer: int) -> torch.Tensor:
        assert stop_at_layer == 1
        self.runs += 1
        return tokens[..., None].expand(*tokens.shape, 2).double()


def test_tokens_that_open_and_fill_rows_are_left_out_and_a_second_time_reads_nothing(tmp_path: Path) -> None:
    model: Any = Counting()
    found = read_activations(model, RECIPE, ROWS, tmp_path / "arm")
    assert found.tolist() == [[3, 3], [5, 5], [7, 7], [8, 8], [9, 9]] and found.dtype == np.float32
    assert np.array_equal(read_activations(model, RECIPE, ROWS, tmp_path / "arm"), found) and model.runs == 1
    assert [file.suffix for file in (tmp_path / "arm").iterdir()] == [".npy"]


@pytest.mark.parametrize("other", ["rows", "weights"])
def test_other_rows_or_weights_are_read_anew(other: str, tmp_path: Path) -> None:
    model: Any = Counting()
    read_activations(model, RECIPE, ROWS, tmp_path)
    if other == "weights":
        torch.nn.init.zeros_(model.original_model.weight)
    read_activations(model, RECIPE, ROWS if other == "weights" else ROWS[:1], tmp_path)
    assert model.runs == 2 and len(list(tmp_path.iterdir())) == 2


def test_a_round_of_batches_holds_every_token_once_and_rounds_and_seeds_differ() -> None:
    activations = np.arange(12, dtype=np.float32)[:, None]

    def rounds(seed: int) -> list[list[float]]:
        drawn = [batch[:, 0].tolist() for batch in islice(draw_batches(activations, 4, seed), 6)]
        return [sum(drawn[:3], []), sum(drawn[3:], [])]

    first, second = rounds(0)
    assert sorted(first) == sorted(second) == list(range(12)) and first != second
    assert rounds(0) == [first, second] and rounds(1)[0] != first


def test_fewer_tokens_than_a_batch_are_a_batch() -> None:
    (batch,) = islice(draw_batches(np.ones((3, 2), dtype=np.float32), 8, 0), 1)
    assert batch.shape == (3, 2)
