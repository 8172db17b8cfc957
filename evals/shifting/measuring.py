"""What each way of choosing does at each number: the columns of test texts, and the cells of the table made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from evals.shifting.classifiers import Direction, Reader, read_biased, read_oracle, wanted_texts
from evals.shifting.judges import Judge
from evals.shifting.resampling import Correct, Frame
from evals.shifting.results import Cell, Side, Threshold, Way
from evals.shifting.ways import RANDOM, Chooser, list_choosers, size_of, take_out
from tools.probes.draws import take_balanced
from tools.probes.ground import Ground
from tools.probes.scr import removal_score
from tools.probes.task import PAIRS

THRESHOLDS: tuple[Threshold, ...] = ("old", "centred")
AGAIN: tuple[Way, ...] = ("judged", "no judge", "SCR", "to the point")
"""Ways after which the classifier is trained again as well, at the number that was judged."""
USUAL = 20
"""That number where nothing was judged."""


class Column(NamedTuple):
    """One set by one threshold, on every test text."""

    way: Way
    threshold: Threshold
    asked: int | None
    taken: float
    correct: Correct


class Stand(NamedTuple):
    """Where everything is measured: a task, its classifiers by seed, and the resamples of its test texts."""

    ground: Ground
    readers: tuple[Reader, ...]
    frame: Frame
    draws: int

    @classmethod
    def of(cls, ground: Ground, readers: Iterable[Reader], draws: int, seed: int) -> Stand:
        """Draw the resamples."""
        quadrants, known = ground.task.quadrants[take_balanced(ground.task, "test")], tuple(readers)
        return cls(ground, known, Frame(quadrants, len(known), seed), draws)


class Ends(NamedTuple):
    """Where SCR is 0 and where it is 1."""

    biased: Correct
    oracle: Correct


def find_ends(stand: Stand, direction: Direction) -> Ends:
    """Both classifiers with nothing taken out."""
    full = stand.ground.pooled.residual
    biased = [read_biased(stand.ground, one, direction, full, ("old",))["old"] for one in stand.readers]
    oracle = [read_oracle(stand.ground, one, direction) for one in stand.readers]
    return Ends(_stack([[one] for one in biased]), _stack([[one] for one in oracle]))


def count_steps(stand: Stand, judge: Judge, direction: Direction) -> int:
    """Sets that `measure` takes out, for a bar."""
    choosers = list_choosers(stand.ground, stand.readers, judge, direction)
    return sum(len(one.sizes) for one in choosers) + _has_words(stand, direction)


def measure(stand: Stand, judge: Judge, direction: Direction, advance: Callable[[], object]) -> Iterator[Column]:
    """Every way at every number.

    Args:
        stand: where.
        judge: whose verdicts are acted on.
        direction: what is taken out and what is read.
        advance: called after each set.
    """
    own = size_of(judge, direction) or USUAL
    for chooser in list_choosers(stand.ground, stand.readers, judge, direction):
        for asked in chooser.sizes:
            again = chooser.way in AGAIN and asked in (None if chooser.way == "judged" else own, own)
            yield from measure_set(stand, direction, chooser, asked, again)
            advance()
    if _has_words(stand, direction):
        yield from _measure_words(stand, direction)
        advance()


def measure_set(
    stand: Stand, direction: Direction, chooser: Chooser, asked: int | None, again: bool = False
) -> Iterator[Column]:
    """One way at one number, by every threshold."""
    thresholds = (*THRESHOLDS, "trained again") if again else THRESHOLDS
    draws = stand.draws if chooser.way in RANDOM else 1
    wanted, known = wanted_texts(stand.ground.task, stand.readers), dict[tuple[int, ...], np.ndarray]()
    read: list[list[dict[Threshold, np.ndarray]]] = []
    taken: list[int] = []
    for reader in stand.readers:
        read.append([])
        for draw in range(draws):
            chosen = tuple(chooser.choose(reader, asked, draw))
            if chosen not in known:
                if chooser.kind == "features":
                    known.clear()  # tokens alone are worth the memory: the model runs for them
                known[chosen] = take_out(stand.ground, chooser, chosen, wanted)
            taken.append(len(chosen))
            read[-1].append(read_biased(stand.ground, reader, direction, known[chosen], thresholds))
    for threshold in thresholds:
        correct = _stack([[one[threshold] for one in of_seed] for of_seed in read])
        yield Column(chooser.way, threshold, asked, float(np.mean(taken)), correct)


def _has_words(stand: Stand, direction: Direction) -> bool:
    """Cue words give the attribute away: deleting them is a way of taking it out, and no way of taking out the class."""
    return stand.ground.bare is not None and direction.number == 1


def _measure_words(stand: Stand, direction: Direction) -> Iterator[Column]:
    """Texts without their cue words: read by the classifier as it is, and by one that learned from such texts."""
    ground, bare = stand.ground, stand.ground.bare
    assert bare is not None
    read = [read_biased(ground, one, direction, bare, (*THRESHOLDS, "trained again")) for one in stand.readers]
    kinds: tuple[tuple[Way, Threshold, Threshold], ...] = (
        ("words", "old", "old"),
        ("words", "centred", "centred"),
        ("words, trained again", "old", "trained again"),
    )
    for way, threshold, by in kinds:
        yield Column(way, threshold, None, float(len(ground.cues)), _stack([[one[by]] for one in read]))


def make_cell(column: Column, direction: Direction, ends: Ends, frame: Frame) -> Cell:
    """The figures of a column."""
    worst, worst_by_seed = frame.worst(column.correct)
    each = column.correct.mean(axis=0)  # [seeds, draws]
    before, beyond = ends.biased.mean(axis=(0, 2)), ends.oracle.mean(axis=(0, 2))
    by_seed = [removal_score(*map(float, of_seed)) for of_seed in zip(each.mean(axis=1), before, beyond, strict=True)]
    by_draw = [removal_score(float(share), float(before.mean()), float(beyond.mean())) for share in each.mean(axis=0)]
    dead = frame.is_dead(*ends)
    draws = [score for score in by_draw if score is not None and not dead]
    return Cell(
        way=column.way,
        direction=direction.number,
        threshold=column.threshold,
        asked=column.asked,
        taken=column.taken,
        scr=frame.scr(column.correct, ends.biased, ends.oracle),
        by_seed=tuple(None if dead else score for score in by_seed),
        accuracy=frame.accuracy(column.correct),
        worst=worst,
        worst_by_seed=worst_by_seed,
        quadrants=tuple(float(column.correct[frame.quadrants == quadrant].mean()) for quadrant in range(len(PAIRS))),
        spread=(min(draws), max(draws)) if column.way in RANDOM and draws else None,
    )


def make_side(stand: Stand, judge: Judge, direction: Direction, ends: Ends) -> Side:
    """How far there is to go."""
    frame = stand.frame
    return Side(
        direction=direction.number,
        removed=direction.removed,
        kept=direction.kept,
        oracle=frame.accuracy(ends.oracle),
        biased=frame.accuracy(ends.biased),
        oracle_worst=frame.worst(ends.oracle)[0].value or 0.0,
        biased_worst=frame.worst(ends.biased)[0].value or 0.0,
        dead=frame.is_dead(*ends),
        judged=size_of(judge, direction),
        published=len(judge.published(direction.removed)),
        to_the_point=len(judge.beside(direction.kept, direction.removed)),
    )


def _stack(columns: Sequence[Sequence[np.ndarray]]) -> Correct:
    """[seed][draw] -> [text, seed, draw]."""
    return np.stack([np.stack(of_seed, axis=-1) for of_seed in columns], axis=1).astype(np.float64)
