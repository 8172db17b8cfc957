"""The stages of a steering run in the folder that was made for it: score, write, measure, judge, tabulate."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from agent.errors import RunError, Unwritable
from agent.folder.steered import Results, SteerConfig, TargetFound
from agent.folder.steering_bench import as_run
from agent.folder.steering_store import SteeringFolder
from agent.llm.calls import CallStore
from agent.stages.gather import Stopwatch
from agent.stages.recipients import list_recipients
from agent.steering.confidence import is_outside, unmet_by
from agent.steering.page import write_report
from agent.steering.results import Found, bounds_of, contrast, tabulate
from agent.steering.tables import (
    by_target,
    count_intervals,
    lay_out_contrasts,
    tabulate_rows,
    tell_outside,
    tell_target,
)
from tools.border.egress import reaching
from tools.display.gates import UNMET, read_requirement
from tools.display.tables import as_text
from tools.display.terminal import complain
from tools.study.reading import load_study

if TYPE_CHECKING:
    from rich.console import Console

    from agent.folder.confidence import ConfidenceModel
    from agent.stages.recipients import Reached
    from agent.steering.stage import Stage

OpenStage = Callable[[], "Stage"]


def conduct(
    folder: SteeringFolder,
    reached: Reached,
    open_stage: OpenStage,
    model: ConfidenceModel | None,
    console: Console,
) -> int:
    """Go through what is left of a run.

    Args:
        folder: of the run.
        reached: its endpoint, and what that is sent besides.
        open_stage: puts the model on the bench; called only if something is left to be computed.
        model: by which the study tells what is outside.
        console: for progress and results.

    Returns:
        0, or 1 where a target does not meet a requirement.

    Raises:
        RunError: another process works on the run, or its folder cannot be written any more.
    """
    go_on = f"what was finished is kept; go on with python -m agent.steer --resume {folder.path}"
    config = folder.manifest().config
    try:
        with folder.claimed(), reaching(*list_recipients(as_run(config), os.environ)):
            return _go_through(folder, reached, open_stage, model, console)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(go_on) from None
    except (Unwritable, OSError) as error:
        reason = error if isinstance(error, Unwritable) else Unwritable.of(error.filename or folder.path, error)
        raise RunError(f"{reason}: {go_on}") from reason


def _go_through(
    folder: SteeringFolder,
    reached: Reached,
    open_stage: OpenStage,
    model: ConfidenceModel | None,
    console: Console,
) -> int:
    config, watch = folder.manifest().config, Stopwatch()
    targets = folder.targets()
    if targets is None or not is_written(folder, targets):
        stage = open_stage()
        watch = stage.opened.watch
        targets = _measure(folder, stage, targets, console)
    else:
        _tell(targets, config, model, console)
    if reached.config.llm is not None:
        from agent.steering.judging import judge_run

        with watch.time("judge"):
            judge_run(folder, reached, console)
    results = _conclude(folder, targets, config, model, watch)
    write_report(folder)
    _show(folder, results, console)
    return _judge(targets, config)


def is_written(folder: SteeringFolder, targets: Sequence[TargetFound]) -> bool:
    """Whether every text and likelihood is there."""
    manifest = folder.manifest()
    config, arms = manifest.config, manifest.arms
    texts = len(targets) * len(arms) * len(config.prompts) * config.samples
    scored = Counter((one.target, one.arm) for one in folder.likelihoods())
    # Every arm is measured on the same documents: one of which a kill left a part has fewer than the others.
    each = [{scored[target.name, arm.name] for arm in arms} for target in targets]
    return len(folder.texts()) == texts and all(len(counts) == 1 and 0 not in counts for counts in each)


def _measure(
    folder: SteeringFolder, stage: Stage, targets: tuple[TargetFound, ...] | None, console: Console
) -> tuple[TargetFound, ...]:
    from agent.steering.scoring import read_scores, score_targets
    from agent.steering.writing import open_changes, score_all, write_all

    config, arms = stage.config, folder.manifest().arms
    if targets is None:
        targets = score_targets(folder, stage, console)
    _tell(targets, config, stage.confidence, console)
    changes = open_changes(stage, arms, read_scores(folder.scores_file, config.scorer))
    write_all(folder, stage, arms, changes, console)
    score_all(folder, stage, arms, changes, console)
    return targets


def _tell(targets: Sequence[TargetFound], config: SteerConfig, model: ConfidenceModel | None, console: Console) -> None:
    """What is outside comes first, before any text."""
    requirements = [read_requirement(text) for text in config.require]
    for target in targets:
        if is_outside(target, model) or unmet_by(target, requirements):
            console.print(tell_outside(target))
    for target in targets:
        for line in tell_target(target, model):
            console.print(line)


def _conclude(
    folder: SteeringFolder,
    targets: Sequence[TargetFound],
    config: SteerConfig,
    model: ConfidenceModel | None,
    watch: Stopwatch,
) -> Results:
    manifest = folder.manifest()
    found = Found(folder.texts(), folder.likelihoods(), folder.judgements())
    names = [target.name for target in targets]
    bounds = bounds_of(found.texts, load_study(config.study).steering.fluency_factor)
    requirements = [read_requirement(text) for text in config.require]
    refused = [t.name for t in targets if is_outside(t, model) or unmet_by(t, requirements)]
    results = Results(
        run_id=manifest.run_id,
        rows=tabulate(found, names, manifest.arms, bounds),
        contrasts=contrast(found, names, manifest.arms),
        most_perplexity=bounds.perplexity,
        most_repetition=bounds.repetition,
        refused=tuple(refused),
        usage=CallStore(folder.path / "llm_calls.jsonl", replay_only=True).spent,
        seconds=dict(watch.seconds),
    )
    folder.write_results(results)
    return results


def _show(folder: SteeringFolder, results: Results, console: Console) -> None:
    for target, rows in by_target(results.rows):
        console.print()
        outside = " (outside what this SAE can represent)" if target in results.refused else ""
        console.print(f"over all {_count(results)} targets" if target is None else f"toward {target}{outside}")
        for line in as_text(tabulate_rows(rows)):
            console.print(line)
    console.print()
    console.print("the same against controls and against asking, over all targets")
    for line in lay_out_contrasts([one for one in results.contrasts if one.target is None]):
        console.print(line)
    console.print()
    console.print(count_intervals(results.rows, results.contrasts))
    console.print(f"{folder.path}/report.html")


def _count(results: Results) -> int:
    return len({row.target for row in results.rows if row.target is not None})


def _judge(targets: Sequence[TargetFound], config: SteerConfig) -> int:
    missed = [
        line for target in targets for line in unmet_by(target, [read_requirement(text) for text in config.require])
    ]
    complain(*(f"not met: {line}" for line in missed))
    return UNMET if missed else 0
