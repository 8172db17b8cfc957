"""What limits a comparison, in sentences made from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evals.arms.changes import Changed, compare_with_ceiling
from evals.arms.results import Changes, Measured
from evals.arms.seeds import Seeds
from evals.arms.summary import Read

FEW = 10
"""Relevant features below which an arm's means over them are said to rest on few."""


def list_remarks(
    read: Sequence[Read],
    seeds: Seeds,
    unchecked: Sequence[str],
    changed: Changed,
    ceilings: Sequence[Changes],
    measured: Sequence[Measured],
) -> Iterator[str]:
    """A sentence each, the weightiest first.

    Args:
        read: both runs.
        seeds: the SAEs of each arm.
        unchecked: settings that a run does not show.
        changed: what the weights show.
        ceilings: what SAEs of one model share.
        measured: every measure.
    """
    for one in read:
        yield from (f"arm {one.arm.name}: {caveat}" for caveat in one.arm.caveats)
    yield from _say_lost(read, measured)
    yield from _say_seeds(seeds, measured)
    yield from _say_changes(changed, ceilings)
    for one in read:
        yield from _say_limits(one)
    for one in measured:
        if one.key == "coherence_relevant" and 0 < min(one.n_base, one.n_finetuned) < FEW:
            yield f"means over relevant features rest on few: {one.n_base} against {one.n_finetuned}"
    if all(decision.judge.kind == "rules" for one in read for decision in one.arm.decisions):
        yield (
            "the rules judge takes a feature for relevant by its keywords, contexts, coherence and steering: they are "
            "coherent and steer well by selection, and only the comparison between arms says anything"
        )
    yield from _say_versions(read)
    if unchecked:
        yield f"could not be checked, for a run does not show it: {', '.join(unchecked)}"
    yield from changed.remarks
    yield (
        "likeness and coherence are measured with the study's word vectors, one text is short, and what counts as relevant "
        "is the judge's word: python -m evals.run says how far that may be trusted"
    )


def _say_lost(read: Sequence[Read], measured: Sequence[Measured]) -> Iterator[str]:
    """What measured nothing, and which figures there are not for that."""
    for one in read:
        yield from (f"arm {one.arm.name}: {floor.text}" for floor in one.arm.floors)
    lost = [f"{one.name} ({one.over}, {one.definition})" for one in measured if one.lost is not None]
    if lost:
        yield f"not compared, for an instrument measured nothing: {', '.join(lost)}"


def _say_seeds(seeds: Seeds, measured: Sequence[Measured]) -> Iterator[str]:
    n, m = len(seeds.base), len(seeds.finetuned)
    if min(n, m) < 2:
        yield (
            f"{n} SAE of the base model and {m} of the fine-tuned one: intervals and tests are over features. They say "
            "whether these SAEs differ; two SAEs of one model differ too. Give runs with SAEs of other seeds by --replicates"
        )
    elif any(one.seeds and one.seeds.least_p > 0.05 for one in measured):
        least = next(one.seeds.least_p for one in measured if one.seeds)
        yield (
            f"{n} against {m} SAEs: no permutation of them can give a p-value below {least:.2g}, and a t interval over so few "
            "is wide and trusts in a normal distribution; a difference that is not found may still be there"
        )
    lacking = [f"{one.name} ({one.over})" for one in measured if one.claim and not one.seeds and one.lost is None]
    if min(n, m) > 1 and lacking:
        yield f"not measured over SAEs, for one of them has no value: {', '.join(lacking)}"
    if any(one.seeds for one in measured):
        yield "one fine-tuning run: SAE seeds say nothing of what a second fine-tuning would give"


def _say_changes(changed: Changed, ceilings: Sequence[Changes]) -> Iterator[str]:
    for between in changed.changes[:1]:
        sentence = compare_with_ceiling(between, ceilings)
        yield sentence or (
            "what the two dictionaries share has nothing to be held against: no two SAEs of one model were matched "
            "(--summarise matches those whose weights are at hand)"
        )


def _say_limits(one: Read) -> Iterator[str]:
    """Where candidates were limited: how the share of relevant ones was come by."""
    for stratum in one.summary.strata[:1]:
        if stratum.drawn >= stratum.population:
            continue
        head = (
            f"arm {one.arm.name}: {stratum.drawn} of {stratum.population} candidates were investigated, those with the most "
            "hits"
        )
        if not stratum.unknown:
            yield (
                f"{head}; the others have no more hits than 1 % of random directions, so that the rules judge would reject "
                "them too: the count of relevant features is complete. Steering of candidates is that of the investigated"
            )
        else:
            yield (
                f"{head}; of the other {stratum.unknown} nothing is known. The estimates take the investigated for a random "
                f"sample of them; without that, {stratum.yes} to {stratum.yes + stratum.unknown} candidates are relevant"
            )


def _say_versions(read: Sequence[Read]) -> Iterator[str]:
    """Programs and libraries that made one run and not the other."""
    first, second = (one.arm.manifest.provenance for one in read)
    versions = [
        f"{name} {first.packages.get(name, 'absent')} and {second.packages.get(name, 'absent')}"
        for name in dict.fromkeys((*first.packages, *second.packages))
        if first.packages.get(name) != second.packages.get(name)
    ]
    if versions:
        yield f"the runs were made with different versions: {', '.join(versions)}"
    if first.git_commit != second.git_commit or first.git_dirty or second.git_dirty:
        yield "the runs were not made from one unchanged commit of this program"
