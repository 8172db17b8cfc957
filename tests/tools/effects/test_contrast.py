"""Who wins a steered pair, and how often by chance."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tools.effects.continuations import ARMS, SteeredTexts
from tools.effects.contrast import (
    PANEL_LISTS,
    Panel,
    draw_panel,
    grade_pairs,
    harmonic_mean,
    reference_words,
    score_steering,
    score_texts,
)
from tools.effects.fluency import Bounds
from tools.effects.intervention import HookCounter
from tools.effects.strength import TokenMoves
from tools.maths import binomial_tail, derangement, wilson_interval
from tools.records import SteeringEvidence
from tools.study.definition import Study
from tools.survey.features import Survey
from tools.survey.lexicon import CONTENT_RANK, Lexicon

MEDICAL = ("doctor", "patient", "nurse", "hospital")
EVERYDAY = ("garden", "river", "bread", "market")
BOUNDS = Bounds(usual=20.0, perplexity=100.0, repetition=0.5)


def rows_of(lexicon: Lexicon, words: Sequence[str]) -> list[int]:
    return [lexicon.vectors.row[word] for word in words]


def ids_of(survey: Survey, *lists: Sequence[str]) -> np.ndarray:
    tokens = survey.lexicon.tokens
    return np.array([[tokens.index(f" {word}") for word in words] for words in lists])


def made_up(texts: np.ndarray, perplexity: float = 10.0) -> SteeredTexts:
    """Texts [n, pairs, arms] with numbers that are easy to find again."""
    n, pairs, _ = texts.shape
    log_mass = np.zeros(texts.shape, dtype=np.float32)
    log_mass[..., ARMS.index("steered")] = 0.5
    moves = TokenMoves(*(torch.zeros(n, 2, dtype=dtype) for dtype in (torch.int64, torch.float32) * 2))
    likely = np.full((n, pairs, 2), perplexity, dtype=np.float32)
    return SteeredTexts(
        texts, log_mass, likely, np.linspace(0.7, 0.9, n), np.linspace(0.3, 0.4, n), moves, HookCounter(5, 9)
    )


def alike(study: Study, steered: Sequence[str], unsteered: Sequence[str]) -> np.ndarray:
    """The same texts at every prompt and seed, for one direction after another."""
    n_pairs = len(study.steering.prompts) * len(study.steering.seeds)
    arms = [[without, with_it, without, without] for with_it, without in zip(steered, unsteered, strict=True)]
    return np.array(arms, dtype=object)[:, None].repeat(n_pairs, axis=1)


def judge(
    study: Study, survey: Survey, texts: SteeredTexts, ids: np.ndarray, panel: Panel | None = None
) -> list[SteeringEvidence]:
    lists = [reference_words(survey.lexicon, row) for row in ids]
    owners = list(range(len(ids)))
    return score_steering(study, texts, survey.lexicon, ids, owners, panel or Panel(lists, owners), BOUNDS)


# Scores of texts


def test_text_score_is_the_mean_best_cosine_of_its_content_words(survey: Survey) -> None:
    lexicon = survey.lexicon
    references = [rows_of(lexicon, MEDICAL), rows_of(lexicon, EVERYDAY), []]
    texts = ["The doctor was in the garden. A nurse!", "the of and", "", "zzzz nephrology", "bread bread heart"]
    scores = score_texts(texts, references, lexicon)
    matrix = lexicon.vectors.matrix
    expected = np.full((5, 3), np.nan)
    for place, content in ((0, ("doctor", "garden", "nurse")), (4, ("bread", "bread", "heart"))):
        for column, reference in enumerate(references[:2]):
            best = [max(matrix[row] @ matrix[r] for r in reference) for row in rows_of(lexicon, content)]
            expected[place, column] = np.mean(best)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert scores[0, 0] > 0


def test_function_words_carry_no_topic(survey: Survey) -> None:
    lexicon = survey.lexicon
    assert lexicon.vectors.row["with"] < CONTENT_RANK <= lexicon.vectors.row["doctor"]
    reference = [rows_of(lexicon, MEDICAL)]
    plain, padded = score_texts(["doctor river", "the doctor was with a river of the"], reference, lexicon)
    assert plain.tolist() == padded.tolist()


# Wins


def test_steered_text_wins_under_its_own_words_and_loses_under_the_others(study: Study, survey: Survey) -> None:
    medical, everyday = "doctor patient nurse hospital", "garden river bread market"
    texts = made_up(alike(study, [medical, everyday], [everyday, medical]))
    first, second = judge(study, survey, texts, ids_of(survey, MEDICAL, EVERYDAY))
    for record in (first, second):
        assert (record.win_rate, record.null_win_rate, record.n, record.null_lists) == (1.0, 0.0, 4, 1)
        assert record.log_probability_lift == pytest.approx(0.5)
        assert (record.hook_calls, record.positions_steered) == (5, 9)
        assert (record.kind, record.asked_unit, record.asked) == ("add", "kl", study.steering.target_kl)
    assert (first.strength, second.strength) == pytest.approx((0.7, 0.9))
    assert (first.kl, second.kl) == pytest.approx((0.3, 0.4))


def test_equal_texts_do_not_win(study: Study, survey: Survey) -> None:
    texts = made_up(alike(study, ["doctor"] * 2, ["doctor"] * 2))
    for record in judge(study, survey, texts, ids_of(survey, MEDICAL, EVERYDAY)):
        assert record.win_rate == record.null_win_rate == 0.0


def test_repetitive_text_cannot_win(study: Study, survey: Survey) -> None:
    texts = made_up(alike(study, ["doctor doctor doctor doctor doctor"] * 2, ["garden"] * 2))
    record, _ = judge(study, survey, texts, ids_of(survey, MEDICAL, EVERYDAY))
    first = record.pairs[0]
    assert first.score_steered is not None and first.score_unsteered is not None
    assert first.score_steered > first.score_unsteered
    assert (first.repetition_steered, first.repetition_unsteered) == (0.75, 0.0)
    assert all(pair.collapsed and not pair.win for pair in record.pairs)
    assert record.win_rate == 0.0


def test_perplexing_text_cannot_win_under_anybodys_words(study: Study, survey: Survey) -> None:
    texts = alike(study, ["doctor nurse", "doctor nurse"], ["garden river"] * 2)
    ids = ids_of(survey, MEDICAL, MEDICAL)
    for perplexity, wins in ((BOUNDS.perplexity - 1, 1.0), (BOUNDS.perplexity + 1, 0.0)):
        for record in judge(study, survey, made_up(texts, perplexity), ids):
            assert (record.win_rate, record.null_win_rate) == (wins, wins)
            assert record.perplexity_bound == BOUNDS.perplexity
            assert record.pairs[0].perplexity_steered == perplexity


@pytest.mark.parametrize(("steered", "unsteered"), [("of the", "garden"), ("doctor", "of the"), ("of", "the")])
def test_nobody_wins_where_a_text_has_no_content_words(
    study: Study, survey: Survey, steered: str, unsteered: str
) -> None:
    """Under no list of words: a pair that cannot be won is lost in the null too."""
    texts = made_up(alike(study, [steered] * 2, [unsteered] * 2))
    for record in judge(study, survey, texts, ids_of(survey, MEDICAL, EVERYDAY)):
        assert (record.win_rate, record.null_win_rate, record.n) == (0.0, 0.0, 4)
        assert not any(pair.win for pair in record.pairs)
        assert None in (record.pairs[0].score_steered, record.pairs[0].score_unsteered)


def test_feature_without_reference_words_is_not_measured(study: Study, survey: Survey) -> None:
    ids = ids_of(survey, MEDICAL, EVERYDAY)
    pieces = [i for i, row in enumerate(survey.lexicon.word_rows) if row < 0][:4]
    ids[1] = pieces
    panel = Panel([rows_of(survey.lexicon, MEDICAL)], [0])
    texts = made_up(alike(study, ["doctor"] * 2, ["garden"] * 2))
    record = judge(study, survey, texts, ids, panel)[1]
    assert (record.n, record.win_rate, record.null_win_rate, record.graded_score) == (0, 0.0, 0.0, None)
    assert record.pairs[0].score_steered is None


# The null


def test_texts_that_know_nothing_of_their_direction_win_as_often_as_the_null(study: Study, survey: Survey) -> None:
    """Without steering the win rate must be the null, whatever the metric's own chance level is."""
    rng = np.random.default_rng(0)
    words = [word for word in survey.lexicon.vectors.words[CONTENT_RANK:]]
    n, n_pairs = 40, 4
    texts = np.array([" ".join(rng.choice(words, 4)) for _ in range(n * n_pairs * len(ARMS))], dtype=object)
    whole = [token for token in survey.lexicon.tokens if token.startswith(" ") and token.strip() in words]
    ids = np.array([[survey.lexicon.tokens.index(t) for t in rng.choice(whole, 4, replace=False)] for _ in range(n)])
    records = judge(study, survey, made_up(texts.reshape(n, n_pairs, len(ARMS))), ids)
    own, null = (np.mean([getattr(record, name) for record in records]) for name in ("win_rate", "null_win_rate"))
    assert own == pytest.approx(null, abs=3 * 0.5 / (n * n_pairs) ** 0.5)
    assert 0.3 < null < 0.7


def test_deranged_reference_lists_take_every_advantage_away(study: Study, survey: Survey) -> None:
    """Steered texts full of their own words win under them, and as often as the null under somebody else's."""
    rng = np.random.default_rng(1)
    words = [word for word in survey.lexicon.vectors.words[CONTENT_RANK:]]
    tokens = survey.lexicon.tokens
    whole = [word for word in words if f" {word}" in tokens]
    n, n_pairs = 30, 4
    lists = [rng.choice(whole, 3, replace=False) for _ in range(n)]
    texts = np.empty((n, n_pairs, len(ARMS)), dtype=object)
    for i, pair, arm in np.ndindex(texts.shape):
        texts[i, pair, arm] = " ".join(rng.choice(lists[i] if arm == ARMS.index("steered") else words, 4))
    ids = np.array([[tokens.index(f" {word}") for word in chosen] for chosen in lists])
    own = judge(study, survey, made_up(texts), ids)
    swapped = judge(study, survey, made_up(texts), ids[derangement(n, 0)])
    assert np.mean([record.win_rate for record in own]) > 0.9
    wins = round(sum(record.win_rate * record.n for record in swapped))
    null = float(np.mean([record.null_win_rate for record in swapped]))
    interval = wilson_interval(wins, n * n_pairs, z=3.0)
    assert interval.low < null < interval.high


def test_recorded_placebo_run_of_the_published_study_is_chance() -> None:
    """158 wins of 311 under lists of another SAE's features; 308 of 452 under the features' own."""
    assert binomial_tail(158, 311, 0.5) == pytest.approx(0.41, abs=0.01)
    assert wilson_interval(158, 311).low < 0.5 < wilson_interval(158, 311).high
    assert binomial_tail(308, 452, 0.5) < 1e-10
    assert wilson_interval(308, 452) == pytest.approx((0.637, 0.723), abs=1e-3)


def test_panel_is_drawn_by_the_seed_from_live_features(survey: Survey) -> None:
    panel = draw_panel(survey, 0)
    assert panel == draw_panel(survey, 0) != draw_panel(survey, 1)
    assert len(panel.lists) == PANEL_LISTS
    features = [owner for owner in panel.owners if owner >= 0]
    assert len(set(features)) == len(features) > 20
    assert all(survey.alive[owner] for owner in features)
    for owner, words in zip(panel.owners, panel.lists, strict=True):
        assert words
        if owner >= 0:
            assert words == reference_words(survey.lexicon, survey.features.projection.top_ids[owner].numpy())
    assert panel.owners[len(features) :] == [-1] * (PANEL_LISTS - len(features)), "random directions fill it up"


def test_a_directions_own_words_are_no_null_for_it(study: Study, survey: Survey) -> None:
    ids = ids_of(survey, MEDICAL)
    panel = Panel([rows_of(survey.lexicon, MEDICAL), rows_of(survey.lexicon, EVERYDAY)], [7, 8])
    texts = made_up(alike(study, ["doctor nurse"], ["garden river"]))
    for owner, null, n_lists in ((7, 0.0, 1), (8, 1.0, 1), (-1, 0.5, 2)):
        (record,) = score_steering(study, texts, survey.lexicon, ids, [owner], panel, BOUNDS)
        assert (record.null_win_rate, record.null_lists) == (null, n_lists)


# Grades


@pytest.mark.parametrize(
    ("grades", "mean"),
    [((2.0, 2.0, 2.0), 2.0), ((2.0, 2.0, 1.0), 1.5), ((2.0, 0.0, 2.0), 0.0), ((1.0, 2.0), 4 / 3), ((0.0, 0.0), 0.0)],
)
def test_harmonic_mean_is_zero_as_soon_as_one_grade_is(grades: tuple[float, ...], mean: float) -> None:
    assert harmonic_mean(grades) == pytest.approx(mean)


@pytest.mark.parametrize(
    ("scores", "perplexity", "collapsed", "grade"),
    [
        ((0.1, 0.5, 0.2, 0.2), 15.0, False, 2.0),
        ((0.1, 0.5, 0.6, 0.2), 15.0, False, 4 / 3),
        ((0.1, 0.5, 0.2, 0.2), 50.0, False, 4 / 3),
        ((0.1, 0.5, 0.6, 0.2), 50.0, False, 1.0),
        ((0.5, 0.5, 0.1, 0.2), 15.0, False, 0.0),
        ((0.1, 0.5, 0.2, 0.2), 15.0, True, 0.0),
        ((0.1, 0.5, np.nan, 0.2), 15.0, False, 2.0),
        ((np.nan, 0.5, 0.1, 0.2), 15.0, False, 0.0),
    ],
)
def test_grade_joins_how_much_and_how_fluently_a_text_follows(
    scores: tuple[float, ...], perplexity: float, collapsed: bool, grade: float
) -> None:
    found = grade_pairs(np.array([scores]), np.array([perplexity]), np.array([collapsed]), BOUNDS)
    assert found == pytest.approx(grade)


# Records


def test_evidence_written_before_these_fields_existed_is_still_read() -> None:
    pair = {
        **{"prompt": "The", "seed": 0, "unsteered": "a", "steered": "b", "random": "c", "flipped": "d"},
        **{"score_unsteered": 0.1, "score_steered": 0.2, "score_random": 0.0, "score_flipped": 0.0},
        "collapsed": False,
    }
    old = {
        **{"metric": "m", "policy": "all", "unit": "residual_norm", "strength": 0.4, "kl": 0.5, "hook_calls": 20},
        **{"positions_steered": 25, "pairs": [pair], "win_rate": 1.0, "n": 1, "null_win_rate": 0.5},
        "log_probability_lift": 0.1,
    }
    read = SteeringEvidence.model_validate_json(json.dumps(old))
    assert read.pairs[0].win
    assert (read.kind, read.asked, read.null_lists, read.raised, read.graded_score) == ("add", None, None, (), None)
