"""The conversation in which an LLM chooses measurements, with and without a server's tool calling."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from agent.briefing.first.evidence import number
from agent.briefing.first.forms import Choice
from agent.briefing.first.predictions import INPUTS, OUTPUTS
from agent.briefing.generations import Briefing
from agent.briefing.hypotheses import Hypothesis
from agent.folder.measurements import Measurement
from agent.investigation.state import FeatureState, Investigator, PendingCall
from agent.llm.reading.contents import ToolCall
from agent.llm.requests import Message
from agent.transcript import Notes, parsed
from tools.proof.floors import NOTHING_DEAD, Dead
from tools.records import Evidence
from tools.study.definition import Domain

PROMPTS = ("hypothesize", "experiment")
ATTACHED = "they are attached to this request as tools."
NO_MORE = "not measured: no measurements are left"
NEXT = "Choose the next measurements, or none."


DEFAULT_STRENGTH = 0.5
WEAKEST, STRONGEST = 0.05, 4.0


class Chosen(NamedTuple):
    """What the LLM wants measured; nothing when it has seen enough."""

    said: Message
    calls: tuple[ToolCall, ...]


def count_chosen(state: FeatureState) -> int:
    """Measurements the LLM has chosen so far."""
    return sum(observed.hypothesis is None for observed in state.observed)


def open_conversation(
    state: FeatureState, path: Investigator, evidence: Evidence, dead: Dead = NOTHING_DEAD
) -> list[Message]:
    """The first messages: evidence, hypotheses, and how their predictions came out."""
    order = range(len(state.hypotheses))
    instruments = "\n" + path.toolbox.documentation if state.plain else ATTACHED
    return path.briefing.render(
        "experiment",
        domain=path.domain.name,
        definition=path.domain.definition,
        instruments=instruments,
        tool_calls_left=str(path.limits.tool_calls_per_feature - count_chosen(state)),
        evidence=path.briefing.investigator(evidence, dead),
        hypotheses=path.briefing.hypotheses(state.hypotheses, order),
        tests=path.briefing.tests(state.hypotheses, order, state.observed, state.round),
    )


async def choose(
    path: Investigator, conversation: Sequence[Message], n_known: int, plain: bool, notes: Notes
) -> Chosen:
    """Ask which measurements come next.

    Raises:
        Abandoned: there is no usable reply.
        ToolsUnsupported: the server takes no tools; ask again with `plain`.
    """
    if plain:
        reply = await notes.ask(path.llm, conversation, purpose="experiment", schema=Choice, n_known=n_known)
        wanted = parsed(reply).calls
        calls = tuple(
            ToolCall(id=f"choice_{place}", name=call.instrument, arguments=call.arguments, parsed=None)
            for place, call in enumerate(wanted, 1)
        )
        return Chosen(reply.message(), calls)
    asked = await notes.ask(path.llm, conversation, purpose="experiment", tools=path.toolbox.specs, n_known=n_known)
    return Chosen(asked.message(), asked.tool_calls)


class Result(NamedTuple):
    """What came of a measurement that was chosen."""

    call: ToolCall
    found: Measurement | None
    """None for one that was not made."""
    left: int
    """How many more may be chosen after it."""


def show_results(briefing: Briefing, results: Sequence[Result], plain: bool) -> list[Message]:
    """What the measurements showed, as the conversation goes on."""
    texts = [NO_MORE if one.found is None else briefing.result(one.found, one.left) for one in results]
    if not plain:
        return [one.call.result(text) for one, text in zip(results, texts, strict=True)]
    numbered = [f"Measurement {place}:\n{text}" for place, text in enumerate(texts, 1)]
    return [{"role": "user", "content": "\n\n".join([*numbered, NEXT])}]


def word_proposal(
    briefing: Briefing, domain: Domain, evidence: Evidence, earlier: str = "", dead: Dead = NOTHING_DEAD
) -> list[Message]:
    """What the investigator is shown when it is asked for hypotheses; `earlier` is what became of the last ones."""
    return briefing.render(
        "hypothesize",
        domain=domain.name,
        definition=domain.definition,
        evidence=briefing.investigator(evidence, dead),
        earlier=earlier,
    )


def plan_tests(hypotheses: Sequence[Hypothesis], evidence: Evidence) -> tuple[PendingCall, ...]:
    """Two measurements a hypothesis, whether or not anybody asks for them: sentences, and words under steering.

    One that predicts silence is tested by the sentences of the others.
    """
    observed = evidence.steering.strength if evidence.steering else DEFAULT_STRENGTH
    strength = float(number(min(max(observed, WEAKEST), STRONGEST)))
    return tuple(
        PendingCall(call=_call(f"prediction_{place}_{instrument}", instrument, arguments), hypothesis=place)
        for place, hypothesis in enumerate(hypotheses, 1)
        if not hypothesis.predicts_silence
        for instrument, arguments in (
            (INPUTS, {"sentences": [*hypothesis.about_inputs.will_activate, *hypothesis.about_inputs.near_misses]}),
            (OUTPUTS, {"words": list(hypothesis.about_outputs.will_be_promoted), "strength": strength}),
        )
    )


def _call(id: str, instrument: str, arguments: Mapping[str, object]) -> ToolCall:
    written = json.dumps(arguments, ensure_ascii=False)
    return ToolCall(id=id, name=instrument, arguments=written, parsed=json.loads(written))
