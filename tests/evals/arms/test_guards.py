"""Each way in which the published comparison went wrong, committed on purpose, stops a comparison."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from agent.folder.store import RunFolder, sha256_of
from evals.arms.guards import ComparisonError, check_hook, find_faults, refuse
from evals.arms.summary import Read, read_run
from tests.evals.arms.worlds import World, write_arm
from tools.bench.arms import hash_weights

TUNED = World("tuned", seed=5, perplexity_bound=140.0)


def faults(base: Path, tuned: Path) -> list[str]:
    left, right = read_run(base), read_run(tuned)
    return find_faults(left.arm, right.arm, (left.summary, right.summary)).found


def test_two_sound_arms_have_no_fault(tmp_path: Path) -> None:
    assert faults(write_arm(tmp_path / "b"), write_arm(tmp_path / "t", TUNED)) == []


def test_the_same_weights_in_both_arms_are_refused(tmp_path: Path) -> None:
    same = TUNED._replace(hashes={"model": "model of base"})
    assert faults(write_arm(tmp_path / "b"), write_arm(tmp_path / "t", same)) == [
        "both arms ran the same model weights"
    ]


def test_fine_tuned_weights_that_were_never_loaded_show_in_what_the_model_wrote(tmp_path: Path) -> None:
    """The files differ, the texts do not: the study loaded its fine-tuned weights with `strict=False`, and none fitted."""
    never_loaded = TUNED._replace(perplexity_bound=100.0 * (1 + 1e-7))
    (found,) = faults(write_arm(tmp_path / "b"), write_arm(tmp_path / "t", never_loaded))
    assert "one model wrote both" in found


def test_the_other_arms_reference_lists_are_refused(tmp_path: Path) -> None:
    """The study steered its base arm against token lists of the fine-tuned one."""
    base, tuned = write_arm(tmp_path / "b"), write_arm(tmp_path / "t", TUNED)
    records = [record for record in RunFolder(tuned).evidence() or [] if record.feature.kind == "feature"]
    lists = {record.feature.index: record.projection for record in records}
    _rewrite_evidence(
        base, lambda record: record | {"projection": lists[record["feature"]["index"]].model_dump(mode="json")}
    )
    assert any(
        "32 of 32 investigated features" in found and "32 of these lists are arm tuned's" in found
        for found in faults(base, tuned)
    )


def test_the_other_arms_decisions_are_refused(tmp_path: Path) -> None:
    base, tuned = write_arm(tmp_path / "b"), write_arm(tmp_path / "t", TUNED)
    (base / "decisions.jsonl").write_bytes((tuned / "decisions.jsonl").read_bytes())
    assert any("about features of another SAE" in found for found in faults(base, tuned))


def test_decisions_on_evidence_that_is_not_there_are_refused(tmp_path: Path) -> None:
    base, tuned = write_arm(tmp_path / "b"), write_arm(tmp_path / "t", TUNED)
    _rewrite_evidence(base, lambda record: record | {"keywords": None}, rejudge=False)
    assert any("42 decisions do not judge the evidence" in found for found in faults(base, tuned))


def test_a_survey_copied_from_the_other_arm_is_refused(tmp_path: Path) -> None:
    base, tuned = write_arm(tmp_path / "b"), write_arm(tmp_path / "t", TUNED)
    (tuned / "features.parquet").write_bytes((base / "features.parquet").read_bytes())
    assert any("both surveys list the same tokens" in found for found in faults(base, tuned))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (TUNED._replace(hashes={"vocabulary": "other"}), "vocabulary sha256 differs"),
        (TUNED._replace(hashes={"vectors": "other"}), "vectors sha256 differs"),
        (TUNED._replace(prompts=("The", "What")), "steering prompts differs"),
        (TUNED._replace(controls=3.0), "controls differs"),
        (TUNED._replace(judge="llm"), "judge differs"),
        (TUNED._replace(hashes={"sae": "SAE of base"}), "both arms ran the same SAE weights"),
    ],
)
def test_what_must_be_equal_is_named_when_it_is_not(tmp_path: Path, changed: World, named: str) -> None:
    found = faults(write_arm(tmp_path / "b"), write_arm(tmp_path / "t", changed))
    assert len(found) == 1 and found[0].startswith(named)


def test_an_sae_of_layer_0_under_the_name_of_layer_8_is_refused(tmp_path: Path) -> None:
    """The study's script loaded one SAE for every layer and named it after the layer."""
    read = _read_with_sae(tmp_path, trained_at="blocks.0.hook_resid_pre", named="blocks.8.hook_resid_pre")
    (found,) = check_hook(read.arm, read.origin)
    assert found == "arm base reads blocks.8.hook_resid_pre, but its SAE was trained at blocks.0.hook_resid_pre"


def test_arms_of_two_layers_are_refused_by_their_hook_points(tmp_path: Path) -> None:
    left = _read_with_sae(tmp_path / "0", trained_at="blocks.0.hook_resid_pre", named="")
    right = _read_with_sae(tmp_path / "8", trained_at="blocks.8.hook_resid_pre", named="", world=TUNED)
    found = find_faults(left.arm, right.arm, (left.summary, right.summary)).found
    assert any(fault.startswith("hook point differs (base: blocks.0.hook_resid_pre") for fault in found)


def test_the_recipe_of_an_sae_that_has_since_been_replaced_is_not_believed(tmp_path: Path) -> None:
    read = _read_with_sae(tmp_path, trained_at="blocks.1.hook_resid_pre", named="", sha256="of an older one")
    assert read.summary.settings["SAE k"] is None
    assert read.summary.settings["hook point"] is None


def test_a_recipe_is_read_from_the_sae_itself(tmp_path: Path) -> None:
    settings = _read_with_sae(tmp_path, trained_at="blocks.1.hook_resid_pre", named="").summary.settings
    assert (settings["hook point"], settings["SAE architecture"]) == ("blocks.1.hook_resid_pre", "topk")
    assert (settings["SAE k"], settings["SAE context size"], settings["SAE size"]) == ("4", "16", "60")


def test_what_a_run_does_not_show_is_unchecked_and_no_fault(tmp_path: Path) -> None:
    left, right = (read_run(write_arm(tmp_path / world.name, world)) for world in (World(), TUNED))
    found = find_faults(left.arm, right.arm, (left.summary, right.summary))
    assert found.found == []
    assert {"hook point", "SAE k", "SAE token budget"} <= set(found.unchecked)


def test_a_reason_lets_a_comparison_go_on_and_its_absence_stops_it_in_one_line() -> None:
    refuse(["a", "b"], "they were made that way")
    refuse([], None)
    with pytest.raises(ComparisonError, match=r"^these runs cannot be compared: a; b\. .*--allow-different REASON$"):
        refuse(["a", "b"], None)


def _rewrite_evidence(run: Path, change: Any, rejudge: bool = True) -> None:
    """Changed evidence; decisions that name the new hashes, as a run that went wrong from the start would have."""
    folder = RunFolder(run)
    records = folder.evidence() or []
    changed = [
        type(record).model_validate(change(record.model_dump(mode="json")))
        if record.feature.kind == "feature" or not rejudge
        else record
        for record in records
    ]
    folder.write_evidence(changed)
    if rejudge:
        hashes = {record.feature.key: sha256_of(record) for record in changed}
        decisions = [json.loads(line) for line in folder.decisions_file.read_text().splitlines()]
        by_key = zip(decisions, folder.decisions(), strict=True)
        lines = [json.dumps(raw | {"evidence_sha256": hashes[known.feature.key]}) + "\n" for raw, known in by_key]
        folder.decisions_file.write_text("".join(lines))


def _read_with_sae(
    folder: Path, trained_at: str, named: str, sha256: str | None = None, world: World | None = None
) -> Read:
    """A run of a study whose SAE lies in a folder, with the configuration that SAELens writes."""
    sae = folder / "study" / "sae"
    sae.mkdir(parents=True)
    save_file({"W_dec": np.zeros((60, 4), dtype=np.float32)}, sae / "sae_weights.safetensors")
    metadata = {"hook_name": trained_at, "context_size": 16, "training_architecture": "topk"}
    (sae / "cfg.json").write_text(json.dumps({"k": 4, "architecture": "topk", "metadata": metadata}))
    arm = (world or World()).name
    (folder / "study" / "study.toml").write_text(
        f'name = "hand"\ntitle = "t"\n[domain]\nname = "medicine"\ndefinition = "d"\nguideline = "g.md"\n'
        f'[arms.{arm}]\nmodel = "m"\nsae = "sae"\nhook_name = "{named}"\n[vectors]\n[corpus]\n[steering]\nprompts = ["The"]\n'
    )
    known = sha256 or hash_weights(sae)
    world = (world or World())._replace(study=str(folder / "study"), hashes={"sae": known})
    return read_run(write_arm(folder / "run", world))
