"""What a model is to be asked about steered texts: pairs in a seeded order, single texts, and what nobody could answer.

Beside every arm's text against its unsteered twin stands the judge's floor: the same pairs under another target's excerpts,
and one text shown twice. What the model says there is the floor under all else it says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeVar

from agent.folder.judged import UNSTEERED, Address
from agent.folder.records import PromptRef
from agent.folder.steered import SCHEMES, SteeredText
from prompts.loader import load_prompt
from tools.maths import derangement, seed_of

KEPT, EXCERPTS, EXCERPT = 9, 3, 500
"""Held-out documents of a target that are kept, how many of them one question shows, and characters of each."""
FLOOR = 8
"""Pairs a target that are asked about under another one's excerpts, and texts that are shown twice."""
_OWN = (*SCHEMES, "prompt")
"""Arms that are about the target: the floor is measured on them."""

RESEMBLE, ASSESS = ("resemble", 1), ("assess", 1)
"""Prompts with their versions."""
T = TypeVar("T")
Task = Literal["more alike", "rating"]


def list_prompts() -> tuple[PromptRef, ...]:
    """What a model that judges is asked by, for a run's provenance."""
    return tuple(PromptRef(name=one.name, sha256=one.sha256) for one in (load_prompt(*RESEMBLE), load_prompt(*ASSESS)))


def keep_exemplars(held_out: Sequence[str]) -> tuple[str, ...]:
    """Beginnings of held-out documents, for a run to keep: whoever goes on with it needs no more to judge by."""
    return tuple(one[:EXCERPT] for one in held_out[:KEPT])


class Exemplar(NamedTuple):
    """A target as the model is shown it."""

    name: str
    documents: Sequence[str]
    """Held out: what the scores were made from is not among them."""

    def excerpts(self, prompt: int) -> list[str]:
        """Of some documents, others for each prompt, so that no answer rests on the choice of three."""
        n = len(self.documents)
        return [self.documents[(prompt * EXCERPTS + place) % n] for place in range(min(EXCERPTS, n))]


class Question(NamedTuple):
    """One thing the model is asked."""

    task: Task
    text: SteeredText
    beside: str = ""
    """The unsteered text of the same prompt and sample, of a comparison."""
    swapped: bool = False
    shown: str | None = None
    """Another target, whose excerpts are shown."""

    @property
    def address(self) -> Address:
        """Under which its answer is known."""
        text = self.text
        return (text.target, text.arm, text.prompt, text.sample), self.task, self.swapped, self.shown

    @property
    def is_moot(self) -> bool:
        """Whether there is nothing to ask: equal texts are equally alike. Only the floor asks all the same."""
        return self.task == "more alike" and self.text.arm != UNSTEERED and self.text.text == self.beside


def plan_questions(
    texts: Sequence[SteeredText], names: Sequence[str], *, most: int | None = None, repeats: int = 1, seed: int = 0
) -> list[Question]:
    """All that a run's texts are to be asked about, in the order of the texts, the floor last.

    Args:
        texts: of every arm; an arm's text without an unsteered twin is rated and not compared.
        names: of the targets that there are excerpts of.
        most: texts of a target and arm, spread over prompts and samples; None for all.
        repeats: 1 for an order drawn by a coin, 2 for both.
        seed: of the coin.
    """
    twins = {(one.target, one.prompt, one.sample): one.text for one in texts if one.arm == UNSTEERED}
    groups: defaultdict[tuple[str, str], list[SteeredText]] = defaultdict(list)
    for one in texts:
        if one.target in names:
            groups[one.target, one.arm].append(one)
    questions: list[Question] = []
    for (target, arm), group in groups.items():
        for one in _spread(group, most):
            twin = twins.get((target, one.prompt, one.sample))
            if arm != UNSTEERED and twin is not None:
                orders = _orders(one, repeats, seed)
                questions += [Question("more alike", one, twin, swapped) for swapped in orders]
            questions.append(Question("rating", one))
    return questions + _plan_floor(questions, names, seed)


def _plan_floor(questions: Sequence[Question], names: Sequence[str], seed: int) -> list[Question]:
    """For each target some of its pairs under another one's excerpts, and some unsteered texts beside themselves."""
    others = dict(zip(names, (names[i] for i in derangement(len(names), seed)), strict=True)) if len(names) > 1 else {}
    floor: list[Question] = []
    for name in names:
        own = [one for one in questions if one.text.target == name]
        pairs = [one for one in own if one.task == "more alike" and one.text.arm in _OWN and not one.is_moot]
        plain = [one.text for one in own if one.task == "rating" and one.text.arm == UNSTEERED]
        if name in others:
            once = {one.address[0]: one for one in pairs}
            floor += [one._replace(shown=others[name]) for one in _spread(list(once.values()), FLOOR)]
        floor += [Question("more alike", one, one.text) for one in _spread(plain, FLOOR)]
    return floor


def _spread(items: Sequence[T], most: int | None) -> Sequence[T]:
    if most is None or len(items) <= most:
        return items
    return [items[place * len(items) // most] for place in range(most)]


def _orders(text: SteeredText, repeats: int, seed: int) -> tuple[bool, ...]:
    """Whether the arm's text stands second: as the coin of that text says, and the other way round."""
    coin = seed_of(seed, text.target, text.arm, text.prompt, text.sample) % 2 == 1
    return (coin, not coin)[:repeats]
