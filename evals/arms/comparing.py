"""The whole comparison of two runs, from folders to files, in the order in which a fault would stop it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evals.arms.changes import Changed, compare_weights, match_seeds, seed_ceilings
from evals.arms.contrasts import contrast_arms, describe_spreads
from evals.arms.coverage import measure_coverage, read_word_list, study_word_list
from evals.arms.guards import check_hook, find_faults, refuse
from evals.arms.measures import MEASURES
from evals.arms.regression import regress
from evals.arms.report.figures import DomainWeights, collect_weights, draw_comparison
from evals.arms.report.page import write_comparison
from evals.arms.report.remarks import list_remarks
from evals.arms.report.verdicts import judge_claims
from evals.arms.results import Comparison, Coverage, Measured
from evals.arms.seeds import sort_seeds
from evals.arms.summary import Read, Summarised, read_run, read_summaries

if TYPE_CHECKING:
    from rich.progress import Progress


class Asked(NamedTuple):
    """What a command line asks for."""

    base: Path
    finetuned: Path
    folder: Path
    seeds: Sequence[Path] = ()
    allowed: str | None = None
    weights: bool = True
    vectors: Sequence[Path] = ()
    seed: int = 0
    device: str = "auto"


class Compared(NamedTuple):
    """The records, and the files they were written to, the page first."""

    found: Comparison
    files: list[Path]


def compare_runs(asked: Asked, progress: Progress) -> Compared:
    """Read, look for faults, measure, test, and write.

    Raises:
        ComparisonError: the runs must not be compared, and no reason was given to do so all the same.
        UnveilError: a run or another input cannot be read.
    """
    words = {str(file): read_word_list(file) for file in asked.vectors}
    reading = progress.add_task("read         runs", total=2 + len(asked.seeds))
    read: list[Read] = []
    for path in (asked.base, asked.finetuned):
        read.append(read_run(path))
        progress.advance(reading)
    others: list[Summarised] = []
    for source in asked.seeds:
        others += read_summaries(source)
        progress.advance(reading)
    base, finetuned = read
    faults = find_faults(base.arm, finetuned.arm, (base.summary, finetuned.summary))
    known = [Summarised(one.summary, one.origin) for one in read] + others
    summaries = match_seeds(known, asked.seed) if asked.weights and others else [one.summary for one in known]
    seeds = sort_seeds(summaries[0], summaries[1], summaries[2:])
    early = [*faults.found, *(f for one in read for f in check_hook(one.arm, one.origin)), *seeds.faults]
    refuse(early, asked.allowed)
    arms = (base.arm, finetuned.arm)
    changed = Changed([], [], [], [], ["which features changed is left out, as asked"])
    if asked.weights:
        changed = compare_weights(base, finetuned, asked.seed, asked.device, progress)
        refuse(changed.faults, asked.allowed)
    task = progress.add_task("compare      measures", total=len(MEASURES) + 1)
    measured = contrast_arms(*arms, seeds, asked.seed, lambda: progress.advance(task))
    regressions = regress(*arms)
    progress.advance(task)
    weights, coverage = _look_up_words(read, words)
    ceilings = seed_ceilings((seeds.base, seeds.finetuned))
    found = Comparison(
        base=base.summary,
        finetuned=finetuned.summary,
        allowed=asked.allowed,
        faults=tuple((*early, *changed.faults)),
        unchecked=tuple(faults.unchecked),
        verdicts=tuple(judge_claims(measured)),
        measured=tuple(measured),
        spreads=tuple(describe_spreads(*arms)),
        coverage=tuple(coverage),
        regressions=tuple(regressions),
        changes=tuple((*changed.changes, *ceilings)),
        transfer=tuple(changed.transfer),
        figures=_name_figures(measured, changed),
        remarks=tuple(list_remarks(read, seeds, faults.unchecked, changed, ceilings, measured)),
    )
    asked.folder.mkdir(parents=True, exist_ok=True)
    drawing = progress.add_task("draw         figures", total=1)
    figures = draw_comparison(asked.folder, found, arms, weights)
    progress.advance(drawing)
    return Compared(found, write_comparison(asked.folder, found, changed.features, figures))


def _look_up_words(
    read: Sequence[Read], given: dict[str, frozenset[str]]
) -> tuple[tuple[DomainWeights | None, DomainWeights | None], list[Coverage]]:
    """Weights of domain words, where the study's vocabulary is at hand, and coverage by every set of vectors."""
    sets = dict(given)
    weights: list[DomainWeights | None] = []
    for one in read:
        study = one.origin.study
        if study is None:
            weights.append(None)
            continue
        listed = study_word_list(study)
        sets.setdefault(listed.name, listed.known)
        weights.append(collect_weights(one.arm, study, listed.words))
    coverage = [row for name, words in sets.items() for one in read for row in measure_coverage(one.arm, name, words)]
    return (weights[0], weights[1]), coverage


def _name_figures(measured: Sequence[Measured], changed: Changed) -> dict[str, float]:
    found: dict[str, float | None] = {}
    for one in measured:
        for name, estimate in (("base", one.base), ("finetuned", one.finetuned), ("difference", one.difference)):
            found[f"{one.key}_{name}"] = estimate.value
            found[f"{one.key}_{name}_low"], found[f"{one.key}_{name}_high"] = estimate.low, estimate.high
        found[f"{one.key}_p"], found[f"{one.key}_p_adjusted"] = one.p, one.p_adjusted
        if one.seeds is not None:
            test = one.seeds.model_dump(
                include={"difference", "low", "high", "p", "p_adjusted", "p_permutation", "noise"}
            )
            found |= {f"{one.key}_seeds_{name}": value for name, value in test.items()}
    for one in changed.changes[:1]:
        if one.shared is not None:
            found |= {"kept_share": one.shared.kept, "paired_share": one.shared.paired}
    return {name: value for name, value in found.items() if value is not None}
