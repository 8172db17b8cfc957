"""What every world keeps to: splits that share nothing, truths in a stated order, rules that its own transcripts follow."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.errors import StudyError
from tools.training.tokenizer import word_tokenizer
from tools.worlds.catalogue import WORLDS, load_world
from tools.worlds.world import BEGIN, SPLITS, Transcripts, Variable, World, lengths_of, split_of

NAMES = sorted(WORLDS)
EVERY = {name: load_world(name) for name in NAMES}


@pytest.fixture(params=NAMES)
def world(request: pytest.FixtureRequest) -> World:
    return EVERY[request.param]


def test_an_unknown_world_is_refused_with_those_there_are() -> None:
    with pytest.raises(StudyError, match="no world 'chess': use one of othello, maze, text"):
        load_world("chess")


def test_no_transcript_is_in_two_splits_whatever_the_seeds(world: World) -> None:
    rows = {split: {row.tobytes() for seed in (0, 1) for row in world.rows(split, 60, seed)} for split in SPLITS}
    assert all(len(found) > 115 for found in rows.values())
    assert not rows["train"] & rows["development"]
    assert not rows["train"] & rows["test"]
    assert not rows["development"] & rows["test"]


@given(st.lists(st.integers(0, 300), min_size=1, max_size=40))
def test_the_hash_of_a_row_decides_its_split(tokens: list[int]) -> None:
    """Eight in ten train; the bytes are the same on every machine."""
    digest = hashlib.sha256(b"".join(token.to_bytes(2, "little") for token in tokens)).digest()
    tenth = int.from_bytes(digest[:8], "big") % 10
    assert split_of(np.array(tokens, dtype=np.int16)) == ("train" if tenth < 8 else SPLITS[tenth - 7])


def test_most_transcripts_train(world: World) -> None:
    made = world.make(1000, np.random.default_rng(5))
    assert 0.75 < np.mean([split_of(row) == "train" for row in made]) < 0.85


def test_a_seed_gives_the_same_again_and_a_smaller_draw_is_the_beginning_of_a_larger(world: World) -> None:
    more, fewer, other = world.rows("train", 900, 7), world.rows("train", 30, 7), world.rows("train", 30, 8)
    assert more.shape == (900, world.context_size)
    assert np.array_equal(more[:30], fewer)
    assert not np.array_equal(fewer, other)
    assert world.rows("test", 0, 7).shape == (0, world.context_size)


def test_transcripts_keep_to_their_own_rules(world: World) -> None:
    tokens = world.rows("development", 60, 0)
    chances = world.chances(tokens)
    chosen = np.take_along_axis(chances[:, :-1], tokens[:, 1:, None].astype(int), 2)
    assert (chosen > 0).all()
    assert np.allclose(chances.sum(-1), 1, atol=1e-5)
    assert np.array_equal(world.legal(tokens), chances > 0)


def test_tokens_are_drawn_as_often_as_their_chances_say(world: World) -> None:
    """Of the first token, within four standard deviations."""
    tokens = world.make(2000, np.random.default_rng(11))
    expected = world.chances(tokens[:1, :1])[0, 0]
    found = np.bincount(tokens[:, 1], minlength=len(expected)) / 2000
    assert (np.abs(found - expected) <= 4 * np.sqrt(expected * (1 - expected) / 2000)).all()


def test_what_is_known_of_a_position_does_not_rest_on_what_comes_after(world: World) -> None:
    tokens = world.rows("test", 20, 1)
    whole, beginning = world.read(tokens), world.read(tokens[:, :12])
    assert all(np.array_equal(whole[name][:, :12], values) for name, values in beginning.items())


def test_every_value_has_a_meaning_in_words(world: World) -> None:
    drawn = world.draw("train", 200, 0)
    for variable in world.variables:
        values = set(np.unique(drawn.states[variable.name]).tolist())
        assert values == set(range(len(variable.classes) or 2)), variable.name
        assert len(variable.meanings) == len(variable.classes or (1,))
        assert all(variable.meanings)
    assert len({variable.name for variable in world.variables}) == len(world.variables)
    assert drawn.states.keys() == {variable.name for variable in world.variables}


def test_every_truth_is_sometimes_so_and_sometimes_not(world: World) -> None:
    drawn = world.draw("test", 300, 0)
    names, truths = drawn.truths()
    rates = dict(zip(names, truths[drawn.counted()].mean(0), strict=True))
    assert min(rates.values()) > 0.005, min(rates, key=rates.__getitem__)
    assert max(rates.values()) < 0.97


def test_every_token_is_said(world: World) -> None:
    assert len(set(world.vocabulary)) == len(world.vocabulary)
    assert world.vocabulary[0] == BEGIN
    said = set(np.unique(world.make(3000, np.random.default_rng(0))))
    assert said == set(range(len(world.vocabulary)))


def test_a_tokenizer_of_its_words_reads_its_texts_back(world: World) -> None:
    tokenizer = word_tokenizer(world.vocabulary)
    for row in world.rows("test", 50, 3):
        text, ids = world.text(row), row[row > 0].tolist()
        assert tokenizer(text)["input_ids"] == ids
        assert tokenizer.decode(ids) == f" {text}"


@pytest.mark.parametrize(
    ("name", "text", "kept"),
    [
        ("text", "In the theatre Anna said, “I love a soup.”", " In the Anna said, “I love soup.”"),
        ("text", "1842 houses", ""),
        ("text", "we", " we"),
        ("othello", "c2 zebra b2 b22 pass", " c2 b2 pass"),
        ("othello", "The history of the town", ""),
        ("maze", "both e4 a1 →b9 →b2 →a1b bother", " both a1 →b2"),
    ],
)
def test_a_tokenizer_of_words_passes_over_what_is_none(name: str, text: str, kept: str) -> None:
    """No token stands for it, least of all the one that opens texts."""
    tokenizer = word_tokenizer(EVERY[name].vocabulary)
    ids = tokenizer(text)["input_ids"]
    assert 0 not in ids
    assert tokenizer.decode(ids) == kept


def test_truths_are_columns_by_variable_and_class_over_positions_of_row_after_row() -> None:
    variables = (
        Variable("lit", "boolean", ("the lamp is lit",)),
        Variable("colour", "categorical", ("it is red", "it is blue", "it is green"), ("red", "blue", "green")),
    )
    states = {
        "colour": np.array([[0, 1, 2], [2, 2, 0]], dtype=np.int8),
        "lit": np.array([[0, 1, 1], [0, 0, 1]], dtype=np.int8),
    }
    drawn = Transcripts(np.array([[0, 4, 5], [0, 6, 0]], dtype=np.int16), states, variables)
    names, truths = drawn.truths()
    assert names == ("lit", "colour: red", "colour: blue", "colour: green")
    assert truths.astype(int).tolist() == [
        [0, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1],
        [0, 0, 0, 1], [0, 0, 0, 1], [1, 1, 0, 0],
    ]  # fmt: skip
    assert drawn.lengths.tolist() == [3, 2]
    assert drawn.counted().tolist() == [False, True, True, False, True, False]


@given(st.lists(st.integers(1, 5), max_size=6), st.integers(1, 4))
def test_a_row_is_as_long_as_what_comes_before_its_filling(said: list[int], filling: int) -> None:
    assert lengths_of(np.array([[0, *said, *[0] * filling]])).tolist() == [1 + len(said)]
    assert lengths_of(np.array([[0, *said]])).tolist() == [1 + len(said)]
