"""Detection end to end over HTTP: oracle, always yes, shuffled labels, broken replies, hostile text."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.llm.calls import CallStore
from agent.llm.client import LlmClient
from agent.llm.settings import LlmSettings
from evals.scoring.aggregate import figures_of
from evals.scoring.asking import Asked, ask_all, shuffle_labels
from evals.scoring.detection import detection_items
from evals.scoring.records import Drawn, FeatureScore, ScoreReport, ScorerRef
from evals.scoring.scorecard import list_answers, make_report
from evals.scoring.scorers import LlmScorer, Scorer, WordScorer, word_question
from evals.scoring.subjects import Subject, find_subjects
from prompts.fence import outside
from prompts.loader import load_prompt
from tests.agent.attacks import ATTACKS
from tests.evals.scoring.planted import held_out, subjects, vectors, word
from tests.evals.worlds import decide, manifest
from tests.servers.openai_stub import JsonDict, Policy, Scripted, failing, saying, serve
from tests.servers.score_stub import answering, read_prompt

REF = ScorerRef(name="stub", kind="llm", batch=5)
DRAWN = Drawn(documents=9, tokens=10_000, contexts=5, quantiles=5, context_tokens=11, fewest=5)


def has_label(label: str, text: str) -> bool:
    """An oracle: the label is the word at which the feature is active, and a mark shows where."""
    return f"<<{label}>>" in text if "<<" in text else label in text


def ask_served(policy: Policy, some: list[Subject], path: Path, batch: int = 5, **settings: Any) -> tuple[Asked, int]:
    """All answers of a model behind a real server, and the number of HTTP requests."""
    with serve(policy) as server:

        async def run() -> Asked:
            given = {"backoff_s": 0.001, "max_attempts": 2, "timeout_seconds": 5, **settings}
            llm = LlmSettings(model="stub", base_url=server.base_url, **given)
            async with LlmClient(llm, CallStore(path)) as client:
                prompts = {"detection": load_prompt("detect"), "fuzzing": load_prompt("fuzz")}
                scorer = LlmScorer(client, prompts, batch)
                return await ask_all(scorer, REF, some, shuffle_labels(some, None, 0), 0)

        return asyncio.run(run()), len(server.requests)


def report_on(*asked: Asked, some: list[Subject], others: list[FeatureScore] | None = None) -> ScoreReport:
    return asyncio.run(make_report(manifest(), asked, some, others or [], DRAWN, "ana", seed=0))


def statistic(report: ScoreReport, name: str, of: str, task: str = "detection", against: str = "all") -> float:
    (row,) = (row for row in report.rows if (row.name, row.task, row.against) == (name, task, against))
    value = row.statistics[of].value
    assert value is not None
    return value


@pytest.fixture(scope="module")
def judged_by_oracle(tmp_path_factory: pytest.TempPathFactory) -> ScoreReport:
    some = subjects(8)
    asked, _ = ask_served(answering(has_label), some, tmp_path_factory.mktemp("oracle") / "calls.jsonl")
    return report_on(asked, some=some)


@pytest.mark.parametrize("task", ["detection", "fuzzing"])
@pytest.mark.parametrize("of", ["balanced_accuracy", "f1", "auprc", "mcc"])
def test_oracle_scores_1(judged_by_oracle: ScoreReport, task: str, of: str) -> None:
    assert statistic(judged_by_oracle, "labels", of, task) == 1


@pytest.mark.parametrize("against", ["all", "random", "near miss", "neighbour"])
def test_oracle_scores_1_against_every_kind_of_silent_text(judged_by_oracle: ScoreReport, against: str) -> None:
    assert statistic(judged_by_oracle, "labels", "balanced_accuracy", against=against) == 1


@pytest.mark.parametrize("task", ["detection", "fuzzing"])
def test_shuffled_labels_score_half(judged_by_oracle: ScoreReport, task: str) -> None:
    assert statistic(judged_by_oracle, "control: shuffled labels", "balanced_accuracy", task) == 0.5
    assert statistic(judged_by_oracle, "control: shuffled labels", "mcc", task) == 0


def test_the_lift_over_shuffled_labels_is_taken_feature_by_feature(judged_by_oracle: ScoreReport) -> None:
    figures = judged_by_oracle.figures
    assert figures["lift_detection_balanced_accuracy"] == figures["lift_fuzzing_balanced_accuracy"] == 0.5
    assert figures["lift_composite"] == 1


def test_always_yes_scores_half_and_its_composite_is_nothing(judged_by_oracle: ScoreReport) -> None:
    assert statistic(judged_by_oracle, "control: always yes", "balanced_accuracy") == 0.5
    assert statistic(judged_by_oracle, "control: always yes", "auprc") == pytest.approx(0.25), "its prevalence"
    assert statistic(judged_by_oracle, "control: always yes", "composite", "both") == 0


def test_random_answers_score_half(tmp_path: Path) -> None:
    some = subjects(15)
    rng = np.random.default_rng(0)
    asked, _ = ask_served(answering(lambda label, text: bool(rng.random() < 0.5)), some, tmp_path / "calls.jsonl")
    report = report_on(asked, some=some)
    row = next(row for row in report.rows if (row.name, row.task, row.against) == ("labels", "detection", "all"))
    estimate = row.statistics["balanced_accuracy"]
    assert estimate.low is not None and estimate.high is not None
    assert estimate.low - 0.03 < 0.5 < estimate.high + 0.03


def test_labels_of_the_oracle_are_specific(judged_by_oracle: ScoreReport) -> None:
    (found,) = judged_by_oracle.collisions.specificity
    assert (found.own.value, found.others.value) == (1, 0)
    assert found.others_asked == 8 * 5


# Replies that are of no use


def poisoned(body: JsonDict, attempt: int) -> Scripted:
    """Breaks down whenever one particular text is in the prompt, also when asked to repair its reply."""
    if any(f" {word(0)} was late" in text for text in read_prompt(body)[1]):
        return Scripted(content='{"text_1": {"active": tr')
    return answering(has_label)(body, attempt)


def test_an_unusable_reply_costs_no_other_text_its_answer(tmp_path: Path) -> None:
    """Elsewhere one unparsable reply makes a whole batch of answers None."""
    some = subjects(2)
    asked, _ = ask_served(poisoned, some, tmp_path / "calls.jsonl", batch=5)
    failures = [
        (subject.key, item.text)
        for subject, answers in zip(some, asked.own, strict=True)
        for item, answer in zip(subject.items["detection"], answers["detection"], strict=True)
        if answer.failure is not None
    ]
    assert [key for key, _ in failures] == ["base-000000"]
    assert f" {word(0)} was late" in failures[0][1]
    (figures,) = (f for f in figures_of("stub", some[0], asked.own[0]) if (f.task, f.against) == ("detection", "all"))
    assert (figures.failed, figures.measures["balanced_accuracy"]) == (1, 1)
    assert figures.worst["balanced_accuracy"] == pytest.approx((4 / 5 + 1) / 2)


def test_failures_are_counted_and_named_and_never_a_no(tmp_path: Path) -> None:
    some = subjects(3)
    asked, _ = ask_served(saying("I would rather not."), some, tmp_path / "calls.jsonl")
    report = report_on(asked, some=some)
    row = next(row for row in report.rows if (row.name, row.task, row.against) == ("labels", "detection", "all"))
    assert (row.failed, row.answers, row.features) == (60, 60, 0)
    assert row.statistics["balanced_accuracy"].value is None
    assert row.statistics["balanced_accuracy_worst"].value == 0
    assert report.figures["failure_rate"] == 1
    assert any("unparseable" in remark for remark in report.remarks)
    assert {answer.probability for answer in list_answers([asked], some)} == {None}


def test_a_server_that_refuses_the_key_is_asked_once_a_prompt(tmp_path: Path) -> None:
    """Nothing about the texts is to blame, so batches are not taken apart."""
    some = subjects(2)
    asked, requests = ask_served(failing(401, "no"), some, tmp_path / "calls.jsonl", batch=5)
    assert {a.failure for given in asked.own for part in given.values() for a in part} == {"authentication"}
    n_prompts = sum(-(-len(items) // 5) for subject in some for items in subject.items.values())
    assert n_prompts < requests <= 2 * n_prompts, "own and shuffled labels; equal prompts in flight are sent once"


@pytest.mark.parametrize("reply", [{}, {"text_1": {"active": True, "confidence": 0.9}}, {"text_1": {"active": 1}}])
def test_reply_that_leaves_a_text_out_is_no_answer_to_it(tmp_path: Path, reply: JsonDict) -> None:
    some = subjects(1)
    asked, _ = ask_served(saying(json.dumps(reply)), some, tmp_path / "calls.jsonl", batch=3)
    answers = [answer for part in asked.own[0].values() for answer in part]
    usable = reply == {"text_1": {"active": True, "confidence": 0.9}}  # of a prompt with one text it is the answer
    assert {answer.probability for answer in answers} == ({0.9} if usable else {None})
    assert {answer.failure for answer in answers} == ({None} if usable else {"wrong_schema"})


def test_confidence_in_a_no_is_a_small_probability(tmp_path: Path) -> None:
    some = subjects(1)
    asked, _ = ask_served(answering(lambda label, text: False, confidence=0.8), some, tmp_path / "calls.jsonl")
    assert {round(a.probability or 0, 6) for part in asked.own[0].values() for a in part} == {0.2}


# Calls


def test_one_text_a_prompt_and_batches_ask_about_the_same_texts(tmp_path: Path) -> None:
    some = subjects(2)
    found: dict[int, Counter[str]] = {}
    for batch in (1, 7):
        texts: Counter[str] = Counter()

        def note(body: JsonDict, attempt: int) -> Scripted:
            texts.update(read_prompt(body)[1])  # noqa: B023 (used up within the loop)
            return answering(has_label)(body, attempt)

        _, requests = ask_served(note, some, tmp_path / f"{batch}.jsonl", batch=batch)
        found[batch] = texts
        lengths = [len(items) for subject in some for items in subject.items.values()]
        assert requests <= 2 * sum(-(-length // batch) for length in lengths)
    assert found[1].keys() == found[7].keys()


def test_a_scoring_made_again_asks_nothing_twice(tmp_path: Path) -> None:
    some = subjects(3)
    first, requests = ask_served(answering(has_label), some, tmp_path / "calls.jsonl")
    again, none = ask_served(failing(500), some, tmp_path / "calls.jsonl")
    assert requests > 0 and none == 0
    assert again.own == first.own


def test_items_of_one_kind_are_not_asked_about_together() -> None:
    kinds = [item.kind for item in detection_items(held_out(1, n=10), seed=0)]
    runs = sum(a != b for a, b in zip(kinds, kinds[1:], strict=False))
    assert runs > 15, "sorted by kind there would be three changes"
    assert kinds == [item.kind for item in detection_items(held_out(1, n=10), seed=0)]
    assert kinds != [item.kind for item in detection_items(held_out(1, n=10), seed=1)]


# What cannot be scored


def test_feature_with_few_contexts_is_not_scorable_and_is_not_dropped() -> None:
    decisions = [
        decide(0, "yes"),
        decide(1, "yes"),
        decide(2, None),
        decide(3, "no").model_copy(update={"label": None}),
    ]
    some, others = find_subjects(decisions, [held_out(0, n=4), held_out(1, n=5)], seed=0)
    assert [subject.key for subject in some] == ["base-000001"]
    assert [(one.feature.index, one.status) for one in others] == [(0, "not scorable"), (2, "failed"), (3, "no label")]
    assert others[0].why == "active in 8 of 1,000 held-out stretches, 4 contexts drawn: 5 are needed"
    assert "timeout" in str(others[1].why)


def test_feature_that_is_never_silent_is_not_scorable() -> None:
    everywhere = held_out(0).model_copy(update={"random": (), "near_misses": (), "neighbour": (), "further": ()})
    some, others = find_subjects([decide(0, "yes")], [everywhere], seed=0)
    assert not some
    assert others[0].why == "no text for detection and fuzzing in which it is silent"


# Hostile text


@pytest.mark.parametrize("attack", ATTACKS)
def test_text_that_addresses_the_judge_stays_inside_its_line(attack: str) -> None:
    items = detection_items(held_out(0), seed=0)
    hostile = items[0]._replace(tokens=(attack, " and", " more"))
    _, message = word_question(load_prompt("detect"), attack, [hostile, items[1]])
    rendered = str(message["content"])
    plain = str(word_question(load_prompt("detect"), "a label", items[:2])[1]["content"])
    assert outside(rendered) == outside(plain)
    body = {"messages": [{"role": "user", "content": rendered}]}
    assert len(read_prompt(body)[1]) == 2


def test_hostile_contexts_and_labels_change_no_answer(tmp_path: Path) -> None:
    decisions = [
        decide(index, "yes").model_copy(update={"label": f"{word(index)} {attack}"[:200]})
        for index, attack in enumerate(ATTACKS[:6])
    ]
    texts = [
        held_out(index).model_copy(
            update={
                "random": tuple(
                    one.model_copy(update={"tokens": (*one.tokens[:-1], ATTACKS[index])})
                    for one in held_out(index).random
                )
            }
        )
        for index in range(6)
    ]
    some, _ = find_subjects(decisions, texts, seed=0)
    asked, _ = ask_served(
        answering(lambda label, text: has_label(label.split()[0], text)), some, tmp_path / "calls.jsonl"
    )
    assert statistic(report_on(asked, some=some), "labels", "balanced_accuracy") == 1


# Words


def answer_by_words(some: list[Subject], scorer: Scorer | None = None) -> Asked:
    words = scorer or WordScorer(vectors(len(some)))
    ref = ScorerRef(name="words", kind="words")
    return asyncio.run(ask_all(words, ref, some, shuffle_labels(some, None, 0), 0))


def test_words_find_a_label_that_stands_in_the_text() -> None:
    some = subjects(6, n_random=2)
    asked = answer_by_words(some)
    report = report_on(asked, some=some)
    assert statistic(report, "labels", "balanced_accuracy") == 1
    assert statistic(report, "labels", "f1", "fuzzing") == 1
    assert statistic(report, "control: shuffled labels", "balanced_accuracy") == 0.5
    assert statistic(report, "control: random directions", "balanced_accuracy") == 1, "named by its own word here"
    assert [row.features for row in report.rows if row.name == "labels" and row.task == "both"] == [6]


def test_words_are_graded_by_likeness_where_none_is_shared() -> None:
    matrix = vectors(2)
    matrix.matrix[matrix.row["ship"]] = matrix.matrix[matrix.row[word(0)]] * 0.8
    some = subjects(1)
    scorer = WordScorer(matrix)
    items = [item for item in some[0].items["detection"] if not item.truth]
    near, far = (asyncio.run(scorer.answer(label, items, "detection")) for label in (word(0), word(1)))
    assert all(0 < (a.probability or 0) < 0.5 and b.probability == 0 for a, b in zip(near, far, strict=True))


def test_model_stands_beside_the_floor_and_the_difference_is_shown(tmp_path: Path) -> None:
    some = subjects(4)
    floor = answer_by_words(some, WordScorer(vectors(0)))
    model, _ = ask_served(answering(lambda label, text: False), some, tmp_path / "calls.jsonl")
    report = report_on(floor, model, some=some)
    assert report.figures["gain_detection_balanced_accuracy"] == pytest.approx(-0.5)
    assert report.figures["words_detection_balanced_accuracy"] == 1
    assert report.figures["detection_balanced_accuracy"] == 0.5
