from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Any

import pytest
from pydantic import ValidationError

from agent.briefing.first.forms import JudgeReply, PairChoice, judge_reply_for
from agent.briefing.generations import briefing_of
from agent.judges.blind import (
    BlindJudge,
    blind,
    count_identified,
    named_steered,
    order_hypotheses,
    order_pairs,
)
from agent.judges.judge import Case, Model, Ruling
from agent.llm.errors import LlmFailure, Unfit
from agent.llm.reading.structured import parse, strict_json_schema
from agent.llm.records import Usage
from agent.transcript import Abandoned, Notes
from tests.agent.cases import (
    DOMAIN,
    FEATURE,
    TWO,
    Asked,
    ScriptedLlm,
    make_evidence,
    make_judgement,
    make_pairs,
    make_state,
)
from tools.records import Evidence

KEY = FEATURE.key


def judge(
    *answers: Any, repeats: int = 1, policy: Any = None, case: Case | None = None
) -> tuple[Ruling, Notes, ScriptedLlm]:
    llm = ScriptedLlm(*answers, policy=policy)
    who = BlindJudge(Model("j", repeats, llm), briefing_of(1), DOMAIN, "a guideline")
    notes = Notes(len(make_state().steps), "judge")
    case = case or Case(make_evidence(), TWO)
    return asyncio.run(who.judge(case, notes)), notes, llm


def noted(ruling: Ruling) -> Any:
    """What closes the judgement in the transcript."""
    assert ruling.note
    return ruling.note


def named(ruling: Ruling) -> tuple[int, int]:
    """Pairs whose steered text was named, of those shown."""
    return noted(ruling)["identified"], noted(ruling)["shown"]


def seer(asked: Asked) -> JudgeReply:
    """Knows a steered text when it sees one: it speaks of the heart."""
    lines = [line for line in asked.text.split("\n") if line.startswith(("|   A:", "|   B:"))]
    choices = [
        PairChoice(pair=place // 2 + 1, steered="A" if "A:" in line else "B")
        for place, line in enumerate(lines)
        if "heart" in line
    ]
    shown = [line for line in asked.text.split("\n") if line.startswith("| hypothesis")]
    better = next(place for place, line in enumerate(shown, 1) if "heart" in line)
    return make_judgement(steered_choices=tuple(choices), better_hypothesis=better)


def test_orders_follow_from_the_key_and_are_balanced() -> None:
    assert order_pairs(KEY, 10, 0) == order_pairs(KEY, 10, 0)
    assert order_pairs(KEY, 10, 0) != order_pairs("base-000001", 10, 0)
    assert order_pairs(KEY, 10, 0) != order_pairs(KEY, 10, 2)
    share = sum(sum(order_pairs(f"k{n}", 10, 0)) for n in range(100)) / 1000
    assert 0.45 < share < 0.55
    first = [order_hypotheses(f"k{n}", 2, 0)[0] for n in range(200)]
    assert 80 < sum(first) < 120


def test_every_second_repeat_shows_the_pairs_the_other_way_round() -> None:
    for repeat in (0, 2, 4):
        assert order_pairs(KEY, 8, repeat) == tuple(not is_a for is_a in order_pairs(KEY, 8, repeat + 1))


def test_a_pair_is_named_only_by_one_unequivocal_choice() -> None:
    choices = [(1, "A"), (2, "A"), (3, "neither"), (4, "A"), (4, "B"), (9, "A"), (6, "B"), (6, "B")]
    reply = make_judgement(steered_choices=tuple(PairChoice(pair=p, steered=s) for p, s in choices))
    assert named_steered(reply.steered_choices, (True, False, True, True, True, False)) == (
        True,
        False,
        False,
        False,
        False,
        True,
    )


def test_a_pair_counts_when_more_than_half_of_the_repeats_name_it() -> None:
    assert count_identified([(True, False, True)]) == 2
    assert count_identified([(True, True), (True, False)]) == 1
    assert count_identified([(True, True), (True, False), (False, False)]) == 1


def test_a_judge_who_sees_the_difference_lets_steering_pass() -> None:
    ruling, notes, llm = judge(policy=seer)
    assert named(ruling) == (10, 10)
    steering = ruling.judgement.steering
    assert steering
    assert (steering.verdict, steering.win_rate, steering.n, steering.null_win_rate) == ("passes", 1.0, 10, 0.5)
    assert [step.kind for step in notes.steps] == ["messages", "reply", "judgement"]
    assert llm.asked[0].seed is None


def test_a_judge_who_favours_a_position_names_nothing_beyond_chance() -> None:
    ruling, _, _ = judge(make_judgement(), make_judgement(), repeats=2)
    assert named(ruling) == (0, 10)
    assert ruling.judgement.steering
    assert ruling.judgement.steering.verdict == "undecided"  # measured: passes, seen: fails


def test_the_transcript_holds_the_orders_and_the_better_hypothesis_is_mapped_back() -> None:
    case = Case(make_evidence(), TWO)
    ruling, notes, llm = judge(policy=seer, repeats=4, case=case)
    assert noted(ruling)["panel"]["better_hypothesis"] == 1
    for repeat, step in enumerate([step for step in notes.steps if step.kind == "judgement"]):
        content: Any = step.content
        assert content["steered_is"] == ["A" if a else "B" for a in order_pairs(KEY, 10, repeat)]
        assert content["hypotheses_shown"] == [place + 1 for place in blind(case, repeat).hypotheses]
        assert content["reply"]["better_hypothesis"] == 1
    assert [asked.seed for asked in llm.asked] == [0, 1, 2, 3]
    assert notes.usage == Usage(calls=4, input_tokens=400, output_tokens=40)
    assert len({asked.text for asked in llm.asked}) == 4


def test_repeats_differ_in_their_seed_even_without_pairs() -> None:
    bare = Case(Evidence(feature=FEATURE, stratum="imported"))
    ruling, _, llm = judge(*(make_judgement(better_hypothesis=None, steered_choices=()),) * 3, repeats=3, case=bare)
    assert len({asked.seed for asked in llm.asked}) == 3
    assert ruling.judgement.steering is None
    assert named(ruling) == (0, 0)


def test_disagreement_is_told_and_lowers_confidence() -> None:
    ruling, _, _ = judge(make_judgement(), make_judgement(relevant="no"), make_judgement(), repeats=3)
    assert ruling.judgement.relevant == "yes"
    assert ruling.judgement.confidence == pytest.approx(0.5333)
    assert ruling.judgement.reasons[-1] == "3 judgements: 1 no, 2 yes, 0 failed"


def test_a_failed_repeat_agrees_with_none() -> None:
    failure = LlmFailure("timeout", "no answer", 6, Usage(calls=1))
    ruling, notes, _ = judge(make_judgement(), failure, make_judgement(), repeats=3)
    assert ruling.self_agreement == pytest.approx(0.6667)
    assert [step.kind for step in notes.steps].count("failure") == 1
    assert notes.usage.calls == 3


@pytest.mark.parametrize(("replies", "repeats", "enough"), [(1, 1, True), (0, 1, False), (1, 2, False), (2, 3, True)])
def test_half_of_the_repeats_are_no_judgement(replies: int, repeats: int, enough: bool) -> None:
    answers = [*[make_judgement()] * replies, *[LlmFailure("timeout", "no answer")] * (repeats - replies)]
    with nullcontext() if enough else pytest.raises(Abandoned):
        judge(*answers, repeats=repeats)


def test_half_failed_is_a_failure_with_everything_written_down() -> None:
    with pytest.raises(Abandoned) as caught:
        judge(make_judgement(), LlmFailure("refusal", "no"), repeats=2)
    assert caught.value.failure.type == "refusal"
    assert [step.kind for step in caught.value.notes.steps] == ["messages", "reply", "messages", "failure"]


def test_collapsed_texts_are_not_put_to_the_judge() -> None:
    evidence = make_evidence()
    assert evidence.steering
    pairs = tuple(pair.model_copy(update={"collapsed": pair.seed < 6}) for pair in make_pairs(10))
    case = Case(evidence.model_copy(update={"steering": evidence.steering.model_copy(update={"pairs": pairs})}))
    ruling, _, _ = judge(make_judgement(better_hypothesis=None), case=case)
    assert named(ruling)[1] == 4


def test_only_hypotheses_that_exist_can_be_chosen() -> None:
    fitting = make_judgement(better_hypothesis=2).model_dump_json()
    assert parse(fitting, judge_reply_for(2)).better_hypothesis == 2
    for number, text in ((1, fitting), (0, make_judgement().model_dump_json())):
        with pytest.raises(Unfit):
            parse(text, judge_reply_for(number))
    assert parse(make_judgement(better_hypothesis=None).model_dump_json(), judge_reply_for(0)).label


def test_reasons_come_before_ruling_in_the_schema() -> None:
    properties: Any = strict_json_schema(judge_reply_for(3))["properties"]
    names = list(properties)
    assert names.index("reasons") < names.index("steered_choices") < names.index("relevant") < names.index("confidence")


@pytest.mark.parametrize("label", ["", "  ", "one two three four five six seven eight nine"])
def test_a_label_has_one_to_eight_words(label: str) -> None:
    with pytest.raises(ValidationError):
        make_judgement(label=label)
