"""The floors of a run folder: as they were found when it was judged, or, of an older run, as they are found now.

What is found now is shown and never written back: a run that was judged without looking is replayed without looking.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agent.folder.records import Decision, Manifest, StratumRow, Summary
from agent.folder.store import RunFolder
from agent.folder.surveyed import list_columns, read_numbers
from tools.proof.floors import (
    Accepted,
    Dead,
    DeadFloor,
    NullSample,
    Surveyed,
    find_dead,
    keep_alive,
    reasons_in,
    say_dead,
)
from tools.records import Evidence, Stratum


class Living(NamedTuple):
    """A finished run as it may be shown: without figures that measured nothing, and with the reasons."""

    floors: tuple[DeadFloor, ...]
    evidence: list[Evidence]
    decisions: list[Decision]


_COLUMNS = ["keyword_hits", "keyword_null_share"]


def floors_of(path: Path, manifest: Manifest, evidence: Sequence[Evidence]) -> tuple[DeadFloor, ...]:
    """What measured nothing in a run, for everything that shows it.

    Args:
        path: of the run folder.
        manifest: of the run.
        evidence: all of it; not looked at if the manifest says what was found.
    """
    return find_floors(path, evidence) if manifest.floors is None else manifest.floors


def find_floors(path: Path, evidence: Sequence[Evidence], null: NullSample | None = None) -> tuple[DeadFloor, ...]:
    """What measures nothing in evidence, with the survey of the folder if it holds one."""
    return find_dead(evidence, _read_survey(path / "features.parquet"), null)


def read_living(folder: RunFolder) -> Living:
    """Read a finished run for a command that shows its figures or goes on counting with them.

    Raises:
        RunError: it is not finished, or something in it does not read.
    """
    evidence = folder.finished_evidence()
    floors = floors_of(folder.path, folder.manifest(), evidence)
    alive = [keep_alive(record, reasons_in(floors, record.stratum)) for record in evidence]
    return Living(floors, alive, [keep_living_decision(decision, floors) for decision in folder.decisions()])


def keep_living_decision(decision: Decision, floors: Sequence[DeadFloor]) -> Decision:
    """The decision without a steering verdict that rests on nothing, and without such figures among the rules' reasons.

    A model's reasons are its own words and stay.
    """
    dead = reasons_in(floors, decision.stratum)
    update: dict[str, object] = {"steering": None} if "steering" in dead else {}
    if dead and decision.judge.kind == "rules":
        update["reasons"] = tuple(_living_reason(reason, dead) for reason in decision.reasons)
    return decision.model_copy(update=update) if update else decision


def _living_reason(reason: str, dead: Dead) -> str:
    """The rules begin each reason with the instrument's name."""
    return next((say_dead(name, why) for name, why in dead.items() if reason.startswith(name)), reason)


def keep_living_summary(summary: Summary, floors: Sequence[DeadFloor]) -> Summary:
    """The summary without figures that measured nothing: for one that was written before floors were looked at."""
    rows = tuple(keep_living_row(row, floors, row.stratum) for row in summary.strata)
    accepted = summary.accepted and keep_living_row(summary.accepted, floors, "accepted features")
    return summary.model_copy(update={"strata": rows, "accepted": accepted, "floors": tuple(floors)})


def keep_living_row(row: StratumRow, floors: Sequence[DeadFloor], place: Stratum | Accepted) -> StratumRow:
    """One line of the table, what measured nothing taken for not measured."""
    dead = reasons_in(floors, place)
    update: dict[str, object] = {"median_coherence": None} if "coherence" in dead else {}
    if "steering" in dead:
        update |= {"steering_wins": 0, "steering_n": 0, "null_win_rate": None, "steering_passes": None}
    return row.model_copy(update=update) if update else row


def _read_survey(file: Path) -> Surveyed | None:
    if not file.is_file():
        return None
    if not set(_COLUMNS) <= set(list_columns(file)):  # of another version
        return None
    return Surveyed(read_numbers(file, "keyword_hits", np.int64), read_numbers(file, "keyword_null_share", np.float64))
