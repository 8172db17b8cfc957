"""Where and how precisely a model is computed, and in how much memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import GPT2Config

from tools.bench.compute import Compute, choose_device, choose_dtype, count_parameters, device_memory
from tools.bench.loading import load_arm
from tools.bench.workbench import Workbench
from tools.effects.intervention import Addition
from tools.effects.steering import generate, row_noise, rows_per_batch
from tools.errors import LoadError
from tools.study.definition import Study


@pytest.mark.parametrize(("there", "chosen"), [((True, True), "cuda"), ((False, True), "mps"), ((False, False), "cpu")])
def test_auto_takes_the_fastest_device_there_is(
    there: tuple[bool, bool], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there[0])
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: there[1])
    assert choose_device("auto") == chosen
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["cuda:0", "cuda:1"])
def test_device_may_be_numbered(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device(name) == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cuda", "device cuda is not available here: use auto or cpu"),
        ("cuda:2", "device cuda:2 is not available here"),
        ("mps", "device mps is not available here"),
        ("gpu", "no device is called 'gpu': use auto, cpu, cuda"),
        ("cuda:x", "no device is called 'cuda:x'"),
        ("", "no device is called ''"),
    ],
)
def test_device_that_is_not_there_is_refused(name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: name == "cuda:2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(LoadError, match=said):
        choose_device(name)


@pytest.mark.parametrize(
    ("precision", "n_parameters", "expected"),
    [
        ("auto", 100, torch.float32),
        ("auto", 126, torch.bfloat16),
        ("float32", 10**9, torch.float32),
        ("bfloat16", 1, torch.bfloat16),
    ],
)
def test_a_model_that_would_fill_half_the_memory_is_computed_in_bfloat16(
    precision, n_parameters: int, expected: torch.dtype
) -> None:
    assert choose_dtype(precision, n_parameters, memory=1000) is expected


def test_parameters_are_counted_without_allocating_them() -> None:
    config = GPT2Config(n_layer=2, n_embd=8, n_head=2, vocab_size=10, n_positions=4)
    block = 12 * 8 * 8 + 13 * 8
    assert count_parameters(config) == 10 * 8 + 4 * 8 + 2 * block + 2 * 8
    wide = GPT2Config(n_layer=96, n_embd=12_288, n_head=96)
    assert count_parameters(wide) > 170e9


def test_the_machine_has_some_memory() -> None:
    assert device_memory("cpu") > 2**28


@pytest.fixture(scope="module")
def rough(study: Study) -> Workbench:
    """The base arm in half precision and little memory."""
    return load_arm(study, "base", Compute(precision="bfloat16", budget=1))


def test_only_the_model_is_rounded(bench: Workbench, rough: Workbench) -> None:
    assert (bench.dtype, rough.dtype) == (torch.float32, torch.bfloat16)
    assert rough.directions.dtype == rough.W_U.dtype == torch.float32
    tokens = torch.tensor([[bench.bos, *bench.tokenize("The captain of the river")]])
    for one, other in [
        (bench.residuals(tokens), rough.residuals(tokens)),
        (bench.logits(tokens), rough.logits(tokens)),
        (bench.encode(bench.residuals(tokens)), rough.encode(rough.residuals(tokens))),
        (bench.unembed(bench.final_residual(tokens)), rough.unembed(rough.final_residual(tokens))),
    ]:
        assert other.dtype == torch.float32
        assert float((one - other).norm() / one.norm()) < 0.05


def test_an_edit_sees_the_residual_stream_in_float32(rough: Workbench) -> None:
    seen: list[torch.dtype] = []

    def edit(residual: torch.Tensor) -> torch.Tensor:
        seen.append(residual.dtype)
        return residual + 1e-3

    rough.logits(torch.tensor([[rough.bos, 5]]), edit)
    assert seen == [torch.float32]


def test_steering_works_in_bfloat16_too(rough: Workbench) -> None:
    prompt = rough.tokenize("The captain of the river")
    vectors = torch.stack([torch.zeros(32), 30 * rough.directions[3]])
    noise = np.stack([row_noise("row", 6)] * 2)
    made = generate(rough, prompt, Addition(vectors), noise, temperature=1.0, top_k=50)
    assert (made.tokens[0] != made.tokens[1]).any()
    assert np.isfinite(made.log_probs).all()


def test_a_smaller_budget_holds_fewer_rows(bench: Workbench, rough: Workbench) -> None:
    assert rows_per_batch(rough, 10) < rows_per_batch(bench, 10)
