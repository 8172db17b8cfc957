"""One run in a few kilobytes: what a comparison over SAE seeds needs of it, so that the SAE itself need not be kept."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from agent.errors import RunError
from agent.folder.records import Manifest
from agent.folder.store import RunFolder
from agent.lines import read_lines
from evals.arms.measures import MEASURES
from evals.arms.results import ArmSummary
from evals.arms.runs import Arm, read_arm
from evals.arms.settings import Origin, find_origin, list_settings
from evals.arms.strata import count_strata
from tools.whole_files import write_named


class Read(NamedTuple):
    """A run with all that was found out about it."""

    arm: Arm
    origin: Origin
    summary: ArmSummary


def read_run(path: Path) -> Read:
    """Read a run folder and summarise it.

    Raises:
        RunError: it is no finished run with a survey.
    """
    folder = RunFolder.open(path)
    manifest = _with_inputs_of_parent(path, folder.manifest())
    origin = find_origin(manifest)
    arm = read_arm(folder, origin.thresholds)._replace(manifest=manifest)
    return Read(arm, origin, summarise_arm(arm, origin))


def _with_inputs_of_parent(path: Path, manifest: Manifest) -> Manifest:
    """A run that judges another's evidence again names no model: those of the other, if it lies beside it."""
    if (
        manifest.parent is None or Path(manifest.parent).name != manifest.parent
    ):  # a neighbour's name, and no way elsewhere
        return manifest
    if not (path.parent / manifest.parent).is_dir():
        return manifest
    parent = RunFolder.open(path.parent / manifest.parent).manifest()
    hashes = {**parent.provenance.sha256, **manifest.provenance.sha256}
    provenance = manifest.provenance.model_copy(update={"sha256": hashes})
    return manifest.model_copy(update={"provenance": provenance, "computed": parent.computed})


def summarise_arm(arm: Arm, origin: Origin) -> ArmSummary:
    """Settings, and the value of every measure with the features it rests on."""
    hashes = arm.manifest.provenance.sha256
    if not {"model", "sae"} <= hashes.keys():
        raise RunError(
            f"run {arm.manifest.run_id} does not say which model and SAE it ran: a run that judges another's evidence "
            "again needs that one beside it"
        )
    samples = {measure.key: measure.sample(arm) for measure in MEASURES}
    return ArmSummary(
        run_id=arm.manifest.run_id,
        arm=arm.name,
        model_sha256=hashes["model"],
        sae_sha256=hashes["sae"],
        size=len(arm.table),
        settings=list_settings(arm, origin),
        figures={key: sample.value for key, sample in samples.items()},
        n={key: sample.n for key, sample in samples.items()},
        strata=tuple(count_strata(arm)),
    )


def write_summaries(file: Path, summaries: Iterable[ArmSummary]) -> None:
    """One line a run; runs that the file holds already are replaced."""
    kept = {one.run_id: one for one in read_lines(file, ArmSummary)} if file.is_file() else {}
    kept |= {one.run_id: one for one in summaries}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_named(file, "".join(one.model_dump_json() + "\n" for one in kept.values()))


class Summarised(NamedTuple):
    """A summary, and where its SAE lies if its run says so."""

    summary: ArmSummary
    origin: Origin | None


def read_summaries(source: Path) -> list[Summarised]:
    """The summary of a run folder, or those of a file.

    Raises:
        RunError: the source is neither, or is damaged.
    """
    if source.is_dir():
        read = read_run(source)
        return [Summarised(read.summary, read.origin)]
    return [Summarised(one, None) for one in read_lines(source, ArmSummary)]
