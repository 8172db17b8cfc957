"""Candidates by a text: the features that score best for it, beyond the null first.

Two scorers are run and compared, and one of them ranks: by contrast, which has a null, or by reference prompts.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from agent.folder.config import RunConfig
from agent.selection.strata import draw, part, select
from agent.selection.strategy import Chosen, Ground, Prepared
from tools.alignment.background import Background, find_background, find_prompts
from tools.alignment.targets import Target, hash_text, read_target
from tools.study.corpus import Corpus

if TYPE_CHECKING:
    from tools.alignment.agreement import Agreement
    from tools.alignment.scores import FeatureScores
    from tools.bench.workbench import Workbench

FALSE_DISCOVERIES = 0.05
"""Share of the features called beyond the null that may be there by chance."""


class Likeness(NamedTuple):
    """All that the scorer by reference prompts takes of a target, before it has a model."""

    prompts: tuple[str, ...]
    squared: Float[np.ndarray, " prompts"] | None
    """Of each prompt, the squared distance from the target; None where the encoder knows nothing of it."""
    encoder: str
    """Its name, or why there are no distances."""


class Material(NamedTuple):
    """What is read before a model is loaded."""

    target: Target
    background: Background
    likeness: Likeness

    def check(self, bench: Workbench) -> None:
        """See that there is room for the documents.

        Raises:
            UnveilError: there is none.
        """
        from tools.alignment.documents import check_room

        check_room(bench, max(len(self.target.documents) + len(self.background.documents), len(self.likeness.prompts)))


class Scores(NamedTuple):
    """Of every feature, by both scorers, or by contrast alone."""

    contrast: FeatureScores
    reference: FeatureScores | None
    agreement: Agreement | None

    def of(self, scorer: str) -> FeatureScores:
        """Of the scorer that ranks."""
        return self.reference if scorer == "reference" and self.reference is not None else self.contrast


def prepare(corpus: Corpus, config: RunConfig) -> Prepared:
    """Read the target and what it is held against.

    Raises:
        UnveilError: one is missing, no text, too little, or they are the same; or the encoder is not at hand, or knows
            nothing of the target.
    """
    target = read_target(config.toward or "", seed=config.seed)
    background = find_background(corpus, target, config.away, config.seed)
    hashes = {"target": target.sha256}
    if background.sha256 is not None:
        hashes["away"] = background.sha256
    if config.reference_prompts is not None:
        hashes["reference_prompts"] = hash_text(Path(config.reference_prompts))
    if config.encoder is not None:
        from tools.alignment.encoders import hash_encoder, locate_encoder

        hashes["encoder"] = hash_encoder(locate_encoder(config.encoder))
    lines = (
        f"  toward {target.sentence}",
        f"  {background.sentence}",
        "  each feature chosen by it is judged by the study's question, whatever the text is about",
    )
    material = Material(target, background, measure_likeness(corpus, config, target))
    return Prepared(partial(choose, material), lines, hashes, material.check)


def measure_likeness(corpus: Corpus, config: RunConfig, target: Target) -> Likeness:
    """How like the target each reference prompt is.

    Raises:
        UnveilError: the encoder does not load; or it knows nothing of the target, and was asked for or has to rank.
    """
    from tools.alignment.encoders import find_encoder
    from tools.alignment.reference import UnknownText, measure_distances

    prompts = find_prompts(corpus, target, config.reference_prompts, config.seed)
    encoder = find_encoder(config.encoder, corpus)
    try:
        return Likeness(prompts, measure_distances(prompts, target.documents, encoder), encoder.name)
    except UnknownText as error:
        if config.encoder is not None or config.scorer == "reference":
            raise
        return Likeness(prompts, None, str(error))


def choose(material: Material, ground: Ground) -> Chosen:
    """The best features for the target are the candidates, the next best tenth the near controls.

    Raises:
        UnveilError: an activation is no number.
    """
    study, config = ground.study, ground.config
    scores = score(material, ground)
    ranks = scores.of(config.scorer)
    ranked = rank(ranks)
    alive = ground.survey["alive"].to_numpy()
    limit = study.candidate_limit if config.limit is None else config.limit
    candidates = ranked[alive[ranked] & (ranks.score[ranked] > 0)][:limit]
    others = np.setdiff1d(np.flatnonzero(alive), candidates)
    places = np.full(len(alive), np.inf)
    places[ranked] = np.arange(len(ranked))
    strata = part(candidates, others, -places[others])
    known = np.where(ranks.scored, ranks.score, np.nan)
    fields: dict[str, Any] = {
        "notes": (*describe_rows(material, ground), *describe(material, scores, config, candidates)),
        "basis": tell_basis(material, scores),
    }
    return Chosen(select(draw(strata, study, config), strata, study, config, known, **fields), columns_of(scores))


def score(material: Material, ground: Ground) -> Scores:
    """Run both scorers, and compare them."""
    from tools.alignment.agreement import agree
    from tools.alignment.contrast import score_by_contrast
    from tools.alignment.reference import score_by_distance

    bench, progress, others = ground.bench, ground.progress, material.background.documents
    assert bench is not None
    contrast = score_by_contrast(bench, material.target.documents, others, seed=ground.config.seed, progress=progress)
    prompts, squared, _ = material.likeness
    if squared is None:
        return Scores(contrast, None, None)
    reference = score_by_distance(bench, prompts, squared, progress)
    return Scores(contrast, reference, agree(contrast, reference))


def rank(scores: FeatureScores) -> Int64[np.ndarray, " n"]:
    """Scored features, best first, those beyond the null before all others: a large difference may rest on one document."""
    ranking = scores.ranking()
    return ranking[np.argsort(~scores.beyond(FALSE_DISCOVERIES)[ranking], kind="stable")]


def columns_of(scores: Scores) -> dict[str, np.ndarray]:
    """For `features.parquet`; nothing where a feature has no score."""

    def known(found: FeatureScores, values: np.ndarray | None) -> np.ndarray:
        return np.where(found.scored, np.nan if values is None else values, np.nan)

    contrast, reference = scores.contrast, scores.reference
    columns = {
        "contrast_score": known(contrast, contrast.score),
        "contrast_difference": known(contrast, contrast.statistic),
        "contrast_p": known(contrast, contrast.p),
        "contrast_q": known(contrast, contrast.q),
    }
    if reference is not None:
        columns["reference_score"] = known(reference, reference.score)
        columns["reference_distance"] = known(reference, reference.statistic)
    return columns


def describe_rows(material: Material, ground: Ground) -> tuple[str, ...]:
    """One line, where documents of the target are longer than a row of text."""
    from tools.alignment.documents import describe_long

    assert ground.bench is not None
    long = describe_long(ground.bench, material.target.documents)
    return (f"of {material.target.name}, {long}",) if long else ()


def describe(
    material: Material, scores: Scores, config: RunConfig, candidates: Int64[np.ndarray, " n"]
) -> tuple[str, ...]:
    """What the console and the report say of the choice."""
    contrast, reference = scores.contrast, scores.reference
    beyond = contrast.beyond(FALSE_DISCOVERIES)
    among = int(beyond[candidates].sum())
    said = (
        f"by contrast {int(beyond.sum()):,} of {int(contrast.scored.sum()):,} scored features are beyond the null "
        f"(q <= {FALSE_DISCOVERIES:g}; no p is below {contrast.resolution:.1g}), {among} of the {len(candidates)} "
        "candidates among them"
    )
    if not beyond.any():
        said = f"warning: {said}: nothing here tells the text from other text that chance does not"
    if reference is None or scores.agreement is None:
        return said, f"no score by reference prompts: {material.likeness.encoder}"
    coverage = (
        f"ranked by {config.scorer}; {contrast.coverage:.0%} of {len(contrast.score):,} features have a score by contrast, "
        f"{reference.coverage:.0%} by reference prompts ({material.likeness.encoder})"
    )
    return coverage, said, scores.agreement.sentence


def tell_basis(material: Material, scores: Scores) -> dict[str, Any]:
    """For the manifest."""
    contrast, reference, target = scores.contrast, scores.reference, material.target
    of_reference = (
        None if reference is None else {"coverage": reference.coverage, "scored": int(reference.scored.sum())}
    )
    return {
        "target": {"name": target.name, "unit": target.unit, "documents": len(target.documents)}
        | {"held_out": len(target.held_out)},
        "background": {"name": material.background.name, "documents": len(material.background.documents)}
        | {"left_out": material.background.left_out},
        "contrast": {"coverage": contrast.coverage, "scored": int(contrast.scored.sum())}
        | {"beyond": int(contrast.beyond(FALSE_DISCOVERIES).sum()), "alpha": FALSE_DISCOVERIES}
        | {"resolution": contrast.resolution},
        "reference": of_reference
        and of_reference | {"prompts": len(material.likeness.prompts), "encoder": material.likeness.encoder},
        "agreement": scores.agreement and scores.agreement.model_dump(mode="json"),
    }
