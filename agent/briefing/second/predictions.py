"""What hypotheses predicted and what came of it, each under the name it keeps; and the rounds that went before."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence

from agent.briefing.first.evidence import number
from agent.briefing.first.predictions import INPUTS, OUTPUTS, separation
from agent.briefing.hypotheses import Hypothesis
from agent.briefing.second.results import list_result, list_words, mark_sentence, whole_lines
from agent.folder.measurements import Measurement, Observed
from prompts.fence import clip, escape, fence
from tools.catalogue.blinding import names_of_blind
from tools.catalogue.findings import PromotedWords, SentenceActivations

_KINDS = {"nothing": "nothing that can be named", "dead": "active nowhere"}
_TESTS, _EARLIER, _DOUBT = 4000, 5000, 1200
_MOST_CHOSEN = 5
"""Measurements chosen by the investigator that others are shown: its last ones."""
UNTESTED = "No prediction was tested."


def brief_hypotheses(hypotheses: Sequence[Hypothesis], order: Sequence[int]) -> str:
    """Names and labels, in the order given."""
    if not hypotheses:
        return "No hypothesis was proposed."
    return fence("hypotheses", "\n".join(_label(hypotheses[place]) for place in order), 900)


def brief_tests(
    hypotheses: Sequence[Hypothesis], order: Sequence[int], observed: Sequence[Observed], round: int
) -> str:
    """How the predictions of a round came out, for the investigator."""
    return _fenced("tests", [*_test_lines(hypotheses, order, observed, round)], _TESTS)


def brief_tests_for_judge(
    hypotheses: Sequence[Hypothesis], order: Sequence[int], observed: Sequence[Observed], round: int
) -> str:
    """The tests, and what else was measured, except by instruments that may give the steered texts away."""
    chosen = [o for o in observed if o.hypothesis is None and o.measurement.status == "ok"]
    blind = _blind_instruments() if chosen else ()
    shown = [o for o in chosen if o.measurement.instrument in blind][-_MOST_CHOSEN:]
    return _fenced("tests", [*_test_lines(hypotheses, order, observed, round), *_chosen_lines(shown)], _TESTS)


def brief_earlier(hypotheses: Sequence[Hypothesis], observed: Sequence[Observed], round: int, verdict: str) -> str:
    """For another round: what was proposed, what was measured, and what the judge made of it."""
    order = range(len(hypotheses))
    chosen = [o for o in observed if o.hypothesis is None][-_MOST_CHOSEN:]
    lines = [
        *(_label(hypotheses[place]) for place in order),
        f"a judge found: {clip(escape(verdict), _DOUBT)}",
        *_test_lines(hypotheses, order, observed, round),
        *_chosen_lines(chosen),
    ]
    return (
        "An earlier round did not settle it. Propose hypotheses that take its results into account; one of the earlier "
        "ones may come again with sharper predictions, and keeps its name if it keeps its label.\n\n"
        + _fenced("earlier round", lines, _EARLIER)
    )


def count_silent(observed: Sequence[Observed], round: int) -> int | None:
    """How many sentences a round tried, if none of them activates the feature; None if one does, or none was tried."""
    tests = [o.measurement for o in observed if o.round == round and o.measurement.instrument == INPUTS]
    found = [
        s for test in tests if test.status == "ok" for s in SentenceActivations.model_validate(test.result).sentences
    ]
    return len(found) if found and not any(s.max_activation > 0 for s in found) else None


def _blind_instruments() -> Collection[str]:
    # Brings the tensor library along, which only a run that measures has need of.
    from tools.catalogue.instruments import TOOLS

    return names_of_blind(TOOLS)


def _label(hypothesis: Hypothesis) -> str:
    kind = f" ({_KINDS[hypothesis.kind]})" if hypothesis.predicts_silence else ""
    return f"{hypothesis.name}{kind}: {escape(hypothesis.label)}"


def _fenced(label: str, lines: Sequence[str], cap: int) -> str:
    return fence(label, "\n".join(whole_lines(lines, cap)), 2 * cap) if lines else UNTESTED


def _test_lines(
    hypotheses: Sequence[Hypothesis], order: Sequence[int], observed: Sequence[Observed], round: int
) -> Iterable[str]:
    tests = {
        (o.hypothesis, o.measurement.instrument): o.measurement
        for o in observed
        if o.hypothesis is not None and o.round == round
    }
    if not tests:
        return
    silent = count_silent([o for o in observed if o.hypothesis is not None], round)
    if silent is not None:
        yield f"none of the {silent} sentences that were made up activates the feature"
    for place in order:
        hypothesis = hypotheses[place]
        if hypothesis.predicts_silence:
            yield f"{hypothesis.name} predicts of all the sentences of the others that they are silent"
            continue
        yield f"{hypothesis.name}:"
        inputs, outputs = tests.get((place + 1, INPUTS)), tests.get((place + 1, OUTPUTS))
        if inputs is not None and (silent is None or inputs.status == "error"):
            yield from _inputs(hypothesis, inputs)
        if outputs is not None:
            yield from _outputs(outputs)


def _inputs(hypothesis: Hypothesis, measurement: Measurement) -> Iterable[str]:
    if measurement.status == "error":
        yield f"  sentences: {list_result(measurement)[0]}"
        return
    found = SentenceActivations.model_validate(measurement.result)
    n_predicted = len(hypothesis.about_inputs.will_activate)
    active, silent, largest = found.sentences[:n_predicted], found.sentences[n_predicted:], found.largest_in_corpus
    yield from (f"  predicted active, {mark_sentence(s, largest)}" for s in active)
    yield from (f"  predicted silent, {mark_sentence(s, largest)}" for s in silent)
    apart = separation([s.max_activation for s in active], [s.max_activation for s in silent])
    if apart is not None:
        yield (
            f"  separation {apart:.2f} (1: every predicted sentence above every near miss, 0.5: chance); largest "
            f"activation in the corpus {number(largest)}"
        )


def _outputs(measurement: Measurement) -> Iterable[str]:
    if measurement.status == "error":
        yield f"  words: {list_result(measurement)[0]}"
        return
    yield f"  predicted promoted, change in nats: {list_words(PromotedWords.model_validate(measurement.result))}"


def _chosen_lines(observed: Iterable[Observed]) -> Iterable[str]:
    for one in observed:
        given = escape(json.dumps(one.measurement.arguments, ensure_ascii=False))
        asked = "" if one.measurement.instrument in (INPUTS, OUTPUTS) else f" {clip(given, 400)}"
        yield f"also measured, {escape(one.measurement.instrument)}{asked}:"
        yield from (f"  {line}" for line in list_result(one.measurement))
