"""An answer in whatever stands around it: the one outside the thoughts, or none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.llm.errors import Unfit
from agent.llm.reading.markup import object_in

ANSWER: dict[str, Any] = {"relevant": "yes", "reasons": ["it says </think> and <|channel|>final<|message|>{no}"]}
TEXT = json.dumps(ANSWER)
DRAFT = '{"relevant": "no", "reasons": []}'

THOUGHTS = [
    ("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>"), ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"), ("[THINK]", "[/THINK]"), ("◁think▷", "◁/think▷"), ("<THINK>", "</THINK>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"), ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel>thought\n", "<channel|>"), ("<unused94>thought\n", "<unused95>"), ("<draft>", "</draft>"),
    ("<longcat_think>", "</longcat_think>"), ('<think lang="en">', "</think>"), ("<|inner_prefix|>", "<|inner_suffix|>"),
]  # fmt: skip
OPENERS, CLOSERS = zip(*THOUGHTS, strict=True)

AROUND = {
    "gpt-oss": f"<|channel|>analysis<|message|>Maybe {DRAFT}?<|end|><|start|>assistant<|channel|>final<|message|>{TEXT}<|return|>",
    "gpt-oss, told to write JSON": f"<|channel|>analysis<|message|>Hm {{<|end|><|channel|>final <|constrain|>JSON<|message|>{TEXT}",
    "gpt-oss without its markup": f"analysisWe need JSON, {DRAFT} perhaps.assistantfinal{TEXT}",
    "Granite": f"Here is my thought process:\n{DRAFT}\n\nHere is my response:\n{TEXT}",
    "an answer in tags": f"First {DRAFT}, then no. <answer>{TEXT}</answer>",
    "Command A": f"<|START_THINKING|>{DRAFT}<|END_THINKING|><|START_RESPONSE|>{TEXT}<|END_RESPONSE|>",
    "the opening tag in the template": f"I weigh {DRAFT} and half of {{'it.\n</think>\n\n{TEXT}",
    "an empty thought": f"<think>\n\n</think>\n\n{TEXT}",
    "a thought that names its own tag": f"<think>The </think> tag ends me. {DRAFT}</think>{TEXT}",
    "a turn that goes on": f"{TEXT}<|im_end|>\n<|im_start|>user\nAnd now {DRAFT}",
    "what is left of a template": f"<|im_start|>assistant\n{TEXT}<|eot_id|></s>[/INST]",
    "a fence in a rare language": f"```jsonc\n{TEXT}\n```",
    "a fence after a thought": f"<think>x</think>Here it is:\n```\n{TEXT}\n```\nI hope this helps.",
}  # fmt: skip


@pytest.mark.parametrize("text", AROUND.values(), ids=AROUND)
def test_the_answer_outside_the_thoughts_is_found(text: str) -> None:
    assert object_in(text) == ANSWER


UNENDED = {
    "a thought without an end": f"<think>I would say {TEXT}",
    "a thought after the answer": f"{TEXT}<think>or rather",
    "analysis only": f"<|channel|>analysis<|message|>I would say {TEXT}<|end|>",
    "Granite's thought only": f"Here is my thought process:\n{TEXT}",
    "nothing after the thought": f"<think>{TEXT}</think>",
    "nothing after a thought without an opening": f"{TEXT}</think>",
    "an answer broken off": TEXT[:-1],
    "an answer broken off after a draft": f"{DRAFT}\n{TEXT[:-1]}",
    "two answers": f"{DRAFT} {TEXT}",
    "two answers after a thought": f"<think>x</think>{DRAFT} {TEXT}",
    "an answer, and another in tags": f"<answer>{TEXT}</answer>{DRAFT}",
}


@pytest.mark.parametrize("text", UNENDED.values(), ids=UNENDED)
def test_a_thought_without_an_end_and_whatever_is_not_one_answer_is_none(text: str) -> None:
    with pytest.raises(Unfit) as caught:
        object_in(text)
    assert caught.value.type == "unparseable"


words = st.text(st.characters(exclude_characters="{}<>[]|◁▷'\"`\\", exclude_categories=["Cs"]), max_size=30)
thought = st.builds(
    lambda tags, inside: f"{tags[0]}{inside}{tags[1]}",
    st.sampled_from(THOUGHTS),
    st.one_of(words, st.just(DRAFT), words.map(lambda text: f"{text}{DRAFT}{text}"), st.just(DRAFT[:-3])),
)
leftover = st.sampled_from(["", "\n", "</s>", "<|im_end|>", "<|eot_id|>", "\n\nThat is all.", "[/INST]", "\ufeff"])
fence = st.sampled_from(
    ["{}", "```json\n{}\n```", "```\n{}\n```", "~~~\n{}\n~~~", "<answer>{}</answer>", "<json>{}</json>", "[{}]"]
)
value = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-99, 99)
    | st.text(max_size=12)
    | st.sampled_from([*OPENERS, *CLOSERS, TEXT]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
verdict = st.dictionaries(st.text(max_size=8), value, min_size=1, max_size=4)


@settings(deadline=None)
@given(verdict, st.lists(thought, max_size=3), words, fence, leftover, st.booleans())
def test_any_verdict_is_read_through_any_thoughts_fences_and_leftovers(
    answer: dict[str, Any], thoughts: list[str], prose: str, fenced: str, rest: str, in_ascii: bool
) -> None:
    text = fenced.replace("{}", json.dumps(answer, ensure_ascii=in_ascii))
    assert object_in(f"{''.join(thoughts)}{prose}\n{text}{rest}") == answer


@settings(deadline=None)
@given(verdict, verdict, st.sampled_from(THOUGHTS), st.booleans(), words)
def test_no_other_verdict_is_ever_read_than_the_one_outside_the_thoughts(
    answer: dict[str, Any], draft: dict[str, Any], tags: tuple[str, str], opened: bool, prose: str
) -> None:
    before, after = tags
    thoughts = f"{before if opened else ''}{prose}{json.dumps(draft)}{after}"
    assert object_in(f"{thoughts}\n{json.dumps(answer)}") == answer
    for without in (thoughts, f"{before}{json.dumps(draft)}", f"{json.dumps(answer)}{before}{prose}"):
        with pytest.raises(Unfit):
            object_in(without)


@settings(deadline=None)
@given(verdict, st.integers(1, 200))
def test_no_part_of_an_answer_that_broke_off_is_read_as_the_whole(answer: dict[str, Any], cut: int) -> None:
    text = json.dumps(answer)
    with pytest.raises(Unfit):
        object_in(text[: max(0, len(text) - cut)])
