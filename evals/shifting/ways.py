"""Ways of choosing what is taken out, which stand beside each other at equal numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from evals.shifting.classifiers import Direction, Reader
from evals.shifting.judges import Judge
from evals.shifting.results import Way
from tools.probes.ablation import ablate_pooled
from tools.probes.choice import choose_among, choose_by_effect, choose_like
from tools.probes.ground import Ground

SIZES = (2, 5, 10, 20, 50, 100)
"""Features taken out, beside as many as were judged, and all."""
PUBLISHED = 500
"""What SAEBench takes out beside these."""
RANDOM: tuple[Way, ...] = ("random like judged", "random like SCR")
_DRAW_STEP = 1_000_003

Choose = Callable[[Reader, int | None, int], Sequence[int]]
"""Of a seed's classifiers so many features, in a draw of that number."""


class Chooser(NamedTuple):
    """One way."""

    way: Way
    choose: Choose
    sizes: tuple[int | None, ...]
    """None: all that it names."""
    kind: Literal["features", "tokens"] = "features"


def list_choosers(ground: Ground, readers: Sequence[Reader], judge: Judge, direction: Direction) -> list[Chooser]:
    """Every way that there is something to choose by.

    Args:
        ground: the task.
        readers: the classifiers of every probe seed.
        judge: whose verdicts are acted on.
        direction: what is taken out.
    """
    found = list(_list_choosers(ground, judge, direction))
    if ground.tokens is not None:
        # Of all seeds together: the model reads the texts anew for each set.
        tokens = np.mean([reader.tokens[direction.removed] for reader in readers], axis=0)
        sizes = _with(size_of(judge, direction), SIZES)
        found.append(Chooser("tokens", lambda _, n, __: choose_by_effect(tokens, n), sizes, "tokens"))
    return found


def choose_judged(judge: Judge, direction: Direction) -> Chooser:
    """What the judge would have taken out, those with the largest effects on the biased classifier first."""
    beside = judge.beside(direction.removed, direction.kept)
    return Chooser("judged", _among(beside), _named(len(beside)))


def _list_choosers(ground: Ground, judge: Judge, direction: Direction) -> Iterator[Chooser]:
    removed, kept, density = direction.removed, direction.kept, ground.pooled.density
    beside, own = judge.beside(removed, kept), size_of(judge, direction)

    def by_probe(reader: Reader, n: int | None, _: int) -> list[int]:
        return choose_by_effect(reader.own[removed], n)

    def like_judged(reader: Reader, n: int | None, draw: int) -> list[int]:
        chosen = choose_among(reader.biased, beside, n)
        return choose_like(chosen, density, reader.biased, _seed_of(reader, draw), excluded=beside)

    def like_probe(reader: Reader, n: int | None, draw: int) -> list[int]:
        return choose_like(by_probe(reader, n, 0), density, reader.own[removed], _seed_of(reader, draw))

    every = _with(own, SIZES)
    yield choose_judged(judge, direction)
    published = judge.published(removed)
    yield Chooser("published rule", _among(published), _with(own, _named(len(published)), len(published)))
    yield Chooser("no judge", lambda reader, n, _: choose_by_effect(reader.biased, n), every)
    yield Chooser("SCR", by_probe, (*every, PUBLISHED, None))
    if own:
        yield Chooser("random like judged", like_judged, _named(len(beside)))
    yield Chooser("random like SCR", like_probe, every)
    opposite = judge.beside(kept, removed)
    yield Chooser("to the point", _among(opposite), _with(own, _named(len(opposite)), len(opposite)))


def _among(listed: Sequence[int]) -> Choose:
    return lambda reader, n, _: choose_among(reader.biased, listed, n)


def size_of(judge: Judge, direction: Direction) -> int:
    """Features that the judge would have taken out."""
    return len(judge.beside(direction.removed, direction.kept))


def take_out(
    ground: Ground, chooser: Chooser, chosen: Sequence[int], wanted: Int64[np.ndarray, " n"]
) -> Float[np.ndarray, "texts d"]:
    """All texts without what was chosen; those that nobody wants may be nan."""
    if chooser.kind == "tokens":
        assert ground.tokens is not None
        return ground.tokens.without(chosen, wanted)
    return ablate_pooled(ground.pooled, ground.directions, chosen)


def _named(count: int) -> tuple[int | None, ...]:
    """Sizes of a list of features: those below its length, and all of it."""
    return (*(size for size in SIZES if size < count), None)


def _with(own: int, sizes: tuple[int | None, ...], most: int | None = None) -> tuple[int | None, ...]:
    """As many as were judged, put among the sizes; not where a list has no more than that."""
    if not own or own in sizes or (most is not None and own >= most):
        return sizes
    numbers = sorted([own, *(size for size in sizes if size is not None)])
    return (*numbers, *((None,) if None in sizes else ()))


def _seed_of(reader: Reader, draw: int) -> int:
    return _DRAW_STEP * reader.seed + draw
