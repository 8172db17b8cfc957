"""What models are shown and asked, by generation: a stored run is replayed in the words it was made in.

Prompts, forms, rendering and the rules that judge without a model change together, and each combination of them is a
generation. A run keeps its number in its config; runs from before it was kept are of the first. Judges by LLM of a
generation are files of their own under `agent.judges`; the rules are one file, with their versions in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

import agent.briefing.first.predictions as first_predictions
import agent.briefing.second.predictions as second_predictions
from agent.briefing.first import evidence as first
from agent.briefing.first.forms import Hypotheses
from agent.briefing.hypotheses import Hypothesis, name_hypotheses
from agent.briefing.second import evidence as second
from agent.briefing.second.forms import Proposals
from agent.briefing.second.legend import LEGEND
from agent.briefing.second.results import brief_result
from agent.folder.measurements import Measurement, Observed
from agent.llm.requests import Message
from prompts.loader import Prompt, load_prompt
from tools.proof.floors import Dead
from tools.records import Evidence, SteeredPair

Tests = Callable[[Sequence[Hypothesis], Sequence[int], Sequence[Observed], int], str]


class Briefing(NamedTuple):
    """One generation."""

    generation: int
    versions: Mapping[str, int]
    """Of its prompts, by their names."""
    shared: Mapping[str, str]
    """Variables that all of its prompts have, the same for every feature."""
    investigator: Callable[[Evidence, Dead], str]
    """All the evidence, for whoever proposes and tests."""
    judge: Callable[[Evidence, Dead], str]
    """The evidence without steering, for a blind judge."""
    rater: Callable[[Evidence, Dead], str]
    """The same with more contexts, for whoever rates concepts."""
    pairs: Callable[[Sequence[SteeredPair], Sequence[bool]], str]
    """Continuations as A and B; for each, whether the steered text is A."""
    proposals: type[BaseModel]
    """The form for hypotheses."""
    hypotheses: Callable[[Sequence[Hypothesis], Sequence[int]], str]
    """As they were proposed, in an order."""
    tests: Tests
    """How the predictions of a round came out."""
    earlier: Callable[[Sequence[Hypothesis], Sequence[Observed], int, str], str]
    """What another round begins with."""
    result: Callable[[Measurement, int], str]
    """One measurement, and how many may still be chosen."""
    unexplained: str
    """After the name of a concept whose meaning the study leaves to its name."""
    untested: bool
    """Hypotheses are proposed even where no instrument can test them."""
    rules: int = 1
    """Version of the rules that judge where no model does (`agent.judges.rules`)."""

    def prompt(self, name: str) -> Prompt:
        """The prompt of that name, as this generation words it."""
        return load_prompt(name, self.versions[name])

    def render(self, name: str, **variables: str) -> list[Message]:
        """That prompt with its variables, and those that all of the generation share."""
        return self.prompt(name).render(**variables, **self.shared)

    def read_proposals(self, reply: Any, known: Mapping[str, str], key: str, round: int) -> tuple[Hypothesis, ...]:
        """The hypotheses in a filled form, in the order of the form.

        Args:
            reply: of the type `proposals`.
            known: labels of earlier rounds by name.
            key: of the feature.
            round: from 1.
        """
        if isinstance(reply, Hypotheses):
            return tuple(Hypothesis.model_validate(one.model_dump()) for one in reply.hypotheses)
        return name_hypotheses([one.record() for one in reply.hypotheses], known, key, round)


FIRST = Briefing(
    generation=1,
    versions={"hypothesize": 1, "experiment": 1, "judge": 1, "rate": 1},
    shared={},
    investigator=first.brief_investigator,
    judge=first.brief_judge,
    rater=first.brief_rater,
    pairs=first.brief_pairs,
    proposals=Hypotheses,
    hypotheses=first_predictions.brief_hypotheses,
    tests=first_predictions.brief_tests,
    earlier=first_predictions.brief_earlier,
    result=first_predictions.brief_result,
    unexplained="",
    untested=True,
)
SECOND = Briefing(
    generation=2,
    versions={"hypothesize": 2, "experiment": 2, "judge": 2, "rate": 2},
    shared={"legend": LEGEND},
    investigator=second.brief_investigator,
    judge=second.brief_judge,
    rater=second.brief_rater,
    pairs=second.brief_pairs,
    proposals=Proposals,
    hypotheses=second_predictions.brief_hypotheses,
    tests=second_predictions.brief_tests,
    earlier=second_predictions.brief_earlier,
    result=brief_result,
    unexplained=": what the word commonly means.",
    untested=False,
)
THIRD = SECOND._replace(generation=3, rules=2)
"""Models are shown and asked what they were; the rules may say no to where a feature is active."""
FOURTH = THIRD._replace(generation=4, rules=3)
"""The same again; the rules may say that where a feature is active has nothing in common that could be named."""
GENERATIONS = {briefing.generation: briefing for briefing in (FIRST, SECOND, THIRD, FOURTH)}


def briefing_of(generation: int) -> Briefing:
    """The briefing of that generation; a config has no number but one of these."""
    return GENERATIONS[generation]
