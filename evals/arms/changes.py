"""Which features changed: the two dictionaries matched, beside what two SAEs of one model have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from agent.folder.entrusted import has_its_weights, open_recorded_corpus
from evals.arms.guards import ComparisonError
from evals.arms.results import ArmSummary, Changes, FeatureChange, SharedFeatures, Transfer
from evals.arms.runs import Arm
from evals.arms.summary import Read, Summarised
from tools.errors import UnveilError
from tools.study.definition import Study
from tools.study.texts import HUB

if TYPE_CHECKING:
    from rich.progress import Progress

    from tools.dictionaries.arm_pair import ArmPair
    from tools.dictionaries.matching import DictionaryMatching

STATUSES = ("kept", "shifted", "new", "lost")


class Changed(NamedTuple):
    """What the weights of both arms show."""

    changes: list[Changes]
    features: list[FeatureChange]
    transfer: list[Transfer]
    faults: list[str]
    remarks: list[str]


def compare_weights(base: Read, finetuned: Read, seed: int, device: str, progress: Progress | None) -> Changed:
    """Load both arms, if they are at hand and still those of the runs, and see what became of each feature."""
    arms = (base.arm, finetuned.arm)
    try:
        study = _join_studies(base, finetuned)
    except ComparisonError as error:
        return Changed([], [], [], [], [f"which features changed is left out: {error}"])
    from tools.dictionaries.arm_pair import compare_pair

    pair = compare_pair(study, arms[0].name, arms[1].name, seed, device, progress)
    transfer = [
        Transfer(
            name=f"{one.sae} on {one.model}",
            figures={
                "explained variance": one.figures.explained_variance,
                "loss, nats": one.figures.ce_clean,
                "loss with the SAE": one.figures.ce_spliced,
                "share of loss recovered": one.figures.ce_score,
                "active features a token": one.figures.l0,
                "share of features alive": one.figures.alive_share,
            },
        )
        for one in pair.reconstructions
    ]
    features = _list_features(arms, pair)
    changes = _count_changes(arms, pair.matching, features) if pair.matching else []
    return Changed(changes, features, transfer, list(pair.faults), [])


def _join_studies(base: Read, finetuned: Read) -> Study:
    """One study that names both arms, whose weights are those of the runs."""
    first, second = _open_study(base), _open_study(finetuned)
    return first.model_copy(update={"arms": {**second.arms, **first.arms}, "hub": first.hub or second.hub})


def _open_study(one: Read) -> Study:
    """The study of a run, with the run's text; nothing is fetched for it."""
    manifest, study, name = one.arm.manifest, one.origin.study, one.arm.name
    if study is None:
        raise ComparisonError("the study is not at hand")
    if name not in study.arms:
        raise ComparisonError(f"study {study.name} names no arm {name}, and the run does not name its model")
    given = manifest.config.corpus
    if given is not None and given.startswith(HUB):
        raise ComparisonError(f"the text of arm {name} would have to be fetched ({given})")
    try:
        is_same = has_its_weights(manifest, study)
        study = study if given is None or not is_same else open_recorded_corpus(manifest).study
    except UnveilError as error:
        raise ComparisonError(str(error)) from error
    if not is_same:
        raise ComparisonError(f"the weights of arm {name} are no longer those of the run")
    return study


def _list_features(arms: tuple[Arm, Arm], pair: ArmPair) -> list[FeatureChange]:
    if pair.matching is None:
        return []
    candidate = [(arm.table["hits"] >= arm.thresholds.hits).to_numpy() for arm in arms]
    return [
        FeatureChange(
            base=match.left,
            finetuned=match.right,
            cosine=match.cosine,
            status=match.status,
            candidate_base=match.left is not None and bool(candidate[0][match.left]),
            candidate_finetuned=match.right is not None and bool(candidate[1][match.right]),
        )
        for match in pair.matching.matches
    ]


def _count_changes(
    arms: tuple[Arm, Arm], matching: DictionaryMatching, features: Sequence[FeatureChange]
) -> list[Changes]:
    base, finetuned = arms
    counts = {name: int(getattr(matching, name)) for name in STATUSES}
    found = [
        Changes(
            name=f"{base.name} and {finetuned.name}",
            counts=counts,
            shared=SharedFeatures(kept=matching.kept_share, paired=matching.paired_share),
            threshold=matching.null_threshold,
        )
    ]
    for arm, statuses in ((base, matching.left_status), (finetuned, matching.right_status)):
        table: pd.DataFrame = arm.table
        sets = {"keyword features": table["hits"] >= arm.thresholds.hits, "judged relevant": table["judged"] == "yes"}
        for name, chosen in sets.items():
            of_set = Counter(
                statuses[index] for index in np.flatnonzero(chosen.to_numpy()).tolist() if index in statuses
            )
            found.append(Changes(name=f"{arm.name}: {name}", counts=dict(of_set)))
    return found


def seed_ceilings(sides: Iterable[Sequence[ArmSummary]]) -> list[Changes]:
    """What SAEs of one model have in common, for each model of which several were matched."""
    found: list[Changes] = []
    for side in sides:
        hashes = {one.sae_sha256 for one in side}
        shares = [shared for one in side for other, shared in one.shared_with.items() if other in hashes]
        if shares:
            found.append(
                Changes(
                    name=f"{side[0].arm}: SAEs of other seeds, {len(shares)} matchings",
                    counts={},
                    shared=SharedFeatures(
                        kept=float(np.mean([one.kept for one in shares])),
                        paired=float(np.mean([one.paired for one in shares])),
                    ),
                    kept_range=(min(one.kept for one in shares), max(one.kept for one in shares)),
                )
            )
    return found


def compare_with_ceiling(between: Changes, ceilings: Sequence[Changes]) -> str | None:
    """Whether two arms share less than two SAEs of one model do, in a sentence; None without any such pair."""
    ranges = [one.kept_range for one in ceilings if one.kept_range is not None]
    if between.shared is None or not ranges:
        return None
    low, high, kept = min(low for low, _ in ranges), max(high for _, high in ranges), between.shared.kept
    found = (
        "less than in any of these pairs, so that the arms' dictionaries differ by more than the seed"
        if kept < low
        else "no less than in these pairs: another seed changes as much as fine-tuning does"
    )
    return (
        f"{kept:.1%} of the base's features are kept in the fine-tuned arm's SAE, against {low:.1%} to {high:.1%} between "
        f"SAEs of one model that differ in their seed; {found}"
    )


def match_seeds(known: Sequence[Summarised], seed: int = 0) -> list[ArmSummary]:
    """The summaries, with what their SAE shares with every other of the same model whose weights are at hand."""
    from tools.dictionaries.arm_pair import match_folders

    found: list[ArmSummary] = []
    for one, origin in known:
        shared = dict(one.shared_with)
        for other, place in known:
            same = other.model_sha256 == one.model_sha256 and other.sae_sha256 != one.sae_sha256
            if same and origin and place and origin.folder and place.folder:
                matching = match_folders(origin.folder, place.folder, seed)
                shared[other.sae_sha256] = SharedFeatures(kept=matching.kept_share, paired=matching.paired_share)
        found.append(one.model_copy(update={"shared_with": shared}))
    return found
