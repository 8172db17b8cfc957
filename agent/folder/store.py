"""A run folder: written so that a kill at any moment loses nothing that was finished, and read back strictly.

Lines are appended and flushed to disk at once. A last line without its newline was cut off by a kill: it is dropped when
a process works on the run again, and what it recorded is done anew. A line that is whole but does not parse is damage, and an
error (`agent.lines`). What a folder may hold at all is said in `agent.folder.places`, what its parts owe each other in
`agent.folder.soundness`.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from agent.errors import RunError, Unwritable
from agent.folder.claiming import claim, make_folder
from agent.folder.places import check_places
from agent.folder.records import Decision, Manifest, TranscriptStep
from agent.lines import read_lines, read_record
from tools.border.json_text import canonical_json
from tools.records import Evidence, FeatureRef
from tools.whole_files import write_bytes

K = TypeVar("K", Decision, Evidence)


def sha256_of(record: BaseModel) -> str:
    """Hash of a record's canonical JSON."""
    return hashlib.sha256(canonical_json(record.model_dump(mode="json")).encode()).hexdigest()


class RunFolder:
    """One run on disk. Its manifest is read once and then held: hand the object on instead of opening the folder again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._manifest: Manifest | None = None
        self.decisions_file = path / "decisions.jsonl"
        self.evidence_file = path / "evidence.jsonl"

    @classmethod
    def create(cls, path: Path, manifest: Manifest, fill: Callable[[RunFolder], object] | None = None) -> RunFolder:
        """Make the folder and write the manifest first.

        Args:
            path: of the folder.
            manifest: of the run.
            fill: writes what the run begins with; the folder has its name only when all of it is there, so that a kill
                leaves a run that can be resumed, or none.

        Raises:
            RunError: the folder exists already.
            Unwritable: it cannot be made.
        """

        def begin(beginning: Path) -> None:
            folder = cls(beginning)
            folder.write_manifest(manifest)
            if fill is not None:
                fill(folder)

        make_folder(path, begin)
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open a run that was begun.

        Raises:
            RunError: there is no run, its manifest does not read, or something in the folder is no plain file.
        """
        folder = cls(path)
        if folder.is_there:
            check_places(path)
        folder.manifest()
        return folder

    @property
    def is_there(self) -> bool:
        """Whether the folder holds a run."""
        return (self.path / "manifest.json").is_file()

    @contextmanager
    def claimed(self) -> Generator[None]:
        """Keeps other processes from working on the same run, and mends last lines that a kill cut off.

        The claim ends with the process, however that ends.

        Raises:
            RunError: another process works on it, or a file ends in what no kill leaves.
            Unwritable: nothing can be written there.
        """
        with claim(self.path):
            self._manifest = None  # another process may have gone on with the run since it was read
            yield

    def manifest(self) -> Manifest:
        """The run's manifest, as it was when it was first asked for, or as this object wrote it last.

        Raises:
            RunError: it is missing or damaged.
        """
        if self._manifest is None:
            if not self.is_there:
                raise RunError(f"{self.path} is no run folder: it has no manifest.json")
            self._manifest = read_record(self.path / "manifest.json", Manifest, "start a new run")
        return self._manifest

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest as a whole."""
        write_whole(self.path / "manifest.json", manifest.model_dump_json(indent=1) + "\n")
        self._manifest = manifest

    def amend(self, **fields: object) -> None:
        """Write the manifest anew if some of its fields are others now."""
        known = self.manifest()
        if (amended := known.model_copy(update=fields)) != known:
            self.write_manifest(amended)

    def evidence(self) -> list[Evidence] | None:
        """All evidence, or None if the observation was not finished.

        Of two records on one feature the first stands; `agent.folder.soundness` says of the other.
        """
        if not self.evidence_file.is_file():
            return None
        return _first_of_each(read_lines(self.evidence_file, Evidence))

    def finished_evidence(self) -> list[Evidence]:
        """All evidence of a run in which every selected feature was decided or failed.

        Raises:
            RunError: it was stopped before that, or there is none on a feature.
        """
        evidence, selection = self.evidence(), self.manifest().selection
        selected = [item.feature.key for item in selection.items] if selection else []
        if evidence is None or selection is None or len(self.decisions()) < len(selected):
            raise RunError(f"{self.path} is not finished: finish it with --resume {self.path}")
        known = {record.feature.key for record in evidence}
        if missing := [key for key in selected if key not in known]:
            more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
            raise RunError(f"{self.evidence_file} is damaged: it has no evidence on {missing[0]}{more}")
        return evidence

    def write_evidence(self, evidence: Sequence[Evidence]) -> None:
        """Write the observation as a whole: it is made in batches, and half of it is of no use."""
        write_whole(self.evidence_file, "".join(record.model_dump_json() + "\n" for record in evidence))

    def count_features(self) -> int | None:
        """Number of features surveyed, or None before the survey has been stored.

        Raises:
            RunError: it does not read.
        """
        file = self.path / "features.parquet"
        if not file.is_file():
            return None
        from agent.folder.surveyed import count_rows

        return count_rows(file)

    def decisions(self) -> list[Decision]:
        """Decisions so far, in the order they were made.

        Of two on one feature the first stands; `agent.folder.soundness` says of the other.
        """
        if not self.decisions_file.is_file():
            return []
        return _first_of_each(read_lines(self.decisions_file, Decision))

    def append_decision(self, decision: Decision) -> None:
        """Add one decision and see it on disk before returning."""
        append_line(self.decisions_file, decision.model_dump_json())

    def set_failures_aside(self) -> int:
        """Move failed decisions to `retried.jsonl`, so that their features are investigated again; how many there were."""
        decisions = self.decisions()
        failed = [decision for decision in decisions if decision.status == "failed"]
        for (
            decision
        ) in failed:  # first there, then gone from here: a kill in between leaves a line too many, not too few
            append_line(self.path / "retried.jsonl", decision.model_dump_json())
        kept = [decision for decision in decisions if decision.status != "failed"]
        write_whole(self.decisions_file, "".join(record.model_dump_json() + "\n" for record in kept))
        return len(failed)

    def sort_decisions(self, order: Sequence[FeatureRef]) -> None:
        """Put decisions into the order of the selection: with many at once they end in any order."""
        place = {feature.key: number for number, feature in enumerate(order)}
        ordered = sorted(self.decisions(), key=lambda decision: place.get(decision.feature.key, len(place)))
        write_whole(self.decisions_file, "".join(record.model_dump_json() + "\n" for record in ordered))

    def write_transcript(self, feature: FeatureRef, steps: Iterable[TranscriptStep]) -> Path:
        """Write one feature's transcript as a whole."""
        file = self.path / "transcripts" / f"{feature.key}.jsonl"
        file.parent.mkdir(exist_ok=True)
        write_whole(file, "".join(step.model_dump_json() + "\n" for step in steps), flush=False)
        return file

    def transcript(self, feature: FeatureRef) -> list[TranscriptStep]:
        """One feature's transcript."""
        return list(read_lines(self.path / "transcripts" / f"{feature.key}.jsonl", TranscriptStep))


def _first_of_each(records: Iterable[K]) -> list[K]:
    found: dict[str, K] = {}
    for record in records:
        found.setdefault(record.feature.key, record)
    return list(found.values())


def append_line(file: Path, line: str) -> None:
    """Append one line and flush it to disk.

    Raises:
        Unwritable: it cannot be. What was written of it is dropped when a process works on the run again.
    """
    try:
        with file.open("a", encoding="utf-8") as opened:
            opened.write(line + "\n")
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        raise Unwritable.of(file, error) from error


def write_whole(file: Path, text: str, flush: bool = True) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part.

    Without `flush` that holds for a kill but not for a loss of power: for what is written thousands of times and can be
    made again from what is flushed.

    Raises:
        Unwritable: it cannot be; the old one stays.
    """
    try:
        write_bytes(file, text.encode(), flush)
    except OSError as error:
        raise Unwritable.of(file, error) from error


def check_writable(runs: Path) -> None:
    """Make a folder and a file in it, and leave nothing of what was not there.

    Raises:
        Unwritable: one cannot be made.
    """
    made: list[Path] = []
    try:
        made += [folder for folder in (runs, *runs.parents) if not folder.exists()]
        runs.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=runs) as file:
            file.write(b"\n")
    except OSError as error:
        raise Unwritable.of(f"the runs folder {runs}", error) from error
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
