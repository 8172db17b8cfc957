"""Othello played on many boards at once, held against Othello played by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tools.worlds.slow_othello import OTHER, Board, legal, opening, perft, played, turned
from tools.errors import StudyError
from tools.worlds.othello import CENTRE, CORNERS, EMPTY, MINE, PLAYED, SQUARES, YOURS, Othello
from tools.worlds.world import lengths_of

WORLD = Othello()
ID = {text.strip(): token for token, text in enumerate(WORLD.vocabulary)}


def row_of(*moves: str) -> np.ndarray:
    return np.array([[0, *(ID[move] for move in moves)]])


def names_of(mask: np.ndarray) -> set[str]:
    return {WORLD.vocabulary[token].strip() for token in np.flatnonzero(mask)}


def value(moves: tuple[str, ...], name: str) -> int:
    return int(WORLD.read(row_of(*moves))[name][0, -1])


def test_dark_opens_with_one_of_four_moves() -> None:
    assert names_of(WORLD.legal(row_of())[0, 0]) == {"b3", "c2", "d5", "e4"}


@pytest.mark.parametrize(("plies", "games"), [(1, 4), (2, 12), (3, 56), (4, 244)])
def test_there_are_as_many_games_of_a_few_moves_as_counted_one_by_one(plies: int, games: int) -> None:
    """The first numbers are those of the usual board too, whose edge is still out of reach."""
    assert perft(opening(), "dark", plies) == games
    rows = row_of()
    for _ in range(plies):
        parents, moves = np.nonzero(WORLD.legal(rows)[:, -1])
        rows = np.column_stack([rows[parents], moves])
    assert len(rows) == games


def test_a_position_set_up_by_hand() -> None:
    """Dark c2 turns c3; light b2 then turns nothing but c3 again, on the diagonal from b2 to d4."""
    first, second = ("c2",), ("c2", "b2")
    assert [value(first, f"disc {square}") for square in ("c2", "c3", "c4", "d3", "d4", "b2")] == [
        YOURS, YOURS, YOURS, YOURS, MINE, EMPTY,
    ]  # fmt: skip
    assert [value(first, f"turned {square}") for square in ("c3", "d3", "d4")] == [1, 0, 0]
    assert [value(second, f"disc {square}") for square in ("b2", "c2", "c3", "c4", "d3", "d4")] == [
        YOURS, MINE, YOURS, MINE, MINE, YOURS,
    ]  # fmt: skip
    assert (value(first, "dark to move"), value(second, "dark to move"), value(second, "turned c3")) == (0, 1, 1)


def test_random_games_are_what_the_slow_rules_say_at_every_token() -> None:
    tokens = WORLD.make(60, np.random.default_rng(1))
    states, allowed = WORLD.read(tokens), WORLD.legal(tokens)
    for game, length in enumerate(lengths_of(tokens)):
        board, player, last = opening(), "dark", set[str]()
        for position in range(length):
            if position:
                move = WORLD.vocabulary[tokens[game, position]].strip()
                last = set() if move == "pass" else turned(board, player, move)
                board = board if move == "pass" else played(board, player, move)
                player = OTHER[player]
            here = {name: int(values[game, position]) for name, values in states.items()}
            assert here == expected(board, player, last)
            assert names_of(allowed[game, position]) == (legal(board, player) or {after_none(board, player)})


def after_none(board: Board, player: str) -> str:
    return "pass" if legal(board, OTHER[player]) else WORLD.vocabulary[0]


def expected(board: Board, player: str, last: set[str]) -> dict[str, int]:
    owners = {player: MINE, OTHER[player]: YOURS}
    moves = legal(board, player)
    return {
        **{f"disc {square}": owners[board[square]] if square in board else EMPTY for square in SQUARES},
        **{f"legal {square}": int(square in moves) for square in PLAYED},
        **{f"turned {square}": int(square in last) for square in SQUARES if square not in CORNERS},
        "dark to move": int(player == "dark"),
        "must pass": int(not moves and after_none(board, player) == "pass"),
        "phase": 0 if len(board) < 15 else 1 if len(board) < 26 else 2,
    }


def test_games_end_where_neither_side_can_move_and_some_pass_before() -> None:
    """A row that is full may stop short of that, and few are."""
    tokens = WORLD.make(3000, np.random.default_rng(2))
    lengths = lengths_of(tokens)
    ended = np.flatnonzero(lengths < tokens.shape[1])
    assert len(ended) > 0.99 * len(tokens)
    last = WORLD.legal(tokens)[ended, lengths[ended] - 1]
    assert last[:, 0].all()
    assert not last[:, 1:].any()
    passes = tokens == ID["pass"]
    assert 0.2 < passes.any(1).mean() < 0.6
    assert not (passes[:, 1:] & passes[:, :-1]).any()


def test_every_opening_move_is_drawn_about_as_often() -> None:
    tokens = WORLD.make(8000, np.random.default_rng(3))
    shares = np.bincount(tokens[:, 1], minlength=len(ID))[[ID[move] for move in ("b3", "c2", "d5", "e4")]] / 8000
    assert np.allclose(shares, 0.25, atol=0.025)


@pytest.mark.parametrize(
    ("moves", "position"),
    [(("a1",), 1), (("c2", "c1"), 2), (("c2", "c2"), 2), (("pass",), 1), (("c2", "b2", "b2", "a1"), 3)],
)
def test_an_illegal_move_is_found_where_it_stands(moves: tuple[str, ...], position: int) -> None:
    with pytest.raises(StudyError, match=f"othello: row 0 breaks the rules at position {position}"):
        WORLD.read(row_of(*moves))
    allowed = WORLD.legal(row_of(*moves))[0].any(1)
    assert allowed[:position].all()
    assert not allowed[position:].any()


@pytest.mark.parametrize("token", [-1, 34, 99])
def test_a_token_that_is_none_is_illegal_too(token: int) -> None:
    with pytest.raises(StudyError, match="position 1"):
        WORLD.read(np.array([[0, token]]))


def test_one_move_at_a_time_can_be_asked_for() -> None:
    prefix = row_of("c2")[0]
    assert WORLD.is_legal(prefix, ID["b2"])
    assert not WORLD.is_legal(prefix, ID["a1"])


def test_centre_squares_are_never_empty_and_corners_never_turned() -> None:
    names = [name for variable in WORLD.variables for name in variable.truths]
    assert not {f"disc {square}: empty" for square in CENTRE} & set(names)
    assert not {f"turned {square}" for square in CORNERS} & set(names)
    assert len(names) == len(set(names)) == 36 * 3 - 4 + 32 + 32 + 5
