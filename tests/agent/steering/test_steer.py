"""Steering toward texts, end to end on a tiny study that is real in every part."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from agent.folder.steering_store import SteeringFolder
from agent.steer import main
from tests.agent.steering.conftest import SMALL, only_run, write_target
from tests.conftest import MEDICAL
from tests.warm import live

MADE = ("targets.json", "texts.jsonl", "likelihoods.jsonl")


def copy_of(folder: SteeringFolder, parent: Path) -> SteeringFolder:
    return SteeringFolder(Path(shutil.copytree(folder.path, parent / folder.path.name)))


def same_as(one: SteeringFolder, other: SteeringFolder) -> None:
    """Everything that was made is the same to the byte, and the table is, but for the seconds that it took."""
    for name in MADE:
        assert (one.path / name).read_bytes() == (other.path / name).read_bytes(), name
    results = [folder.results() for folder in (one, other)]
    assert results[0] and results[1]
    assert results[0].rows == results[1].rows
    assert results[0].contrasts == results[1].contrasts


def test_every_arm_writes_every_text_toward_every_target(finished: SteeringFolder) -> None:
    manifest = finished.manifest()
    names = [arm.name for arm in manifest.arms]
    assert names == [
        *("unsteered", "reconstruction", "swap", "swap, shuffled"),
        *("add", "add, shuffled", "add, random", "prompt"),
    ]
    places = {(text.target, text.arm, text.prompt, text.sample) for text in finished.texts()}
    expected = {(t, a, p, 0) for t in ("clinic", "village") for a in names for p in range(len(manifest.config.prompts))}
    assert places == expected
    assert len(finished.texts()) == len(expected)
    assert all(len(text.tokens) == 4 for text in finished.texts())


def test_arms_that_know_no_target_write_the_same_toward_each(finished: SteeringFolder) -> None:
    plain = [text for text in finished.texts() if text.arm in ("unsteered", "reconstruction")]
    by_target = [[t.text for t in plain if t.target == name] for name in ("clinic", "village")]
    assert by_target[0] == by_target[1]
    assert all(text.kl == pytest.approx(0, abs=1e-6) for text in plain if text.arm == "unsteered")


def test_a_run_says_what_it_was_made_of(finished: SteeringFolder) -> None:
    manifest = finished.manifest()
    assert finished.path.name.endswith(f"-tiny-base-toward-{finished.path.name[-4:]}")
    assert manifest.asked["clinic"] == "The following text is about clinic. "
    assert {"target clinic", "target village", "model", "sae", "corpus"} <= manifest.provenance.sha256.keys()
    assert manifest.proof and not manifest.proof.failed
    assert manifest.support >= 1 and manifest.support_rule == "mean L0"


def test_the_table_has_a_row_of_every_arm_toward_each_target_and_over_all(finished: SteeringFolder) -> None:
    results = finished.results()
    assert results
    assert [(row.target, row.arm) for row in results.rows] == [
        (target, arm.name) for target in ("clinic", "village", None) for arm in finished.manifest().arms
    ]
    plain = next(row for row in results.rows if row.arm == "unsteered")
    assert plain.nats_gained is None and plain.likeness_gained is None
    swap = next(row for row in results.rows if row.arm == "swap")
    assert swap.nats_gained and swap.nats_gained.n == 2
    against = {(one.arm, one.against) for one in results.contrasts}
    controls = {("add", "add, shuffled"), ("add", "add, random"), ("add", "prompt")}
    assert against == {("swap", "swap, shuffled"), ("swap", "prompt")} | controls


def test_scores_are_stored_for_every_feature_and_target(finished: SteeringFolder) -> None:
    import pandas as pd

    table = pd.read_parquet(finished.scores_file)
    assert list(table.groupby("target", sort=False).size()) == [48, 48]
    assert table[["contrast", "reference"]].notna().all().all()
    target = (finished.targets() or ())[0]
    best = table[table.target == "clinic"].sort_values("contrast", ascending=False).iloc[0]
    assert target.chosen[0].score == pytest.approx(best.contrast)


@pytest.mark.parametrize("kept", [3, *(pytest.param(kept, marks=pytest.mark.endurance) for kept in (0, 8, 9))])
def test_a_run_that_was_cut_off_while_it_wrote_ends_as_one_that_was_not(
    finished: SteeringFolder, tmp_path: Path, kept: int
) -> None:
    """Between two batches, within one, and within a line."""
    cut = copy_of(finished, tmp_path)
    lines = (cut.path / "texts.jsonl").read_bytes().splitlines(keepends=True)
    (cut.path / "texts.jsonl").write_bytes(b"".join(lines[:kept]) + lines[kept][:40])
    for name in ("likelihoods.jsonl", "results.json", "report.html"):
        (cut.path / name).unlink(missing_ok=True)
    assert main(["--resume", str(cut.path)]) == 0
    same_as(cut, finished)


@pytest.mark.parametrize("kept", [15, *(pytest.param(kept, marks=pytest.mark.endurance) for kept in (1, 31))])
def test_a_run_that_was_cut_off_while_it_measured_ends_as_one_that_was_not(
    finished: SteeringFolder, tmp_path: Path, kept: int
) -> None:
    cut = copy_of(finished, tmp_path)
    lines = (cut.path / "likelihoods.jsonl").read_bytes().splitlines(keepends=True)
    assert kept < len(lines) == 32
    (cut.path / "likelihoods.jsonl").write_bytes(b"".join(lines[:kept]))
    (cut.path / "results.json").unlink()
    assert main(["--resume", str(cut.path)]) == 0
    same_as(cut, finished)


def test_a_run_without_scores_makes_them_again(finished: SteeringFolder, tmp_path: Path) -> None:
    cut = copy_of(finished, tmp_path)
    for name in (*MADE, "scores.parquet", "results.json"):
        (cut.path / name).unlink()
    assert main(["--resume", str(cut.path)]) == 0
    same_as(cut, finished)


@pytest.mark.timeout(300)
@pytest.mark.endurance
def test_a_killed_run_ends_as_one_that_was_not(
    finished: SteeringFolder, long_study: Path, targets: tuple[str, str], tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    command = ["--study", str(long_study), "--toward", *targets, "--runs", str(runs), *SMALL]
    with live("agent.steer", command, tmp_path / "said.txt") as process:
        deadline = time.monotonic() + 100
        while not list(runs.glob("*/texts.jsonl")) and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        process.join()
    killed = only_run(runs)
    assert main(["--resume", str(killed.path)]) == 0
    same_as(killed, finished)


def test_a_finished_run_that_is_resumed_shows_its_table_without_a_model(
    finished: SteeringFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], reads: dict[str, int]
) -> None:
    again = copy_of(finished, tmp_path)
    assert main(["--resume", str(again.path)]) == 0
    said = capsys.readouterr().out
    assert "toward clinic" in said and "over all 2 targets" in said and "load" not in said
    same_as(again, finished)


def test_a_target_that_was_changed_since_is_not_gone_on_with(
    finished: SteeringFolder, long_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = copy_of(finished, tmp_path)
    (cut.path / "likelihoods.jsonl").unlink()
    manifest = json.loads((cut.path / "steering.json").read_text("utf-8"))
    other = write_target(tmp_path / "clinic.txt", MEDICAL, seed=99)
    manifest["config"]["toward"][0] = str(other)
    (cut.path / "steering.json").write_text(json.dumps(manifest), "utf-8")
    assert main(["--resume", str(cut.path)]) == 2
    error = capsys.readouterr().err
    assert "the target clinic is not the one the run used" in error and error.count("\n") == 1


def test_a_dry_run_loads_and_proves_and_leaves_nothing(
    long_study: Path, targets: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    assert main(["--study", str(long_study), "--toward", targets[0], "--runs", str(runs), *SMALL, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "checks of the bench passed" in said and "dry run" in said
    assert not runs.exists()
