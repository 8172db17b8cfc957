"""Several runs over the same features of known meaning: which evidence does the judge need, and which judge can do it?

Every run is held against the truth by the same comparison, and each against the first on the concepts that both decided on,
by McNemar's exact test; the tests of a report are corrected together by Holm's method.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import binomtest

from agent.errors import RunError
from agent.folder.records import Manifest
from agent.folder.store import RunFolder
from evals.truths.results import BesideRow, LabelsHeld

_SAME = {"model": "another model", "sae": "another SAE"}


class HeldRun(NamedTuple):
    """A run and what came of its labels."""

    name: str
    judge: str
    without: tuple[str, ...]
    labels: LabelsHeld


def name_judge(manifest: Manifest) -> str:
    """Who judged in a run."""
    llm = manifest.config.llm
    return llm.judge_model if llm else "rules"


def open_beside(paths: Sequence[Path], first: Manifest) -> list[tuple[RunFolder, Manifest]]:
    """Finished runs over the SAE of the first.

    Raises:
        UnveilError: one cannot be read, is not finished, or is of another model or SAE.
    """
    opened: list[tuple[RunFolder, Manifest]] = []
    for path in paths:
        folder = RunFolder.open(path)
        manifest = folder.manifest()
        for role, said in _SAME.items():
            if manifest.provenance.sha256.get(role) != first.provenance.sha256.get(role):
                raise RunError(f"{path} is of {said} than the run: only judges of the same features can be compared")
        folder.finished_evidence()
        opened.append((folder, manifest))
    return opened


def compare_runs(runs: Sequence[HeldRun]) -> tuple[BesideRow, ...]:
    """A row for each run, the first being what the others are held against."""
    first = _right_of(runs[0])
    rows: list[BesideRow] = []
    for run in runs:
        own = _right_of(run)
        both = [key for key in own if key in first]
        gained = sum(own[key] and not first[key] for key in both)
        lost = sum(first[key] and not own[key] for key in both)
        p = float(binomtest(lost, lost + gained).pvalue) if lost + gained else 1.0
        rows.append(
            BesideRow(
                run=run.name,
                judge=run.judge,
                without=run.without,
                outcomes=run.labels.rows,
                swapped=run.labels.swapped,
                pairs=len(both),
                gained=gained,
                lost=lost,
                p=None if run is runs[0] else p,
            )
        )
    return _correct(rows)


def _right_of(run: HeldRun) -> dict[str, bool]:
    """Of each concept's feature: whether it was labelled right."""
    return {one.feature.key: one.outcome == "right" for one in run.labels.concepts if one.group == "concept"}


def _correct(rows: Sequence[BesideRow]) -> tuple[BesideRow, ...]:
    from statsmodels.stats.multitest import multipletests

    tested = [row.p for row in rows if row.p is not None]
    holm: Any = multipletests(tested, method="holm") if tested else ((), ())
    corrected = iter(map(float, holm[1]))
    return tuple(row if row.p is None else row.model_copy(update={"corrected": next(corrected)}) for row in rows)
