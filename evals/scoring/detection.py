"""Detection: does a label tell text in which a feature is active from text in which it is silent?

Nothing is marked. The silent texts are of three kinds (`tools.activity.heldout`), which are scored apart: a label that names the
topic passes the random ones and may fail near misses.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from evals.scoring.records import Task
from tools.activity.heldout import SILENT_KINDS, HeldOut
from tools.records import Context

ACTIVE = "active"


class Item(NamedTuple):
    """One yes-or-no question about one text, whatever the label."""

    kind: str
    """`active`, whose answer is yes, or the kind of the text whose answer is no."""
    quantile: int | None
    """Of an active text; 1 for the strongest."""
    document: str
    tokens: tuple[str, ...]
    marked: tuple[bool, ...] | None = None
    """In fuzzing: which tokens are marked."""
    activations: tuple[float, ...] = ()
    """At each token, where answers are weighed by it or held against it; no scorer is shown it."""

    @property
    def truth(self) -> bool:
        """The right answer."""
        return self.kind == ACTIVE

    @property
    def text(self) -> str:
        """The text without marks."""
        return "".join(self.tokens)


def detection_items(held_out: HeldOut, seed: int, task: Task = "detection") -> list[Item]:
    """Active and silent texts of one direction in a random order, so that neighbours in a prompt tell nothing."""
    items = [plain_item(ACTIVE, one) for one in held_out.active]
    for kind in SILENT_KINDS:
        items += [plain_item(kind, one) for one in held_out.silent(kind)]
    return shuffle(items, held_out.feature.key, task, seed)


def plain_item(kind: str, context: Context, marked: tuple[bool, ...] | None = None) -> Item:
    """The question about a context; only an active one has a quantile."""
    quantile = context.quantile if kind == ACTIVE else None
    return Item(kind, quantile, context.document, context.tokens, marked, context.activations or ())


def shuffle(items: list[Item], key: str, task: Task, seed: int) -> list[Item]:
    """The items of a direction in an order that depends on nothing but its key, the task and the seed."""
    order = np.random.default_rng([seed, *f"{task} {key}".encode()]).permutation(len(items))
    return [items[place] for place in order]
