"""Every benchmark runs at toy size, and both of its arms give the same results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.catalogue import BENCHMARKS, run_benchmark
from benchmarks.material.evidence import make_evidence
from benchmarks.material.words import spell
from benchmarks.projection import count_misplaced
from benchmarks.records import Setting

BUSY = pytest.param("busy", marks=pytest.mark.endurance)
"""Loads the libraries twice more, and takes all cores from the tests beside it."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [BUSY if name == "busy" else name for name in BENCHMARKS])
def test_benchmark_runs_and_its_arms_agree(name: str, tmp_path: Path) -> None:
    figure = tmp_path / "figure.png"
    results = run_benchmark(name, Setting("small", rounds=1, figure=str(figure)), threads=None)
    assert results
    for result in results:
        assert result.name.startswith(name)
        assert result.baseline_s > 0 and result.ours_s > 0
        assert [reach for reach in result.reaches if reach.judged and not reach.met] == []
    assert figure.is_file() == (name == "survey")


def test_token_in_a_wrong_place_is_counted_and_a_tie_is_not() -> None:
    W_U = torch.tensor([[3.0, 2.0, 2.0, 1.0]])
    ids, expected = torch.tensor([[0, 2, 1, 3]]), torch.tensor([[0, 1, 2, 3]])
    assert count_misplaced(torch.ones(1, 1), W_U, ids, expected) == 0
    assert count_misplaced(torch.ones(1, 1), W_U, torch.tensor([[1, 0, 2, 3]]), expected) == 2


def test_different_numbers_spell_different_words() -> None:
    words = [spell(number) for number in range(3000)]
    assert len(set(words)) == 3000
    assert {len(word) for word in words} == {4}


def test_made_evidence_differs_between_features_and_not_between_calls() -> None:
    assert make_evidence(3) == make_evidence(3)
    texts = {make_evidence(i).steering.pairs[0].steered for i in range(20)}  # pyright: ignore
    assert len(texts) == 20
    assert np.isfinite(make_evidence(0).projection.top[0].weight)  # pyright: ignore
