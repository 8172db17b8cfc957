"""Runs on a world of known truth, end to end: a model and SAEs of seconds, investigated, and held against the world."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.folder.store import RunFolder
from agent.run import main as run
from evals.truth import main
from evals.truths.results import TruthReport
from tools.training.__main__ import main as train
from tools.truth.known import read_known
from tools.truth.world_truth import read_held

TRANSCRIPTS = "60"
pytestmark = [pytest.mark.endurance, pytest.mark.timeout(300)]  # a model, SAEs and runs are made: two minutes of a core


@pytest.fixture(scope="module", autouse=True)
def easily_labelled() -> Iterator[None]:
    """A model of seconds has no feature that means anything; here a little is taken for a true label."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tools.truth.world_run.LEAST_F1", 0.3)
        patch.setattr("tools.truth.world_run.MOST_SECOND", 1.0)
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("world")
    for step in ("world", "sae"):
        assert (
            train([step, "--world", "othello", "--smallest", "--work", str(work), "--device", "cpu", "--no-compile"])
            == 0
        )
    shutil.copytree(work / "study" / "base" / "sae", work / "study" / "untrained" / "sae")  # any will do for a floor
    return work / "study"


def investigate(study: Path, runs: Path, *choice: str) -> Path:
    line = ["--study", str(study), "--judge", "rules", "--controls", "0", "--device", "cpu", "--runs", str(runs)]
    assert run([*line, *choice]) == 0
    (folder,) = runs.iterdir()
    return folder


@pytest.fixture(scope="module")
def made(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return investigate(study, tmp_path_factory.mktemp("known"), "--choose", "known", "--limit", "3")


def hold(folder: Path, *more: str) -> int:
    return main([str(folder), "--transcripts", TRANSCRIPTS, "--device", "cpu", *more])


def report_of(folder: Path) -> TruthReport:
    return TruthReport.model_validate_json((folder / "evals" / "truth" / "truth.json").read_bytes())


def test_what_features_mean_is_written_beside_the_sae_as_for_planted_ones(study: Path) -> None:
    """It is first, so that the study is made in its time and the run in that of the next."""
    known, held = read_known(study / "base" / "sae"), read_held(study / "base" / "sae")
    assert known is not None and known.made_by == held.command
    assert [one.feature for one in known.features] == [label.feature for label in held.truth.labels]
    assert {one.kind for one in known.features} == {"concept"}


def test_features_with_a_true_label_can_be_chosen_and_their_labels_are_held_against_it(study: Path, made: Path) -> None:
    known = read_known(study / "base" / "sae")
    assert known is not None
    manifest = RunFolder(made).manifest()
    assert manifest.selection is not None and len(manifest.selection.items) == 3
    assert {item.feature.index for item in manifest.selection.items} <= {one.feature for one in known.features}
    assert hold(made) == 0
    report = report_of(made)
    assert report.labels is not None and report.world is not None
    (row,) = report.labels.rows
    assert (row.group, row.features, sum(row.counts.values())) == ("concept", 3, 3)
    names = {label.feature: label.name for label in report.world.truth.labels}
    assert all(names[one.feature.index] == one.name for one in report.labels.concepts)


def test_the_report_holds_features_against_probes_and_both_floors(study: Path, made: Path) -> None:
    assert hold(made, "--require", "coverage>=0", "--require", "reconstruction_low>=0") == 0
    assert hold(made, "--require", "coverage>=1") == 1
    world = report_of(made).world
    assert world is not None and world.untrained is not None
    assert world.truth == read_held(study / "base" / "sae").truth  # as it was measured when the SAE was made
    assert world.untrained.model_sha256 != world.truth.model_sha256
    folder = made / "evals" / "truth"
    page = (folder / "report.html").read_text()
    assert "never trained" in page and "linear probes" in page and "data:image/png" in page
    assert (folder / "board.png").is_file()
    rows = (folder / "variables.csv").read_text().splitlines()
    assert len(rows) == 1 + len(world.truth.variables)


def test_a_run_on_other_features_says_which_ones_have_a_true_label(
    study: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = read_known(study / "base" / "sae")
    assert known is not None
    others = sorted(set(range(64)) - {one.feature for one in known.features})
    folder = investigate(study, tmp_path / "runs", "--features", str(others[0]))
    capsys.readouterr()
    assert hold(folder) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"{len(known.features)} features have a true label: --features {known.features[0].feature}," in said
    report = report_of(folder)
    assert report.labels is None and report.world is not None
    assert "none of the" in report.remarks[0]


def test_where_the_floor_is_missing_or_the_weights_are_others_it_is_said(
    study: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = study / "untrained" / "sae"
    shutil.move(weights, tmp_path / "kept")
    try:
        assert hold(made) == 0
        assert "no floor of a model with random weights" in " ".join(report_of(made).remarks)
    finally:
        shutil.move(tmp_path / "kept", weights)
    own = study / "base" / "sae" / "sae_weights.safetensors"
    before = own.read_bytes()
    shutil.copy(study.parent / "base" / "sae" / own.name, own)  # the same before it was put into half precision
    capsys.readouterr()
    try:
        assert hold(made) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "restore them" in error
    finally:
        own.write_bytes(before)
