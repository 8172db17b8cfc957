"""Weights that no figure can rest on are refused before the survey, by the tensor's name, and leave no run behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from agent.run import main
from tools.bench.workbench import Workbench
from tools.dictionaries.belonging import probe_reconstruction, probe_rows
from tools.errors import LoadError
from tools.proof.outcome import Probe
from tools.study.definition import Study

Damage = Callable[[Tensor], Tensor]


def nan(tensor: Tensor) -> Tensor:
    tensor.view(-1)[0] = float("nan")
    return tensor


def infinite(tensor: Tensor) -> Tensor:
    tensor.view(-1)[-1] = float("-inf")
    return tensor


def whole(tensor: Tensor) -> Tensor:
    return (tensor * 100).to(torch.int64)


def bytes_of(tensor: Tensor) -> Tensor:
    return (tensor * 100).to(torch.int8)


def truths(tensor: Tensor) -> Tensor:
    return tensor > 0


def complex_ones(tensor: Tensor) -> Tensor:
    return tensor.to(torch.complex64)


SAE = "base/sae/sae_weights.safetensors"
MODEL = "base/model/model.safetensors"
CASES: list[tuple[str, str, Damage]] = [
    *((SAE, name, how) for name in ("W_enc", "W_dec", "b_enc", "b_dec") for how in (nan, infinite, whole)),
    *((SAE, "W_dec", how) for how in (torch.zeros_like, bytes_of, truths, complex_ones)),
    (SAE, "W_enc", torch.zeros_like),
    *((MODEL, "transformer.h.0.mlp.c_fc.bias", how) for how in (nan, infinite, whole)),
    *((MODEL, "transformer.wte.weight", how) for how in (nan, infinite, whole, torch.zeros_like)),
]


def damage(folder: Path, file: str, name: str, how: Damage) -> None:
    weights = load_file(folder / file)
    weights[name] = how(weights[name].clone()).contiguous()
    save_file(weights, folder / file, metadata={"format": "pt"})


@pytest.mark.parametrize(("file", "name", "how"), CASES)
def test_weights_that_are_no_numbers_are_refused_by_name(
    file: str, name: str, how: Damage, study_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(study_copy, file, name, how)
    assert main(["--study", str(study_copy), "--runs", str(tmp_path / "runs")]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ") and name.rsplit(".", 2)[-1] in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("how", [whole, bytes_of, truths])
def test_a_dry_run_refuses_integer_weights_too(
    how: Damage, study_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(study_copy, SAE, "b_enc", how)
    assert main(["--study", str(study_copy), "--dry-run"]) == 2
    assert "b_enc" in capsys.readouterr().err


def test_a_direction_without_length_makes_no_figure_that_is_no_number(
    study_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def flatten(tensor: Tensor) -> Tensor:
        tensor[7] = 0
        return tensor

    damage(study_copy, SAE, "W_dec", flatten)
    assert main(["--study", str(study_copy), "--runs", str(tmp_path / "runs"), "--features", "7"]) in (0, 2)
    out, err = capsys.readouterr()
    assert "nan" not in (out + err).lower()


def test_every_figure_of_the_probe_is_a_number(bench: Workbench, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    found = probe_reconstruction(bench, probe_rows(bench, study))
    assert Probe.model_validate_json(found.model_dump_json()) == found
    for number in (float("nan"), float("inf"), float("-inf")):
        monkeypatch.setattr("tools.dictionaries.belonging.explained_variance", lambda *_, number=number: number)
        with pytest.raises(LoadError, match="no number"):
            probe_reconstruction(bench, probe_rows(bench, study))
