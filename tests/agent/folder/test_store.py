"""A run folder survives being cut off anywhere, and reads back strictly."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.errors import RunError, Unwritable
from agent.folder.config import RunConfig
from agent.folder.records import Decision, JudgeRef, Manifest, Provenance
from agent.folder.store import RunFolder
from agent.lines import read_lines
from tools.border.json_text import canonical_json
from tools.records import FeatureRef

MANIFEST = Manifest(
    run_id="run-1",
    started=datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
    config=RunConfig(),
    study_title="A study",
    domain="medicine",
    provenance=Provenance(command=(), git_commit=None, git_dirty=None, python="3.11", packages={}, sha256={}),
)


def feature(index: int) -> FeatureRef:
    return FeatureRef(study="tiny", sae="base", index=index)


def decision(index: int, label: str = "a label") -> Decision:
    return Decision(
        run_id="run-1",
        feature=feature(index),
        stratum="candidates",
        status="decided",
        label=label,
        relevant="no",
        confidence=0.75,
        evidence_sha256="0" * 64,
        judge=JudgeRef(kind="rules"),
    )


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run-1", MANIFEST)


def test_decisions_read_back_as_they_were(folder: RunFolder) -> None:
    written = [decision(3), decision(1, "line\u2028separator and «quotes»\n")]
    for one in written:
        folder.append_decision(one)
    assert folder.decisions() == written


@pytest.mark.parametrize("cut", range(1, 40, 6))
def test_a_cut_last_line_is_dropped_and_the_rest_kept(folder: RunFolder, cut: int) -> None:
    folder.append_decision(decision(1))
    folder.append_decision(decision(2))
    content = folder.decisions_file.read_bytes()
    folder.decisions_file.write_bytes(content[:-cut])
    assert [d.feature.index for d in RunFolder.open(folder.path).decisions()] == [1]


def test_a_damaged_whole_line_is_an_error_that_names_the_line(folder: RunFolder) -> None:
    folder.append_decision(decision(1))
    with folder.decisions_file.open("a") as file:
        file.write('{"run_id": 3}\n')
    with pytest.raises(RunError, match=r"decisions\.jsonl:2"):
        RunFolder.open(folder.path).decisions()


def test_an_unknown_field_is_an_error(folder: RunFolder) -> None:
    line = decision(1).model_dump_json()[:-1] + ',"score":1}\n'
    folder.decisions_file.write_text(line)
    with pytest.raises(RunError, match="score"):
        folder.decisions()


def test_opening_what_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run folder"):
        RunFolder.open(tmp_path)


def test_a_half_written_manifest_is_an_error_that_says_what_to_do(folder: RunFolder) -> None:
    (folder.path / "manifest.json").write_text('{"run_id": "run-1", "sta')
    with pytest.raises(RunError, match="damaged.*start a new run"):
        RunFolder.open(folder.path)


def test_creating_a_run_twice_is_refused(folder: RunFolder) -> None:
    with pytest.raises(RunError, match="exists already"):
        RunFolder.create(folder.path, MANIFEST)


def test_sorting_puts_decisions_into_the_order_of_the_selection(folder: RunFolder) -> None:
    for index in (5, 2, 9):
        folder.append_decision(decision(index))
    folder.sort_decisions([feature(9), feature(5), feature(2)])
    assert [d.feature.index for d in folder.decisions()] == [9, 5, 2]


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical_json({"b": 1, "a": [True, None]}) == canonical_json({"a": [True, None], "b": 1})


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="missing"):
        list(read_lines(tmp_path / "none.jsonl", Decision))


def test_a_failure_can_carry_no_verdict() -> None:
    content = decision(1).model_dump() | {"status": "failed"}
    with pytest.raises(ValueError, match="failed decision"):
        Decision.model_validate(content)


def test_a_verdict_needs_its_confidence() -> None:
    content = decision(1).model_dump() | {"confidence": None}
    with pytest.raises(ValueError, match="confidence"):
        Decision.model_validate(content)


def test_a_run_is_worked_on_by_one_process_at_a_time(folder: RunFolder) -> None:
    with folder.claimed(), pytest.raises(RunError, match="another process"), RunFolder(folder.path).claimed():
        pass
    with folder.claimed():  # free again
        pass


def test_a_claim_sees_what_another_process_wrote_since_the_run_was_opened(folder: RunFolder) -> None:
    opened = RunFolder.open(folder.path)
    folder.write_manifest(MANIFEST.model_copy(update={"threads": 7}))
    assert opened.manifest().threads is None, "read once, and held"
    with opened.claimed():
        assert opened.manifest().threads == 7
        opened.amend(computed="cpu")
    again = RunFolder.open(folder.path).manifest()
    assert (again.threads, again.computed) == (7, "cpu"), "nothing of either is lost"


def test_a_manifest_that_cannot_be_written_is_not_held(folder: RunFolder) -> None:
    before = folder.manifest()
    (folder.path / "manifest.json.new").mkdir()
    with pytest.raises(Unwritable):
        folder.amend(threads=7)
    assert folder.manifest() == before == RunFolder.open(folder.path).manifest()
