"""Ratings by lists of words: known answers, and what says nothing is rated 0."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.briefing.generations import briefing_of
from agent.folder.config import RunConfig
from agent.judges.judge import Case, Model
from agent.judges.rating import Rater
from agent.judges.rating_rules import (
    LEAST_ACTIVE,
    THRESHOLDS,
    RatingRules,
    mark_words,
    rate_by_rules,
    rate_share,
    share_at_words,
)
from agent.judges.roster import appoint
from agent.judges.rules import Rules
from agent.transcript import Notes
from tools.errors import StudyError
from tools.records import (
    ActivationEvidence,
    Context,
    Evidence,
    FeatureRef,
    PositionEvidence,
    Projection,
    TokenShare,
    TokenStatistics,
    TokenWeight,
)
from tools.study.definition import Question, Rating

WORDS = {"gender": frozenset({"she", "he", "girl", "mother"}), "work": frozenset({"ward", "nurse"})}
TEXT = (" Then", " she", " went", " to", " the", " ward", " and", " the", " gir", "l", " saw", " a", " river", ".")


def context(*active: str, text: tuple[str, ...] = TEXT) -> Context:
    values = tuple(float(token.strip() in active) for token in text)
    return Context(document="d", tokens=text, activations=values, max_activation=max(values))


def statistics(n: int = 100, **masses: float) -> TokenStatistics:
    shares = tuple(
        TokenShare(token=f" {token}", mass=mass, occurrences=mass, active_share=0.5) for token, mass in masses.items()
    )
    return TokenStatistics(n_active=n, different=len(shares), tokens=shares, different_before=0, before=())


def evidence(
    *active: str, counted: TokenStatistics | None = None, text: tuple[str, ...] = TEXT, promoted: tuple[str, ...] = ()
) -> Evidence:
    top = (context(*active, text=text),) * 5
    strength = 1.0 if active else None
    activations = ActivationEvidence(top=top if active else (), statistics=counted, max_activation=strength)
    weights = tuple(TokenWeight(token=f" {word}", word=word, weight=1.0) for word in promoted)
    return Evidence(
        feature=FeatureRef(study="s", sae="a", index=1),
        stratum="candidates",
        projection=Projection(top=weights),
        activations=activations,
    )


def ratings(record: Evidence) -> dict[str, int]:
    return {rating.concept: rating.rating for rating in rate_by_rules(record, WORDS).ratings or ()}


@pytest.mark.parametrize(
    ("record", "gender", "work"),
    [
        (evidence("she", counted=statistics(she=1.0)), 4, 0),
        (evidence("she", "river", counted=statistics(she=0.7, river=0.3)), 3, 0),
        (evidence("she", "ward", counted=statistics(she=0.4, ward=0.4, a=0.2)), 2, 2),
        (evidence("she", "river", counted=statistics(she=0.25, river=0.75)), 1, 0),
        (evidence("river", counted=statistics(river=1.0)), 0, 0),
        (evidence("ward", counted=statistics(ward=1.0)), 0, 4),
    ],
)
def test_rating_follows_the_share_of_activation_at_listed_words(record: Evidence, gender: int, work: int) -> None:
    assert ratings(record) == {"gender": gender, "work": work}


def test_chance_is_what_the_tokens_beside_have() -> None:
    text = (" she", " he", " girl", " river", " mother", " she")
    anywhere = evidence("river", "she", counted=statistics(river=0.5, she=0.5), text=text)
    share = share_at_words(anywhere.activations or ActivationEvidence(top=()), WORDS["gender"])
    assert (share.found, share.chance) == (0.5, 1.0)
    assert ratings(anywhere)["gender"] == 0


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (evidence(), "never active in the corpus"),
        (evidence("she", counted=statistics(LEAST_ACTIVE - 1, she=1.0)), "too few"),
        (evidence("she").model_copy(update={"activations": None}), "was not looked at"),
        (
            evidence("she", counted=statistics(she=1.0)).model_copy(
                update={
                    "activations": ActivationEvidence(
                        top=(context("she"),),
                        max_activation=1.0,
                        statistics=statistics(she=1.0),
                        position=PositionEvidence(first=4, share=0.99, token_share=0.05, active=50),
                    )
                }
            ),
            "answers to the place",
        ),
    ],
    ids=["dead", "hardly active", "not looked at", "a place"],
)
def test_what_says_nothing_is_rated_0_and_says_why(record: Evidence, said: str) -> None:
    found = rate_by_rules(record, WORDS)
    assert {rating.rating for rating in found.ratings or ()} == {0}
    assert all(said in reason for reason in found.reasons)


def test_dead_feature_that_promotes_the_words_is_rated_0() -> None:
    assert ratings(evidence(promoted=("she", "he", "mother"))) == {"gender": 0, "work": 0}


def test_words_promoted_make_a_1_by_themselves_and_no_more() -> None:
    at_river = statistics(river=1.0)
    assert ratings(evidence("river", counted=at_river, promoted=("she", "he", "mother", "a")))["gender"] == 1
    assert ratings(evidence("river", counted=at_river, promoted=("she", "he", "a")))["gender"] == 0
    assert ratings(evidence("river", counted=at_river, promoted=("she", "he", "girl", *"abcd")))["gender"] == 0


def test_a_word_of_several_tokens_counts_as_a_word() -> None:
    assert mark_words(TEXT, WORDS["gender"]) == [
        {" she": "she", " gir": "girl", "l": "girl"}.get(token) for token in TEXT
    ]
    assert ratings(evidence("gir", "l", counted=statistics(gir=0.9, l=0.1)))["gender"] == 4


def test_a_piece_of_another_word_does_not_count_though_it_is_spelt_like_one() -> None:
    text = (" the", " c", "he", "rry", " he", "aling", " S", "he", "rbon", " is")
    record = evidence("he", counted=statistics(he=1.0), text=text)
    assert ratings(record)["gender"] == 0
    assert ratings(evidence("he", counted=statistics(he=1.0), text=(" and", " he", " is")))["gender"] == 4


@pytest.mark.parametrize("word", ["Mother", "mother's", "mother’s", "MOTHER"])
def test_capitals_and_possessives_are_the_word(word: str) -> None:
    assert [mark is not None for mark in mark_words((" a", f" {word}"), WORDS["gender"])] == [False, True]


def test_what_follows_an_apostrophe_is_not_the_word() -> None:
    text = (" his", " mother", "'", "s", " she", "'d", " don", "'t")
    assert mark_words(text, WORDS["gender"]) == [None, "mother", None, None, "she", None, None, None]
    assert ratings(evidence("'", "s", counted=statistics(x=1.0), text=text))["gender"] == 0


def test_what_no_statistics_name_is_shared_out_as_in_the_contexts() -> None:
    half = evidence("she", "river", counted=statistics(a=0.5))
    share = share_at_words(half.activations or ActivationEvidence(top=()), WORDS["gender"])
    assert share.found == pytest.approx(0.25)
    bare = evidence("she", "river")
    assert share_at_words(bare.activations or ActivationEvidence(top=()), WORDS["gender"]).found == pytest.approx(0.5)


def test_reasons_name_the_words_and_shares() -> None:
    (first, second) = rate_by_rules(evidence("she", "river", counted=statistics(she=0.7, river=0.3)), WORDS).reasons
    assert first.startswith("gender 3: 70% of its activation is at listed words (she), and ")
    assert second.startswith("work 0: 0% of its activation is at listed words, and ")


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_more_of_it_is_never_rated_lower(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert rate_share(low)[0] <= rate_share(high)[0]


@pytest.mark.parametrize(("threshold", "rating"), [(threshold, n + 1) for n, threshold in enumerate(THRESHOLDS)])
def test_confidence_is_least_at_a_threshold(threshold: float, rating: int) -> None:
    assert rate_share(threshold) == (rating, pytest.approx(0.5))
    assert rate_share(threshold - 0.02)[0] == rating - 1
    assert rate_share(threshold - 0.02)[1] > 0.5
    assert rate_share(1.0) == (4, pytest.approx(0.95))
    assert rate_share(-1.0) == (0, pytest.approx(0.95))


def make_question(folder: Path, **words: str) -> Question:
    (folder / "guideline.md").write_text("0 to 4.")
    (folder / "gender.txt").write_text("# pronouns\nshe\nhe\n")
    rating = Rating(guideline="guideline.md", concepts={"gender": "", "work": ""}, words=words)
    return Question(name="s", title="S", folder=folder, rating=rating)


def test_rules_rate_where_every_concept_has_its_words_and_no_model_is_there(tmp_path: Path) -> None:
    whole = make_question(tmp_path, gender="gender.txt", work="gender.txt")
    assert type(appoint(RunConfig(), whole)) is RatingRules
    assert type(appoint(RunConfig(), make_question(tmp_path, gender="gender.txt"))) is Rules
    assert RatingRules.of(whole, Model("m"), briefing_of(3)) is None
    assert Rater.of(whole, Model("m"), briefing_of(3)) is not None


def test_missing_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"nowhere\.txt"):
        appoint(RunConfig(), make_question(tmp_path, gender="gender.txt", work="nowhere.txt"))


def test_ruling_is_written_down_with_its_reasons(tmp_path: Path) -> None:
    judge = RatingRules({name: words for name, words in WORDS.items()})
    notes = Notes(0, "apply_rules")
    ruling = asyncio.run(judge.judge(Case(evidence("she", counted=statistics(she=1.0))), notes))
    (step,) = notes.steps
    assert step.kind == "rule"
    assert isinstance(step.content, dict)
    assert step.content["ratings"] == {"gender": 4, "work": 0}
    assert ruling.judgement.relevant is None
    assert list(judge.requests(Case(evidence()))) == []
