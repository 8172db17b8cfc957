"""Figures of the model card, measured on held-out text: language models, sparse autoencoders, word vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.dictionaries.reconstruction import batches, measure_reconstruction, next_token_loss, spread_rows
from tools.records import Record
from tools.study.corpus import TokenRows
from tools.study.definition import Study
from tools.survey.coherence import WordVectors
from tools.survey.features import survey_features
from tools.training.corpora import cut_rows, tokenize_corpus


class SaeFigures(Record):
    """One SAE on one held-out corpus, BOS positions left out."""

    explained_variance: float
    """1 - squared error over variance about the mean."""
    ce_score: float
    """(CE with the activation zeroed - CE with the reconstruction) / (CE zeroed - CE clean)."""
    l0: float
    """Mean number of active features a token."""


class ArmFigures(Record):
    """One arm."""

    loss: dict[str, float]
    """Nats a token by held-out corpus, in windows that do not overlap: the first tokens of each have no context."""
    loss_in_context: dict[str, float]
    """The same over the second half of each window: every token has at least half a window before it."""
    sae: dict[str, SaeFigures]
    dead_share: float
    """Features active at no token of all the held-out corpora together."""
    n_tokens: int
    medical_candidates: int
    """Features with enough word-level keyword hits under the study's lens, dead ones left out."""
    direct_candidates: int
    """The same under the direct lens."""
    beyond_null: int
    """Of these, those with more hits than the survey's null allows."""
    random_with_hits: float
    """Share of random directions with as many hits as a candidate needs."""
    random_with_direct_hits: float
    """The same under the direct lens."""
    vector_coverage: float
    """Share of the top tokens of the candidates that are words and have a vector, of those that are words."""


def measure_arm(
    bench: Workbench, study: Study, data: Path, corpora: Sequence[str], cache: Path, rows: int
) -> tuple[ArmFigures, Float[Tensor, " d_sae"]]:
    """All figures of one arm on `rows` rows spread over each held-out corpus, and each feature's density."""
    counts = torch.zeros(bench.d_sae)
    loss: dict[str, float] = {}
    in_context: dict[str, float] = {}
    sae: dict[str, SaeFigures] = {}
    n_tokens = 0
    for corpus in corpora:
        stream = tokenize_corpus(data, corpus, bench.tokenizer, cache)
        half = (bench.row_width - 1) // 2
        cut, later = (
            spread_rows(_text_rows(cut_rows(part, bench.row_width, bench.bos)), rows)
            for part in (stream, stream[half:])
        )
        in_context[corpus] = _loss_in_context(bench, later, half)
        measured, active = measure_reconstruction(bench, cut, description=f"measure      {corpus}")
        loss[corpus] = measured.ce_clean
        sae[corpus] = SaeFigures(
            explained_variance=measured.explained_variance, ce_score=measured.ce_score, l0=measured.l0
        )
        counts += active
        n_tokens += measured.n_tokens
    survey = survey_features(bench, study, seed=0)
    alive = (counts > 0).numpy()
    enough = (survey.features.hits >= study.survey.candidate_hits) & alive
    null = np.array([(survey.null.hits >= h).mean() for h in survey.features.hits])
    words = [survey.lexicon.words[i].word for i in survey.features.projection.top_ids.numpy()[enough].ravel()]
    named = [word for word in words if word is not None]
    figures = ArmFigures(
        loss=loss,
        loss_in_context=in_context,
        sae=sae,
        dead_share=float(1 - alive.mean()),
        n_tokens=n_tokens,
        medical_candidates=int(enough.sum()),
        direct_candidates=int(((survey.direct_hits >= study.survey.candidate_hits) & alive).sum()),
        beyond_null=int((enough & (null <= study.survey.alpha)).sum()),
        random_with_direct_hits=float((survey.null_direct_hits >= study.survey.candidate_hits).mean()),
        random_with_hits=float((survey.null.hits >= study.survey.candidate_hits).mean()),
        vector_coverage=sum(word in survey.lexicon.vectors.row for word in named) / max(1, len(named)),
    )
    return figures, counts / n_tokens


def _text_rows(rows: Int64[np.ndarray, "rows positions"]) -> TokenRows:
    """Rows of a token stream, which are text but for the BOS that opens them."""
    real = np.ones(rows.shape, dtype=bool)
    real[:, 0] = False
    return TokenRows(rows, real, ("",) * len(rows))


def _loss_in_context(bench: Workbench, rows: TokenRows, half: int) -> float:
    total = 0.0
    for tokens, real in batches(rows):
        counted = real.clone()
        counted[:, :-half] = False
        total += next_token_loss(bench, tokens, counted)
    return total / (len(rows.tokens) * half)


def nearest_check(vectors: WordVectors, word: str, near: Sequence[str], far: Sequence[str]) -> dict[str, float]:
    """Cosines of a word with words that should be near and words that should be far."""
    anchor = vectors.matrix[vectors.row[word]]
    return {other: round(float(anchor @ vectors.matrix[vectors.row[other]]), 3) for other in [*near, *far]}
