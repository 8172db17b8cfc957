"""Directions of known meaning in a real model, appended to an SAE: concepts of the corpus, and placebos beside them.

A concept's direction is the difference of means: the mean residual stream at its tokens less that at all others. It is read
by the linear discriminant of the same labels, the reading whose pattern that difference is, and is active at as many tokens
as the concept has. Placebos come by the same recipe: from a concept's labels in a random order within each passage, and
from random directions that are as long as text makes them (whitened). What a concept's feature is worth is measured on
held-out text, and one that does not tell its concept there is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, compress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64

from tools.errors import StudyError
from tools.study.corpus import Corpus, SplitName, cut_rows
from tools.study.texts import Passage
from tools.truth.concepts import WRITTEN, Concept, broken_off, find_places, list_words, topics_of, words_ended
from tools.truth.known import KnownFeature

if TYPE_CHECKING:
    from rich.progress import Progress

    from tools.bench.workbench import Workbench

LEAST_F1 = 0.8
"""Of a concept's feature with the concept, on held-out text."""
FEWEST = 40
"""Places of a concept in the text that directions are made from, and a quarter of them in the text held out."""
MOST_OF_A_CONCEPT = 0.3
"""F1 with any concept, beyond what chance gives two things so frequent, with which a placebo is none."""
RIDGE = 1e-3
"""Share of the mean variance that is added to the covariance before it is inverted."""
ROUNDS = 20
"""Draws of a placebo before it is given up."""


class Observed(NamedTuple):
    """One split's text at the hook, token by token, with where each concept is."""

    residuals: Float[np.ndarray, "tokens d_model"]
    true: Bool[np.ndarray, "tokens concepts"]
    counted: Bool[np.ndarray, "tokens concepts"]
    passages: Int64[np.ndarray, " tokens"]
    words: tuple[str, ...]
    """Of each token, the whole lower-case word that it ends; empty where it ends none."""
    pieces: tuple[str, ...] = ()
    """Of each token that is a piece of a word, its lower-case text; empty for others."""


class Direction(NamedTuple):
    """What a feature writes, and how it is read: active where `x · reading > threshold`, by how much more."""

    known: KnownFeature
    """Its number counts from 0 here."""
    direction: Float[np.ndarray, " d_model"]
    reading: Float[np.ndarray, " d_model"]
    threshold: float
    f1: float | None
    """With its concept, on held-out text; None for placebos."""

    def active(self, residuals: Float[np.ndarray, "tokens d_model"]) -> Bool[np.ndarray, " tokens"]:
        """Where it is active."""
        return residuals @ self.reading > self.threshold


class Planted(NamedTuple):
    """All that is appended, and what was left out, with the reason."""

    directions: tuple[Direction, ...]
    left_out: tuple[str, ...]


def plant(bench: Workbench, corpus: Corpus, seed: int, progress: Progress | None = None) -> Planted:
    """Directions for every concept that the model's text holds, and as many placebos of either kind.

    Args:
        bench: model and SAE; directions live at its hook.
        corpus: of the study, whose held-out text chooses what is kept.
        seed: of the placebos.
        progress: where it is shown how far it is.

    Raises:
        StudyError: no concept can be planted.
    """
    passages = corpus.passages("train")
    concepts = [*WRITTEN, *topics_of(passages)]
    train, held = (observe(bench, corpus, split, concepts, progress) for split in ("train", "held_out"))
    return plant_in(train, held, concepts, seed)


def observe(
    bench: Workbench, corpus: Corpus, split: SplitName, concepts: Sequence[Concept], progress: Progress | None = None
) -> Observed:
    """Every token of a split that counts as text."""
    passages = corpus.passages(split)
    task = progress.add_task(f"read         {split.replace('_', ' ')} text", total=len(passages)) if progress else None
    parts = list[Observed]()
    for number, passage in enumerate(passages):
        if (found := _observe(bench, passage, number, concepts)) is not None:
            parts.append(found)
        if progress and task is not None:
            progress.advance(task)
    if not parts:
        raise StudyError(f"the {split.replace('_', ' ')} text has no token that counts as text for this model")
    arrays = [np.concatenate([part[place] for part in parts]) for place in range(4)]
    words, broken = (
        tuple(chain.from_iterable(lists)) for lists in zip(*((p.words, p.pieces) for p in parts), strict=True)
    )
    return Observed(arrays[0], arrays[1], arrays[2], arrays[3], words, broken)


def _observe(bench: Workbench, passage: Passage, number: int, concepts: Sequence[Concept]) -> Observed | None:
    ids = bench.tokenize(passage.text)
    if not ids:
        return None
    rows = cut_rows([np.array(ids)], [passage.document], bench.row_width, bench.bos)
    tokens, real = torch.from_numpy(rows.tokens), torch.from_numpy(rows.real)
    residuals = bench.residuals(tokens)
    is_text = bench.is_text(residuals, real.to(residuals.device))[real].cpu().numpy()
    pieces = [bench.token_strings[one] for one in ids]
    places = [find_places(concept, passage, pieces) for concept in concepts]
    return Observed(
        residuals[real].float().cpu().numpy()[is_text],
        np.stack([one.true for one in places], axis=1)[is_text],
        np.stack([one.counted for one in places], axis=1)[is_text],
        np.full(int(is_text.sum()), number),
        *(tuple(compress(said, is_text)) for said in (words_ended(pieces), broken_off(pieces))),
    )


def plant_in(train: Observed, held: Observed, concepts: Sequence[Concept], seed: int) -> Planted:
    """The same from what was observed.

    Raises:
        StudyError: no concept can be planted.
    """
    reader = _Reader.of(train.residuals)
    kept, left_out = list[Direction](), list[str]()
    for column, concept in enumerate(concepts):
        found = _plant_concept(reader, train, held, column, concept)
        if isinstance(found, str):
            left_out.append(f"{concept.name}: {found}")
        else:
            kept.append(found)
    if not kept:
        raise StudyError(f"no concept can be planted in this model and text ({left_out[0]})")
    places = {concept.name: column for column, concept in enumerate(concepts)}
    placebos = list[Direction]()
    for number, own in enumerate(kept):
        column = places[own.known.name]
        for draw in (_shuffled, _random):
            found = _plant_placebo(draw, reader, train, column, own.known.name, np.random.default_rng([seed, number]))
            if found is None:
                left_out.append(f"a placebo of {own.known.name}: every draw told some concept")
            else:
                placebos.append(found)
    numbered = [
        one._replace(known=one.known.model_copy(update={"feature": n})) for n, one in enumerate([*kept, *placebos])
    ]
    return Planted(tuple(numbered), tuple(left_out))


class _Reader(NamedTuple):
    """The mean of a text's residual stream, and the inverse of its covariance."""

    mean: Float[np.ndarray, " d_model"]
    inverse: Float[np.ndarray, "d_model d_model"]
    root: Float[np.ndarray, "d_model d_model"]
    """Square root of the covariance."""

    @classmethod
    def of(cls, residuals: Float[np.ndarray, "tokens d_model"]) -> _Reader:
        mean = residuals.mean(axis=0, dtype=np.float64)
        centred = residuals - mean
        covariance = centred.T @ centred / len(centred)
        d = len(mean)
        covariance += RIDGE * np.trace(covariance) / d * np.eye(d)
        values, vectors = np.linalg.eigh(covariance)
        values = np.maximum(values, values.max() * 1e-12)
        return cls(mean, (vectors / values) @ vectors.T, (vectors * np.sqrt(values)) @ vectors.T)

    def direct(
        self, train: Observed, true: Bool[np.ndarray, " tokens"], counted: Bool[np.ndarray, " tokens"]
    ) -> tuple[Float[np.ndarray, " d_model"], Float[np.ndarray, " d_model"], float]:
        """Difference of means, its reading, and the threshold that as many tokens exceed as are true."""
        true = true & counted
        difference = train.residuals[true].mean(axis=0) - train.residuals[counted & ~true].mean(axis=0)
        return self.read(train, difference.astype(np.float64), float(true.sum() / counted.sum()), counted)

    def read(
        self,
        train: Observed,
        direction: Float[np.ndarray, " d_model"],
        share: float,
        counted: Bool[np.ndarray, " tokens"],
    ) -> tuple[Float[np.ndarray, " d_model"], Float[np.ndarray, " d_model"], float]:
        """A direction's reading, and the threshold that such a share of the counted tokens exceeds."""
        reading = self.inverse @ direction
        reading /= np.sqrt(max(reading @ direction, 1e-12))
        threshold = float(np.quantile(train.residuals[counted] @ reading, 1 - share))
        return direction / np.linalg.norm(direction), reading, threshold


def _plant_concept(reader: _Reader, train: Observed, held: Observed, column: int, concept: Concept) -> Direction | str:
    """The concept's feature, or why there is none."""
    n, n_held = (int((one.true & one.counted)[:, column].sum()) for one in (train, held))
    if n < FEWEST or n_held < FEWEST // 4:
        return f"only {n} places, and {n_held} held out"
    direction, reading, threshold = reader.direct(train, train.true[:, column], train.counted[:, column])
    found = held.residuals @ reading > threshold
    f1 = f1_score(found, held.true[:, column], held.counted[:, column])
    if f1 < LEAST_F1:
        return f"its direction tells it with an F1 of {f1:.2f} in held-out text"
    said = [(word, bool(true)) for word, true in zip(train.words, train.true[:, column], strict=True) if word]
    counted = zip(train.pieces, train.true[:, column], train.counted[:, column], strict=False)
    broken = [(piece, bool(true)) for piece, true, counts in counted if piece and counts]
    known = KnownFeature(
        feature=0,
        kind="concept",
        name=concept.name,
        meaning=concept.meaning,
        words=list_words(said),
        pieces=list_words(broken),
    )
    return Direction(known, direction, reading, threshold, f1)


_Draw = Callable[["_Reader", Observed, int, np.random.Generator], tuple[Any, Any, float]]


def _plant_placebo(
    draw: _Draw, reader: _Reader, train: Observed, column: int, name: str, rng: np.random.Generator
) -> Direction | None:
    """A placebo that is active as often as the concept, and tells none; None if every draw told one."""
    kind = "shuffled" if draw is _shuffled else "random"
    for _ in range(ROUNDS):
        direction, reading, threshold = draw(reader, train, column, rng)
        active = train.residuals @ reading > threshold
        told = (beyond_chance(active, train.true[:, one], train.counted[:, one]) for one in range(train.true.shape[1]))
        if max(told) <= MOST_OF_A_CONCEPT:
            known = KnownFeature(feature=0, kind=kind, name=name)
            return Direction(known, direction, reading, threshold, None)
    return None


def _shuffled(reader: _Reader, train: Observed, column: int, rng: np.random.Generator) -> tuple[Any, Any, float]:
    true, counted = train.true[:, column] & train.counted[:, column], train.counted[:, column]
    mixed = np.zeros_like(true)
    for passage in np.unique(train.passages):
        places = np.flatnonzero((train.passages == passage) & counted)
        mixed[places] = rng.permutation(true[places])
    return reader.direct(train, mixed, counted)


def _random(reader: _Reader, train: Observed, column: int, rng: np.random.Generator) -> tuple[Any, Any, float]:
    counted = train.counted[:, column]
    share = float((train.true[:, column] & counted).sum() / counted.sum())
    return reader.read(train, reader.root @ rng.standard_normal(len(reader.mean)), share, counted)


def f1_score(
    found: Bool[np.ndarray, " tokens"], true: Bool[np.ndarray, " tokens"], counted: Bool[np.ndarray, " tokens"]
) -> float:
    """Harmonic mean of precision and recall over the tokens that count; 0 where nothing is found or true."""
    found, true = found & counted, true & counted
    both = int(found.sum() + true.sum())
    return 2 * int((found & true).sum()) / both if both else 0.0


def beyond_chance(
    found: Bool[np.ndarray, " tokens"], true: Bool[np.ndarray, " tokens"], counted: Bool[np.ndarray, " tokens"]
) -> float:
    """F1, less that of two things which have nothing to do with each other: twice the product of their shares over the sum."""
    shares = [float(one[counted].mean()) if counted.any() else 0.0 for one in (found, true)]
    total = sum(shares)
    return f1_score(found, true, counted) - (2 * shares[0] * shares[1] / total if total else 0.0)
