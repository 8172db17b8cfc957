"""A run on the tiny study that can be scored."""

from __future__ import annotations

from pathlib import Path

from agent.folder.config import RunConfig
from agent.folder.records import Decision
from agent.folder.store import RunFolder
from tests.evals.worlds import decide, manifest
from tools.bench.arms import check_arm_files
from tools.records import Stratum
from tools.study.definition import Study

LABELS = ("doctor, patient", "river", "the heart of a patient", "garden music", "bread", "surgery, blood")
DEAD = 47


def make_decisions() -> list[Decision]:
    """Features with labels, some of them the same, a dead one, a failed one, and random directions."""
    plan: list[tuple[int, str | None, Stratum]] = [(index, "no", "near controls") for index in range(1, 10)]
    plan += [(0, "yes", "candidates"), (DEAD, "undecided", "candidates"), (12, None, "candidates")]
    plan += [(index, "no", "random directions") for index in range(3)]
    return [
        decide(index, verdict, stratum=stratum).model_copy(
            update={"label": None if verdict is None else LABELS[index % len(LABELS)]}
        )
        for index, verdict, stratum in plan
    ]


def make_run(path: Path, study: Study) -> Path:
    """The folder, with the decisions in it."""
    decisions = make_decisions()
    described = manifest(decisions=decisions)
    known = {"sae": check_arm_files(study, "base").sae}
    described = described.model_copy(
        update={
            "config": RunConfig(study=str(study.folder), sae="base"),
            "provenance": described.provenance.model_copy(update={"sha256": known}),
        }
    )
    run = RunFolder.create(path, described)
    for decision in decisions:
        run.append_decision(decision)
    return run.path
