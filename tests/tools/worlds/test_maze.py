"""Walks in mazes: one told by hand, random ones held against a walker who takes one step at a time."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools.worlds.slow_maze import SIDES, Cell, Way, all_ways, beside, cells, grown, path, told
from tools.errors import StudyError
from tools.study.reading import load_study
from tools.worlds.lattice import tell
from tools.worlds.maze import CELLS, Maze
from tools.worlds.world import Transcripts

WORLD = Maze()
ID = {text.strip(): token for token, text in enumerate(WORLD.vocabulary)}
SNAKE = "east east east south both east east neither east east east south east east east"
"""One corridor through all cells, row by row and back."""
COMB = "both both both south south south south south south south south south neither neither neither"
"""A corridor in the first row, from which one leads south in every column."""
MAZES = st.permutations(range(24)).map(lambda order: grown(4, order))


def row_of(text: str) -> np.ndarray:
    return np.array([[0, *(ID[word] for word in text.split())]])


def may_follow(text: str) -> set[str]:
    return {WORLD.vocabulary[token].strip() for token in np.flatnonzero(WORLD.legal(row_of(text))[0, -1])}


def so_after(text: str) -> set[str]:
    """All that is so after the last word, by name."""
    row = row_of(text)
    names, truths = Transcripts(row, WORLD.read(row), WORLD.variables).truths()
    return {name for name, so in zip(names, truths[-1], strict=True) if so}


NOWHERE = {f"{name}: none" for name in ("step", "distance", "latitude", "longitude")}


def test_what_has_been_told_of_a_maze_is_known_and_no_more() -> None:
    assert so_after("") == {"phase: map", *NOWHERE}
    assert so_after("east south") == {
        "open a1-b1", "wall a1-a2", "wall b1-c1", "open b1-b2", "phase: map", *NOWHERE,
    }  # fmt: skip
    whole = so_after(SNAKE)
    assert {name for name in whole if name.startswith("open")} == {
        "open a1-b1", "open b1-c1", "open c1-d1", "open d1-d2", "open c2-d2", "open b2-c2", "open a2-b2", "open a2-a3",
        "open a3-b3", "open b3-c3", "open c3-d3", "open d3-d4", "open c4-d4", "open b4-c4", "open a4-b4",
    }  # fmt: skip
    assert sum(name.startswith("wall") for name in whole) == 9


def walk_of(text: str) -> set[str]:
    return {name for name in so_after(text) if name.split()[0] not in ("open", "wall")}


def test_a_walker_that_is_told_where_to_go() -> None:
    assert walk_of(f"{COMB} b3") == {"at b3", "exit north", "exit south", "phase: waiting", *NOWHERE}
    assert walk_of(f"{COMB} b3 →d2") == {
        "at b3", "target d2", "exit north", "exit south", "step: north", "distance: four or five steps",
        "latitude: further north", "longitude: further east", "phase: walking",
    }  # fmt: skip
    assert walk_of(f"{COMB} b3 →d2 b2 b1") == {
        "at b1", "target d2", "exit east", "exit south", "exit west", "fork", "step: east", "distance: three steps",
        "latitude: further south", "longitude: further east", "phase: walking",
    }  # fmt: skip
    assert walk_of(f"{COMB} b3 →d2 b2 b1 c1 d1 d2 →d4 d3 d4") == {
        "at d4", "exit north", "dead end", "phase: waiting", *NOWHERE,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "name"),
    [("b1", "one step"), ("c1", "two steps"), ("d1", "three steps"), ("d2", "four or five steps")]
    + [("c2", "four or five steps"), ("b2", "six or more steps"), ("a4", "six or more steps")],
)
def test_distances_are_counted_along_the_way(cell: str, name: str) -> None:
    assert f"distance: {name}" in so_after(f"{SNAKE} a1 →{cell}")


def test_what_may_come_next_is_any_maze_any_cell_any_other_target_and_the_only_step() -> None:
    assert may_follow("") == {"east", "south", "both"}
    assert may_follow("east east east south both east east") == {"neither", "south"}
    assert may_follow(SNAKE) == set(CELLS)
    assert may_follow(f"{SNAKE} b2") == {f"→{cell}" for cell in CELLS if cell != "b2"}
    assert may_follow(f"{SNAKE} b2 →a1") == {"c2"}
    assert may_follow(f"{SNAKE} b2 →c2 c2") == {f"→{cell}" for cell in CELLS if cell != "c2"}


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("neither", 1),
        ("both south south south east", 5),  # a loop of a1, b1, a2 and b2
        ("south east east neither", 4),  # b1, c1 and d1 would be cut off
        ("east east east east", 4),  # beyond the edge
        (f"{SNAKE[:-5]} neither", 15),  # d4 alone leads to c4
        ("a1", 1),
        (f"{SNAKE} →a1", 16),
        (f"{SNAKE} east", 16),
        (f"{SNAKE} a1 a2", 17),
        (f"{SNAKE} a1 →a1", 17),
        (f"{SNAKE} a1 →c1 a2", 18),
        (f"{SNAKE} a1 →c1 c1", 18),
        (f"{SNAKE} a1 →c1 →d1", 18),
        (f"{SNAKE} a1 →b1 b1 c1", 19),
        (f"{SNAKE} b1 →a1 c1 b1 a1", 18),
    ],
)
def test_what_breaks_the_rules_is_found_where_it_stands(text: str, position: int) -> None:
    with pytest.raises(StudyError, match=f"maze: row 0 breaks the rules at position {position}"):
        WORLD.read(row_of(text))
    allowed = WORLD.legal(row_of(text))[0].any(1)
    assert allowed[:position].all()
    assert not allowed[position:].any()


@pytest.mark.parametrize("token", [-1, 0, 37, 99])
def test_a_token_that_is_none_is_illegal_too(token: int) -> None:
    with pytest.raises(StudyError, match="position 16"):
        WORLD.read(np.column_stack([row_of(SNAKE), [[token]]]))


def test_random_walks_are_what_a_walker_finds_one_step_at_a_time() -> None:
    tokens = WORLD.make(40, np.random.default_rng(1))
    states, allowed = WORLD.read(tokens), WORLD.legal(tokens)
    for n, row in enumerate(tokens):
        ways, at, target = ways_of(row), None, None
        for position in range(16, len(row)):
            word = WORLD.vocabulary[row[position]].strip()
            at, target = (at, cell_of(word[1:])) if "→" in word else (cell_of(word), target)
            assert at is not None
            target = None if target == at else target
            here = {name: int(values[n, position]) for name, values in states.items()}
            assert here == expected(ways, at, target)
            may = {WORLD.vocabulary[token].strip() for token in np.flatnonzero(allowed[n, position])}
            assert may == (
                {way_to(ways, at, target)[1]} if target else {f"→{cell}" for cell in CELLS} - {f"→{name(at)}"}
            )


def name(cell: Cell) -> str:
    return "abcd"[cell[1]] + str(cell[0] + 1)


def cell_of(word: str) -> Cell:
    return (int(word[1]) - 1, "abcd".index(word[0]))


def ways_of(row: np.ndarray) -> set[Way]:
    found = set[Way]()
    for cell, token in zip(cells(4), row[1:16], strict=False):
        word = WORLD.vocabulary[token].strip()
        sides = {"both": ("east", "south"), "neither": ()}.get(word, (word,))
        found |= {frozenset((cell, beside(cell, side))) for side in sides}
    return found


def way_to(ways: set[Way], at: Cell, target: Cell) -> list[str]:
    found = path(ways, at, target)
    assert found is not None
    return [name(cell) for cell in found]


def expected(ways: set[Way], at: Cell, target: Cell | None) -> dict[str, int]:
    edges = {way: "-".join(name(cell) for cell in sorted(way)) for way in all_ways(4)}
    exits = {side: frozenset((at, beside(at, side))) in ways for side in SIDES}
    toward = [0, 0, 0, 0]
    if target:
        steps = way_to(ways, at, target)[1:]
        side = next(number for number, side in enumerate(SIDES, 1) if beside(at, side) == cell_of(steps[0]))
        row, column = (2 + (theirs > own) - (theirs < own) for own, theirs in zip(at, target, strict=True))
        toward = [side, [0, 1, 2, 3, 4, 4, 5][min(len(steps), 6)], row, column]
    return {
        **{f"open {between}": int(way in ways) for way, between in edges.items()},
        **{f"wall {between}": int(way not in ways) for way, between in edges.items()},
        **{f"at {name(cell)}": int(cell == at) for cell in cells(4)},
        **{f"target {name(cell)}": int(cell == target) for cell in cells(4)},
        **{f"exit {side}": int(way) for side, way in exits.items()},
        "dead end": int(sum(exits.values()) == 1),
        "fork": int(sum(exits.values()) > 2),
        **dict(zip(("step", "distance", "latitude", "longitude"), toward, strict=True)),
        "phase": 2 if target else 1,
    }


@settings(max_examples=30)
@given(MAZES, st.integers(0, 2**32 - 1))
def test_any_maze_can_be_walked(ways: set[Way], seed: int) -> None:
    """The chance of its being told is that of any other, of which there are 100,352."""
    row = WORLD.walk(np.array([told(ways, 4)]), np.random.default_rng(seed))
    assert ways_of(row[0]) == ways
    chances = np.take_along_axis(WORLD.chances(row)[0, :-1], row[0, 1:, None].astype(int), 1)
    assert chances[:15].prod() == pytest.approx(1 / 100_352, rel=1e-5)
    assert (chances[15:] > 0).all()


def test_what_is_no_maze_is_not_walked() -> None:
    with pytest.raises(StudyError, match="row 1 breaks the rules at position 1"):
        WORLD.walk(np.array([row_of(SNAKE)[0, 1:] - 1, [0] * 15]), np.random.default_rng(0))


def test_the_maze_costs_what_there_is_to_know_of_it() -> None:
    """The entropy of what is told is the log of the number of mazes, on average; and walks leave targets open alone."""
    chances = WORLD.chances(WORLD.make(3000, np.random.default_rng(0))).astype(float)
    entropies = -(chances * np.log(np.where(chances > 0, chances, 1))).sum(-1)
    assert entropies[:, :15].sum(1).mean() == pytest.approx(np.log(100_352), abs=0.05)
    assert np.allclose(entropies[:, 15], np.log(16))
    walking = entropies[:, 16:]
    assert (np.isclose(walking, 0) | np.isclose(walking, np.log(15))).all()


def test_the_walk_in_the_documentation_is_one() -> None:
    page = Path("docs/worlds.md").read_text("utf-8")
    shown = next(line for line in page.splitlines() if line.startswith(">") and "→" in line)
    assert "phase: walking" in so_after(shown.strip("> …"))


def test_the_study_steers_beginnings_of_walks_and_its_guideline_names_what_may_be_so() -> None:
    study = load_study("maze")
    for prompt in study.steering.prompts:
        assert "phase: map" not in so_after(prompt)
    guideline = study.question.read_guideline()
    for variable in WORLD.variables:
        for said in (variable.name.rpartition(" ")[0] + " " if variable.place else variable.name, *variable.classes):
            assert f"`{said}" in guideline or f": {said}`" in guideline, said


@pytest.fixture(scope="module")
def library() -> Any:
    """maze-dataset; importing it seeds Python's generator, and so does asking it for a maze draw on numpy's."""
    before = random.getstate(), np.random.get_state()
    yield pytest.importorskip("maze_dataset", reason="the extra `mazes` is not installed", exc_type=ImportError)
    random.setstate(before[0])
    np.random.set_state(before[1])


def test_mazes_of_wilsons_algorithm_are_told_with_the_chances_that_ours_are(library: Any) -> None:
    """Each way within four standard deviations of its share of all mazes; and what it finds, we find."""
    np.random.seed(0)
    made = [library.LatticeMazeGenerators.gen_wilson((4, 4)) for _ in range(1000)]
    rows = WORLD.walk(np.array([tell(maze.connection_list) for maze in made]), np.random.default_rng(0))
    ours = WORLD.make(20_000, np.random.default_rng(1))
    for word in range(1, 5):
        share, found = ((sample[:, 1:16] == word).mean(0) for sample in (ours, rows))
        assert (np.abs(found - share) <= 4 * np.sqrt(share * (1 - share) / 1000) + 0.01).all()


@pytest.mark.parametrize("generator", ["gen_wilson", "gen_dfs", "gen_kruskal"])
def test_mazes_of_other_generators_can_be_walked_and_are_solved_alike(library: Any, generator: str) -> None:
    for seed in range(20):
        np.random.seed(seed)
        random.seed(seed)
        maze = getattr(library.LatticeMazeGenerators, generator)((4, 4))
        row = WORLD.walk(tell(maze.connection_list)[None], np.random.default_rng(seed))[0]
        words = [WORLD.vocabulary[token].strip() for token in row]
        target = words[17][1:]
        steps = maze.find_shortest_path(cell_of(words[16]), cell_of(target))
        said = [words[16], *words[18:]]
        assert [name(tuple(cell)) for cell in steps] == said[: len(steps)]
