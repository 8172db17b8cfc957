"""The folder of a steering run (`agent.folder.steered`): written so that a kill loses nothing, and read back strictly."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from agent.errors import RunError
from agent.folder.claiming import claim, make_folder
from agent.folder.places import check_places
from agent.folder.steered import HeldOutLikelihood, Judged, Results, SteeredText, SteerManifest, TargetFound
from agent.folder.store import append_line, write_whole
from agent.lines import read_lines, read_record
from tools.records import Record

R = TypeVar("R", bound=Record)
APPENDED: dict[type[Record], str] = {
    SteeredText: "texts.jsonl",
    HeldOutLikelihood: "likelihoods.jsonl",
    Judged: "judgements.jsonl",
}
"""Where each kind of line stands."""


class TargetsFound(Record):
    """What stands in `targets.json`."""

    targets: tuple[TargetFound, ...]


def is_steered(path: Path) -> bool:
    """Whether a folder is a steering run's and no investigation's."""
    return (path / "steering.json").is_file() and not (path / "manifest.json").is_file()


class SteeringFolder:
    """One steering run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.scores_file = path / "scores.parquet"
        self._manifest: SteerManifest | None = None

    @classmethod
    def create(cls, path: Path, manifest: SteerManifest) -> SteeringFolder:
        """Make the folder with its manifest.

        Raises:
            RunError: it exists already.
            Unwritable: it cannot be made.
        """
        make_folder(path, lambda beginning: _write(beginning / "steering.json", manifest))
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> SteeringFolder:
        """Open a run that was begun.

        Raises:
            RunError: there is none, its manifest does not read, or something in the folder is no plain file.
        """
        folder = cls(path)
        if folder.is_there:
            check_places(path)
        folder.manifest()
        return folder

    @property
    def is_there(self) -> bool:
        """Whether the folder holds a steering run."""
        return (self.path / "steering.json").is_file()

    @contextmanager
    def claimed(self) -> Generator[None]:
        """Keeps other processes from working on the same run, and mends last lines that a kill cut off.

        Raises:
            RunError: another process works on it, or a file ends in what no kill leaves.
            Unwritable: nothing can be written there.
        """
        with claim(self.path):
            yield

    def manifest(self) -> SteerManifest:
        """What the run began with.

        Raises:
            RunError: it is missing or damaged.
        """
        if self._manifest is None:
            if not self.is_there:
                raise RunError(f"{self.path} is no steering run: it has no steering.json")
            self._manifest = read_record(self.path / "steering.json", SteerManifest, "start a new run")
        return self._manifest

    def amend(self, **fields: object) -> None:
        """Write the manifest anew if some of its fields are others now."""
        known = self.manifest()
        if (amended := known.model_copy(update=fields)) != known:
            _write(self.path / "steering.json", amended)
            self._manifest = amended

    def targets(self) -> tuple[TargetFound, ...] | None:
        """The targets as they were before anything was written toward them; None before they were scored."""
        file = self.path / "targets.json"
        if not file.is_file():
            return None
        return read_record(file, TargetsFound, f"remove it, then go on with --resume {self.path}").targets

    def write_targets(self, targets: Sequence[TargetFound]) -> None:
        """Store them, once all are scored."""
        _write(self.path / "targets.json", TargetsFound(targets=tuple(targets)))

    def append(self, *records: Record) -> None:
        """Add lines, in order, and see each on disk before the next."""
        for record in records:
            append_line(self.path / APPENDED[type(record)], record.model_dump_json())

    def texts(self) -> list[SteeredText]:
        """Every text so far."""
        return self._lines(SteeredText)

    def likelihoods(self) -> list[HeldOutLikelihood]:
        """Every likelihood so far."""
        return self._lines(HeldOutLikelihood)

    def judgements(self) -> list[Judged]:
        """Every judgement so far."""
        return self._lines(Judged)

    def results(self) -> Results | None:
        """What was found; None before the run has ended."""
        file = self.path / "results.json"
        if not file.is_file():
            return None
        return read_record(file, Results, f"remove it, then go on with --resume {self.path}")

    def write_results(self, results: Results) -> None:
        """Store what was found."""
        _write(self.path / "results.json", results)

    def _lines(self, kind: type[R]) -> list[R]:
        file = self.path / APPENDED[kind]
        return list(read_lines(file, kind)) if file.is_file() else []


def _write(file: Path, record: Record) -> None:
    write_whole(file, record.model_dump_json(indent=1) + "\n")
