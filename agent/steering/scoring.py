"""What is known of every target before a word is written toward it: scores of features, those that stand for it, and doubt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from rich.console import Console
from rich.progress import Progress

from agent.errors import RunError
from agent.folder.steered import Agreement, ChosenFeature, Doubt, Scorer, TargetFound
from agent.folder.steering_store import SteeringFolder
from agent.steering.inputs import Investigated
from agent.steering.questions import keep_exemplars
from agent.steering.stage import Stage
from tools.alignment.agreement import agree
from tools.alignment.background import Background, find_prompts
from tools.alignment.contrast import score_by_contrast
from tools.alignment.reference import score_by_reference
from tools.alignment.scores import FeatureScores
from tools.alignment.targets import Target
from tools.display.progress import Bars
from tools.survey.projection import project
from tools.toward.misfit import measure_misfit
from tools.toward.separation import separate
from tools.toward.weighing import weigh
from tools.whole_files import replacing

CHOSEN = 20
"""Features of a target that are listed."""
TOKENS = 10
"""That each of them promotes."""
FALSE_DISCOVERIES = 0.05
EXCERPT = 300
"""Characters."""
HELD_OUT_SHARE = 0.25
"""Of what a target is held against, at least two documents."""


class Parted(NamedTuple):
    """What a target is held against: one part to score features by, one that nothing is chosen by."""

    documents: tuple[str, ...]
    held_out: tuple[str, ...]


Scores = dict[Scorer, FeatureScores]


def part_background(background: Background, seed: int) -> Parted:
    """Hold a quarter of its documents out, drawn by the seed."""
    n = len(background.documents)
    held = set(np.random.default_rng(seed).permutation(n)[: max(2, round(HELD_OUT_SHARE * n))].tolist())
    return Parted(
        *(tuple(t for i, t in enumerate(background.documents) if (i in held) == out) for out in (False, True))
    )


def score_targets(folder: SteeringFolder, stage: Stage, console: Console) -> tuple[TargetFound, ...]:
    """Score every feature for every target, by both scorers, and store scores and what they say."""
    every = zip(stage.material.targets, stage.material.backgrounds, strict=True)
    scores: list[Scores] = []
    found: list[TargetFound] = []
    with stage.opened.watch.time("score"), Bars(console, "score") as progress:
        for target, background in every:
            parted = part_background(background, stage.config.seed)
            scored = _score(stage, target, parted, progress)
            scores.append(scored)
            found.append(_describe(stage, target, parted, scored, progress))
            for task in progress.task_ids:
                progress.remove_task(task)
    names = [target.name for target in stage.material.targets]
    _write_scores(folder.scores_file, names, scores, stage.config.scorer)
    folder.write_targets(found)
    return tuple(found)


class Steered(NamedTuple):
    """What steers toward a target."""

    scores: Float[np.ndarray, " d_sae"]
    weights: Float[np.ndarray, " d_sae"]


def read_scores(file: Path, scorer: Scorer) -> dict[str, Steered]:
    """The scores that steer, by target.

    Raises:
        RunError: the file does not read.
    """
    try:
        table = pd.read_parquet(file, columns=["target", "feature", scorer, "weight"])
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{file} is damaged: {str(error)[:200]}; remove it and targets.json, then resume") from None
    by_target = table.sort_values("feature", kind="stable").groupby("target", sort=False)
    return {str(name): Steered(rows[scorer].to_numpy(), rows["weight"].to_numpy()) for name, rows in by_target}


def _score(stage: Stage, target: Target, parted: Parted, progress: Progress) -> Scores:
    bench, seed = stage.opened.bench, stage.config.seed
    prompts = find_prompts(stage.corpus, target, seed=seed)
    return {
        "contrast": score_by_contrast(bench, target.documents, parted.documents, seed=seed, progress=progress),
        "reference": score_by_reference(bench, prompts, target.documents, stage.encoder, progress),
    }


def _describe(stage: Stage, target: Target, parted: Parted, scored: Scores, progress: Progress) -> TargetFound:
    bench, scorer = stage.opened.bench, stage.config.scorer
    steers = scored[scorer]
    agreement = agree(scored["contrast"], scored["reference"])
    return TargetFound(
        name=target.name,
        sha256=target.sha256,
        documents=len(target.documents),
        held_out=len(target.held_out),
        tokens=sum(len(bench.tokenize(text)) for text in target.documents),
        coverage=steers.coverage,
        chosen=_choose(stage, scored),
        agreement=Agreement(
            n=agreement.n,
            spearman=agreement.spearman,
            top=agreement.top,
            shared=agreement.overlap,
            shared_by_chance=agreement.by_chance,
        ),
        doubt=_doubt(stage, target, parted, steers, progress),
        excerpt=" ".join(target.documents[0].split())[:EXCERPT],
        exemplars=keep_exemplars(target.held_out),
    )


def _doubt(stage: Stage, target: Target, parted: Parted, scores: FeatureScores, progress: Progress) -> Doubt:
    bench, seed = stage.opened.bench, stage.config.seed
    apart = separate(bench, scores.score, target.held_out, parted.held_out, seed, progress)
    misfit = measure_misfit(bench, (*target.documents, *target.held_out), parted.held_out, progress=progress)
    significant = None if scores.q is None else int(scores.beyond(FALSE_DISCOVERIES).sum())
    doubt = Doubt(
        auroc=apart and apart.auroc,
        auroc_low=apart and apart.interval.low,
        auroc_high=apart and apart.interval.high,
        error_ratio=misfit and misfit.ratio,
        as_unexplained=misfit and misfit.share,
        significant=significant,
        uninterpretable=_uninterpretable(scores, stage.material.investigated),
        confidence=None,
    )
    model = stage.confidence
    return doubt if model is None else doubt.model_copy(update={"confidence": model.confidence(doubt)})


def _uninterpretable(scores: FeatureScores, investigated: Investigated | None) -> float | None:
    """Of the score mass on features that were investigated, the share on those that nobody could make sense of (0 or 1 of 4)."""
    verdicts = investigated.verdicts if investigated else {}
    rated = {index: one.interpretable for index, one in verdicts.items() if one.interpretable is not None}
    mass = {index: float(scores.score[index]) for index in rated}
    total = sum(mass.values())
    return sum(mass[index] for index, rating in rated.items() if rating <= 1) / total if total else None


def _choose(stage: Stage, scored: Scores) -> tuple[ChosenFeature, ...]:
    bench, steers = stage.opened.bench, scored[stage.config.scorer]
    (other,) = (scores for name, scores in scored.items() if name != stage.config.scorer)
    best = [int(index) for index in steers.ranking()[:CHOSEN]]
    promoted = project(bench.directions[best].to(stage.lens), stage.lens, min(TOKENS, bench.n_tokens)).top_ids.tolist()
    investigated = stage.material.investigated
    chosen: list[ChosenFeature] = []
    for index, ids in zip(best, promoted, strict=True):
        verdict = investigated.verdicts.get(index) if investigated else None
        chosen.append(
            ChosenFeature(
                index=index,
                score=float(steers.score[index]),
                other_score=float(other.score[index]) if other.scored[index] else None,
                tokens=tuple(bench.token_strings[i] for i in ids),
                label=verdict and verdict.label,
                interpretable=verdict and verdict.interpretable,
                investigation=f"{investigated.run_id}/{verdict.key}" if investigated and verdict else None,
            )
        )
    return tuple(chosen)


def _write_scores(file: Path, names: Sequence[str], scores: Sequence[Scores], scorer: Scorer) -> None:
    tables: list[pd.DataFrame] = []
    for name, scored in zip(names, scores, strict=True):
        contrast, reference = scored["contrast"], scored["reference"]
        columns = {
            "target": name,
            "feature": np.arange(len(contrast.score)),
            "contrast": contrast.score,
            "difference": contrast.statistic,
            "p": contrast.p,
            "q": contrast.q,
            "reference": reference.score,
            "distance": reference.statistic,
            "in_contrast": contrast.scored,
            "in_reference": reference.scored,
            "weight": weigh(scored[scorer]),
        }
        tables.append(pd.DataFrame(columns))
    with replacing(file) as fresh:
        pd.concat(tables, ignore_index=True).to_parquet(fresh, index=False)
