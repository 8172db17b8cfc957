"""The survey: every feature's projection, keyword hits and coherence, with the null they are read against.

No LLM, and no forward pass but those of the lens.

The null is a sample of random directions, projected and scored exactly as the features are.
It is needed because rare words share a direction of the unembedding: on a small model many random directions list
several words of any specialist domain, and a raw count of keyword hits would take them for features of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int64
from rich.progress import Progress
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.errors import StudyError
from tools.maths import upper_share
from tools.records import CoherenceEvidence, KeywordEvidence, Projection, TokenWeight
from tools.study.definition import Study
from tools.survey.coherence import (
    Coherence,
    score_coherence,
)
from tools.survey.keywords import count_substring_hits, match_keywords
from tools.survey.lens_report import LensReport
from tools.survey.lexicon import Lexicon, build_lexicon
from tools.survey.projection import ProjectionTable, project, random_directions
from tools.survey.study_lens import find_lens, pick_rows

SCORED_ROWS = 16_384
"""Directions whose words are looked at together: what that takes besides the table does not grow with their number."""


class DirectionTable(NamedTuple):
    """Survey results of n directions, row by row."""

    projection: ProjectionTable
    hits: Int64[np.ndarray, " n"]
    coherence: Coherence
    domain_similarity: Float[np.ndarray, " n"]
    """Mean cosine of the top tokens' words with the domain's centre; NaN without any vector."""


class Survey(NamedTuple):
    """Features beside their null."""

    features: DirectionTable
    null: DirectionTable
    lexicon: Lexicon
    lens: Float[Tensor, "d_model d_vocab"]
    """What all directions were projected on (`tools.survey.lens`)."""
    direct_hits: Int64[np.ndarray, " d_sae"]
    """Keyword hits of the features under the direct lens, the published definition, whatever lens the study uses."""
    null_direct_hits: Int64[np.ndarray, " n"]
    """The same of the null's random directions."""
    alive: Bool[np.ndarray, " d_sae"]
    """False for features known to be dead: they are never selected."""
    report: LensReport | None = None
    """Of the lens; None for the direct one."""


def prepare_survey(bench: Workbench, study: Study) -> Lexicon:
    """All that a survey can fail on, done or seen before there is anything to lose by it.

    Raises:
        StudyError, LoadError: the model knows fewer tokens than the study's lists are long, words of the domain have no
            vectors, or those cannot be read, or the study's lens needs longer texts than it has.
    """
    if study.survey.top_k > bench.W_U.shape[1]:
        raise StudyError(f"survey.top_k = {study.survey.top_k}: the model knows {bench.W_U.shape[1]} tokens")
    lexicon = build_lexicon(bench.token_strings, study)
    if study.survey.lens_file:
        find_lens(bench, study)
    elif study.survey.lens != "direct":
        pick_rows(bench, study)
    return lexicon


def survey_features(
    bench: Workbench, study: Study, seed: int, progress: Progress | None = None, lexicon: Lexicon | None = None
) -> Survey:
    """Look at every feature of the SAE and at the null's random directions; without `lexicon` it is read anew."""
    lexicon = lexicon or build_lexicon(bench.token_strings, study)
    k = study.survey.top_k
    lens, report, _ = find_lens(bench, study, progress)
    null_directions = random_directions(study.survey.null_directions, bench.directions.shape[1], seed)
    features, null = (survey_directions(rows, lens, lexicon, k) for rows in (bench.directions, null_directions))
    is_direct = study.survey.lens == "direct"
    direct, null_direct = (
        table.hits if is_direct else survey_directions(rows, bench.W_U, lexicon, k).hits
        for table, rows in ((features, bench.directions), (null, null_directions))
    )
    return Survey(
        features=features,
        null=null,
        lexicon=lexicon,
        lens=lens,
        direct_hits=direct,
        null_direct_hits=null_direct,
        alive=bench.alive.cpu().numpy(),
        report=report,
    )


def survey_directions(
    directions: Float[Tensor, "n d_model"], lens: Float[Tensor, "d_model d_vocab"], lexicon: Lexicon, k: int
) -> DirectionTable:
    """Projection, hits, coherence and nearness to the domain of any unit directions."""
    table = ProjectionTable(*(part.cpu() for part in project(directions.to(lens), lens, k)))
    blocks = zip(table.top_ids.split(SCORED_ROWS), table.top_weights.split(SCORED_ROWS), strict=True)
    scored = [_score_words(ids.numpy(), weights.numpy(), lexicon) for ids, weights in blocks]
    hits, coherence, similarity = zip(*scored, strict=True)
    return DirectionTable(
        projection=table,
        hits=np.concatenate(hits),
        coherence=Coherence(*map(np.concatenate, zip(*coherence, strict=True))),
        domain_similarity=np.concatenate(similarity),
    )


def _score_words(
    ids: Int64[np.ndarray, "n k"], weights: Float[np.ndarray, "n k"], lexicon: Lexicon
) -> tuple[Int64[np.ndarray, " n"], Coherence, Float[np.ndarray, " n"]]:
    """Keyword hits, coherence and nearness to the domain of top tokens."""
    rows = lexicon.word_rows[ids]
    n_words = (rows >= 0).sum(axis=1)
    similarity = lexicon.likeness[ids].sum(axis=1) / np.maximum(n_words, 1)
    return (
        lexicon.is_domain[ids].sum(axis=1),
        score_coherence(lexicon.published_rows[ids], rows, weights, lexicon.vectors),
        np.where(n_words > 0, similarity, np.nan),
    )


def describe_projection(table: DirectionTable, row: int, lexicon: Lexicon) -> Projection:
    """The projection of one direction as a record."""
    p = table.projection
    return Projection(
        top=_token_weights(p.top_ids[row].numpy(), p.top_weights[row].numpy(), lexicon),
        bottom=_token_weights(p.bottom_ids[row].numpy(), p.bottom_weights[row].numpy(), lexicon),
        mean=float(p.mean[row]),
        std=float(p.std[row]),
        skewness=float(p.skewness[row]),
        kurtosis=float(p.kurtosis[row]),
    )


def describe_keywords(table: DirectionTable, row: int, survey: Survey) -> KeywordEvidence:
    """The keyword hits of one direction with their null share."""
    lexicon = survey.lexicon
    ids = table.projection.top_ids[row].numpy()
    tokens = [lexicon.tokens[i] for i in ids]
    hits = match_keywords(tokens, [lexicon.words[i] for i in ids], lexicon.vocabulary)
    return KeywordEvidence(
        hits=tuple(hits),
        n_top=len(ids),
        substring_hits=count_substring_hits(tokens, lexicon.vocabulary),
        null_share=float(upper_share(survey.null.hits, np.array([len(hits)]))[0]),
    )


def describe_coherence(table: DirectionTable, row: int, survey: Survey) -> CoherenceEvidence:
    """The coherence of one direction with its null share."""
    score = float(table.coherence.deduplicated[row])
    null = survey.null.coherence.deduplicated
    usable = null[~np.isnan(null)]
    return CoherenceEvidence(
        weighted=_number(table.coherence.weighted[row]),
        deduplicated=_number(score),
        n_valid=int(table.coherence.n_valid[row]),
        coverage=float(table.coherence.n_valid[row] / table.projection.top_ids.shape[1]),
        null_share=None if np.isnan(score) else float(upper_share(usable, np.array([score]))[0]),
    )


def tabulate(survey: Survey) -> pd.DataFrame:
    """One row a feature: what `features.parquet` holds."""
    features, lexicon = survey.features, survey.lexicon
    p = features.projection
    top = p.top_ids.numpy()
    return pd.DataFrame(
        {
            "index": np.arange(len(top)),
            "top_tokens": [[lexicon.tokens[i] for i in row] for row in top],
            "top_weights": list(p.top_weights.numpy()),
            "bottom_tokens": [[lexicon.tokens[i] for i in row] for row in p.bottom_ids.numpy()],
            "bottom_weights": list(p.bottom_weights.numpy()),
            "mean": p.mean.numpy(),
            "std": p.std.numpy(),
            "skewness": p.skewness.numpy(),
            "kurtosis": p.kurtosis.numpy(),
            "keyword_hits": features.hits,
            "keyword_hits_direct": survey.direct_hits,
            "keyword_null_share": upper_share(survey.null.hits, features.hits),
            "coherence_weighted": features.coherence.weighted,
            "coherence_deduplicated": features.coherence.deduplicated,
            "n_valid": features.coherence.n_valid,
            "domain_similarity": features.domain_similarity,
            "alive": survey.alive,
        }
    )


def _token_weights(
    ids: Int64[np.ndarray, " k"], weights: Float[np.ndarray, " k"], lexicon: Lexicon
) -> tuple[TokenWeight, ...]:
    return tuple(
        TokenWeight(token_id=int(i), token=lexicon.tokens[i], word=lexicon.words[i].word, weight=float(w))
        for i, w in zip(ids, weights, strict=True)
    )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
