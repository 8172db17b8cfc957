"""What a command reads, it reads once: counted where files are opened."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from agent.folder.store import RunFolder
from agent.run import main

WEIGHTS = "base/model/model.safetensors"


@pytest.fixture(scope="module")
def finished(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return measure(study_folder, tmp_path_factory.mktemp("runs"))


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / finished.name))


def measure(study: Path, runs: Path) -> Path:
    assert main(["--study", str(study), "--runs", str(runs), "--limit", "2", "--controls", "0"]) == 0
    (run,) = (path for path in runs.iterdir() if path.is_dir())
    return run


def test_a_new_run_reads_manifest_and_corpus_and_hashes_weights_once(
    study_copy: Path, tmp_path: Path, reads: Counter[str]
) -> None:
    run = measure(study_copy, tmp_path / "runs")
    assert reads[str(run / "manifest.json")] == 1
    assert reads[str(study_copy / "corpus.jsonl")] == 1
    assert reads[str(study_copy / WEIGHTS)] == 1  # the libraries that load them do not go through the interpreter


def test_a_run_gone_on_with_reads_them_to_compare_and_to_go_on(
    copy: Path, study_folder: Path, reads: Counter[str]
) -> None:
    for name in ("evidence.jsonl", "decisions.jsonl", "summary.json"):
        (copy / name).unlink()
    assert main(["--resume", str(copy)]) == 0
    assert reads[str(copy / "manifest.json")] == 2  # by another process it may have been changed before it was claimed
    assert reads[str(study_folder / "corpus.jsonl")] == 2


def test_a_replay_reads_the_manifest_once_and_no_corpus(copy: Path, study_folder: Path, reads: Counter[str]) -> None:
    assert main(["--replay", str(copy)]) == 0
    assert reads[str(copy / "manifest.json")] == 1
    assert not reads[str(study_folder / "corpus.jsonl")]


def test_a_run_judged_again_reads_both_manifests_once(copy: Path, tmp_path: Path, reads: Counter[str]) -> None:
    runs = tmp_path / "again"
    assert main(["--rejudge", str(copy), "--runs", str(runs)]) == 0
    (again,) = (path for path in runs.iterdir() if path.is_dir())
    assert reads[str(copy / "manifest.json")] == reads[str(again / "manifest.json")] == 1
    assert RunFolder.open(again).manifest().parent
