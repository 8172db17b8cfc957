"""What hypotheses predict, as measurements to be made, and what these showed, as text."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence

from agent.briefing.first.evidence import number
from agent.briefing.hypotheses import Hypothesis
from agent.folder.measurements import Measurement, Observed
from prompts.fence import clip, escape, fence
from tools.catalogue.blinding import names_of_blind
from tools.catalogue.findings import PromotedWords, SentenceActivation, SentenceActivations

INPUTS, OUTPUTS = "measure_activations", "promote_words"
"""The instruments of the catalogue that test the two sides of a hypothesis."""
RESULT = 1500
"""Most characters of one result in the conversation; the transcript has it whole."""
_SENTENCE = 110
_RESULT = 500
_MOST_CHOSEN = 5
"""Measurements chosen by the investigator that others are shown: its last ones."""


def brief_result(measurement: Measurement, left: int) -> str:
    """What one measurement showed, for whoever chose it; how many more may be chosen was not said."""
    return fence("result", measurement.observation(), RESULT)


def brief_tests(
    hypotheses: Sequence[Hypothesis], order: Sequence[int], observed: Sequence[Observed], round: int
) -> str:
    """How each hypothesis' predictions came out.

    Args:
        hypotheses: of the round, in the investigator's order.
        order: in which they are shown, numbers from 0.
        observed: all measurements so far.
        round: whose tests are meant.
    """
    lines = list(_test_lines(hypotheses, order, observed, round))
    return fence("tests", "\n".join(lines), 3000) if lines else "No prediction was tested."


def brief_tests_for_judge(
    hypotheses: Sequence[Hypothesis], order: Sequence[int], observed: Sequence[Observed], round: int
) -> str:
    """The tests, and what else was measured, except by instruments that may give the steered texts away."""
    lines = list(_test_lines(hypotheses, order, observed, round))
    chosen = [o for o in observed if o.hypothesis is None and o.measurement.status == "ok"]
    blind = _blind_instruments() if chosen else ()
    shown = [o for o in chosen if o.measurement.instrument in blind][-_MOST_CHOSEN:]
    lines += [line for o in shown for line in _chosen_lines(o)]
    return fence("tests", "\n".join(lines), 3000) if lines else "No prediction was tested."


def _blind_instruments() -> Collection[str]:
    # Brings the tensor library along, which only a run that measures has need of.
    from tools.catalogue.instruments import TOOLS

    return names_of_blind(TOOLS)


def brief_earlier(hypotheses: Sequence[Hypothesis], observed: Sequence[Observed], round: int, verdict: str) -> str:
    """For another round: what was proposed, what was measured, and what the judge made of it."""
    labels = [f"hypothesis {place}: {escape(h.label)}" for place, h in enumerate(hypotheses, 1)]
    tests = _test_lines(hypotheses, range(len(hypotheses)), observed, round)
    chosen = [o for o in observed if o.hypothesis is None][-_MOST_CHOSEN:]
    measured = [line for o in chosen for line in _chosen_lines(o)]
    lines = [*labels, *tests, *measured, f"a judge found: {clip(escape(verdict), 1200)}"]
    return (
        "An earlier round did not settle it. Propose hypotheses that take its results into account; one of the earlier "
        "ones may come again with sharper predictions.\n\n" + fence("earlier round", "\n".join(lines), 6000)
    )


def _test_lines(
    hypotheses: Sequence[Hypothesis], order: Sequence[int], observed: Sequence[Observed], round: int
) -> Iterable[str]:
    tests = {
        (o.hypothesis, o.measurement.instrument): o.measurement
        for o in observed
        if o.hypothesis is not None and o.round == round
    }
    for shown, place in enumerate(order, 1):
        inputs, outputs = tests.get((place + 1, INPUTS)), tests.get((place + 1, OUTPUTS))
        if inputs is None and outputs is None:
            continue
        yield f"hypothesis {shown}:"
        for measurement, describe in ((inputs, _inputs), (outputs, _outputs)):
            if measurement is not None and measurement.status == "error":
                yield f"  not measured: {clip(escape(str(measurement.result)), _RESULT)}"
            elif measurement is not None:
                yield from describe(hypotheses[place], measurement.result)


def _inputs(hypothesis: Hypothesis, result: object) -> Iterable[str]:
    found = SentenceActivations.model_validate(result)
    n_predicted = len(hypothesis.about_inputs.will_activate)
    active, silent = found.sentences[:n_predicted], found.sentences[n_predicted:]
    apart = separation([s.max_activation for s in active], [s.max_activation for s in silent])
    yield from (f"  predicted active: {_sentence(s)}" for s in active)
    yield from (f"  predicted silent: {_sentence(s)}" for s in silent)
    if apart is not None:
        yield (
            f"  separation {apart:.2f} (1: every predicted sentence above every near miss, 0.5: chance); "
            f"largest activation in a sample of the corpus {number(found.largest_in_corpus)}"
        )


def _outputs(_: Hypothesis, result: object) -> Iterable[str]:
    yield f"  predicted promoted, change in nats: {_words(PromotedWords.model_validate(result))}"


def _chosen_lines(observed: Observed) -> Iterable[str]:
    """A measurement that the investigator chose, with its figures first: a text cut off before them shows nothing."""
    measurement = observed.measurement
    if measurement.status == "ok" and measurement.instrument == INPUTS:
        yield "also measured:"
        yield from (f"  {_sentence(s)}" for s in SentenceActivations.model_validate(measurement.result).sentences)
    elif measurement.status == "ok" and measurement.instrument == OUTPUTS:
        yield f"also measured, change in nats: {_words(PromotedWords.model_validate(measurement.result))}"
    else:
        arguments = json.dumps(measurement.arguments, ensure_ascii=False)
        text = escape(f"{measurement.instrument} {arguments}: {measurement.observation()}")
        yield f"also measured: {clip(text, _RESULT)}"


def _words(found: PromotedWords) -> str:
    return ", ".join(f"{clip(escape(w.word), 40)} {w.change:+.2f}" for w in found.words)


def _sentence(found: SentenceActivation) -> str:
    where = f" at {clip(escape(found.peak), 40)!r}" if found.peak else ""
    return f"{number(found.max_activation)}{where} in: {clip(escape(found.sentence), _SENTENCE)}"


def separation(active: Sequence[float], silent: Sequence[float]) -> float | None:
    """How well predicted sentences stand apart: the share of pairs with the active one higher, ties for half.

    1 is every predicted sentence above every near miss, 0.5 is chance; None without both.
    """
    if not active or not silent:
        return None
    wins = sum((a > s) + (a == s) / 2 for a in active for s in silent)
    return wins / (len(active) * len(silent))


def brief_hypotheses(hypotheses: Sequence[Hypothesis], order: Sequence[int]) -> str:
    """Labels, numbered as shown."""
    if not hypotheses:
        return "No hypothesis was proposed."
    lines = [f"hypothesis {number}: {escape(hypotheses[place].label)}" for number, place in enumerate(order, 1)]
    return fence("hypotheses", "\n".join(lines), 600)
