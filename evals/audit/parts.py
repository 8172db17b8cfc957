"""Files of the published study's repository, each read into records. What does not read is an error in one line."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, NamedTuple

from agent.errors import RunError
from evals.audit.published import RecordedRun, read_run
from evals.errors import LabelError
from evals.manual.reading import read_json, read_text

_POINTER = "version https://git-lfs"
Weights = dict[str, float]
"""Logit weight of each token."""


class Kept(NamedTuple):
    """A feature that a person kept."""

    top: Weights
    medical: Weights
    """Those of the top tokens that hit a keyword."""


class Scored(NamedTuple):
    """A row of a coherence table."""

    coherence: float
    tokens: tuple[str, ...]
    """The first five."""


class Cell(NamedTuple):
    """A notebook's code cell."""

    source: str
    output: str
    """What it printed."""
    executed: bool


def read_steering(folder: Path) -> RecordedRun | None:
    """The recorded run of an arm's folder; None if no run in it holds a report.

    Raises:
        RunError: a report or the summary does not read.
    """
    runs = sorted({report.parent for report in folder.glob("*/feature_*.txt")})
    if not runs:
        return None
    run = read_run(runs[0])
    if run.problems:
        raise RunError(f"{runs[0]}: {run.problems[0]}")
    return run


def read_kept(file: Path) -> dict[int, Kept] | None:
    """Kept features; None without the file.

    Raises:
        LabelError: it does not read.
    """
    if not file.is_file():
        return None
    try:
        return {
            int(index): Kept(_weights(entry["top_words"]), _weights(entry["medical_words"]))
            for index, entry in read_json(file).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LabelError(f"{file} is not the study's list of kept features: {error!r}") from None


def _weights(words: list[dict[str, Any]]) -> Weights:
    return {str(word["word"]): float(word["activation"]) for word in words}


def read_scored(file: Path) -> dict[int, Scored] | None:
    """A coherence table; None without the file.

    Raises:
        LabelError: it does not read.
    """
    if not file.is_file():
        return None
    try:
        return {
            int(row["feature_id"]): Scored(float(row["coherence_score"]), tuple(row["top_words"].split(", ")))
            for row in csv.DictReader(io.StringIO(read_text(file), newline=""))
        }
    except (AttributeError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise LabelError(f"{file} is not the study's table of coherence: {error!r}") from None


def read_note(file: Path) -> str | None:
    """A text; None if it is not here, is empty, or points to a file that is kept elsewhere.

    Raises:
        LabelError: it is not UTF-8.
    """
    if not file.is_file():
        return None
    text = read_text(file)
    return None if not text.strip() or text.startswith(_POINTER) else text


def read_cells(file: Path) -> tuple[Cell, ...] | None:
    """A notebook's code cells; None as for a note.

    Raises:
        LabelError: it does not read.
    """
    if read_note(file) is None:
        return None
    notebook = read_json(file)
    try:
        return tuple(
            Cell(
                source="".join(cell["source"]),
                output="".join(line for out in cell.get("outputs", ()) for line in out.get("text", ())),
                executed=cell.get("execution_count") is not None,
            )
            for cell in notebook["cells"]
            if cell["cell_type"] == "code"
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise LabelError(f"{file} is not a notebook: {error!r}") from None
