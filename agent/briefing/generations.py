"""What models are shown and asked, by generation: a stored run is replayed in the words it was made in.

Prompts, forms and rendering change together, and each combination of them is a generation. A run keeps its number in its
config; runs from before it was kept are of the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from agent.briefing.first import evidence as first
from agent.briefing.second import evidence as second
from prompts.loader import Prompt, load_prompt
from tools.proof.floors import Dead
from tools.records import Evidence, SteeredPair


class Briefing(NamedTuple):
    """One generation."""

    generation: int
    versions: Mapping[str, int]
    """Of its prompts, by their names."""
    investigator: Callable[[Evidence, Dead], str]
    """All the evidence, for whoever proposes and tests."""
    judge: Callable[[Evidence, Dead], str]
    """The evidence without steering, for a blind judge."""
    rater: Callable[[Evidence, Dead], str]
    """The same with more contexts, for whoever rates concepts."""
    pairs: Callable[[Sequence[SteeredPair], Sequence[bool]], str]
    """Continuations as A and B; for each, whether the steered text is A."""

    def prompt(self, name: str) -> Prompt:
        """The prompt of that name, as this generation words it."""
        return load_prompt(name, self.versions[name])


FIRST = Briefing(
    generation=1,
    versions={"hypothesize": 1, "experiment": 1, "judge": 1, "rate": 1},
    investigator=first.brief_investigator,
    judge=first.brief_judge,
    rater=first.brief_rater,
    pairs=first.brief_pairs,
)
SECOND = Briefing(
    generation=2,
    versions={"hypothesize": 1, "experiment": 1, "judge": 1, "rate": 1},
    investigator=second.brief_investigator,
    judge=second.brief_judge,
    rater=second.brief_rater,
    pairs=second.brief_pairs,
)
GENERATIONS = {briefing.generation: briefing for briefing in (FIRST, SECOND)}


def briefing_of(generation: int) -> Briefing:
    """The briefing of that generation; a config has no number but one of these."""
    return GENERATIONS[generation]
