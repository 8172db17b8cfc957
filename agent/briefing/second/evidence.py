"""Evidence as the fenced text an LLM reads. What was not measured is left out; nothing stands in for it.

The two sides of a feature stand apart, statistics before examples. How the lines are to be read is said once, in
`agent.briefing.second.legend`, not here for every feature.

The judge's version says nothing of who proposed what, of which stratum a feature was drawn from, of the steering score
or of the rules' verdict, and carries no name by which a feature could be recognised.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.briefing.second.inputs import Amount, show_inputs
from agent.briefing.second.outputs import show_effects, show_pairs, show_steering, show_weights
from prompts.fence import fence
from tools.proof.floors import NOTHING_DEAD, Dead, keep_alive, say_dead
from tools.records import Evidence, SteeredPair

INVESTIGATOR = Amount(top=4, quantiles=4, silent=2, cap=120)
JUDGE = Amount(top=3, quantiles=3, silent=2, cap=90)
RATER = Amount(top=6, quantiles=4, silent=1, cap=90)
_CAPS = {"investigator": 6000, "judge": 4400, "rater": 5000, "pairs": 4400}
"""Characters, where something is longer than anything we have seen."""


def brief_investigator(evidence: Evidence, dead: Dead = NOTHING_DEAD) -> str:
    """All the evidence, steering with its score. Of an instrument that measured nothing it says that, and no number."""
    alive = keep_alive(evidence, dead)
    return _fenced(
        dead, _inputs(alive, INVESTIGATOR), [*_outputs(alive), *show_steering(alive.steering)], "investigator"
    )


def brief_judge(evidence: Evidence, dead: Dead = NOTHING_DEAD) -> str:
    """The evidence without steering: its texts are shown as blind pairs, its score not at all."""
    alive = keep_alive(evidence, dead)
    return _fenced(dead, _inputs(alive, JUDGE), _outputs(alive), "judge")


def brief_rater(evidence: Evidence, dead: Dead = NOTHING_DEAD) -> str:
    """The same with more contexts: people who rate concepts are shown ten."""
    alive = keep_alive(evidence, dead)
    return _fenced(dead, _inputs(alive, RATER), _outputs(alive), "rater")


def brief_pairs(pairs: Sequence[SteeredPair], steered_is_a: Sequence[bool]) -> str:
    """Pairs of continuations as A and B, in the order given."""
    lines = list(show_pairs(pairs, steered_is_a))
    return fence("pairs", "\n".join(fit(lines, _CAPS["pairs"])), _CAPS["pairs"]) if lines else "There are no pairs."


def _inputs(evidence: Evidence, amount: Amount) -> list[str]:
    return list(show_inputs(evidence.activations, amount)) if evidence.activations else []


def _outputs(evidence: Evidence) -> list[str]:
    return [*show_weights(evidence), *show_effects(evidence)]


def _fenced(dead: Dead, inputs: Sequence[str], outputs: Sequence[str], reader: str) -> str:
    """What is dead first of all, so that no cap cuts it off."""
    lines = [say_dead(instrument, why) for instrument, why in dead.items()]
    lines += ["INPUT SIDE", *inputs] if inputs else []
    lines += ["OUTPUT SIDE", *outputs] if outputs else []
    return fence("evidence", "\n".join(fit(lines, _CAPS[reader])), _CAPS[reader]) if lines else "Nothing was measured."


def fit(lines: Sequence[str], cap: int) -> Iterable[str]:
    """As many whole lines as there is room for, and how many more there were: nothing is cut within a line."""
    room = cap - 40
    for place, line in enumerate(lines):
        room -= len(line) + 1
        if room < 0 and place:
            yield f"[… {len(lines) - place} more lines]"
            return
        yield line
