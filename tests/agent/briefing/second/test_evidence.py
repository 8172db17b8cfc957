"""The second generation's evidence: two sides, each number beside its null, and nothing that gets out of its fence."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.briefing.second.evidence import brief_investigator, brief_judge, brief_pairs, brief_rater, fit
from agent.briefing.second.inputs import show_position
from agent.stages.imported import ImportedFeature
from prompts.fence import outside
from tests.agent.attacks import ATTACKS
from tests.agent.cases import FEATURE, make_evidence, make_pairs
from tools.records import (
    ActivationEvidence,
    CausalEvidence,
    Context,
    Evidence,
    FeatureRef,
    MovedToken,
    PositionEvidence,
    PromotionEvidence,
    Rise,
    Shared,
    SteeredWords,
    SteeringEvidence,
    TokenShare,
    TokenStatistics,
)

BRIEFS = (brief_investigator, brief_judge, brief_rater)


def moved(token: str, change: float, random: float = 0.1) -> MovedToken:
    return MovedToken(token_id=1, token=token, change=change, random=random)


def rise(text: str, z: float = 3.0) -> Rise:
    return Rise(text=text, steered=7, unsteered=0, random=1, z=z)


def measured(text: str = " heart", word: str = "artery") -> Evidence:
    """Evidence with all that is measured today, the text in every place that comes from a corpus or a model."""
    base = make_evidence()
    assert base.activations and base.steering
    share = TokenShare(token=text, mass=0.414, occurrences=0.25, active_share=0.95)
    statistics = TokenStatistics(
        n_active=200,
        different=41,
        tokens=(share, *(share.model_copy(update={"mass": 0.01}),) * 5),
        different_before=30,
        before=(share.model_copy(update={"token": "", "mass": 0.2}), share.model_copy(update={"mass": 0.01})),
    )
    silent = Context(
        document=text, tokens=("the", text, " then"), activations=(0.0,) * 3, max_activation=0.0, begins="row"
    )
    activations = base.activations.model_copy(
        update={
            "statistics": statistics,
            "usual_density": 0.006,
            "domain_near": 0.56,
            "passage_share": 0.48,
            "domain_share": 0.1,
            "near_misses": (
                silent.model_copy(update={"shared": Shared(kind="word", place=1)}),
                silent.model_copy(update={"shared": Shared(kind="neighbour", place=2)}),
            ),
        }
    )
    words = SteeredWords(n=10, words=(rise(word),), tokens=(rise(text),), chance_words=1.5, chance_tokens=1.5)
    promotion = PromotionEvidence(
        kl=0.5,
        n_random=32,
        null_share=0.12,
        change=2.9,
        null_change=2.1,
        raised=(moved(text, 2.9),),
        lowered=(moved("x", -0.9),),
    )
    steering = base.steering.model_copy(update={"words": words})
    return base.model_copy(update={"activations": activations, "promotion": promotion, "steering": steering})


def with_activations(evidence: Evidence, **changes: object) -> Evidence:
    assert evidence.activations
    return evidence.model_copy(update={"activations": evidence.activations.model_copy(update=changes)})


def with_steering(evidence: Evidence, **changes: object) -> str:
    assert evidence.steering
    return brief_investigator(evidence.model_copy(update={"steering": evidence.steering.model_copy(update=changes)}))


def test_the_investigator_reads_both_sides_statistics_first_and_each_number_beside_its_null() -> None:
    text = brief_investigator(measured())
    places = [
        text.index(part)
        for part in (
            "INPUT SIDE",
            "active at 0.4 % of 52,000 tokens (median feature 0.6 %); largest activation 12.3",
            'active tokens, 41 different: " heart" 41/25/95, " heart" 1/25/95',
            "tokens before these, 30 different: [row] 20/25/95",
            "domain words near: 56% of active tokens (of all of the same passages 48%, of the corpus 10%)",
            "strongest contexts:",
            "contexts drawn from the rest",
            "silent at a token of its peaks: [row] the «heart|0» then",
            "silent where the feature most like it is active: [row] the heart «then|0»",
            "OUTPUT SIDE",
            "top tokens: ",
            "5 (heart, blood, surgery, nurse, clinic); 0.4% of random directions",
            "added: top tokens +2.9 nats (random directions' own +2.1; 12% of them as far)",
            'moves most: up " heart" +2.9; down "x" -0.9; random directions move these by +0.1 to +0.1',
            "more like the top tokens' words",
            "words that rise: artery 7/0/1",
            'tokens that rise: " heart" 7/0/1',
            "steered: ",
        )
    ]
    assert places == sorted(places)
    assert "confirmed" not in text
    assert text.count("1/25/95") == 2, "two at least, and of the rest those with a share"


def test_duplicates_are_counted_and_not_repeated() -> None:
    evidence = make_evidence()
    assert evidence.activations
    assert len({context.tokens for context in evidence.activations.top}) == 1
    text = brief_investigator(evidence)
    assert text.count("- (4 times) ") == 2
    assert text.count("«heart|7»") == 2, "once of the strongest, once of the rest"


def test_the_judge_reads_nothing_that_unblinds_it() -> None:
    text = brief_judge(measured(word="catheter"))
    for secret in ("4711", FEATURE.key, "candidates", "secret-document", "toy", "steered", "catheter", "twins"):
        assert secret not in text, secret
    twin = FeatureRef(study="toy", sae="base", index=4711, kind="random_direction")
    changed = measured().model_copy(update={"feature": twin, "stratum": "random directions"})
    assert brief_judge(changed) == brief_judge(measured())


@pytest.mark.parametrize("brief", BRIEFS)
def test_a_feature_of_a_place_is_told_by_statistics_instead_of_by_contexts(brief: Callable[[Evidence], str]) -> None:
    place = PositionEvidence(first=2, share=0.97, token_share=0.02, active=40, occurrences=0.92)
    placed, plain = brief(with_activations(measured(), position=place)), brief(measured())
    assert "position 1-2 of a row: 92% of its activations, 97% of its activation mass; 2.0% of all tokens" in placed
    assert placed.index("position 1-2") < placed.index("strongest contexts")
    assert "silent " in plain and "silent " not in placed and "drawn from the rest" not in placed
    opened = place.model_copy(update={"opening_share": 0.4, "opening_token_share": 0.01, "occurrences": None})
    assert "Where a text begins: 40% of the mass, 1.0% of all. It answers to the place" in show_position(opened)
    assert "answers" not in show_position(place.model_copy(update={"share": 0.85}))


def test_a_dead_feature_is_said_to_be_dead() -> None:
    dead = ActivationEvidence(n_tokens=1000, density=0.0, max_activation=0.0, top=())
    text = brief_judge(Evidence(feature=FEATURE, stratum="imported", activations=dead))
    assert text == "<<<evidence\n| INPUT SIDE\n| dead: active at none of 1,000 tokens\nevidence>>>"


@pytest.mark.parametrize(
    ("promised", "shown"), [(-0.24, True), (0.21, True), (-0.19, False), (0.001, False), (-1e-9, False)]
)
def test_a_share_of_what_was_promised_is_shown_only_where_something_was(promised: float, shown: bool) -> None:
    causal = CausalEvidence(n_contexts=8, ablation_effect=-0.48, survival_ratio=-0.48 / promised)
    text = brief_judge(measured().model_copy(update={"causal": causal}))
    assert ("top tokens -0.48 logits; the weights promise" in text) == shown
    none = causal.model_copy(update={"survival_ratio": None})
    assert "promise" not in brief_judge(measured().model_copy(update={"causal": none}))


def test_steering_says_why_nothing_counts() -> None:
    evidence = measured()
    assert evidence.steering
    collapsed = tuple(pair.model_copy(update={"collapsed": True}) for pair in evidence.steering.pairs)
    text = with_steering(evidence, pairs=collapsed, win_rate=0.0)
    assert (
        "no text was fluent enough to count" in text
        and "for example" not in text
        and "0%" not in text.split("steered (")[1]
    )
    assert "none of the top tokens is a word" in with_steering(evidence, n=0)
    assert "0 of 0" not in with_steering(evidence, n=0, pairs=())


def test_words_within_chance_are_not_listed() -> None:
    chance = SteeredWords(n=10, words=(rise("pain", 1.4),), tokens=(), chance_words=1.5, chance_tokens=1.5)
    text = with_steering(measured(), words=chance)
    assert "no word or token rises in the 10 steered texts beyond chance" in text and "pain" not in text


def test_the_pair_that_is_shown_holds_words_that_rise_where_one_does() -> None:
    pairs = list(make_pairs(6))
    pairs[3] = pairs[3].model_copy(update={"steered": "an Artery of the north"})
    pairs[4] = pairs[3].model_copy(update={"steered": "the artery too", "collapsed": True})
    evidence = measured(word="artery")
    assert "steered: an Artery of the north" in with_steering(evidence, pairs=tuple(pairs))
    assert "the artery too" not in with_steering(evidence, pairs=tuple(pairs))
    assert f"steered: {pairs[0].steered.strip()}" in with_steering(evidence, pairs=tuple(pairs[:3]))


def test_without_a_hit_no_share_of_directions_is_given_that_all_reach() -> None:
    evidence = make_evidence()
    assert evidence.keywords
    none = evidence.model_copy(update={"keywords": evidence.keywords.model_copy(update={"hits": ()})})
    assert "domain words among 10 top tokens: none\n" in brief_judge(none)


def test_a_token_that_is_a_listed_word_is_not_listed_twice() -> None:
    twice = SteeredWords(
        n=9, words=(rise("pain"),), tokens=(rise(" pain"), rise(" !")), chance_words=1, chance_tokens=1
    )
    text = with_steering(measured(), words=twice)
    assert text.count("pain") == 1 and '" !" 7/0/1' in text


def test_a_coherence_without_its_null_is_not_shown() -> None:
    evidence = make_evidence()
    assert evidence.coherence
    assert "cosine" in brief_judge(evidence)
    bare = evidence.model_copy(update={"coherence": evidence.coherence.model_copy(update={"null_share": None})})
    assert "cosine" not in brief_judge(bare)


def test_a_record_that_does_not_say_what_a_silent_context_shares_is_searched_for_it() -> None:
    evidence = make_evidence()
    words = (*(" river" for _ in range(20)), " Heart", *(" garden" for _ in range(20)))
    silent = Context(document="d", tokens=words, activations=(0.0,) * 41, max_activation=0.0)
    text = brief_judge(with_activations(evidence, near_misses=(silent,)))
    assert "a token of its peaks" in text and "«Heart|0»" in text
    other = silent.model_copy(update={"tokens": (" garden",) * 41})
    assert "the feature most like it" in brief_judge(with_activations(evidence, near_misses=(other,)))


def test_pairs_of_one_beginning_say_it_once_and_keep_their_order() -> None:
    pairs = make_pairs(3, steered="STEERED", unsteered="PLAIN")
    other = pairs[2].model_copy(update={"prompt": "Another beginning"})
    lines = [line[2:] for line in brief_pairs((*pairs[:2], other), (True, False, True)).split("\n")[1:-1]]
    assert [line[:6] for line in lines] == [
        "after:",
        "1 A: S",
        "1 B: P",
        "2 A: P",
        "2 B: S",
        "after:",
        "3 A: S",
        "3 B: P",
    ]
    assert brief_pairs((), ()) == "There are no pairs."


def test_missing_kinds_are_left_out() -> None:
    bare = Evidence(feature=FEATURE, stratum="imported")
    assert {brief(bare) for brief in BRIEFS} == {"Nothing was measured."}
    tokens_only = brief_judge(bare.model_copy(update={"projection": make_evidence().projection}))
    assert "top tokens" in tokens_only
    for word in ("INPUT", "contexts", "cosine", "domain", "None", "nan"):
        assert word not in tokens_only


def test_what_is_too_long_loses_whole_lines_and_says_how_many() -> None:
    rows = tuple(
        Context(document="d", tokens=(f" river {n}" + " x" * 25,) * 9, activations=(1.0,) * 9, max_activation=1.0)
        for n in range(12)
    )
    long = TokenShare(token="y" * 99, mass=0.1, occurrences=0.1, active_share=0.1)
    evidence = with_activations(measured("y" * 900), top=rows, quantiles=rows)
    assert evidence.activations and evidence.activations.statistics
    statistics = evidence.activations.statistics.model_copy(update={"tokens": (long,) * 9})
    text = brief_judge(with_activations(evidence, statistics=statistics))
    assert len(text) < 4500
    lines = ["a" * 50, "b" * 50, "c" * 50]
    assert list(fit(lines, 145)) == [*lines[:2], "[… 1 more lines]"]
    assert list(fit(lines, 400)) == lines


def test_the_other_end_of_the_projection_is_shown_only_where_nothing_was_measured() -> None:
    assert "bottom tokens" in brief_judge(make_evidence())
    assert "bottom tokens" not in brief_judge(measured())


def everything(text: str) -> str:
    evidence = measured(text, text)
    assert evidence.projection and evidence.keywords and evidence.activations and evidence.steering
    context = Context(document=text, tokens=(text, " heart"), activations=(3.0, 1.0), max_activation=3.0)
    token = evidence.projection.top[0].model_copy(update={"token": text, "word": text})
    hit = evidence.keywords.hits[0].model_copy(update={"token": text, "word": text})
    changes = {"prompt": text, "steered": text, "unsteered": text + "x", "random": text, "flipped": text}
    pairs = tuple(pair.model_copy(update=changes) for pair in evidence.steering.pairs)
    steering: SteeringEvidence = evidence.steering.model_copy(update={"pairs": pairs})
    poisoned = with_activations(evidence, top=(context,), quantiles=(context,)).model_copy(
        update={
            "projection": evidence.projection.model_copy(update={"top": (token,) * 3, "bottom": (token,)}),
            "keywords": evidence.keywords.model_copy(update={"hits": (hit,)}),
            "steering": steering,
        }
    )
    imported = ImportedFeature(feature=1, top_tokens=(text,), contexts=(text, f"a <<{text}>>(3) b")).evidence("s")
    return "\n".join(
        [*(brief(one) for brief in BRIEFS for one in (poisoned, imported)), brief_pairs(pairs, (True,) * len(pairs))]
    )


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_gets_out_of_its_fence(attack: str) -> None:
    assert outside(everything(attack)) == outside(everything("harmless"))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    st.text(
        alphabet=st.one_of(st.sampled_from("<>|\n\r\u2028＞⋙»evidnctspar "), st.characters(exclude_categories=["Cs"])),
        min_size=1,
    )
)
def test_no_text_gets_out_of_its_fence(text: str) -> None:
    rendered = everything(text)
    assert outside(rendered) == outside(everything("harmless"))
    marks = [line for line in rendered.split("\n") if "<<<" in line or ">>>" in line]
    assert all(not line.startswith("|") for line in marks)
