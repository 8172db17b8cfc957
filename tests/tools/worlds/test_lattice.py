"""Mazes counted, told and solved many at once, held against mazes taken one by one, and against Kirchhoff's theorem."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tools.worlds.slow_maze import SIDES, Way, all_mazes, all_ways, beside, cells, grown, path, told
from tools.worlds.lattice import list_tellings, neighbours, solve, tell

MAZES_OF_4 = st.permutations(range(24)).map(lambda order: grown(4, order))


def count_by_theorem(size: int, ways: dict[Way, float]) -> float:
    """Spanning trees, each counted as often as the product of its ways' weights says: a minor of the Laplacian."""
    number = {cell: i for i, cell in enumerate(cells(size))}
    laplacian = np.zeros((size**2, size**2))
    for way, weight in ways.items():
        a, b = (number[cell] for cell in way)
        laplacian[[a, b], [a, b]] += weight
        laplacian[[a, b], [b, a]] -= weight
    return float(np.linalg.det(laplacian[1:, 1:]))


def share_that_are_open(size: int, way: Way) -> float:
    """Of all mazes, those with that way."""
    every = dict.fromkeys(all_ways(size), 1.0)
    return 1 - count_by_theorem(size, every | {way: 0.0}) / count_by_theorem(size, every)


def chance_of(telling: list[int], size: int) -> float:
    tellings, state, chance = list_tellings(size), 0, 1.0
    for one in telling:
        chance *= float(tellings.chances[state, one])
        state = tellings.after[state, one]
    return chance


@pytest.mark.parametrize(("size", "mazes"), [(2, 4), (3, 192), (4, 100_352), (5, 557_568_000)])
def test_there_are_as_many_mazes_as_kirchhoffs_theorem_says(size: int, mazes: int) -> None:
    assert list_tellings(size).mazes == mazes
    assert count_by_theorem(size, dict.fromkeys(all_ways(size), 1.0)) == pytest.approx(mazes)


@pytest.mark.parametrize("size", [2, 3])
def test_of_what_begins_alike_each_word_has_the_share_of_the_mazes_that_go_on_so(size: int) -> None:
    """All of them, counted one by one; what no maze says has no chance."""
    mazes = [told(ways, size) for ways in all_mazes(size)]
    assert len(mazes) == len({tuple(one) for one in mazes}) == list_tellings(size).mazes
    states = {(): 0}
    for length in range(size**2 - 1):
        for begun in [one for one in states if len(one) == length]:
            alike = [one for one in mazes if tuple(one[:length]) == begun]
            for word in range(4):
                share = np.mean([one[length] == word for one in alike])
                assert list_tellings(size).chances[states[begun], word] == pytest.approx(share)
                after = int(list_tellings(size).after[states[begun], word])
                assert (after >= 0) == (share > 0)
                if share:
                    states[*begun, word] = after


@given(MAZES_OF_4)
def test_every_maze_is_as_likely_as_any_other(ways: set[Way]) -> None:
    assert chance_of(told(ways, 4), 4) == pytest.approx(1 / 100_352)


@given(MAZES_OF_4, st.integers(0, 14))
def test_a_way_is_open_as_often_as_the_theorem_says_where_mazes_begin_alike(ways: set[Way], length: int) -> None:
    """Ways told to be there weigh so much that mazes without one count for nothing; walls weigh nothing."""
    begun = told(ways, 4)[:length]
    settled = {
        way for cell in cells(4)[:length] for way in all_ways(4) if cell in way and min(way) in cells(4)[:length]
    }
    weights = {way: (1e6 if way in ways else 0.0) if way in settled else 1.0 for way in all_ways(4)}
    state = 0
    for word in begun:
        state = int(list_tellings(4).after[state, word])
    south = frozenset((cells(4)[length], beside(cells(4)[length], "south")))
    if south in weights:
        expected = 1 - count_by_theorem(4, weights | {south: 0.0}) / count_by_theorem(4, weights)
        assert list_tellings(4).chances[state, [2, 3]].sum() == pytest.approx(expected, abs=1e-4)


@given(MAZES_OF_4)
def test_ways_distances_and_steps_are_those_found_one_cell_at_a_time(ways: set[Way]) -> None:
    solved = solve(np.array([told(ways, 4)]), 4)
    for a, cell in enumerate(cells(4)):
        assert solved.exits[0, a].tolist() == [frozenset((cell, beside(cell, side))) in ways for side in SIDES]
        for b, other in enumerate(cells(4)):
            found = path(ways, cell, other)
            assert found is not None
            assert solved.distances[0, a, b] == len(found) - 1
            step = solved.steps[0, a, b]
            assert (step == -1) if a == b else (beside(cell, list(SIDES)[step]) == found[1])


def test_where_no_way_leads_there_is_no_distance_and_no_step() -> None:
    solved = solve(np.array([[1, 0, 0]]), 2)  # a1 and b1 hang together, and nothing else
    assert solved.distances[0].tolist() == [[0, 1, -1, -1], [1, 0, -1, -1], [-1, -1, 0, -1], [-1, -1, -1, 0]]
    assert solved.steps[0].tolist() == [[-1, 1, -1, -1], [3, -1, -1, -1], [-1] * 4, [-1] * 4]


def test_ways_beyond_the_edge_count_for_nothing() -> None:
    assert not solve(np.array([[0, 1, 2]]), 2).exits.any()
    assert neighbours(2).tolist() == [[-1, 1, 2, -1], [-1, -1, 3, 0], [0, 3, -1, -1], [1, -1, -1, 2]]


def test_a_maze_as_maze_dataset_keeps_it_is_told_in_the_same_words() -> None:
    """First the ways to the south, then those to the east."""
    connections = np.zeros((2, 3, 3), dtype=bool)
    connections[0, 0, 0] = connections[0, 1, 2] = connections[1, 0, 0] = connections[1, 2, 1] = True
    assert tell(connections).tolist() == [3, 0, 0, 0, 0, 2, 0, 1]
