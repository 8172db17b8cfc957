"""Figures of the model card, measured on held-out text: language models, sparse autoencoders, word vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from rich.progress import track
from torch import Tensor

from tools.coherence import WordVectors
from tools.projection import random_directions
from tools.records import Record
from tools.studies import Study
from tools.survey import survey_directions, survey_features
from tools.training.corpora import cut_rows, tokenize_corpus
from tools.workbench import Workbench

ROWS_PER_BATCH = 8
"""The logits of more rows fall out of the processor's cache."""


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
        cut = _spread(cut_rows(stream, bench.context_size, bench.bos), rows)
        half = (bench.context_size - 1) // 2
        in_context[corpus] = _loss_in_context(
            bench, _spread(cut_rows(stream[half:], bench.context_size, bench.bos), rows), half
        )
        loss[corpus], sae[corpus], active = _measure_corpus(bench, cut, corpus)
        counts += active
        n_tokens += cut.shape[0] * (cut.shape[1] - 1)
    survey = survey_features(bench, study, seed=0)
    alive = (counts > 0).numpy()
    null_directions = random_directions(study.survey.null_directions, bench.W_U.shape[0], seed=0)
    direct = survey_directions(null_directions, bench.W_U, survey.lexicon, study.survey.top_k)
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
        random_with_direct_hits=float((direct.hits >= study.survey.candidate_hits).mean()),
        random_with_hits=float((survey.null.hits >= study.survey.candidate_hits).mean()),
        vector_coverage=sum(word in survey.lexicon.vectors.row for word in named) / max(1, len(named)),
    )
    return figures, counts / n_tokens


def _measure_corpus(
    bench: Workbench, rows: Int64[np.ndarray, "rows positions"], name: str
) -> tuple[float, SaeFigures, Tensor]:
    counts = torch.zeros(bench.d_sae)
    clean = zeroed = spliced = 0.0
    error = total = torch.zeros((), dtype=torch.float64)
    summed = torch.zeros(bench.W_U.shape[0], dtype=torch.float64)
    n_tokens = n_rows = 0
    for start in track(range(0, len(rows), ROWS_PER_BATCH), description=f"measure {name}"):
        tokens = torch.from_numpy(rows[start : start + ROWS_PER_BATCH])
        residuals = bench.residuals(tokens)
        activations = bench.encode(residuals)
        rebuilt = bench.decode_activations(activations)
        body, body_rebuilt, body_active = residuals[:, 1:], rebuilt[:, 1:], activations[:, 1:] > 0
        counts += body_active.sum(dim=(0, 1))
        error = error + (body - body_rebuilt).double().pow(2).sum()
        total = total + body.double().pow(2).sum()
        summed += body.double().sum(dim=(0, 1))
        n_tokens += body.shape[0] * body.shape[1]
        n_rows += len(tokens)
        clean += _loss(bench, tokens, None) * len(tokens)
        zeroed += _loss(bench, tokens, _keep_bos(torch.zeros_like)) * len(tokens)
        spliced += _loss(bench, tokens, _keep_bos(lambda r: bench.decode_activations(bench.encode(r)))) * len(tokens)
    variance = total - summed.pow(2).sum() / n_tokens
    figures = SaeFigures(
        explained_variance=float(1 - error / variance),
        ce_score=(zeroed - spliced) / (zeroed - clean),
        l0=float(counts.sum() / n_tokens),
    )
    return clean / n_rows, figures, counts


def _spread(rows: Int64[np.ndarray, "rows positions"], most: int) -> Int64[np.ndarray, "kept positions"]:
    """At most so many rows, spread evenly over the corpus."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, most).round().astype(int))]


def _loss_in_context(bench: Workbench, rows: Int64[np.ndarray, "rows positions"], half: int) -> float:
    total = 0.0
    for start in range(0, len(rows), ROWS_PER_BATCH):
        tokens = torch.from_numpy(rows[start : start + ROWS_PER_BATCH])
        logits = bench.logits(tokens)[:, -half - 1 : -1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, -half:].flatten())
        total += float(loss) * len(tokens)
    return total / len(rows)


def _keep_bos(edit: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The SAE was not trained on BOS, whose residual is far longer than any other; it is left as it is."""

    def edited(residual: Tensor) -> Tensor:
        return torch.cat([residual[:, :1], edit(residual[:, 1:]).to(residual.dtype)], dim=1)

    return edited


def _loss(bench: Workbench, tokens: Tensor, edit: Callable[[Tensor], Tensor] | None) -> float:
    logits = bench.logits(tokens, edit)
    return float(torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()))


def nearest_check(vectors: WordVectors, word: str, near: Sequence[str], far: Sequence[str]) -> dict[str, float]:
    """Cosines of a word with words that should be near and words that should be far."""
    anchor = vectors.matrix[vectors.row[word]]
    return {other: round(float(anchor @ vectors.matrix[vectors.row[other]]), 3) for other in [*near, *far]}
