"""Fuzzing: does a label tell rightly from wrongly marked tokens?

Right marks are on the tokens at which a feature is active. Wrong ones are of the same number and length, and begin words
where the right ones do, on tokens at which it is silent: of another active text (`elsewhere`), where the topic gives
nothing away, or of a silent text (`silent text`). Marks are written `<<so>>`, as others write them. Angle brackets in the
text itself never get into a prompt (`prompts.fence`), so no text can hold a mark of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from evals.scoring.detection import ACTIVE, Item, plain_item, shuffle
from evals.scoring.records import Task
from prompts.fence import escape, fence
from tools.activity.heldout import HeldOut
from tools.records import Context

ELSEWHERE, SILENT_TEXT = "elsewhere", "silent text"
WRONG_KINDS = (ELSEWHERE, SILENT_TEXT)
MARKED_SHARE = 0.3
"""Tokens with at least this share of their context's largest activation are marked."""
_OPEN, _CLOSE = "⟪", "⟫"
"""Stand for the marks until the fence is up; a text's own ones are exchanged for what angle brackets become."""
BORDER = "¦"
"""Shown, where a label is about pieces of words, wherever one token ends inside a string of characters."""
_OWN = str.maketrans({_OPEN: "‹‹", _CLOSE: "››"})
_OWN_NUMBERS = str.maketrans({"[": "(", "]": ")", _OPEN: "‹‹", _CLOSE: "››"})
_OWN_BORDER = str.maketrans({BORDER: "|"})


class Run(NamedTuple):
    """Consecutive marked tokens."""

    length: int
    opening: str
    """What kind of token it begins with."""


def fuzzing_items(held_out: HeldOut, seed: int, task: Task = "fuzzing") -> list[Item]:
    """Rightly and wrongly marked texts of one direction in a random order; no text is shown both ways."""
    rng = np.random.default_rng([seed, *f"marks {held_out.feature.key}".encode()])
    right = [plain_item(ACTIVE, one, right_marks(one)) for one in held_out.active]
    patterns = [list_runs(item.tokens, item.marked or ()) for item in right]
    wrong: list[Item] = []
    for kind, contexts in ((ELSEWHERE, held_out.further), (SILENT_TEXT, held_out.random)):
        for number, one in enumerate(contexts if patterns else ()):
            marked = wrong_marks(one, patterns[number % len(patterns)], rng)
            if marked is not None:
                wrong.append(plain_item(kind, one, marked))
    return shuffle(right + wrong, held_out.feature.key, task, seed)


def right_marks(context: Context) -> tuple[bool, ...]:
    """True at the tokens at which the feature is most active."""
    values = context.activations or ()
    floor = MARKED_SHARE * max(values, default=0.0)
    return tuple(value > 0 and value >= floor for value in values)


def wrong_marks(context: Context, runs: Sequence[Run], rng: np.random.Generator) -> tuple[bool, ...] | None:
    """As many runs of marks, as long, on tokens at which the feature is silent; None where they do not fit.

    A run begins at a token of the kind that the right one begins with, if there is one.
    """
    free = [value == 0 for value in context.activations or ()]
    marked = [False] * len(free)
    for run in sorted(runs, key=lambda run: -run.length):
        starts = [start for start in range(len(free) - run.length + 1) if all(free[start : start + run.length])]
        alike = [start for start in starts if kind_of(context.tokens[start]) == run.opening]
        if not starts:
            return None
        start = int(rng.choice(alike or starts))
        for place in range(start, start + run.length):
            free[place], marked[place] = False, True
    return tuple(marked) if any(marked) else None


def list_runs(tokens: Sequence[str], marked: Sequence[bool]) -> list[Run]:
    """The marked stretches of a text."""
    return [Run(stop - start, kind_of(tokens[start])) for start, stop in _stretches(marked)]


def kind_of(token: str) -> str:
    """Whether a token opens a word, goes on with one, or is something else."""
    text = token.strip()
    if not text[:1].isalpha():
        return "other"
    return "opens a word" if token[:1].isspace() else "goes on"


def show_text(item: Item, borders: bool | None = None) -> str:
    """The item's text on one line that forges nothing, with stand-ins for its marks.

    Args:
        item: marked or not.
        borders: whether tokens' borders are shown; None where nobody was told what they look like.
    """
    pieces = [escape(token).translate(_OWN) for token in item.tokens]
    for start, stop in _stretches(item.marked or ()):
        first = pieces[start]
        word = first.lstrip(" ") or first
        pieces[start] = f"{first[: len(first) - len(word)]}{_OPEN}{word}"
        pieces[stop - 1] += _CLOSE
    if borders is None:
        return "".join(pieces)
    pieces = [piece.translate(_OWN_BORDER) for piece in pieces]
    inside = [borders and not (one[-1:].isspace() or next_one[:1].isspace()) for one, next_one in pairwise(item.tokens)]
    return "".join(piece + BORDER * here for piece, here in zip(pieces, [*inside, False], strict=True))


def show_numbered(item: Item) -> str:
    """The item's text on one line that forges nothing, each token behind its number, from 1."""
    pieces = (escape(token).translate(_OWN_NUMBERS) for token in item.tokens)
    return "".join(f"[{number}]{piece}" for number, piece in enumerate(pieces, 1))


def fence_texts(items: Sequence[Item], cap: int, show: Callable[[Item], str] = show_text) -> str:
    """Numbered texts inside a fence, with `<<marks>>` that are all ours.

    Args:
        items: of one prompt.
        cap: most characters.
        show: what is shown of an item.
    """
    lines = [f"text {number}: {show(item)}" for number, item in enumerate(items, 1)]
    return fence("texts", "\n".join(lines), cap).replace(_OPEN, "<<").replace(_CLOSE, ">>")


def _stretches(marked: Sequence[bool]) -> Iterator[tuple[int, int]]:
    start = None
    for place, here in enumerate([*marked, False]):
        if here and start is None:
            start = place
        elif not here and start is not None:
            yield start, place
            start = None
