"""Ratings of concepts: one reading of the evidence, a number each, and never a rating that no reply gave."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent.briefing.first.forms import RatingReply, rating_reply_for
from agent.briefing.generations import briefing_of
from agent.folder.records import Decision, SelectedFeature
from agent.investigation.graph import build_graph
from agent.investigation.state import FeatureState
from agent.judges.judge import Case, Model
from agent.judges.rating import Rater
from agent.llm.errors import LlmFailure, Unfit
from agent.llm.reading.structured import parse, strict_json_schema
from prompts.fence import outside
from tests.agent.attacks import ATTACKS
from tests.agent.briefing.test_evidence import poisoned
from tests.agent.cases import ScriptedLlm, make_context, make_evidence
from tools.study.definition import Question, Rating

CONCEPTS = {"dentist": "Teeth and those who care for them.", "nurse": ""}
RATING = Rating(guideline="guideline.md", concepts=CONCEPTS)
QUESTION = Question(name="concepts", title="Concepts", folder=Path("."), rating=RATING)


def reply(dentist: int, nurse: int, **changes: Any) -> RatingReply:
    fields = {
        "reasons": ("teeth",),
        "ratings": {"dentist": dentist, "nurse": nurse},
        "label": "teeth",
        "interpretable": 4,
        "confidence": 0.8,
    }
    return rating_reply_for(tuple(CONCEPTS)).model_validate({**fields, **changes})


def rate(tmp_path: Path, *answers: Any, repeats: int = 1) -> tuple[Decision, ScriptedLlm]:
    llm = ScriptedLlm(*answers)
    context = make_context(tmp_path, llm, question=QUESTION, judge_repeats=repeats)
    (evidence,) = context.evidence.values()
    state = FeatureState(item=SelectedFeature(feature=evidence.feature, stratum=evidence.stratum))
    final = FeatureState.model_validate(asyncio.run(build_graph().ainvoke(state, context=context)))
    assert final.decision
    return final.decision, llm


def test_a_feature_is_rated_in_one_call_and_decided(tmp_path: Path) -> None:
    decision, llm = rate(tmp_path, reply(4, 1))
    assert decision.status == "decided"
    assert decision.relevant is None
    assert decision.ratings
    assert [(r.concept, r.rating) for r in decision.ratings] == [("dentist", 4), ("nurse", 1)]
    assert (decision.confidence, decision.judge.prompt, decision.usage.calls) == (0.8, "rate.v1", 1)
    assert [asked.purpose for asked in llm.asked] == ["rate"]


def test_repeats_are_asked_under_seeds_of_their_own_and_disagreement_lowers_confidence(tmp_path: Path) -> None:
    decision, llm = rate(tmp_path, reply(4, 0), reply(4, 1), reply(3, 0), repeats=3)
    assert [asked.seed for asked in llm.asked] == [0, 1, 2]
    assert decision.ratings
    assert [r.rating for r in decision.ratings] == [4, 0]
    assert decision.judge.self_agreement == pytest.approx(2 / 3, abs=1e-4)
    assert decision.confidence == pytest.approx(0.8 * 2 / 3, abs=1e-3)


def test_a_rater_that_fails_too_often_leaves_a_failure(tmp_path: Path) -> None:
    decision, _ = rate(tmp_path, reply(4, 0), LlmFailure("refusal", "no"), repeats=2)
    assert (decision.status, decision.ratings, decision.failure and decision.failure.type) == (
        "failed",
        None,
        "refusal",
    )
    assert decision.judge.prompt == "rate.v1"


@pytest.mark.parametrize(
    "ratings",
    [
        {"dentist": 4},
        {"dentist": 4, "nurse": 0, "pilot": 0},
        {"dentist": 5, "nurse": 0},
        {"dentist": "4", "nurse": "x"},
    ],
    ids=["one missing", "one unknown", "out of range", "no number"],
)
def test_ratings_must_be_of_the_concepts_and_no_others(ratings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        reply(0, 0, ratings=ratings)


def test_concepts_may_have_any_name() -> None:
    names = ("gender, as in text", "copy", "model_dump", "_x", "ähm")
    schema = rating_reply_for(names)
    text = json.dumps({**reply(0, 0).model_dump(), "ratings": dict.fromkeys(names, 2)})
    assert [(r.concept, r.rating) for r in parse(text, schema).ratings.given()] == [(name, 2) for name in names]


def test_the_schema_names_the_concepts_for_strict_servers() -> None:
    schema = str(strict_json_schema(rating_reply_for(tuple(CONCEPTS))))
    assert "'required': ['dentist', 'nurse']" in schema
    with pytest.raises(Unfit):
        parse('{"ratings": []}', rating_reply_for(tuple(CONCEPTS)))


@pytest.mark.parametrize(
    ("generation", "listed"),
    [
        (1, "- dentist: Teeth and those who care for them.\n- nurse\n"),
        (2, "- dentist: Teeth and those who care for them.\n- nurse: what the word commonly means.\n"),
    ],
)
def test_the_prompt_names_concepts_and_keeps_evidence_inside_its_fence(generation: int, listed: str) -> None:
    rater = Rater(Model("j"), briefing_of(generation), RATING, "4: it is what the feature is about")
    ((system, user),) = rater.requests(Case(make_evidence()))
    assert listed in str(user["content"]) + str(system["content"])
    for attack in ATTACKS:
        ((_, user),) = rater.requests(Case(poisoned(attack)[0]))
        assert "pwned" not in outside(str(user["content"])).casefold()
