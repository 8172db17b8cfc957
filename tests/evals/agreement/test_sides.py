"""Agreement on each side of a feature: with answers about that side, and with those that were given about the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.folder.records import Decision
from evals.agreement.examination import examine
from evals.agreement.pairing import choose_question, match
from evals.agreement.report import lay_out
from evals.agreement.results import Agreement
from evals.agreement.settled import STANDS, stand
from evals.errors import LabelError
from evals.manual.files import read_outcomes
from evals.manual.records import INPUT, OUTPUT, RELEVANT, Beside, Label
from evals.reporting.page import as_lines
from tests.evals.worlds import decide, label, manifest

TRUTH = ["yes"] * 10 + ["no"] * 30


def world(output: str = "no") -> list[Decision]:
    """The judge is right of the input, and of the output says the same of all."""
    return [decide(i, "no", sides=(truth, output)) for i, truth in enumerate(TRUTH)]


def answers(question: str, annotator: str = "ana") -> list[Label]:
    return [label(i, truth, annotator, question) for i, truth in enumerate(TRUTH)]


def report(decisions: list[Decision], labels: list[Label], **more: Any) -> Agreement:
    return examine(manifest(decisions=decisions), decisions, labels, more.pop("question", RELEVANT), **more)


def test_each_side_is_compared_by_itself() -> None:
    found = report(world(), answers(RELEVANT))
    input, output = found.sides
    assert (input.name, input.statistics["kappa"].value) == ("input side", pytest.approx(1))
    assert (output.name, output.statistics["kappa"].value) == ("output side", pytest.approx(0))
    assert output.statistics["accuracy"].value == pytest.approx(0.75)
    assert found.figures["input_kappa"] == pytest.approx(1)
    assert {"input_kappa_low", "output_accuracy", "output_n"} <= found.figures.keys()


def test_how_answers_about_the_whole_are_taken_is_said() -> None:
    found = report(world(), answers(RELEVANT))
    (said,) = [remark for remark in found.remarks if "about the whole feature" in remark]
    assert said.startswith("80 of the 80 answers about a side were given to the one question")
    assert any("input side" in line for line in as_lines(lay_out(found)))


def test_an_answer_about_the_side_comes_before_the_same_persons_about_the_whole() -> None:
    labels = [*answers(RELEVANT), *(label(i, "no", question=OUTPUT) for i in range(10))]
    found = report(world(), labels)
    assert found.sides[1].statistics["accuracy"].value == pytest.approx(1)
    (said,) = [remark for remark in found.remarks if "about the whole feature" in remark]
    assert said.startswith("70 of the 80")
    both = match(world(), [*answers(RELEVANT, "bea"), *answers(OUTPUT)], OUTPUT)
    assert (both.annotators, both.from_whole) == (("ana", "bea"), 40)


def test_a_side_that_was_not_seen_is_in_no_comparison() -> None:
    decisions = [decide(i, truth, sides=(truth, None)) for i, truth in enumerate(TRUTH)]
    found = report(decisions, answers(RELEVANT))
    assert [row.name for row in found.sides] == ["input side"]


def test_the_one_question_is_compared_as_it_always_was_and_old_runs_have_no_sides() -> None:
    old = [decide(i, truth) for i, truth in enumerate(TRUTH)]
    found = report(old, answers(RELEVANT))
    assert found.sides == () and not any("side" in remark for remark in found.remarks)
    with_sides = [decide(i, truth, sides=(truth, "no")) for i, truth in enumerate(TRUTH)]
    assert report(with_sides, answers(RELEVANT)).rows == found.rows
    with pytest.raises(LabelError):
        match(old, answers(INPUT), INPUT)


def test_a_side_may_be_examined_like_the_whole() -> None:
    found = report(world(), answers(INPUT), question=INPUT)
    assert found.rows[0].statistics["kappa"].value == pytest.approx(1)
    assert found.calibration is not None, "by the side's own confidence"
    assert not found.ordinal and found.prevalence is None
    wrong = report(world("yes"), answers(OUTPUT), question=OUTPUT)
    assert {(one.confidence, one.label) for one in wrong.disagreements} == {(0.6, "drugs")}


@pytest.mark.parametrize(
    ("questions", "asked"),
    [((RELEVANT, INPUT), RELEVANT), ((INPUT,), INPUT), ((OUTPUT,), OUTPUT), (("interpretable",), RELEVANT)],
)
def test_without_answers_about_the_whole_the_side_that_was_labelled_is_asked(
    questions: tuple[str, ...], asked: str
) -> None:
    labels = [label(0, 3 if name == "interpretable" else "yes", question=name) for name in questions]
    assert choose_question(world(), labels) == asked
    rated = [decide(0, None, ratings={"nurse": 3})]
    assert choose_question(rated, labels) == "ratings"


def settling(index: int, value: str, question: str, minute: int = 0) -> Label:
    beside = Beside(judged="no", evidence_sha256="0")
    return label(index, value, "eve", question, settles=beside, time=f"2026-01-31T10:{minute:02}:00+00:00")


def test_what_was_settled_stands_in_the_place_of_what_people_differed_about() -> None:
    labels = [*answers(RELEVANT), *answers(INPUT), *answers(INPUT, "ben")[:39], label(39, "yes", "ben", INPUT)]
    outcomes = [settling(39, "no", INPUT), settling(0, "undecided", OUTPUT)]
    found = report(world(), labels, outcomes=outcomes)
    rows = {row.name: row for row in found.sides}
    assert rows["input side"].n == 80
    assert (rows["input side, as settled"].n, rows["input side, as settled"].statistics["kappa"].value) == (40, 1)
    assert rows["output side, as settled"].n == 39, "what was settled as undecided is in no comparison"
    assert report(world(), labels).rows == found.rows, "nobody settled the whole"
    assert stand(match(world(), labels, INPUT), ()).matching.cases[39].answers == {}


@given(st.lists(st.sampled_from(["yes", "no", "undecided", None]), min_size=40, max_size=40))
def test_where_nothing_is_settled_the_majority_stands_and_where_something_is_nothing_else(
    settled: list[str | None],
) -> None:
    labels = [*answers(INPUT), *answers(INPUT, "ben"), *(label(i, "no", "cy", INPUT) for i in range(40))]
    outcomes = [settling(i, value, INPUT) for i, value in enumerate(settled) if value is not None]
    found = stand(match(world(), labels, INPUT), outcomes)
    assert found.settled == len(outcomes)
    assert [case.answers[STANDS] for case in found.matching.cases] == [
        value or truth for value, truth in zip(settled, TRUTH, strict=True)
    ]


def test_the_newest_answer_that_settles_a_question_stands(tmp_path: Path) -> None:
    lines = [
        settling(0, "no", INPUT, 5),
        settling(0, "yes", INPUT, 1),
        settling(0, "undecided", OUTPUT),
        label(0, "yes"),
    ]
    file = tmp_path / "adjudication.jsonl"
    file.write_text("".join(line.model_dump_json() + "\n" for line in lines))
    assert [(one.question, one.value) for one in read_outcomes([file])] == [(INPUT, "no"), (OUTPUT, "undecided")]
