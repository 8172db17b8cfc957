"""The rules judge: each check against its null, and nothing decided by evidence that is missing."""

from __future__ import annotations

import asyncio
from math import comb
from typing import Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.briefing.generations import briefing_of
from agent.folder.sides import Side, Verdict
from agent.judges.in_common import NOTHING, name_peaks
from agent.judges.judge import Case
from agent.judges.judgement import ALPHA, steering_verdict
from agent.judges.rules import COVERED, NEWEST_RULES, Rules, judge_by_rules, name_feature
from agent.transcript import Notes
from benchmarks.material.evidence import typical_steering
from tools.maths import binomial_tail, combine_tails
from tools.records import (
    ActivationEvidence,
    CoherenceEvidence,
    Context,
    Evidence,
    FeatureRef,
    KeywordEvidence,
    KeywordHit,
    PositionEvidence,
    Projection,
    SequentialTest,
    SteeringEvidence,
    SteeringWord,
    TokenStatistics,
    TokenWeight,
)
from tools.study.definition import Counts, SurveyDefaults
from tools.study.reading import load_question


def keywords(n: int, null_share: float) -> KeywordEvidence:
    hits = tuple(KeywordHit(token=f" w{i}", word=f"w{i}", joined=False) for i in range(n))
    return KeywordEvidence(hits=hits, n_top=10, substring_hits=n, null_share=null_share)


def coherence(score: float | None, null_share: float | None) -> CoherenceEvidence:
    return CoherenceEvidence(weighted=score, deduplicated=score, n_valid=8, coverage=0.8, null_share=null_share)


def steering(wins: int, n: int, null: float) -> SteeringEvidence:
    return typical_steering(win_rate=wins / n, n=n, null_win_rate=null)


def contexts(near: int, documents: int, share: float = 0.06) -> ActivationEvidence:
    return ActivationEvidence(top=(), peak_documents=documents, domain_peaks=near, domain_share=share)


PASS_A = contexts(12, 20)


def evidence(
    k: KeywordEvidence | None = None,
    c: CoherenceEvidence | None = None,
    s: SteeringEvidence | None = None,
    a: ActivationEvidence | None = PASS_A,
) -> Evidence:
    return Evidence(
        feature=FeatureRef(study="tiny", sae="base", index=1),
        stratum="candidates",
        keywords=k,
        coherence=c,
        steering=s,
        activations=a,
    )


def input_side(e: Evidence, version: int = NEWEST_RULES) -> Side:
    sides = judge_by_rules(e, SurveyDefaults(), version=version).sides
    assert sides is not None and sides.input is not None
    return sides.input


PASS_K, PASS_C, PASS_S = keywords(4, 0.001), coherence(0.6, 0.01), steering(10, 10, 0.5)


@pytest.mark.parametrize(
    ("k", "c", "s", "verdict"),
    [
        (PASS_K, PASS_C, PASS_S, "yes"),
        (keywords(1, 0.001), PASS_C, PASS_S, "no"),
        (keywords(4, 0.2), PASS_C, PASS_S, "no"),  # random directions have as many hits
        (PASS_K, coherence(0.6, 0.5), PASS_S, "yes"),  # 0.5 and 0.001 combine to 0.4 %
        (PASS_K, PASS_C, steering(6, 10, 0.5), "yes"),  # 0.01 and 0.38 combine to 2.5 %
        (PASS_K, coherence(0.3, 0.4), steering(6, 10, 0.5), "undecided"),
        (PASS_K, PASS_C, steering(4, 10, 0.5), "undecided"),  # steering does not win more than chance
        (PASS_K, coherence(None, None), PASS_S, "undecided"),
        (PASS_K, PASS_C, None, "undecided"),
        (PASS_K, None, PASS_S, "undecided"),
        (None, PASS_C, PASS_S, "undecided"),
    ],
)
def test_verdict_follows_from_the_three_checks(
    k: KeywordEvidence | None,
    c: CoherenceEvidence | None,
    s: SteeringEvidence | None,
    verdict: Literal["yes", "no", "undecided"],
) -> None:
    judgement = judge_by_rules(evidence(k, c, s), SurveyDefaults())
    assert judgement.relevant == verdict
    assert 0.5 <= judgement.confidence <= 1
    assert len(judgement.reasons) == 4


@pytest.mark.parametrize(
    ("a", "verdict", "said"),
    [
        (
            contexts(4, 20),
            "yes",
            "in 4 of the 20 documents it is most active in, a word of the domain stands near; 6% of",
        ),
        (contexts(3, 20), "undecided", "by chance 11.5%"),  # 1 - sum of binomial(20, 0.06) up to 2
        (contexts(2, 2), "yes", "by chance 0.4%"),
        (contexts(0, 0), "undecided", "contexts: never active in the corpus"),
        (contexts(20, 20, share=1.0), "undecided", "by chance 100.0%"),
        (ActivationEvidence(top=()), "undecided", "contexts: no evidence"),
        (None, "undecided", "contexts: no evidence"),
    ],
)
def test_what_is_promoted_has_to_be_where_it_is_active(
    a: ActivationEvidence | None, verdict: Literal["yes", "undecided"], said: str
) -> None:
    judgement = judge_by_rules(evidence(PASS_K, PASS_C, PASS_S, a), SurveyDefaults())
    assert judgement.relevant == verdict
    assert said in judgement.reasons[1]


def test_a_yes_is_surer_the_rarer_its_evidence_is_by_chance() -> None:
    sure = judge_by_rules(evidence(PASS_K, coherence(0.9, 0.001), PASS_S), SurveyDefaults())
    less = judge_by_rules(evidence(keywords(2, 0.009), coherence(0.3, 0.049), steering(9, 10, 0.5)), SurveyDefaults())
    assert sure.relevant == less.relevant == "yes"
    assert sure.confidence > less.confidence


@pytest.mark.parametrize(
    ("wins", "null", "verdict"), [(10, 0.5, "passes"), (7, 0.5, "undecided"), (5, 0.5, "fails"), (9, 0.9, "fails")]
)
def test_steering_is_read_against_its_null_and_not_against_one_half(wins: int, null: float, verdict: str) -> None:
    found = steering_verdict(steering(wins, 10, null))
    assert found is not None
    assert found.verdict == verdict


def test_a_label_lists_different_words_once() -> None:
    top = tuple(
        TokenWeight(token_id=i, token=t, word=w, weight=1.0)
        for i, (t, w) in enumerate([(" heart", "heart"), ("Heart", "heart"), (" blood", "blood"), ("itis", None)])
    )
    projection = Projection(top=top, bottom=(), mean=0, std=1, skewness=0, kurtosis=3)
    named = evidence().model_copy(update={"projection": projection})
    assert name_feature(named) == "heart, blood"


def test_a_feature_without_reference_words_has_not_failed_steering() -> None:
    nothing = steering(0, 10, 0.0).model_copy(update={"n": 0})
    judged = steering_verdict(nothing)
    assert judged is not None
    assert judged.verdict == "undecided"
    assert judge_by_rules(evidence(PASS_K, coherence(0.9, 0.001), nothing), SurveyDefaults()).relevant == "undecided"


def test_feature_of_a_place_is_not_relevant_whatever_it_promotes_and_is_called_by_the_place() -> None:
    place = PositionEvidence(first=2, share=0.97, token_share=0.02, active=40)
    found = evidence(PASS_K, PASS_C, PASS_S, PASS_A.model_copy(update={"position": place}))
    judgement = judge_by_rules(found, SurveyDefaults())
    assert (judgement.label, judgement.relevant, judgement.confidence) == ("start of a row of text", "no", 0.97)
    assert any(place.sentence in reason for reason in judgement.reasons)
    half = evidence(
        PASS_K, PASS_C, PASS_S, PASS_A.model_copy(update={"position": place.model_copy(update={"share": 0.6})})
    )
    assert judge_by_rules(half, SurveyDefaults()).relevant == "yes"


def in_sequence(verdict: SteeringWord, p_value: float, wins: int = 20, n: int = 30) -> SteeringEvidence:
    test = SequentialTest(
        win_rate=0.75, alpha=0.01, power=0.82, most=60, opening=10, null=(0.5,) * n, verdict=verdict, p_value=p_value
    )
    return typical_steering(win_rate=wins / n, n=n, null_win_rate=0.5, sequence=test)


@pytest.mark.parametrize("verdict", ["passes", "fails", "undecided"])
def test_pairs_in_sequence_decide_what_they_were_written_to_decide(verdict: SteeringWord) -> None:
    """20 of 30 are 5 % likely by chance were there always 30; how many there are was decided by the wins."""
    found = steering_verdict(in_sequence(verdict, 0.2))
    assert found is not None
    assert (found.verdict, found.n, found.null_win_rate) == (verdict, 30, 0.5)


def test_the_tail_of_pairs_in_sequence_is_the_one_that_holds_whenever_one_stops() -> None:
    words, alike = keywords(5, 0.001), coherence(0.6, 0.5)
    surely, hardly = (
        judge_by_rules(evidence(words, alike, in_sequence("passes", p)), SurveyDefaults()) for p in (0.001, 0.2)
    )
    assert (surely.relevant, hardly.relevant) == ("yes", "undecided")
    assert "with coherence, by chance 0.4%" in " ".join(surely.reasons)


def test_a_direction_that_its_pairs_decide_against_is_not_relevant_by_coherence_alone() -> None:
    assert (
        judge_by_rules(
            evidence(keywords(5, 0.001), coherence(0.9, 0.0001), in_sequence("fails", 1.0)), SurveyDefaults()
        ).relevant
        == "undecided"
    )


def one_question(e: Evidence, thresholds: SurveyDefaults) -> tuple[str, float]:
    """The verdict as it was before sides were told apart, from the published procedure's three steps and the contexts."""
    k, a, s, c = e.keywords, e.activations, e.steering, e.coherence
    place = a.position if a and a.position and a.position.is_artefact else None
    if place is not None:
        return "no", min(0.99, place.share)
    if k is None:
        return "undecided", 0.5
    if len(k.hits) < thresholds.candidate_hits or k.null_share > thresholds.alpha:
        return "no", min(0.99, max(0.5, k.null_share))
    near = 1.0
    if a and a.peak_documents and a.domain_peaks is not None and a.domain_share is not None:
        near = binomial_tail(a.domain_peaks, a.peak_documents, a.domain_share)
    together = 1.0
    if c and c.null_share is not None and s and s.n:
        together = combine_tails(c.null_share, binomial_tail(round(s.win_rate * s.n), s.n, s.null_win_rate))
    found = steering_verdict(s)
    if found is not None and found.verdict != "fails" and near <= ALPHA and together <= ALPHA:
        return "yes", 1 - max(k.null_share, near, together)
    return "undecided", 0.5


@given(
    k=st.one_of(st.none(), st.builds(keywords, st.integers(0, 4), st.floats(0, 0.02))),
    c=st.one_of(st.none(), st.builds(coherence, st.just(0.5), st.one_of(st.none(), st.floats(1e-6, 1)))),
    s=st.one_of(st.none(), st.integers(0, 10).map(lambda wins: steering(wins, 10, 0.5))),
    a=st.one_of(st.none(), st.integers(0, 20).map(lambda near: contexts(near, 20))),
)
def test_by_the_first_rules_the_verdict_where_both_sides_count_is_the_one_that_the_single_question_had(
    k: KeywordEvidence | None, c: CoherenceEvidence | None, s: SteeringEvidence | None, a: ActivationEvidence | None
) -> None:
    found = judge_by_rules(evidence(k, c, s, a), SurveyDefaults(), version=1)
    assert (found.relevant, pytest.approx(found.confidence)) == one_question(evidence(k, c, s, a), SurveyDefaults())


@given(near=st.integers(0, 30), documents=st.integers(0, 30), share=st.floats(0, 1))
def test_a_no_to_the_input_says_that_a_third_of_the_peaks_near_the_domain_would_hardly_look_like_this(
    near: int, documents: int, share: float
) -> None:
    a = contexts(min(near, documents), documents, share)
    (old, new) = (input_side(evidence(a=a), version) for version in (1, 2))
    few = sum(comb(documents, k) * 2 ** (documents - k) / 3**documents for k in range(min(near, documents) + 1))
    if abs(few - ALPHA) < 1e-9:
        return
    told = documents > 0 and share >= COVERED and few <= ALPHA
    expected = {("yes", True): "undecided", ("undecided", True): "no"}.get((old.relevant, told), old.relevant)
    assert new.relevant == expected
    assert old.relevant != "no" and (told or new == old)


@pytest.mark.parametrize(
    ("a", "verdict", "confidence"),
    [
        (contexts(0, 20), "no", 0.99),
        (contexts(2, 20), "no", 0.9824),  # binomial(20, 1/3) up to 2 is 1.76 %
        (contexts(3, 20), "undecided", 0.5),  # 6.0 %
        (contexts(4, 20), "yes", 0.9710),
        (contexts(0, 8), "no", 0.9610),
        (contexts(0, 7), "undecided", 0.5),  # so few documents tell nothing
        (contexts(0, 0), "undecided", 0.5),
        (contexts(2, 20, share=0.011), "undecided", 0.5),  # rare by chance, and too few for what is about it: both ways
        (contexts(0, 20, share=0.009), "undecided", 0.5),  # hardly anything in the text is near the domain
        (None, "undecided", 0.5),
    ],
)
def test_a_feature_that_is_hardly_ever_near_the_domain_is_not_about_it(
    a: ActivationEvidence | None, verdict: str, confidence: float
) -> None:
    side = input_side(evidence(PASS_K, PASS_C, PASS_S, a))
    assert (side.relevant, round(side.confidence, 4)) == (verdict, confidence)


def test_a_no_to_the_input_gives_its_reason_in_numbers() -> None:
    judged = judge_by_rules(evidence(PASS_K, PASS_C, PASS_S, contexts(2, 20)), SurveyDefaults())
    assert judged.relevant == "no", "where both sides count, one no is enough"
    assert "were it near in a third of them, so few would be seen in 1.8% of cases" in judged.reasons[1]
    before = judge_by_rules(evidence(PASS_K, PASS_C, PASS_S, contexts(2, 20)), SurveyDefaults(), version=1)
    assert before.relevant == "undecided" and "a third" not in " ".join(before.reasons)


@pytest.mark.parametrize(("generation", "verdict"), [(1, "undecided"), (2, "undecided"), (3, "no"), (4, "no")])
def test_a_stored_run_is_judged_by_the_rules_of_its_generation(generation: int, verdict: str) -> None:
    judge = Rules.of(load_question("pocket"), None, briefing_of(generation))
    assert judge is not None
    case = Case(evidence(PASS_K, PASS_C, PASS_S, contexts(1, 20)))
    assert asyncio.run(judge.judge(case, Notes(0, judge.name))).judgement.relevant == verdict


@pytest.mark.parametrize(
    ("e", "input", "output", "kind"),
    [
        (evidence(PASS_K, PASS_C, PASS_S), "yes", "yes", "both"),
        (evidence(keywords(0, 1.0), PASS_C, PASS_S), "yes", "no", "input"),
        (evidence(PASS_K, PASS_C, PASS_S, contexts(3, 20)), "undecided", "yes", "output"),
        (evidence(PASS_K, PASS_C, PASS_S, contexts(0, 20)), "no", "yes", "output"),
        (evidence(keywords(0, 1.0), None, None, None), "undecided", "no", "neither"),
        (evidence(PASS_K, PASS_C, steering(4, 10, 0.5)), "yes", "undecided", "input"),
    ],
)
def test_each_side_has_a_verdict_of_its_own(e: Evidence, input: Verdict, output: Verdict, kind: str) -> None:
    sides = judge_by_rules(e, SurveyDefaults()).sides
    assert sides is not None and sides.input is not None and sides.output is not None
    assert (sides.input.relevant, sides.output.relevant, sides.kind, sides.counts) == (input, output, kind, "both")


def test_a_study_may_count_one_side_alone() -> None:
    only_active = evidence(keywords(0, 1.0), PASS_C, PASS_S)
    verdicts = {c: judge_by_rules(only_active, SurveyDefaults(), counts=c).relevant for c in get_args(Counts)}
    assert verdicts == {"input": "yes", "output": "no", "either": "yes", "both": "no"}


def test_the_input_side_is_called_by_the_words_it_is_most_active_at() -> None:
    peaks = [((" a", " ward"), (0.0, 3.0)), ((" the", " dose"), (0.1, 2.0)), ((" ward", "."), (1.0, 0.0))]
    top = tuple(Context(document="d", tokens=tokens, activations=values, max_activation=3) for tokens, values in peaks)
    assert name_peaks(ActivationEvidence(top=top)) == "ward, dose"
    assert name_peaks(None) == name_peaks(ActivationEvidence(top=())) == "unnamed"


def recurring(null_share: float, a: ActivationEvidence = PASS_A) -> ActivationEvidence:
    """Active again at a third of the other places of its tokens, as such a share of random readings would be."""
    counted = TokenStatistics(
        n_active=50,
        different=20,
        tokens=(),
        different_before=30,
        before=(),
        recurrence=0.34,
        usual_recurrence=0.17,
        recurrence_null_share=null_share,
    )
    ward = Context(document="d", tokens=(" the", " ward"), activations=(0.0, 3.0), max_activation=3)
    return a.model_copy(update={"statistics": counted, "top": (ward,), "density": 0.01})


@pytest.mark.parametrize(
    ("a", "verdict", "label"),
    [
        (recurring(0.005, contexts(4, 20)), "yes", "ward"),  # its tokens recur; a word of the domain near 4: 2.9 %
        (recurring(0.01, contexts(3, 20)), "undecided", "ward"),
        (recurring(0.0101, contexts(3, 20)), "no", NOTHING),  # nor is the domain near
        (recurring(0.9, contexts(0, 20)), "no", NOTHING),
        (recurring(0.9, contexts(5, 20)), "yes", "ward"),  # 0.6 %: what its tokens lack, the domain has
        (recurring(0.9, contexts(4, 20)), "undecided", NOTHING),  # enough for a yes, too little for a name
        (recurring(0.9, contexts(0, 0)), "no", NOTHING),
    ],
)
def test_a_feature_whose_places_have_nothing_in_common_is_called_nothing_and_is_not_relevant(
    a: ActivationEvidence, verdict: str, label: str
) -> None:
    side = input_side(evidence(PASS_K, PASS_C, PASS_S, a))
    assert (side.relevant, side.label) == (verdict, label)


@given(
    near=st.integers(0, 20),
    share=st.floats(0, 1),
    null_share=st.floats(0.005, 1),
)
def test_what_cannot_be_named_is_never_relevant_and_what_can_be_is_judged_as_before(
    near: int, share: float, null_share: float
) -> None:
    found = evidence(PASS_K, PASS_C, PASS_S, recurring(null_share, contexts(near, 20, share)))
    new, old = input_side(found), input_side(found, version=2)
    assert old.label == "ward"
    if new.label == NOTHING:
        assert new.relevant == (
            "undecided" if old.relevant == "yes" or binomial_tail(near, 20, share) <= ALPHA else "no"
        )
    else:
        assert new == old


def test_evidence_in_which_nobody_counted_how_often_tokens_recur_is_judged_as_before() -> None:
    counted = recurring(0.9).statistics
    assert counted is not None
    silent = counted.model_copy(update={"recurrence_null_share": None, "recurrence": None, "usual_recurrence": None})
    found = evidence(PASS_K, PASS_C, PASS_S, recurring(0.9).model_copy(update={"statistics": silent}))
    assert judge_by_rules(found, SurveyDefaults()) == judge_by_rules(found, SurveyDefaults(), version=2)
    assert input_side(evidence(a=None)).label == "unnamed"


def test_a_feature_that_is_never_active_is_called_so() -> None:
    dead = ActivationEvidence(top=(), density=0.0, peak_documents=0, domain_peaks=0, domain_share=0.06)
    side = input_side(evidence(PASS_K, PASS_C, PASS_S, dead))
    assert (side.relevant, side.label) == ("undecided", "never active")
    assert input_side(evidence(PASS_K, PASS_C, PASS_S, dead), version=2).label == "unnamed"


def test_an_abstention_gives_its_reason_in_numbers() -> None:
    judged = judge_by_rules(evidence(PASS_K, PASS_C, PASS_S, recurring(0.9, contexts(0, 20))), SurveyDefaults())
    assert (
        "contexts: it is active again at 34% of the other places of its tokens, a random reading as often active at 17%; "
        "90.0% of these reach that: nothing that can be named" in judged.reasons
    )


@pytest.mark.parametrize(("generation", "label"), [(1, "ward"), (2, "ward"), (3, "ward"), (4, NOTHING)])
def test_runs_from_before_the_rules_could_abstain_keep_their_names(generation: int, label: str) -> None:
    judge = Rules.of(load_question("pocket"), None, briefing_of(generation))
    assert judge is not None
    case = Case(evidence(PASS_K, PASS_C, PASS_S, recurring(0.9, contexts(0, 20))))
    sides = asyncio.run(judge._replace(sided=True).judge(case, Notes(0, judge.name))).judgement.sides
    assert sides is not None and sides.input is not None and sides.input.label == label
