"""One run as the desk holds it: a row per feature in memory, evidence and transcripts read from disk when a page asks."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from agent.errors import RunError
from agent.folder.floors import floors_of, keep_living_decision, keep_living_summary
from agent.folder.records import Decision, Summary, TranscriptStep
from agent.folder.soundness import caveats_of
from agent.folder.steering_store import SteeringFolder
from agent.folder.store import RunFolder
from agent.llm.records import LlmCall
from tools.errors import first_problem
from tools.proof.floors import DeadFloor, keep_alive, reasons_in
from tools.records import Evidence

R = TypeVar("R", bound=BaseModel)

_CALL = re.compile(rb'^\{"request_sha256":\s?"([0-9a-f]{64})"')
"""A stored call opens with its address, so that a file of hundreds of megabytes is indexed without being parsed."""


class Glance(NamedTuple):
    """What the table shows of a feature's evidence."""

    tokens: tuple[str, ...] = ()
    coherence: float | None = None
    steering: float | None = None
    """Win rate minus its null."""


class Place(NamedTuple):
    """Where a line stands in its file."""

    offset: int
    length: int


class OpenRun:
    """One run folder, indexed once: decisions and glances are held, everything else is read when asked for."""

    def __init__(self, name: str, path: Path) -> None:
        """Read manifest, decisions and summary, and index the evidence.

        Raises:
            RunError: it is no run, or something in it does not read.
        """
        self.name = name
        self.folder = RunFolder.open(path)
        self.manifest = self.folder.manifest()
        self.caveats = caveats_of(self.folder)
        """Of the run as it was measured, and of its folder as it was when it was opened."""
        self.glances: dict[str, Glance] = {}
        self._evidence: dict[str, Place] = {}
        self.floors = self._index_evidence()
        """Instruments that measured nothing: decisions, summary and glances hold no figure of theirs."""
        self.decisions: dict[str, Decision] = {
            d.feature.key: keep_living_decision(d, self.floors) for d in self.folder.decisions()
        }
        """By the feature's key, in the order of the file."""
        self.summary = _read_summary(path / "summary.json")
        if self.summary and self.manifest.floors is None:
            self.summary = keep_living_summary(self.summary, self.floors)

    def evidence(self, key: str) -> Evidence | None:
        """Everything a judge could look at; None where nothing is stored of that feature.

        Raises:
            RunError: the line does not read any more.
        """
        place = self._evidence.get(key)
        if place is None:
            return None
        return _parse(Evidence, _read_at(self.folder.evidence_file, place), self.folder.evidence_file)

    def transcript(self, key: str) -> list[TranscriptStep]:
        """The steps of a feature that was decided or failed.

        Raises:
            RunError: there is none, or it does not read.
        """
        return self.folder.transcript(self.decisions[key].feature)

    def call(self, request_sha256: str) -> LlmCall | None:
        """The stored request and reply; None where the run stores none under that hash.

        Raises:
            RunError: the line does not read.
        """
        place = self._calls.get(request_sha256)
        file = self.folder.path / "llm_calls.jsonl"
        return None if place is None else _parse(LlmCall, _read_at(file, place), file)

    @cached_property
    def _calls(self) -> dict[str, Place]:
        """The last call stored under each hash: an earlier one failed and was made again."""
        file, found, offset = self.folder.path / "llm_calls.jsonl", dict[str, Place](), 0
        if not file.is_file():
            return found
        with file.open("rb") as lines:
            for line in lines:
                address = _CALL.match(line)
                if address is not None and line.endswith(b"\n"):
                    found[address[1].decode()] = Place(offset, len(line))
                offset += len(line)
        return found

    def _index_evidence(self) -> tuple[DeadFloor, ...]:
        file, offset = self.folder.evidence_file, 0
        if not file.is_file():
            return self.manifest.floors or ()
        records: list[Evidence] = []
        with file.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):  # a last line without one was cut off by a kill
                    record = _parse(Evidence, line, file)
                    records.append(_without_texts(record))
                    self._evidence[record.feature.key] = Place(offset, len(line))
                offset += len(line)
        floors = floors_of(self.folder.path, self.manifest, records)
        for record in records:
            self.glances[record.feature.key] = _glance(keep_alive(record, reasons_in(floors, record.stratum)))
        return floors


class OpenSteered:
    """One steering run: what it began with and found is held, its texts are read when asked for."""

    def __init__(self, name: str, path: Path) -> None:
        """Read manifest, targets and results.

        Raises:
            RunError: it is no steering run, or something of that does not read.
        """
        self.name = name
        self.folder = SteeringFolder.open(path)
        self.manifest = self.folder.manifest()
        self.targets = self.folder.targets() or ()
        self.results = self.folder.results()


def _without_texts(record: Evidence) -> Evidence:
    """What floors and glances are made of: contexts and continuations are most of a record."""
    activations, steering = record.activations, record.steering
    if activations:
        activations = activations.model_copy(update={"top": (), "quantiles": (), "near_misses": ()})
    if steering:
        blank = {"prompt": "", "unsteered": "", "steered": "", "random": "", "flipped": ""}
        pairs = tuple(pair.model_copy(update=blank) for pair in steering.pairs)
        steering = steering.model_copy(update={"pairs": pairs})
    return record.model_copy(update={"activations": activations, "steering": steering})


def _glance(record: Evidence) -> Glance:
    steering = record.steering
    return Glance(
        tokens=tuple(token.token for token in record.projection.top) if record.projection else (),
        coherence=record.coherence.deduplicated if record.coherence else None,
        steering=steering.win_rate - steering.null_win_rate if steering and steering.n else None,
    )


def _read_summary(file: Path) -> Summary | None:
    return _parse(Summary, file.read_bytes(), file) if file.is_file() else None


def _read_at(file: Path, place: Place) -> bytes:
    try:
        with file.open("rb") as opened:
            opened.seek(place.offset)
            return opened.read(place.length)
    except OSError as error:
        raise RunError(f"{file} cannot be read any more: {error.strerror}") from None


def _parse(kind: type[R], line: bytes, file: Path) -> R:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        raise RunError(f"{file} is damaged: {first_problem(error, 'a line')}") from error
