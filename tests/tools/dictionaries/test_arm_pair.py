"""Two arms with their weights: faults are collected, dictionaries matched, and each SAE run on each model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import D_SAE
from tools.bench.arms import check_arm_files
from tools.dictionaries.arm_pair import ArmPair, compare_pair, match_folders
from tools.errors import LoadError
from tools.study.definition import Study
from tools.study.reading import load_study


@pytest.fixture(scope="module")
def pair(study: Study) -> ArmPair:
    return compare_pair(study, "base", "finetuned")


def test_the_weights_are_those_of_the_arms(pair: ArmPair, study: Study) -> None:
    assert pair.left == check_arm_files(study, "base")
    assert pair.right == check_arm_files(study, "finetuned")


def test_each_sae_is_run_on_each_model(pair: ArmPair) -> None:
    assert [(one.sae, one.model) for one in pair.reconstructions] == [
        ("base", "base"),
        ("finetuned", "base"),
        ("base", "finetuned"),
        ("finetuned", "finetuned"),
    ]
    own = [one.figures.ce_clean for one in pair.reconstructions]
    assert own[0] == own[1] != own[2] == own[3]


def test_saes_that_were_never_trained_are_found_out(pair: ArmPair) -> None:
    """The tiny study's SAEs are random: they belong to no model, and it is said of both."""
    assert len([fault for fault in pair.faults if "explains" in fault]) >= 2


def test_random_dictionaries_share_nothing(pair: ArmPair) -> None:
    assert pair.matching is not None
    assert pair.matching.kept == 0
    assert pair.matching.n_left == D_SAE


def test_the_other_arms_sae_is_a_fault(study_copy: Path) -> None:
    shutil.copy(study_copy / "base/sae/sae_weights.safetensors", study_copy / "finetuned/sae/sae_weights.safetensors")
    found = compare_pair(load_study(str(study_copy)), "base", "finetuned")
    assert any("same SAE" in fault for fault in found.faults)


def test_a_permuted_and_rescaled_copy_is_wholly_the_same(study_copy: Path) -> None:
    copy = Path(shutil.copytree(study_copy / "base/sae", study_copy / "copy"))
    weights = load_file(copy / "sae_weights.safetensors")
    order = torch.randperm(D_SAE, generator=torch.Generator().manual_seed(1))
    save_file(weights | {"W_dec": (3 * weights["W_dec"][order]).contiguous()}, copy / "sae_weights.safetensors")
    assert match_folders(study_copy / "base/sae", copy).kept_share == 1


def test_dead_features_are_left_out_where_the_sae_says_so(study_copy: Path) -> None:
    folder = study_copy / "base/sae"
    density = torch.full((D_SAE,), -2.0)
    density[:10] = -10.0
    save_file({"sparsity": density}, folder / "sparsity.safetensors")
    assert match_folders(folder, folder).n_left == D_SAE - 10


def test_a_folder_without_a_decoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="holds no decoder W_dec"):
        match_folders(tmp_path, tmp_path)
