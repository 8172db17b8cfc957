"""Which features changed: left out with a reason where weights are not at hand, and read beside the seeds' ceiling."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from evals.arms.changes import Changed, compare_weights, compare_with_ceiling, match_seeds, seed_ceilings
from evals.arms.results import Changes, SharedFeatures
from evals.arms.settings import Origin
from evals.arms.summary import Read, Summarised, read_run
from tests.conftest import D_SAE
from tests.evals.arms.test_seeds import summary
from tests.evals.arms.worlds import N_FEATURES, World, write_arm
from tools.bench.arms import check_arm_files
from tools.study.reading import load_study

WHOLE = SharedFeatures(kept=1.0, paired=1.0)


def shared(kept: float) -> SharedFeatures:
    return SharedFeatures(kept=kept, paired=kept + 0.1)


def weigh(left: Read, right: Read) -> Changed:
    return compare_weights(left, right, 0, "cpu", None)


def read_arms(folder: Path, study: Path, **hashes: str) -> tuple[Read, Read]:
    """Runs that say they ran the arms of a real study."""
    read: list[Read] = []
    for seed, name in enumerate(("base", "finetuned")):
        known = {**check_arm_files(load_study(str(study)), name).by_role(), **hashes}
        read.append(read_run(write_arm(folder / name, World(name, seed=seed, study=str(study), hashes=known))))
    return read[0], read[1]


def test_weights_that_are_not_at_hand_leave_it_out_with_a_reason(tmp_path: Path) -> None:
    read = [read_run(write_arm(tmp_path / name, World(name))) for name in ("base", "tuned")]
    found = weigh(read[0], read[1])
    assert (found.changes, found.features, found.faults) == ([], [], [])
    assert found.remarks == ["which features changed is left out: the study is not at hand"]


def test_weights_that_have_been_replaced_since_leave_it_out(tmp_path: Path, study_folder: Path) -> None:
    found = weigh(*read_arms(tmp_path, study_folder, model="of an older model"))
    assert found.remarks == [
        "which features changed is left out: the weights of arm base are no longer those of the run"
    ]


def test_every_feature_of_both_dictionaries_has_a_status(tmp_path: Path, study_folder: Path) -> None:
    left, right = read_arms(tmp_path, study_folder)
    assert N_FEATURES >= D_SAE  # the runs made by hand are longer than the dictionaries
    found = weigh(left, right)
    assert sorted(one.base for one in found.features if one.base is not None) == list(range(D_SAE))
    assert sorted(one.finetuned for one in found.features if one.finetuned is not None) == list(range(D_SAE))
    assert [one.name for one in found.changes] == [
        "base and finetuned",
        "base: keyword features",
        "base: judged relevant",
        "finetuned: keyword features",
        "finetuned: judged relevant",
    ]
    assert sum(found.changes[1].counts.values()) == 16
    assert sum(one.candidate_base for one in found.features) == 16
    assert [one.name for one in found.transfer][1] == "finetuned on base"


def test_what_saes_of_one_model_share_is_matched_where_their_weights_are(study_copy: Path) -> None:
    copy = Path(shutil.copytree(study_copy / "base/sae", study_copy / "copy"))
    weights = load_file(copy / "sae_weights.safetensors")
    order = torch.randperm(D_SAE, generator=torch.Generator().manual_seed(1))
    save_file(weights | {"W_dec": weights["W_dec"][order].contiguous()}, copy / "sae_weights.safetensors")
    summaries = [summary("base", "B", "b0"), summary("base-1", "B", "b1"), summary("tuned", "T", "t0")]
    origins = [Origin(None, None, None, folder, None) for folder in (study_copy / "base/sae", copy, copy)]
    found = match_seeds([Summarised(*known) for known in zip(summaries, origins, strict=True)])
    assert [one.shared_with for one in found] == [{"b1": WHOLE}, {"b0": WHOLE}, {}]
    (ceiling,) = seed_ceilings([found[:2], found[2:]])
    assert (ceiling.shared, ceiling.kept_range) == (WHOLE, (1.0, 1.0))
    assert ceiling.name.startswith("base: SAEs of other seeds")


def test_shares_with_saes_that_are_not_compared_do_not_count() -> None:
    one = summary("base", "B", "b0").model_copy(update={"shared_with": {"b1": shared(0.4), "elsewhere": shared(0.9)}})
    (ceiling,) = seed_ceilings([[one, summary("base-1", "B", "b1")]])
    assert ceiling.shared == shared(0.4)


@pytest.mark.parametrize(
    ("kept", "says"), [(0.03, "less than in any"), (0.05, "no less than in"), (0.2, "another seed changes as much")]
)
def test_what_arms_share_is_held_against_what_seeds_share(kept: float, says: str) -> None:
    ceilings = [Changes(name=n, counts={}, shared=shared(0.06), kept_range=ends) for n, ends in (("a", (0.04, 0.08)),)]
    sentence = compare_with_ceiling(Changes(name="arms", counts={}, shared=shared(kept)), ceilings)
    assert sentence is not None and says in sentence and "4.0% to 8.0%" in sentence


def test_without_pairs_of_seeds_there_is_no_such_sentence() -> None:
    assert compare_with_ceiling(Changes(name="arms", counts={}, shared=shared(0.1)), []) is None
