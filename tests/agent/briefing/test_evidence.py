from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.briefing.first.evidence import brief_investigator, brief_judge, brief_pairs, brief_rater, show_context
from agent.briefing.first.predictions import brief_earlier, brief_tests_for_judge
from agent.briefing.generations import briefing_of
from agent.briefing.hypotheses import Hypothesis
from agent.briefing.second.predictions import brief_tests_for_judge as second_tests_for_judge
from agent.folder.measurements import Measurement, Observed
from agent.investigation.experiments import open_conversation, plan_tests, word_proposal
from agent.investigation.limits import MOST_STEP_TOKENS, estimate_tokens
from agent.judges.blind import BlindJudge, choose_pairs
from agent.judges.judge import Case, Model
from agent.stages.imported import ImportedFeature
from prompts.fence import outside
from tests.agent.attacks import ATTACKS
from tests.agent.cases import (
    DOMAIN,
    FEATURE,
    make_context,
    make_evidence,
    make_hypothesis,
    make_pairs,
    make_state,
    measure_activations,
    promote_words,
)
from tools.records import Context, Evidence, FeatureRef, PositionEvidence

MOST_JUDGE_TOKENS = 3000


def observe(hypotheses: list[Hypothesis], evidence: Evidence) -> list[Observed]:
    """Every planned test, measured by the instruments of straw."""
    observed: list[Observed] = []
    for pending in plan_tests(hypotheses, evidence):
        function = {"measure_activations": measure_activations, "promote_words": promote_words}[pending.call.name]
        found = function(evidence, **json.loads(pending.call.arguments))
        measurement = Measurement(
            sha256="0",
            instrument=pending.call.name,
            feature="f",
            arguments=None,
            status="ok",
            result=found.model_dump(mode="json"),
        )
        observed.append(Observed(round=1, call_id="x", hypothesis=pending.hypothesis, measurement=measurement))
    return observed


def judge_messages(evidence: Evidence, guideline: str = "Yes: illness.") -> list[dict[str, Any]]:
    hypotheses = (make_hypothesis(), make_hypothesis("courage"))
    case = Case(evidence, hypotheses, tuple(observe(list(hypotheses), evidence)), 1)
    (messages,) = BlindJudge(Model("j"), briefing_of(1), DOMAIN, guideline).requests(case)
    return messages


def text_of(messages: list[dict[str, Any]]) -> str:
    return "\n".join(str(message["content"]) for message in messages)


def test_the_investigator_reads_everything() -> None:
    text = brief_investigator(make_evidence())
    for part in (
        '" heart" 1.00',
        "bottom tokens",
        "5 (heart, blood, surgery, nurse, clinic); 0.4%",
        "0.46 (100%",
        "active at 0.400% of 52000 tokens; largest activation 12.3; words of the domain stand near active tokens 8.2 times",
        "the «heart 8.1» for",
        "ablation at 37 active tokens",
        "survival 0.8",
        "steering at 0.41 mean residual norms",
        "unsteered: garden",
    ):
        assert part in text, part


def test_missing_kinds_are_left_out() -> None:
    bare = Evidence(feature=FEATURE, stratum="imported")
    assert brief_investigator(bare) == brief_judge(bare) == "Nothing was measured."
    assert brief_pairs((), ()) == "There are no pairs."
    tokens_only = brief_judge(bare.model_copy(update={"projection": make_evidence().projection}))
    assert "top tokens" in tokens_only
    for word in ("contexts", "ablation", "cosine", "vocabulary", "None", "nan"):
        assert word not in tokens_only


def test_a_feature_of_a_place_is_said_to_be_one_before_its_contexts() -> None:
    evidence = make_evidence()
    assert evidence.activations is not None
    place = PositionEvidence(first=2, share=0.97, token_share=0.02, active=40)
    placed = evidence.model_copy(update={"activations": evidence.activations.model_copy(update={"position": place})})
    for brief in (brief_investigator, brief_judge, brief_rater):
        text = brief(placed)
        assert place.sentence in text and place.sentence not in brief(evidence)
        assert text.index(place.sentence) < text.index("contexts with the largest activations")


def test_the_judge_reads_nothing_that_unblinds_it() -> None:
    text = text_of(judge_messages(make_evidence()))
    base = make_evidence()
    for secret in (
        "4711",
        FEATURE.key,
        "candidates",
        "secret-document",
        "thoughts of",
        "100%;",
        "of 10 steered",
        "toy",
    ):
        assert secret not in text.replace("(100% of the tokens have", ""), secret
    twin = base.model_copy(
        update={
            "feature": FeatureRef(study="toy", sae="base", index=4711, kind="random_direction"),
            "stratum": "random directions",
        }
    )
    assert brief_judge(twin) == brief_judge(base)


def test_only_order_tells_two_judgements_of_a_case_apart() -> None:
    """The steering score, and which arm won, change nothing in what the judge is shown."""
    evidence = make_evidence()
    assert evidence.steering
    losing = tuple(pair.model_copy(update={"score_steered": 0.0}) for pair in evidence.steering.pairs)
    changed = evidence.steering.model_copy(update={"pairs": losing, "win_rate": 0.0, "null_win_rate": 0.9, "kl": 0.1})
    assert judge_messages(evidence) == judge_messages(evidence.model_copy(update={"steering": changed}))


def test_pairs_are_shown_in_the_order_given() -> None:
    pairs = make_pairs(2, steered="STEERED", unsteered="PLAIN")
    lines = brief_pairs(pairs, (True, False)).split("\n")
    assert [line[4:8] for line in lines if line.startswith("|   ")] == ["A: S", "B: P", "A: P", "B: S"]


def test_collapsed_pairs_are_not_shown() -> None:
    evidence = make_evidence()
    assert evidence.steering
    pairs = tuple(pair.model_copy(update={"collapsed": pair.seed % 2 == 0}) for pair in make_pairs(10))
    shown = choose_pairs(evidence.steering.model_copy(update={"pairs": pairs}))
    assert [pair.seed for pair in shown] == [1, 3, 5, 7, 9]
    assert len(choose_pairs(evidence.steering.model_copy(update={"pairs": make_pairs(25)}))) == 10
    assert choose_pairs(None) == ()


def test_a_context_is_cut_around_its_peak() -> None:
    tokens = tuple(f" w{number}" for number in range(100))
    values = tuple(9.0 if number == 60 else 1.0 if number == 61 else 0.0 for number in range(100))
    shown = show_context(Context(document="d", tokens=tokens, activations=values, max_activation=9.0), 40)
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert "w59 «w60 9» w61" in shown  # 61 is below a quarter of the peak
    assert len(shown) < 45


def test_marks_in_the_text_are_not_taken_for_activations() -> None:
    context = Context(document="d", tokens=("«fake 99»", " real"), activations=(0.0, 2.0), max_activation=2.0)
    assert show_context(context, 100) == "‹fake 99› «real 2»"


def test_the_judges_prompt_stays_within_its_tokens() -> None:
    guideline = "y" * 1500  # as long as the embedded study's
    assert estimate_tokens(judge_messages(make_evidence(), guideline)) <= MOST_JUDGE_TOKENS


@pytest.mark.parametrize("generation", [1, 2])
def test_an_investigation_step_stays_within_its_tokens(tmp_path: Any, generation: int) -> None:
    evidence = make_evidence()
    hypotheses = [make_hypothesis(), make_hypothesis("courage"), make_hypothesis("cards")]
    observed = observe(hypotheses, evidence)
    state = make_state(hypotheses=tuple(hypotheses), observed=observed, round=1)
    investigator, briefing = make_context(tmp_path, None, generation=generation).investigator, briefing_of(generation)
    assert investigator
    for plain in (False, True):
        opening = open_conversation(state.model_copy(update={"plain": plain}), investigator, evidence)
        assert estimate_tokens(opening) <= MOST_STEP_TOKENS * 2 // 3  # room for results
    earlier = briefing.earlier(hypotheses, observed, 1, "undecided " * 300)
    messages = word_proposal(briefing, DOMAIN, evidence, earlier)
    assert estimate_tokens(messages) <= MOST_STEP_TOKENS


def test_the_judge_sees_the_figures_of_what_the_investigator_chose_to_measure() -> None:
    sentences = [f"{'A long sentence about nothing at all, number'} {n} with a heart in it." for n in range(6)]
    call = Measurement(
        sha256="0",
        instrument="measure_activations",
        feature="base-004711",
        arguments={"sentences": sentences},
        status="ok",
        result=measure_activations(make_evidence(), sentences).model_dump(mode="json"),
    )
    observed = [Observed(round=1, call_id="x", hypothesis=None, measurement=call)]
    shown = brief_tests_for_judge((), (), observed, 1)
    for sentence in sentences:
        assert f"5 at ' heart' in: {sentence}" in shown


@pytest.mark.parametrize(
    ("instrument", "told"), [("ablate", True), ("continue_text", False), ("an_instrument_of_tomorrow", False)]
)
def test_the_judge_hears_only_of_instruments_that_declare_themselves_blind(instrument: str, told: bool) -> None:
    call = Measurement(
        sha256="0", instrument=instrument, feature="f", arguments={"sentence": "s"}, status="ok", result={"seen": "it"}
    )
    observed = [Observed(round=1, call_id="x", hypothesis=None, measurement=call)]
    assert (instrument in brief_tests_for_judge((), (), observed, 1)) == told
    assert instrument in brief_earlier((), observed, 1, "")  # the investigator may know it


def poisoned(text: str) -> tuple[Evidence, list[Hypothesis]]:
    """The text in every place that comes from outside."""
    base = make_evidence()
    assert base.projection and base.keywords and base.activations and base.steering
    context = Context(document=text, tokens=(text, " heart"), activations=(3.0, 1.0), max_activation=3.0)
    token = base.projection.top[0].model_copy(update={"token": text, "word": text})
    hit = base.keywords.hits[0].model_copy(update={"token": text, "word": text})
    changes = {"prompt": text, "steered": text, "unsteered": text + "x", "random": text, "flipped": text}
    pairs = tuple(pair.model_copy(update=changes) for pair in base.steering.pairs)
    evidence = base.model_copy(
        update={
            "projection": base.projection.model_copy(update={"top": (token,) * 3, "bottom": (token,)}),
            "keywords": base.keywords.model_copy(update={"hits": (hit,)}),
            "activations": base.activations.model_copy(update={"top": (context,), "quantiles": (context,)}),
            "steering": base.steering.model_copy(update={"pairs": pairs}),
        }
    )
    hypothesis = Hypothesis.model_construct(
        reasons=text,
        label=text,
        about_inputs=make_hypothesis().about_inputs.model_construct(will_activate=(text,), near_misses=(text,)),
        about_outputs=make_hypothesis().about_outputs.model_construct(will_be_promoted=(text,)),
    )
    return evidence, [hypothesis, hypothesis]


def everything_rendered(text: str) -> str:
    evidence, hypotheses = poisoned(text)
    observed = observe(hypotheses, evidence)
    observed += [o.model_copy(update={"hypothesis": None}) for o in observed[:2]]
    pairs = choose_pairs(evidence.steering)
    imported = ImportedFeature(feature=1, top_tokens=(text,), contexts=(text, f"a <<{text}>>(3) b")).evidence("s")
    others = briefing_of(2)
    second = [
        *(brief(evidence, {}) for brief in (others.investigator, others.judge, others.rater)),
        others.rater(imported, {}),
        others.pairs(pairs, (True,) * len(pairs)),
        others.hypotheses(hypotheses, (0, 1)),
        others.tests(hypotheses, (0, 1), observed, 1),
        second_tests_for_judge(hypotheses, (0, 1), observed, 1),
        others.earlier(hypotheses, observed, 1, text),
        *(others.result(one.measurement, 3) for one in observed),
    ]
    return "\n".join(
        [
            *second,
            brief_investigator(evidence),
            brief_judge(evidence),
            brief_rater(evidence),
            brief_rater(imported),
            brief_pairs(pairs, (True,) * len(pairs)),
            brief_tests_for_judge(hypotheses, (0, 1), observed, 1),
            brief_earlier(hypotheses, observed, 1, text),
        ]
    )


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_gets_out_of_its_fence(attack: str) -> None:
    assert outside(everything_rendered(attack)) == outside(everything_rendered("harmless"))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    st.text(
        alphabet=st.one_of(st.sampled_from("<>|\n\r\u2028＞⋙»evidnctspar "), st.characters(exclude_categories=["Cs"])),
        min_size=1,
    )
)
def test_no_text_gets_out_of_its_fence(text: str) -> None:
    rendered = everything_rendered(text)
    assert outside(rendered) == outside(everything_rendered("harmless"))
    marks = [line for line in rendered.split("\n") if "<<<" in line or ">>>" in line]
    assert all(not line.startswith("|") for line in marks)
    assert unicodedata.normalize("NFKC", rendered).count("<<<") == rendered.count("<<<")
