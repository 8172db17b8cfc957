"""Weights that no figure can rest on are refused before the survey, by the tensor's name, and leave no run behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from agent.folder.store import RunFolder
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
IN_THE_SUITE: set[tuple[str, Damage]] = {
    ("W_enc", nan),
    ("W_enc", torch.zeros_like),
    ("W_dec", infinite),
    ("W_dec", torch.zeros_like),
    ("W_dec", bytes_of),
    ("W_dec", truths),
    ("W_dec", complex_ones),
    ("b_enc", whole),
    ("b_dec", nan),
    ("transformer.h.0.mlp.c_fc.bias", infinite),
    ("transformer.wte.weight", whole),
    ("transformer.wte.weight", torch.zeros_like),
}
"""Every tensor and every kind of damage once, for a case loads a model twice; the others belong to endurance."""


def damage(folder: Path, file: str, name: str, how: Damage) -> None:
    weights = load_file(folder / file)
    weights[name] = how(weights[name].clone()).contiguous()
    save_file(weights, folder / file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("file", "name", "how"),
    [
        pytest.param(
            *case, marks=() if case[1:] in IN_THE_SUITE else pytest.mark.endurance, id=f"{case[1]}-{case[2].__name__}"
        )
        for case in CASES
    ],
)
def test_weights_that_are_no_numbers_are_refused_by_name(
    file: str, name: str, how: Damage, study_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(study_copy, file, name, how)
    told: list[str] = []
    for more in (["--dry-run"], []):
        assert main(["--study", str(study_copy), "--runs", str(tmp_path / "runs"), *more]) == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith("error: ") and name.rsplit(".", 2)[-1] in said
        told.append(said)
    assert told[0] == told[1]
    assert not (tmp_path / "runs").exists()


EMPTY = (0, 7, 40)
"""One of them is the feature that every other test takes for a candidate."""


def empty(tensor: Tensor) -> Tensor:
    tensor[list(EMPTY)] = 0
    return tensor


def test_features_without_a_direction_are_counted_and_never_selected(
    study_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(study_copy, SAE, "W_dec", empty)
    with (study_copy / "study.toml").open("a", encoding="utf-8") as file:
        file.write("[controls]\nnear = 48\nunrelated = 48\nrandom_directions = 1\n")
    line = ["--study", str(study_copy), "--runs", str(tmp_path / "runs"), "--judge", "rules"]
    assert main([*line, "--limit", "100"]) == 0
    out, err = capsys.readouterr()
    assert "note: 3 of 48 features have no direction" in out
    assert "nan" not in (out + err).lower() and "warning: invalid" not in err
    folder = RunFolder.open(next((tmp_path / "runs").iterdir()))
    manifest, evidence = folder.manifest(), folder.finished_evidence()
    assert manifest.probe is not None and manifest.probe.without_direction == 3
    chosen = {record.feature.index for record in evidence if record.feature.kind == "feature"}
    assert chosen == set(range(48)) - set(EMPTY)
    table = pd.read_parquet(folder.path / "features.parquet")
    assert not table["alive"][list(EMPTY)].any()
    of_empty = table.loc[list(EMPTY), ["mean", "std", "skewness", "kurtosis"]].to_numpy()
    assert np.isfinite(of_empty).all()
    for text in (folder.evidence_file.read_text(), (folder.path / "summary.json").read_text()):
        assert "NaN" not in text and "Infinity" not in text


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_feature_without_a_direction_is_refused_by_number(
    more: list[str], study_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(study_copy, SAE, "W_dec", empty)
    line = ["--study", str(study_copy), "--runs", str(tmp_path / "runs"), "--features", "8,7", *more]
    assert main(line) == 2
    assert "error: feature 7 has no direction" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_decoder_of_rows_too_short_to_tell_from_nothing_is_refused_by_name(
    study_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(study_copy, SAE, "W_dec", lambda tensor: tensor * 1e-12)
    assert main(["--study", str(study_copy), "--runs", str(tmp_path / "runs")]) == 2
    assert "W_dec" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_every_figure_of_the_probe_is_a_number(bench: Workbench, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    found = probe_reconstruction(bench, probe_rows(bench, study))
    assert Probe.model_validate_json(found.model_dump_json()) == found
    for number in (float("nan"), float("inf"), float("-inf")):
        monkeypatch.setattr("tools.dictionaries.belonging.explained_variance", lambda *_, number=number: number)
        with pytest.raises(LoadError, match="no number"):
            probe_reconstruction(bench, probe_rows(bench, study))
