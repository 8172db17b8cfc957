"""Who wins a steered pair, and how often: likeness to the direction's words, the null, and a guard on fluency.

Word-vector likeness decides. Its chance level is not assumed to be one half: the same texts are scored against the words of a
fixed panel of other features, and the share of wins under those is the null. The panel is drawn by the seed from all
features of the SAE, so that a direction's null does not depend on what else is selected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from tools.effects.continuations import ARMS, FLIPPED, RANDOM, STEERED, UNSTEERED, SteeredTexts
from tools.effects.fluency import Bounds, repetition_of
from tools.effects.promise import list_changes
from tools.effects.sequence import describe_test
from tools.records import SteeredPair, SteeringEvidence
from tools.study.definition import Study
from tools.survey.features import Survey
from tools.survey.keywords import words_of
from tools.survey.lexicon import CONTENT_RANK, Lexicon

METRIC = "mean over content words of the largest cosine with a reference word"
PANEL_LISTS = 128


class Panel(NamedTuple):
    """Reference words of directions that have nothing to do with the one being judged."""

    lists: list[list[int]]
    """Rows of the word vectors."""
    owners: list[int]
    """The feature whose words they are; -1 for a random direction."""


def reference_words(lexicon: Lexicon, token_ids: Int64[np.ndarray, " k"]) -> list[int]:
    """The different words that tokens stand for, as rows of the word vectors."""
    return list(dict.fromkeys(row for row in lexicon.word_rows[token_ids].tolist() if row >= 0))


def draw_panel(survey: Survey, seed: int) -> Panel:
    """Reference words of features drawn by the seed; of the survey's random directions where there are too few."""
    alive = np.flatnonzero(survey.alive)
    features = np.random.default_rng([seed, 3_000_017]).permutation(alive)
    tops = (survey.features.projection.top_ids.numpy(), survey.null.projection.top_ids.numpy())
    drawn = [(int(i), tops[0][i]) for i in features] + [(-1, ids) for ids in tops[1]]
    lists: list[list[int]] = []
    owners: list[int] = []
    for owner, ids in drawn:
        if len(lists) == PANEL_LISTS:
            break
        if words := reference_words(survey.lexicon, ids):
            lists.append(words)
            owners.append(owner)
    return Panel(lists, owners)


class Contest(NamedTuple):
    """One direction's steered pairs, scored, in the order in which they were written."""

    pairs: tuple[SteeredPair, ...]
    wins: Bool[np.ndarray, " pairs"]
    null: Bool[np.ndarray, "pairs lists"]
    """Won under each of other features' words."""
    lift: Float[np.ndarray, " pairs"]
    """Change of the log-probability of the direction's tokens, in nats."""
    grade: float | None
    """Mean over the pairs; None where they have no controls."""
    measurable: bool
    """The direction has words that texts could be compared with."""

    @property
    def chance(self) -> Float[np.ndarray, " pairs"]:
        """For each pair, the share of other features' words that win it; a half where there are none."""
        return self.null.mean(axis=1) if self.null.size else np.full(len(self.wins), 0.5)


def score_steering(
    study: Study,
    steered: SteeredTexts,
    lexicon: Lexicon,
    token_ids: Int64[np.ndarray, "n k"],
    owners: Sequence[int],
    panel: Panel,
    bounds: Bounds,
) -> list[SteeringEvidence]:
    """Scores, wins and the null of every direction whose pairs were all written at once; arguments as `score_pairs`."""
    contests = score_pairs(study, steered, lexicon, token_ids, owners, panel, bounds)
    return [
        describe_steering(study, steered, place, [contest], bounds, lexicon) for place, contest in enumerate(contests)
    ]


def score_pairs(
    study: Study,
    steered: SteeredTexts,
    lexicon: Lexicon,
    token_ids: Int64[np.ndarray, "n k"],
    owners: Sequence[int],
    panel: Panel,
    bounds: Bounds,
) -> list[Contest]:
    """Who wins each pair, by the direction's own words and by those of the panel.

    Args:
        study: for the prompts and seeds of the pairs.
        steered: all continuations.
        lexicon: words of tokens, and their vectors.
        token_ids: the tokens that each direction is said to promote; their words are its reference.
        owners: the feature that each direction is, -1 for a random one: its own words are no null for it.
        panel: reference words of the null.
        bounds: beyond which a text has collapsed.
    """
    both = score_texts(steered.texts[:, :, : STEERED + 1].ravel().tolist(), panel.lists, lexicon)
    under_panel = both.reshape(*steered.texts.shape[:2], 2, len(panel.lists))
    contests: list[Contest] = []
    for place, owner in enumerate(owners):
        reference = reference_words(lexicon, token_ids[place])
        texts = steered.texts[place]
        scores = score_texts(texts.ravel().tolist(), [reference], lexicon).reshape(texts.shape)
        null = under_panel[place][..., [owner < 0 or other != owner for other in panel.owners]]
        contests.append(_score(study, steered, place, scores, null, bool(reference), bounds))
    return contests


def _score(
    study: Study,
    steered: SteeredTexts,
    place: int,
    scores: Float[np.ndarray, "pairs arms"],
    under_panel: Float[np.ndarray, "pairs 2 lists"],
    measurable: bool,
    bounds: Bounds,
) -> Contest:
    texts, perplexity = steered.texts[place], steered.perplexity[place]
    repetition = np.array([[repetition_of(text) for text in pair[: STEERED + 1]] for pair in texts])
    collapsed = (repetition[:, 1] > bounds.repetition) | (perplexity[:, 1] > bounds.perplexity)
    has_controls = texts.shape[1] == len(ARMS)
    return Contest(
        pairs=_pairs(study, texts, scores, perplexity, repetition, collapsed),
        wins=(scores[:, STEERED] > scores[:, UNSTEERED]) & ~collapsed,
        null=(under_panel[:, 1] > under_panel[:, 0]) & ~collapsed[:, None],
        lift=steered.log_mass[place, :, STEERED] - steered.log_mass[place, :, UNSTEERED],
        grade=grade_pairs(scores, perplexity[:, 1], collapsed, bounds) if has_controls else None,
        measurable=measurable,
    )


def describe_steering(
    study: Study,
    opening: SteeredTexts,
    place: int,
    rounds: Sequence[Contest],
    bounds: Bounds,
    lexicon: Lexicon,
) -> SteeringEvidence:
    """One direction's record.

    Args:
        study: for its settings.
        opening: the texts of the first round, and the strengths of all.
        place: of the direction among them.
        rounds: its pairs, round by round; the first has controls.
        bounds: beyond which a text has collapsed.
        lexicon: for the tokens' text.
    """
    settings, moves = study.steering, opening.moves
    first, measurable = rounds[0], rounds[0].measurable
    wins, null, lift = (
        np.concatenate(parts) for parts in zip(*((r.wins, r.null, r.lift) for r in rounds), strict=True)
    )
    chance = np.concatenate([contest.chance for contest in rounds])
    return SteeringEvidence(
        metric=METRIC,
        kind=settings.kind,
        policy=settings.policy,
        unit="residual_norm",
        strength=float(opening.strengths[place]),
        asked_unit=settings.unit,
        asked=settings.target_kl if settings.strength is None else settings.strength,
        kl=float(opening.kl[place]),
        hook_calls=opening.counter.calls,
        positions_steered=opening.counter.positions,
        pairs=tuple(pair for contest in rounds for pair in contest.pairs),
        win_rate=float(wins.mean()) if measurable else 0.0,
        n=len(wins) if measurable else 0,
        null_win_rate=_null_rate(null) if measurable else 0.0,
        null_lists=null.shape[-1],
        log_probability_lift=float(lift.mean()),
        graded_score=first.grade if measurable else None,
        perplexity_bound=bounds.perplexity,
        repetition_bound=bounds.repetition,
        raised=list_changes(moves.raised_ids[place], moves.raised[place], lexicon.tokens),
        lowered=list_changes(moves.lowered_ids[place], moves.lowered[place], lexicon.tokens),
        prompt_form=settings.prompt_form,
        sequence=describe_test(settings.sequence, wins, chance, len(first.wins))
        if settings.sequence and measurable
        else None,
    )


def _null_rate(null: Bool[np.ndarray, "pairs lists"]) -> float:
    return float(null.mean()) if null.size else 0.5  # nothing else has words: `null_lists` is 0


def _pairs(
    study: Study,
    texts: np.ndarray,
    scores: Float[np.ndarray, "pairs arms"],
    perplexity: Float[np.ndarray, "pairs 2"],
    repetition: Float[np.ndarray, "pairs 2"],
    collapsed: Bool[np.ndarray, " pairs"],
) -> tuple[SteeredPair, ...]:
    keys = [(prompt, seed) for prompt in study.steering.prompts for seed in study.steering.seeds]
    rounded = [[_number(score) for score in pair] for pair in scores.astype(float).tolist()]
    likely, repeated = perplexity.astype(float).round(2).tolist(), repetition.round(4).tolist()
    has_controls = texts.shape[1] == len(ARMS)
    return tuple(
        SteeredPair(
            prompt=prompt,
            seed=seed,
            unsteered=texts[row, UNSTEERED],
            steered=texts[row, STEERED],
            random=texts[row, RANDOM] if has_controls else None,
            flipped=texts[row, FLIPPED] if has_controls else None,
            score_unsteered=rounded[row][UNSTEERED],
            score_steered=rounded[row][STEERED],
            score_random=rounded[row][RANDOM] if has_controls else None,
            score_flipped=rounded[row][FLIPPED] if has_controls else None,
            collapsed=bool(collapsed[row]),
            perplexity_unsteered=likely[row][0],
            perplexity_steered=likely[row][1],
            repetition_unsteered=repeated[row][0],
            repetition_steered=repeated[row][1],
        )
        for row, (prompt, seed) in enumerate(keys)
    )


def score_texts(
    texts: Sequence[str], references: Sequence[Sequence[int]], lexicon: Lexicon
) -> Float[np.ndarray, "texts lists"]:
    """Likeness of each text to each list of reference words; NaN for a text without content words and for an empty list."""
    vectors = lexicon.vectors
    rows = [[r for word in words_of(text) if (r := vectors.row.get(word, -1)) >= CONTENT_RANK] for text in texts]
    used = sorted({row for text in rows for row in text})
    place = {row: i for i, row in enumerate(used)}
    likeness = np.full((len(used), len(references)), np.nan, dtype=np.float32)
    for column, reference in enumerate(references):
        if reference and used:
            likeness[:, column] = (vectors.matrix[used] @ vectors.matrix[list(reference)].T).max(axis=1)
    nothing = np.full(len(references), np.nan, dtype=np.float32)
    return np.stack([likeness[[place[r] for r in text]].mean(axis=0) if text else nothing for text in rows])


def grade_pairs(
    scores: Float[np.ndarray, "pairs arms"],
    perplexity: Float[np.ndarray, " pairs"],
    collapsed: Bool[np.ndarray, " pairs"],
    bounds: Bounds,
) -> float:
    """Mean harmonic mean of two grades of each steered text, 0 to 2, as AxBench joins the ratings of its judge.

    Concept: 2 if it is more like the reference words than the unsteered text and both controls, 1 if than the unsteered
    text alone, else 0. Fluency: 2 if it is no more perplexing than unsteered texts are, 1 if more, 0 if it has collapsed.
    """
    steered = scores[:, STEERED]
    wins = steered > scores[:, UNSTEERED]
    beats_controls = ~(scores[:, RANDOM] >= steered) & ~(scores[:, FLIPPED] >= steered)
    concept = np.where(wins, np.where(beats_controls, 2.0, 1.0), 0.0)
    fluency = np.where(collapsed, 0.0, np.where(perplexity > bounds.usual, 1.0, 2.0))
    return float(np.mean([harmonic_mean(grades) for grades in zip(concept.tolist(), fluency.tolist(), strict=True)]))


def harmonic_mean(grades: Sequence[float]) -> float:
    """Their number over the sum of their reciprocals; 0 as soon as one is 0."""
    return 0.0 if min(grades) <= 0 else len(grades) / sum(1 / grade for grade in grades)


def _number(score: float) -> float | None:
    return None if np.isnan(score) else round(score, 6)
