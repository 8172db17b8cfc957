"""The judge of two sides: what it is shown, how repeats become one verdict, and when it asks for other hypotheses."""

from __future__ import annotations

import asyncio
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.briefing.generations import briefing_of
from agent.briefing.second.forms import LeftOpen, SidedReply, sided_reply_for
from agent.folder.measurements import Measurement, Observed
from agent.judges.judge import Case, Model
from agent.judges.panel import aggregate
from agent.judges.two_sided import TwoSided, blind, choose_pairs, conclude, explain_no_pairs, look_at_sides
from agent.llm.errors import Unfit
from agent.llm.reading.structured import parse
from agent.transcript import Notes
from prompts.fence import outside
from tests.agent.attacks import ATTACKS
from tests.agent.briefing.test_evidence import poisoned
from tests.agent.cases import DOMAIN, Asked, ScriptedLlm, make_evidence, make_hypothesis, make_pairs, make_sided
from tools.catalogue.findings import SentenceActivation, SentenceActivations
from tools.proof.floors import DeadFloor
from tools.records import SteeringEvidence
from tools.study.definition import Counts

GUIDELINE = "Wards count, gardens do not."
DEAD = (DeadFloor(instrument="steering", why="the hook never ran"),)
NAMED = (make_hypothesis(name="H1"), make_hypothesis("courage", name="H2"), make_hypothesis("cards", name="H3"))


def appoint(llm: Any = None, repeats: int = 1, counts: Counts = "both") -> TwoSided:
    return TwoSided(Model("j", repeats, llm), briefing_of(2), DOMAIN.model_copy(update={"counts": counts}), GUIDELINE)


def tried(activation: float, round: int = 1) -> Observed:
    """A test of one sentence."""
    found = SentenceActivation(sentence="a ward", max_activation=activation, peak="", n_active=0, n_tokens=2)
    result = SentenceActivations(sentences=(found,), largest_in_corpus=9.0).model_dump(mode="json")
    measurement = Measurement(
        sha256="0", instrument="measure_activations", feature="f", arguments={}, status="ok", result=result
    )
    return Observed(round=round, call_id="c", hypothesis=1, measurement=measurement)


def prompt_of(case: Case, repeat: int = 0) -> tuple[str, str]:
    system, user = appoint(repeats=2).requests(case)[repeat]
    return str(system["content"]), str(user["content"])


def test_everything_that_holds_for_all_features_stands_in_the_beginning_they_share() -> None:
    other = make_evidence().model_copy(update={"projection": None, "causal": None})
    (system, user), (again, unlike) = prompt_of(Case(make_evidence(), NAMED, round=1)), prompt_of(Case(other))
    assert system == again and user != unlike
    assert GUIDELINE in system and DOMAIN.definition in system and GUIDELINE not in user


def test_no_text_of_a_feature_gets_out_of_its_fence() -> None:
    for attack in ATTACKS:
        evidence, hypotheses = poisoned(attack)
        named = tuple(one.model_copy(update={"name": f"H{n}"}) for n, one in enumerate(hypotheses, 1))
        assert "pwned" not in outside(prompt_of(Case(evidence, named, round=1))[1]).casefold()


def test_a_hypothesis_is_chosen_by_a_name_that_is_the_same_in_every_order() -> None:
    case = Case(make_evidence(), NAMED, round=1)

    def policy(asked: Asked) -> SidedReply:
        assert all(f"{one.name}: {one.label}" in asked.text for one in NAMED)
        return make_sided(better_hypothesis="H2")

    llm, notes = ScriptedLlm(policy=policy), Notes(0, "judge")
    ruling = asyncio.run(appoint(llm, repeats=4).judge(case, notes))
    shown = [step.content["hypotheses_shown"] for step in notes.steps if step.kind == "judgement"]  # type: ignore[index]
    assert len({tuple(order) for order in shown}) > 1, "the orders differ"
    assert ruling.note is not None and ruling.note["panel"]["better_hypothesis"] == "H2"  # type: ignore[index]
    assert ruling.judgement.sides is not None and ruling.judgement.relevant == "yes"


def test_a_hypothesis_that_was_not_shown_cannot_be_chosen() -> None:
    for names, better, fits in (
        (("H1", "H2"), "H2", True),
        (("H1",), "H2", False),
        ((), None, True),
        ((), "H1", False),
    ):
        text = make_sided(better_hypothesis=better).model_dump_json()
        if fits:
            assert parse(text, sided_reply_for(names)).better_hypothesis == better
        else:
            with pytest.raises(Unfit):
                parse(text, sided_reply_for(names))


def test_a_reply_s_form_is_the_case_s_own_whatever_cases_a_process_had_before() -> None:
    for names in (("H1", "H3"), ("H3", "H1"), ("H1", "H3")):
        choice = sided_reply_for(names).model_json_schema()["properties"]["better_hypothesis"]
        assert choice["anyOf"][0]["enum"] == list(names)


@pytest.mark.parametrize(("spelt", "read"), [('"YES"', "yes"), ('"Undecided"', "undecided")])
def test_verdicts_in_other_spellings_are_read_on_either_side(spelt: str, read: str) -> None:
    text = make_sided(output_relevant="no", better_hypothesis=None).model_dump_json()
    text = text.replace('"input_relevant":"yes"', f'"input_relevant":{spelt}').replace("0.8", '"0.8"')
    reply = parse(text, sided_reply_for(()))
    assert (reply.input_relevant, reply.output_relevant, reply.input_confidence) == (read, "no", 0.8)


@pytest.mark.parametrize("field", ["input_relevant", "output_confidence", "sides", "left_open"])
def test_a_reply_that_lacks_a_side_is_asked_for_again(field: str) -> None:
    given = make_sided().model_dump(mode="json")
    del given[field]
    with pytest.raises(Unfit, match=field):
        parse(str(given).replace("'", '"').replace("None", "null"), sided_reply_for(()))


def test_each_side_is_decided_by_its_own_majority_and_the_rule_decides_on_the_whole() -> None:
    replies = [
        make_sided(input_relevant="yes", output_relevant="no", output_confidence=0.9),
        make_sided(input_relevant="yes", output_relevant="no", output_confidence=0.6),
        make_sided(input_relevant="no", output_relevant="no", output_confidence=0.9),
    ]
    for counts, relevant, agreement in (("input", "yes", 2 / 3), ("output", "no", 1), ("either", "yes", 2 / 3)):
        panel = aggregate(replies, 3, counts, (True, True))
        assert panel.relevant == relevant
        assert panel.self_agreement == pytest.approx(agreement, abs=1e-4)
    both = aggregate(replies, 3, "both", (True, True))
    assert both.sides.input and both.sides.output
    assert (both.sides.input.relevant, both.sides.input.confidence) == ("yes", pytest.approx(0.8 * 2 / 3, abs=1e-4))
    assert (both.relevant, both.confidence) == ("no", pytest.approx(0.8))


REPLIES = st.lists(
    st.builds(
        make_sided,
        input_relevant=st.sampled_from(["yes", "no", "undecided"]),
        output_relevant=st.sampled_from(["yes", "no", "undecided"]),
        input_confidence=st.floats(0, 1),
        output_confidence=st.floats(0, 1),
    ),
    min_size=1,
    max_size=5,
)


@given(REPLIES, st.integers(0, 3), st.sampled_from(get_args(Counts)))
def test_repeats_in_another_order_make_the_same_sides(replies: list[SidedReply], failed: int, counts: Counts) -> None:
    n = len(replies) + failed
    one, other = (aggregate(given, n, counts, (True, True)) for given in (replies, sorted(replies, key=repr)))
    for mine, theirs in ((one.sides.input, other.sides.input), (one.sides.output, other.sides.output)):
        assert mine and theirs
        votes = [r.input_relevant if mine is one.sides.input else r.output_relevant for r in replies]
        assert (mine.relevant == "undecided") or 2 * votes.count(mine.relevant) > n
        assert mine.relevant == theirs.relevant
    assert one.relevant == other.relevant
    assert 0 <= one.confidence <= 1


def test_what_nobody_saw_does_not_count() -> None:
    contexts_only = make_evidence(projection=None, keywords=None, coherence=None, steering=None, causal=None)
    case = Case(contexts_only)
    assert look_at_sides(case) == (True, False)
    ruling = conclude(case, [make_sided(output_relevant="no")], [()], 1, "both")
    assert ruling.judgement.relevant == "yes"
    assert ruling.judgement.sides is not None and ruling.judgement.sides.output is None
    assert "output not seen" in " ".join(ruling.judgement.reasons)
    tokens_only = contexts_only.model_copy(update={"activations": None, "projection": make_evidence().projection})
    assert look_at_sides(Case(tokens_only)) == (False, True)
    assert look_at_sides(Case(tokens_only, observed=(tried(1.0),))) == (True, True)
    assert look_at_sides(Case(tokens_only.model_copy(update={"projection": None}))) == (True, True)


@pytest.mark.parametrize(
    ("reply", "activation", "settled"),
    [
        ({}, 1.0, "settled"),
        ({"input_relevant": "no"}, 1.0, "settled"),
        ({"better_hypothesis": None}, 1.0, None),
        ({"input_relevant": "undecided"}, 1.0, None),
        ({"input_relevant": "undecided"}, 0.0, "none of the round's 1 sentences activates the feature"),
        (
            {"input_relevant": "undecided", "left_open": "the guideline prescribes undecided"},
            1.0,
            "the guideline itself prescribes undecided",
        ),
        (
            {"input_relevant": "undecided", "left_open": "nothing"},
            1.0,
            "the judge sees nothing that a test could settle",
        ),
    ],
)
def test_another_round_is_for_what_can_still_be_learnt(
    reply: dict[str, Any], activation: float, settled: str | None
) -> None:
    case = Case(make_evidence(), NAMED, (tried(activation),), round=1)
    given = make_sided(**{"left_open": "tests could settle it", **reply})
    ruling = conclude(case, [given], [(True,)], 1, "both")
    assert (ruling.doubt is None) == (settled is not None)
    if settled is not None:
        assert ruling.settled == settled
    elif "better_hypothesis" not in reply:
        assert "input: undecided (heart disease)" in str(ruling.doubt)


def test_pairs_are_chosen_where_the_texts_differ_and_their_absence_is_explained() -> None:
    steering = make_evidence().steering
    assert steering is not None

    def with_pairs(*pairs: Any) -> SteeringEvidence:
        return steering.model_copy(update={"pairs": pairs})

    differing, same = make_pairs(2), make_pairs(1, steered="as it was", unsteered="as it was")[0]
    broken = differing[0].model_copy(update={"collapsed": True})
    assert choose_pairs(with_pairs(*differing, same, broken)) == differing
    said = {
        "no text was written": make_evidence(steering=None),
        "of 2 texts with the feature added 1 fell apart, and 1 read as": make_evidence(
            steering=with_pairs(same, broken)
        ),
    }
    for words, evidence in said.items():
        assert words in explain_no_pairs(Case(evidence))
        assert words in prompt_of(Case(evidence))[1]
    assert blind(Case(make_evidence(steering=None)), 0).pairs == ()
    dead = Case(make_evidence(), floors=DEAD)
    assert "measured nothing" in explain_no_pairs(dead)


def test_what_a_judge_may_leave_open_is_what_the_prompt_says() -> None:
    system, _ = prompt_of(Case(make_evidence()))
    assert all(f"`{word}`" in system for word in get_args(LeftOpen))
    assert all(f"`{name}`" in system for name in SidedReply.model_fields if name != "reasons")
