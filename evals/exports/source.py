"""A finished run as an export reads it, and the one way in which an export is written: as a whole, over nothing."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from agent.errors import RunError
from agent.folder.floors import read_living
from agent.folder.records import Decision, Manifest
from agent.folder.soundness import caveats_of
from agent.folder.store import RunFolder
from agent.llm.records import Failure
from evals.errors import LabelError
from evals.manual.records import RELEVANT, Label
from tools.proof.floors import DeadFloor
from tools.records import Evidence, FeatureRef, Record
from tools.whole_files import write_bytes

CREATOR = "unveil"


class Source(NamedTuple):
    """One run, read."""

    folder: RunFolder
    manifest: Manifest
    decisions: list[Decision]
    evidence: Mapping[str, Evidence]
    """By the feature's key; there is one for every decision."""
    labels: Mapping[str, tuple[Label, ...]]
    """People's, by the feature's key."""
    caveats: tuple[str, ...] = ()
    """Of the run as it was measured, and of its folder as it is."""
    floors: tuple[DeadFloor, ...] = ()
    """Instruments that measured nothing: neither evidence nor decisions hold their figures."""

    @property
    def study(self) -> str:
        """The study's name, which may have been given as a folder: paths of the machine stay out of exports."""
        return Path(self.manifest.config.study).name

    @property
    def questions(self) -> tuple[str, ...]:
        """What the judge was asked: about relevance, or for a rating of each concept."""
        rated = next((decision.ratings for decision in self.decisions if decision.ratings), ())
        return tuple(rating.concept for rating in rated) or (RELEVANT,)

    def judge_of(self, decision: Decision) -> str:
        """Who judged: the model's name, or `rules`."""
        return decision.judge.model or decision.judge.kind


class FailedFeature(Record):
    """A feature without a verdict: what other tools' formats have no place for."""

    feature: str
    failure: Failure


class Account(Record):
    """`export.json`, beside files whose format cannot say it."""

    format: str
    run_id: str
    written: dict[str, int]
    """Rows or files of each kind."""
    left_out: dict[str, int]
    """What the format has no place for."""
    failures: tuple[FailedFeature, ...]
    remarks: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """For a terminal."""
        return [
            ", ".join(f"{count:,} {name}" for name, count in self.written.items()),
            *(f"left out: {count:,} {name}" for name, count in self.left_out.items() if count),
            *([f"failed: {len(self.failures):,} features, named in export.json"] if self.failures else []),
            *self.remarks,
        ]


def open_source(path: Path, labels: Sequence[Label] = (), programs: bool = False) -> Source:
    """Read a run and the labels on its features.

    Args:
        path: of the run folder.
        labels: settled, of any features.
        programs: labels that programs made count like people's.

    Raises:
        RunError: it is no run, is not finished, decided on nothing, or lacks a feature's evidence.
        LabelError: there are labels, and none fits the run.
    """
    folder = RunFolder.open(path)
    floors, records, decisions = read_living(folder)
    evidence = {record.feature.key: record for record in records}
    if not decisions:
        raise RunError(f"{path} has no decision: there is nothing to export")
    missing = [decision.feature.key for decision in decisions if decision.feature.key not in evidence]
    if missing:
        raise RunError(f"{folder.evidence_file} has no evidence on {missing[0]}")
    people = [label for label in labels if programs or not label.machine]
    fitting = _assign(people, decisions)
    if labels and not fitting:
        made = "" if people else ", and programs made them all: let them count with --programs"
        raise LabelError(f"no label is about a feature of {path}{made}")
    return Source(folder, folder.manifest(), decisions, evidence, fitting, caveats_of(folder), floors)


def _assign(labels: Sequence[Label], decisions: Sequence[Decision]) -> dict[str, tuple[Label, ...]]:
    by_index: defaultdict[int, list[Label]] = defaultdict(list)
    for label in labels:
        by_index[label.item.index].append(label)
    fitting = {
        decision.feature.key: tuple(la for la in by_index[decision.feature.index] if la.item.fits(decision.feature))
        for decision in decisions
    }
    return {key: found for key, found in fitting.items() if found}


def list_failures(source: Source) -> tuple[FailedFeature, ...]:
    """The failed decisions."""
    return tuple(FailedFeature(feature=d.feature.key, failure=d.failure) for d in source.decisions if d.failure)


def count_random(source: Source) -> int:
    """Random directions: no features of the SAE, so formats about features have no place for them."""
    return sum(decision.feature.kind == "random_direction" for decision in source.decisions)


def file_name(name: str) -> str:
    """An id as a file or folder may be named, spelt as in a feature's key."""
    return FeatureRef(study="", sae=name, index=0).key.rpartition("-")[0]


def as_line(row: Mapping[str, JsonValue]) -> str:
    """One line of JSONL."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


@contextmanager
def new_output(out: Path) -> Generator[Path]:
    """A path to write to, which becomes `out` when all of it is there; what was there before stays.

    Raises:
        RunError: there is something already.
    """
    if out.exists() or out.is_symlink():
        raise RunError(f"{out} exists already: remove it, or name another place with --out")
    fresh = out.with_name(f".{out.name}.new")
    out.parent.mkdir(parents=True, exist_ok=True)
    _remove(fresh)
    try:
        yield fresh
        fresh.rename(out)
    finally:
        _remove(fresh)


def write_folder(out: Path, files: Iterable[tuple[str, str]]) -> None:
    """Write texts by their paths in a new folder.

    Raises:
        RunError: there is something already.
    """
    with new_output(out) as fresh:
        fresh.mkdir()
        for name, text in files:
            file = fresh / name
            file.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(file, text.encode(), flush=False)


def batches(decisions: Sequence[Decision], size: int) -> Iterator[tuple[int, Sequence[Decision]]]:
    """Numbered batches, in order."""
    for start in range(0, len(decisions), size):
        yield start // size, decisions[start : start + size]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
