"""An investigation in the words of the second generation: what it asks, when it stops, and what it writes down of that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.briefing.generations import SECOND
from agent.briefing.second.forms import Proposals
from agent.folder.records import TranscriptStep
from agent.investigation.state import FeatureState
from agent.stages.recall import recall_case
from agent.toolbox import Toolbox
from tests.agent.cases import ScriptedLlm, call, make_context, make_proposal, make_sided
from tests.agent.investigation.test_graph import investigate

TWO = Proposals(hypotheses=(make_proposal(), make_proposal("courage")))
OPEN: dict[str, Any] = {"input_relevant": "undecided", "left_open": "tests could settle it", "better_hypothesis": None}


def run(tmp_path: Path, llm: ScriptedLlm, judge: ScriptedLlm, **more: Any) -> FeatureState:
    return investigate(make_context(tmp_path, llm, judge=judge, generation=2, **more))


def rules(steps: list[TranscriptStep]) -> list[Any]:
    return [step.content for step in steps if step.kind == "rule"]


def ends(steps: list[TranscriptStep]) -> list[Any]:
    """Why each round was followed by another, or by none."""
    told = [step.content for step in steps if step.kind == "judgement" and "panel" in str(step.content)]
    return [one["recorded because"] for one in told if isinstance(one, dict)]


def test_a_feature_goes_from_hypotheses_to_a_decision_on_both_sides(tmp_path: Path) -> None:
    llm = ScriptedLlm(TWO, (call("continue_text", prompt="x", strength=1.0),), "enough")
    final = run(tmp_path, llm, ScriptedLlm(make_sided()))
    assert final.decision and final.decision.sides
    assert (final.decision.relevant, final.decision.confidence) == ("yes", 0.7)
    assert final.decision.label == "heart disease"
    assert final.decision.sides.kind == "both" and final.decision.sides.counts == "both"
    assert "input yes, output yes; by the study's rule (both counts) that makes yes" in final.decision.reasons
    (named,) = rules(final.steps)
    assert sorted(named["hypotheses"]) == ["H1", "H2"]
    assert ends(final.steps) == ["settled"]
    assert "You may choose 7 more measurements." in llm.asked[2].text, "the budget counts down"


def test_the_transcript_tells_the_case_with_its_names(tmp_path: Path) -> None:
    llm = ScriptedLlm(
        TWO, "enough", Proposals(hypotheses=(make_proposal("a pump"), make_proposal("Courage"))), "enough"
    )
    final = run(tmp_path, llm, ScriptedLlm(make_sided(**OPEN), make_sided(better_hypothesis="H3")))
    first, second = rules(final.steps)
    courage = next(name for name, label in first["hypotheses"].items() if label == "courage")
    assert second["hypotheses"] == {"H3": "a pump", courage: "courage"}
    assert ends(final.steps) == [None, "settled"]
    assert f"{courage}: courage" in llm.asked[2].text, "another round knows the hypotheses of the first by their names"
    case = recall_case(final.item.feature, [step.model_copy() for step in final.steps], SECOND)
    assert (case.hypotheses, list(case.observed), case.round) == (final.hypotheses, final.observed, 2)


@pytest.mark.parametrize("kind", ["nothing", "dead"])
def test_no_meaning_ends_a_case_without_tests(tmp_path: Path, kind: Any) -> None:
    alone = Proposals(hypotheses=(make_proposal("no meaning", kind),))
    reply = make_sided(input_relevant="no", output_relevant="no", sides="neither", steered_choices=())
    final = run(tmp_path, ScriptedLlm(alone), judge := ScriptedLlm(reply))
    assert final.decision and final.decision.relevant == "no"
    assert not final.observed and final.decision.usage.calls == 2
    assert "H1 (" in judge.asked[0].text


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ({"left_open": "the guideline prescribes undecided"}, "the guideline itself prescribes undecided"),
        ({"left_open": "nothing"}, "the judge sees nothing that a test could settle"),
    ],
)
def test_no_further_round_is_made_where_nothing_could_be_learnt_and_the_transcript_says_why(
    tmp_path: Path, reply: dict[str, Any], why: str
) -> None:
    final = run(tmp_path, ScriptedLlm(TWO, "enough"), ScriptedLlm(make_sided(**OPEN | reply)))
    assert final.decision and final.decision.relevant == "undecided"
    assert (ends(final.steps), final.round) == ([why], 1)


def test_a_round_whose_sentences_are_all_silent_is_the_last(tmp_path: Path) -> None:
    def quiet(label: str) -> Any:
        sentences = ("a garden and a well",) * 2
        return make_proposal(label).model_copy(update={"will_activate": sentences, "near_misses": sentences})

    two = Proposals(hypotheses=(quiet("gardens"), quiet("wells")))
    llm = ScriptedLlm(two, "enough")
    final = run(tmp_path, llm, judge := ScriptedLlm(make_sided(**OPEN)))
    assert ends(final.steps) == ["none of the round's 8 sentences activates the feature"]
    said = "none of the 8 sentences that were made up activates the feature"
    assert llm.asked[1].text.count(said) == judge.asked[0].text.count(said) == 1


def test_without_instruments_nothing_is_proposed(tmp_path: Path) -> None:
    none = Toolbox((), tmp_path / "none.jsonl")
    final = run(tmp_path, ScriptedLlm(), judge := ScriptedLlm(make_sided(better_hypothesis=None)), toolbox=none)
    assert final.decision and final.decision.usage.calls == 1
    assert "No hypothesis was proposed." in judge.asked[0].text
    assert [step.node for step in final.steps] == ["judge"] * 4 + ["record"]
