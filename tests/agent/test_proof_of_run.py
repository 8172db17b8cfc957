"""A run on a bench that does not prove itself ends before it begins, or says so wherever its verdicts are shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent import read
from agent.folder.records import Manifest
from agent.folder.store import RunFolder
from agent.run import main
from evals import export
from tools.proof.outcome import Proof

REASON = "the cache is known to be lost; only projections are of interest"


def run(study: Path, runs: Path, *more: str) -> int:
    return main(["--study", str(study), "--runs", str(runs), "--limit", "2", "--controls", "0.05", *more])


def only_run(runs: Path) -> RunFolder:
    (path,) = [path for path in runs.iterdir() if path.is_dir()]
    return RunFolder(path)


@pytest.fixture
def lost_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `lose_cache`."""
    lose_cache(monkeypatch)


def lose_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next release of a library: each model's step forgets the text before it. Proofs made before are none."""
    from tools.bench.workbench import Workbench

    step: Any = Workbench.step
    monkeypatch.setattr(Workbench, "step", lambda bench, tokens, cache, edit: step(bench, tokens, None, edit))
    monkeypatch.setattr(
        "tools.proof.proof.installed_packages", lambda: {"transformers": "9.9.9", "transformer_lens": "3.9.0"}
    )


@pytest.fixture(scope="module")
def proved(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    runs = tmp_path_factory.mktemp("runs")
    assert run(study_folder, runs) == 0
    return only_run(runs)


@pytest.fixture(scope="module")
def made_unproved(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("unproved")
    with pytest.MonkeyPatch.context() as patch:
        lose_cache(patch)
        assert run(study_folder, runs, "--allow-unproved", REASON) == 0
    return only_run(runs).path


@pytest.fixture
def unproved(lost_cache: None, made_unproved: Path, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(made_unproved, tmp_path / made_unproved.name)))


def test_a_lost_cache_refuses_the_run_in_one_line_and_leaves_no_folder(
    lost_cache: None, study_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(study_folder, tmp_path / "runs") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "transformers 9.9.9" in line
    assert "a continuation with the key-value cache is the one without it" in line
    assert not (tmp_path / "runs").exists()


def test_the_proof_stands_in_manifest_terminal_and_report(proved: RunFolder) -> None:
    proof = proved.manifest().proof
    assert proof is not None
    assert not proof.failed
    assert proved.manifest().caveats == ()
    page = (proved.path / "report.html").read_text("utf-8")
    assert f"{len(proof.checks)} of {len(proof.checks)} checks of the bench passed" in page
    assert "Warning" not in page


def test_a_run_that_goes_on_without_proof_keeps_the_reason_and_says_so(
    unproved: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = unproved.manifest()
    assert manifest.proof is not None
    assert [check.name for check in manifest.proof.failed] == ["cache"]
    assert manifest.config.allow_unproved == manifest.proof.allowed == REASON
    assert REASON in (unproved.path / "report.html").read_text("utf-8")


def test_every_later_command_marks_verdicts_made_without_proof(
    unproved: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = unproved.decisions()[0].feature.key
    commands = {
        "read": lambda: read.main([str(unproved.path), key]),
        "replay": lambda: main(["--replay", str(unproved.path)]),
        "rejudge": lambda: main(
            ["--rejudge", str(unproved.path), "--judge", "rules", "--runs", str(tmp_path / "again")]
        ),
        "export": lambda: export.main([str(unproved.path), "--to", "neuronpedia"]),
    }
    capsys.readouterr()
    for name, command in commands.items():
        assert command() == 0, name
        assert f"FAILED its proof (cache), allowed because: {REASON}" in capsys.readouterr().out, name
    assert REASON in (unproved.path / "exports" / "neuronpedia" / "export.json").read_text("utf-8")


def test_a_run_that_judges_the_evidence_again_inherits_the_proof(proved: RunFolder, tmp_path: Path) -> None:
    assert main(["--rejudge", str(proved.path), "--judge", "rules", "--runs", str(tmp_path)]) == 0
    assert only_run(tmp_path).manifest().proof == proved.manifest().proof


def test_a_run_from_before_proofs_opens_replays_and_is_marked(
    proved: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = Path(shutil.copytree(proved.path, tmp_path / proved.path.name))
    fields = json.loads((old / "manifest.json").read_text("utf-8"))
    del fields["proof"], fields["config"]["allow_unproved"]
    (old / "manifest.json").write_text(json.dumps(fields), "utf-8")
    assert main(["--replay", str(old)]) == 0
    said = capsys.readouterr().out
    assert "never proved itself" in said
    assert "reproduced byte for byte" in said


def test_a_resumed_run_proves_its_bench_again(
    proved: RunFolder, lost_cache: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed before it had evidence; meanwhile a library was upgraded."""
    killed = Path(shutil.copytree(proved.path, tmp_path / proved.path.name))
    for name in ("evidence.jsonl", "decisions.jsonl"):
        (killed / name).unlink()
    assert main(["--resume", str(killed)]) == 2
    assert "transformers 9.9.9" in capsys.readouterr().err


@pytest.mark.parametrize("reason", ["", "   "])
def test_a_reason_has_to_be_one(study_folder: Path, tmp_path: Path, reason: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(study_folder, tmp_path, "--allow-unproved", reason)
    assert stopped.value.code == 2


def test_evidence_from_elsewhere_needs_no_proof_of_ours(proved: RunFolder) -> None:
    manifest = proved.manifest()
    imported = manifest.model_copy(
        update={"proof": None, "config": manifest.config.model_copy(update={"evidence": "theirs.jsonl"})}
    )
    assert imported.caveats == ()
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert isinstance(manifest.proof, Proof)
