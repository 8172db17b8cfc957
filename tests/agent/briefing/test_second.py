"""The second generation's hypotheses, results and beginnings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.briefing.generations import briefing_of
from agent.briefing.hypotheses import Hypothesis, name_hypotheses, names_of
from agent.briefing.second.forms import Proposals
from agent.briefing.second.predictions import brief_earlier, brief_tests, count_silent
from agent.briefing.second.results import brief_result, list_result, whole_lines
from agent.folder.measurements import Measurement, Observed
from agent.investigation.experiments import open_conversation, plan_tests, word_proposal
from agent.llm.errors import Unfit
from agent.llm.reading.structured import parse, strict_json_schema
from tests.agent.cases import DOMAIN, make_context, make_evidence, make_hypothesis, make_proposal, make_state
from tools.catalogue import findings
from tools.catalogue.findings import PromotedWords, RefusedWord, SentenceActivation, SentenceActivations, WordChange

WARD = SentenceActivation(
    sentence="the ward ward",
    max_activation=3.25,
    peak=" ward",
    n_active=2,
    n_tokens=3,
    tokens=("the", " ward", " ward"),
    activations=(0.0, 3.25, 0.5),
)
GARDEN = SentenceActivation(sentence="the garden", max_activation=0.0, peak="", n_active=0, n_tokens=2)


def measured(instrument: str, result: Any, status: Any = "ok", arguments: Any = None) -> Measurement:
    given = result if isinstance(result, str) else result.model_dump(mode="json")
    return Measurement(sha256="0", instrument=instrument, feature="f", arguments=arguments, status=status, result=given)


def observe(measurement: Measurement, hypothesis: int | None = 1, round: int = 1) -> Observed:
    return Observed(round=round, call_id="c", hypothesis=hypothesis, measurement=measurement)


def sentences(*found: SentenceActivation) -> Measurement:
    return measured("measure_activations", SentenceActivations(sentences=found, largest_in_corpus=9.0))


def nothing(name: str = "H2") -> Hypothesis:
    return make_proposal("no meaning", "nothing").record().model_copy(update={"name": name})


def test_a_hypothesis_keeps_its_name_from_round_to_round_and_new_names_tell_no_order() -> None:
    labels = ("heart disease", "courage", "playing cards")
    orders = set[tuple[str, ...]]()
    for key in map(str, range(20)):
        first = name_hypotheses([make_hypothesis(label) for label in labels], {}, key, 1)
        assert sorted(one.name for one in first) == ["H1", "H2", "H3"]
        assert [one.label for one in first] == list(labels)
        orders.add(tuple(one.name for one in first))
        known = names_of(first)
        second = name_hypotheses([make_hypothesis("a pump"), make_hypothesis("Courage ")], known, key, 2)
        assert [one.name for one in second] == ["H4", first[1].name]
    assert len(orders) > 3


def test_one_name_is_given_once_even_where_a_label_comes_twice() -> None:
    named = name_hypotheses([make_hypothesis("courage"), make_hypothesis("courage")], {"H1": "courage"}, "k", 2)
    assert [one.name for one in named] == ["H1", "H2"]
    assert names_of(named) == {"H1": "courage", "H2": "courage"}
    (third,) = name_hypotheses([make_hypothesis("cards")], names_of(named), "k", 3)
    assert third.name == "H3"


def test_no_meaning_predicts_silence_and_needs_no_sentences() -> None:
    alone = Proposals(hypotheses=(make_proposal("active nowhere", "dead"),))
    assert parse(alone.model_dump_json(), Proposals) == alone
    (dead,) = (one.record() for one in alone.hypotheses)
    assert dead.predicts_silence and dead.about_inputs.will_activate == ()
    assert plan_tests((dead,), make_evidence()) == ()
    tests = plan_tests((nothing(), make_hypothesis()), make_evidence())
    assert {pending.hypothesis for pending in tests} == {2}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda given: given["hypotheses"].pop(), "needs another one beside it"),
        (lambda given: given["hypotheses"][0].update(will_activate=[]), "at least 2 items in will_activate"),
        (lambda given: given["hypotheses"][0].update(kind="hope"), "hypotheses.0.kind"),
        (lambda given: given["hypotheses"][0].pop("kind"), "hypotheses.0.kind"),
    ],
)
def test_what_predicts_nothing_and_claims_a_meaning_is_asked_for_again(change: Any, said: str) -> None:
    given = Proposals(hypotheses=(make_proposal(), make_proposal("courage"))).model_dump(mode="json")
    assert parse(json.dumps(given), Proposals)
    change(given)
    with pytest.raises(Unfit, match=said):
        parse(json.dumps(given), Proposals)


def test_the_form_is_one_that_strict_servers_take() -> None:
    assert strict_json_schema(Proposals)


def test_the_two_tasks_of_an_investigation_share_their_beginning(tmp_path: Any) -> None:
    evidence, context = make_evidence(), make_context(tmp_path, None, generation=2)
    assert context.investigator
    proposing = word_proposal(briefing_of(2), DOMAIN, evidence)
    state = make_state(evidence, hypotheses=(make_hypothesis(name="H1"), nothing()), round=1)
    testing = open_conversation(state, context.investigator, evidence)
    assert proposing[0] == testing[0]
    shown = briefing_of(2).investigator(evidence, {})
    assert all(
        str(message["content"]).startswith(f"{shown}\n\nYour task now: ") for message in (proposing[1], testing[1])
    )


def test_an_active_token_is_marked_where_it_stands_and_a_silent_sentence_says_so() -> None:
    shown = list_result(sentences(WARD, GARDEN))
    assert shown == [
        "3.25: the «ward|4| ward»",
        "silent: the garden",
        "largest activation in the corpus: 9",
    ]
    old = SentenceActivation(sentence="the ward", max_activation=3.2, peak=" ward", n_active=1, n_tokens=2)
    assert list_result(sentences(old))[0] == "3.2 at ' ward' in: the ward"


def test_words_that_were_refused_come_back_by_name() -> None:
    found = PromotedWords(
        strength=0.5,
        n_prompts=5,
        words=(WordChange(word="ward", change=1.5, whole=True),),
        refused=(RefusedWord(word="two words", why="not a single word"),),
    )
    (line,) = list_result(measured("promote_words", found))
    assert line == 'change in nats at strength 0.5: "ward" +1.50, "two words" not measured (not a single word)'


def test_nothing_is_cut_inside_a_line_and_what_is_left_out_is_counted() -> None:
    lines = [f"{place}. a context of some length" for place in range(100)]
    kept = whole_lines(lines, 400)
    assert kept[:-1] == lines[: len(kept) - 1]
    assert kept[-1] == f"[{100 - len(kept) + 1} more lines are left out]"
    assert whole_lines(lines, 10**6) == lines
    assert whole_lines(["x" * 500], 10) == ["x" * 500]


RESULTS = (
    findings.SteeredText(prompt="The", strength=1, unsteered=" garden", steered=" ward ward", repeats_itself=True),
    findings.AblationFound(n_positions=2, lowered=(findings.TokenNumber(token=" ward", value=-1.5),), raised=()),
    findings.Neighbours(neighbours=(findings.Neighbour(cosine=0.5, top_tokens=(" ward", "'s")),)),
    findings.ContextsFound(first=3, contexts=(findings.ContextFound(text="a «ward»", max_activation=3.2),)),
    findings.WordsFound(
        n_tokens=8192,
        words=(findings.WordLookup(word="ward", in_domain_vocabulary=True, logit_weight=1.2, rank=3, whole=True),),
    ),
    findings.TokensFound(first=1, top=(findings.TokenNumber(token=" ward", value=1.5),), bottom=()),
)
NAMES = ("continue_text", "ablate", "find_neighbours", "show_contexts", "look_up_words", "project_tokens")


@pytest.mark.parametrize(("instrument", "found"), list(zip(NAMES, RESULTS, strict=True)))
def test_every_result_reads_as_lines_and_not_as_json(instrument: str, found: Any) -> None:
    shown = brief_result(measured(instrument, found), 1)
    assert "ward" in shown and "{" not in shown and "_" not in shown.replace("result", "")
    assert shown.endswith("You may choose 1 more measurement.")


def test_what_an_instrument_of_another_version_returned_is_listed_by_its_fields() -> None:
    unknown = Measurement(
        sha256="0", instrument="weigh", feature="f", arguments=None, status="ok", result={"grams": [1, 2], "of": "x"}
    )
    assert list_result(unknown) == ["grams: 1", "grams: 2", 'of: "x"']
    strange = unknown.model_copy(update={"instrument": "ablate"})
    assert list_result(strange) == list_result(unknown)


def test_a_refusal_is_told_whole() -> None:
    said = "first is 1 to 8172, not 9000"
    assert list_result(measured("project_tokens", said, "error")) == [f"not measured: {said}"]


def test_a_round_that_activates_nothing_says_so_once() -> None:
    observed = [observe(sentences(GARDEN, GARDEN)), observe(sentences(GARDEN), 2)]
    hypotheses = (make_hypothesis(name="H2"), make_hypothesis("courage", name="H1"))
    shown = brief_tests(hypotheses, (0, 1), observed, 1)
    assert "none of the 3 sentences that were made up activates the feature" in shown
    assert "garden" not in shown and "separation" not in shown
    assert count_silent(observed, 1) == 3
    assert count_silent(observed, 2) is None
    assert count_silent([*observed, observe(sentences(WARD), None)], 1) is None


def test_hypotheses_are_told_apart_by_name_and_silence_is_tested_by_the_others() -> None:
    hypotheses = (make_hypothesis(name="H2"), nothing("H1"))
    observed = [observe(sentences(WARD, WARD, WARD, GARDEN, GARDEN, GARDEN))]
    shown = brief_tests(hypotheses, (1, 0), observed, 1)
    assert shown.index("H1 predicts of all the sentences of the others that they are silent") < shown.index("H2:")
    assert "predicted active, 3.25: the «ward|4| ward»" in shown
    assert "predicted silent, silent: the garden" in shown
    assert "separation 1.00" in shown
    again = brief_earlier(hypotheses, observed, 1, "H2 is too narrow")
    assert "H1 (nothing that can be named): no meaning" in again and "keeps its name" in again
