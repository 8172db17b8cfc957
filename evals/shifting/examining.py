"""Everything that is worked out of acting on a run's verdicts, as one report. No model is needed here: a task's texts are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.progress import Progress

from agent.folder.records import Decision, Manifest
from evals.shifting.classes import perturb
from evals.shifting.classifiers import Direction, Reader, directions_of, train_reader
from evals.shifting.judges import Judge
from evals.shifting.measuring import Column, Ends, Stand, count_steps, find_ends, make_cell, make_side, measure
from evals.shifting.resampling import Correct, Frame
from evals.shifting.results import Cell, Compared, ShiftReport
from evals.shifting.verdicts import compare_judges, compare_ways, count_strata, describe_judges, keep_each
from evals.shifting.ways import SIZES, size_of
from evals.statistics.estimate import Estimate
from tools.probes.ground import Ground
from tools.probes.task import PAIRS

FEW_TEXTS = 100
"""Test texts below which no interval over them says much."""
LEAST_FELT = 20
"""Verdicts that are looked at one by one from which on some stand out by chance."""


class Asked(NamedTuple):
    """How it is measured."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the classifiers."""
    draws: int = 10
    """Of random features, for each of them."""
    seed: int = 0
    """Of resamples."""


class Examined(NamedTuple):
    """A report, and what SAEs are compared by."""

    report: ShiftReport
    published: dict[tuple[int, int | None], Correct]
    """By direction and number of features, those chosen by effect as published."""
    ends: tuple[Ends, Ends]
    features: int
    """Of the SAE."""
    frame: Frame


def examine(
    manifest: Manifest,
    decisions: Sequence[Decision],
    judges: Sequence[Judge],
    ground: Ground,
    asked: Asked,
    classes: Ground | None = None,
    transcripts: Path | None = None,
    remarks: Sequence[str] = (),
    progress: Progress | None = None,
) -> Examined:
    """Act on verdicts, and measure.

    Args:
        manifest: of the run.
        decisions: of the run.
        judges: the run's own first.
        ground: the run's task.
        asked: how.
        classes: a task of several classes, for TPP; None to leave that out.
        transcripts: their folder as seen from the report; None for no links.
        remarks: what is to be said of the run first.
        progress: where it is shown how far it is.
    """
    judge, directions = judges[0], directions_of(ground.task)
    stand = Stand.of(ground, _train(ground, asked, progress), asked.draws, asked.seed)
    ends = (find_ends(stand, directions[0]), find_ends(stand, directions[1]))
    both = tuple(zip(directions, ends, strict=True))
    steps = _bar(progress, "ablate       sets", sum(count_steps(stand, judge, direction) for direction in directions))
    columns = [list(measure(stand, judge, direction, steps)) for direction in directions]
    singles = _bar(progress, "ablate       all but one", size_of(judge, directions[0]))
    by_feature = {one.feature.index: one for one in decisions if one.feature.kind == "feature"}
    cells = tuple(
        make_cell(one, direction, end, stand.frame)
        for own, (direction, end) in zip(columns, both, strict=True)
        for one in own
    )
    report = ShiftReport(
        **_describe(manifest, ground, asked),
        sides=tuple(make_side(stand, judge, direction, end) for direction, end in both),
        judges=tuple(describe_judges(stand, judges, both)),
        cells=cells,
        compared=tuple(_compare(stand, columns, judge, both)),
        values=tuple(compare_judges(stand, judges, both)),
        kept=tuple(keep_each(stand, judge, directions[0], ends[0], by_feature, transcripts, singles)),
        strata=tuple(count_strata(decisions, directions)),
        classes=perturb(classes, asked.seeds, asked.seed) if classes is not None else None,
        remarks=(),
        figures={},
    )
    said = (*remarks, *ground.task.notes, *_list_remarks(report, judge, ground))
    report = report.model_copy(update={"remarks": said, "figures": dict(_list_figures(report))})
    published = {
        (direction.number, one.asked): one.correct
        for own, direction in zip(columns, directions, strict=True)
        for one in own
        if one.way == "SCR" and one.threshold == "old"
    }
    return Examined(report, published, ends, len(ground.directions), stand.frame)


def _compare(
    stand: Stand, columns: Sequence[Sequence[Column]], judge: Judge, both: Sequence[tuple[Direction, Ends]]
) -> Iterator[Compared]:
    for own, (direction, end) in zip(columns, both, strict=True):
        yield from compare_ways(stand, own, size_of(judge, direction), direction, end)


def _describe(manifest: Manifest, ground: Ground, asked: Asked) -> dict[str, Any]:
    task, known = ground.task, manifest.provenance.sha256
    return {
        "run": manifest.run_id,
        "study": Path(manifest.config.study).name,
        "sae": manifest.config.sae,
        "model_sha256": known.get("model"),
        "sae_sha256": known.get("sae"),
        "task": task.name,
        "task_sha256": task.sha256,
        "label": task.label,
        "attribute": task.attribute,
        "quadrants": tuple(task.name_quadrant(place) for place in range(len(PAIRS))),
        "seeds": asked.seeds,
        "texts": _count_test(ground),
        "draws": asked.draws,
        "words": len(ground.cues),
    }


def _count_test(ground: Ground) -> int:
    from tools.probes.draws import take_balanced

    return len(take_balanced(ground.task, "test"))


def _bar(progress: Progress | None, what: str, total: int) -> Callable[[], object]:
    if progress is None or not total:
        return lambda: None
    task = progress.add_task(what, total=total)
    return lambda: progress.advance(task)


def _train(ground: Ground, asked: Asked, progress: Progress | None) -> Iterator[Reader]:
    advance = _bar(progress, "train        classifiers", len(asked.seeds))
    for seed in asked.seeds:
        yield train_reader(ground, seed)
        advance()


def find_cell(
    report: ShiftReport, way: str, asked: int | None, direction: int = 1, threshold: str = "old"
) -> Cell | None:
    """One cell of the table; None where it was not measured."""
    wanted = (way, asked, direction, threshold)
    return next((one for one in report.cells if (one.way, one.asked, one.direction, one.threshold) == wanted), None)


def _list_remarks(report: ShiftReport, judge: Judge, ground: Ground) -> Iterator[str]:
    for side in report.sides:
        if side.dead:
            yield (
                f"reading {side.kept}: the oracle ({side.oracle.value:.2f}) cannot be told to be better than the biased "
                f"classifier ({side.biased.value:.2f}), so there is no way to go and SCR is no number"
            )
        if not side.judged:
            yield f"no feature was judged to be about {side.removed} rather than {side.kept}: nothing was taken out"
    if judge.failed:
        yield f"{len(judge.failed)} of {len(judge.asked)} verdicts failed: they take nothing out"
    for other in report.judges[1:]:
        shared = report.judges[0].rated + report.judges[0].failed
        if other.rated + other.failed < shared:
            yield f"{other.name} rated {other.rated} of the {shared} features: both judges are compared on these alone"
    if len(report.seeds) == 1:
        yield "one probe seed: intervals are over test texts alone, and other training texts may give other figures"
    if report.texts < FEW_TEXTS:
        yield f"{report.texts} test texts are few: intervals over them are wide"
    if len(report.kept) >= LEAST_FELT:
        yield f"of {len(report.kept)} verdicts looked at one by one, {len(report.kept) / 20:.0f} stand out by chance alone"
    if ground.tokens is None:
        yield "the model read each text once: tokens at the embedding and deleted words are left out"


def _list_figures(report: ShiftReport) -> Iterator[tuple[str, float]]:
    named: dict[str, Estimate | None] = {}
    for side in report.sides:
        end = "" if side.direction == 1 else "_2"
        for threshold, name in (("old", "scr"), ("centred", "scr_centred")):
            cell = find_cell(report, "judged", None, side.direction, threshold)
            named[name + end] = cell and cell.scr
        yield f"judged{end}", float(side.judged)
        for n in SIZES:
            cell = find_cell(report, "SCR", n, side.direction)
            named[f"scr_published_{n}{end}"] = cell and cell.scr
    for one in (*report.compared, *report.values):
        if one.direction == 1 and one.threshold == "old":
            name = _name(one.against) if one.way == "judged" else f"value_{_name(one.way)}"
            named[f"over_{name}" if one.way == "judged" else name] = one.difference
    for row in report.classes.rows if report.classes else ():
        named[f"tpp_{row.asked}"] = row.score
    for row in report.strata:
        named[f"beside_{_name(row.stratum)}"] = row.beside[0]
    for name, found in named.items():
        if found is not None:
            ends = {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
            yield from ((key, value) for key, value in ends.items() if value is not None)


def _name(words: str) -> str:
    return "_".join(part for part in "".join(c if c.isalnum() else " " for c in words.lower()).split())
