"""Labels by input: the words at which a run's own evidence shows each feature most active, and nothing that it promotes.

The rules judge names a feature by the tokens that it promotes. Where a feature is active is another question, and the run
holds an answer to it as well: its contexts are of the corpus that labels are made from, never of held-out text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from agent.folder.records import Decision
from evals.scoring.subjects import Labelled
from tools.records import Context, Evidence
from tools.survey.keywords import find_words, normalise

NAME = "input words"
MOST = 5
"""Words of a label, as many as the rules judge takes."""
LEAST = 0.05
"""Share of the activation in the contexts that a word has to have, unless none has."""


def take_input_words(decisions: Sequence[Decision], evidence: Sequence[Evidence]) -> Labelled:
    """Decisions with these words for labels; one whose evidence shows no activation has none.

    Args:
        decisions: of a run.
        evidence: of the same run.
    """
    shown = {one.feature.key: one.activations for one in evidence}
    given = [
        decision.model_copy(update={"label": name_inputs((*seen.top, *seen.quantiles)) if seen else None})
        for decision in decisions
        for seen in [shown.get(decision.feature.key)]
    ]
    return Labelled(given, NAME)


def name_inputs(contexts: Sequence[Context]) -> str | None:
    """The words, and tokens that are in no word, with most of the activation in some contexts; None without any.

    A context of which more is active counts no more than another: each has its activation divided by all of it.
    """
    mass: defaultdict[str, float] = defaultdict(float)
    for context in contexts:
        values = context.activations or ()
        total = sum(values)
        for name, value in zip(name_tokens(context.tokens), values, strict=False):
            if name and value > 0:
                mass[name] += value / total
    whole, ranked = sum(mass.values()), sorted(mass, key=lambda name: -mass[name])
    named = [name for name in ranked[:MOST] if mass[name] >= LEAST * whole] or ranked[:1]
    return ", ".join(_spell(name) for name in named) or None


def name_tokens(tokens: Sequence[str]) -> list[str]:
    """Of each token the word that it is of, or else itself without the blanks around it."""
    text, place, found = "".join(tokens), 0, list[str]()
    words = [(match.span(), normalise(match[0])) for match in find_words(text)]
    for token in tokens:
        start, place = place, place + len(token)
        within = (word for (first, last), word in words if first < place and start < last)
        found.append(next(within, token.strip()))
    return found


def _spell(name: str) -> str:
    """As a label's part: what is no word stands in quotation marks."""
    return name if name.isalpha() else f'"{name}"'
