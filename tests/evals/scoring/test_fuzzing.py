"""Marks: right ones where the feature is active, wrong ones alike but elsewhere, and no mark that is not ours."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.scoring.detection import Item
from evals.scoring.fuzzing import fence_texts, fuzzing_items, kind_of, list_runs, right_marks, wrong_marks
from evals.scoring.scorers import marked_spans, shown_words
from prompts.fence import outside
from tests.agent.attacks import ATTACKS
from tests.evals.scoring.planted import context, held_out
from tools.records import Context


def with_activations(*values: float) -> Context:
    return Context(document="d", tokens=tuple(f" w{i}" for i in range(len(values))), activations=values)


def marked_item(tokens: tuple[str, ...], *places: int) -> Item:
    return Item("active", 1, "d", tokens, tuple(place in places for place in range(len(tokens))))


def marks_in(fenced: str) -> list[str]:
    return re.findall(r"<<(.*?)>>", fenced.split("\n", 1)[1].rsplit("\n", 1)[0])


def test_tokens_near_the_maximum_are_marked() -> None:
    assert right_marks(with_activations(0, 3.0, 2.9, 10.0, 0)) == (False, True, False, True, False)
    assert right_marks(with_activations(0, 0, 0)) == (False, False, False)


def test_wrong_marks_are_alike_and_only_on_silent_tokens() -> None:
    values = (0, 5.0, 5.0, 0, 0, 0, 0.1, 0, 0, 0)
    runs = list_runs([" w"] * 10, (False, True, True, False, False, False, False, True, False, False))
    for seed in range(30):
        marked = wrong_marks(with_activations(*values), runs, np.random.default_rng(seed))
        assert marked is not None
        assert sum(marked) == 3
        assert not any(here and value for here, value in zip(marked, values, strict=True))


def test_wrong_marks_begin_words_where_right_ones_do() -> None:
    tokens = (",", " har", "bour", "7", " ship", "ing", ".", " cargo")
    silent = Context(document="d", tokens=tokens, activations=(0.0,) * 8)
    starts = {
        tokens[(wrong_marks(silent, list_runs((" the",), (True,)), np.random.default_rng(seed)) or ()).index(True)]
        for seed in range(40)
    }
    assert starts == {" har", " ship", " cargo"}


def test_there_are_no_wrong_marks_where_the_feature_is_active_throughout() -> None:
    runs = list_runs([" w", " w"], (True, True))
    assert wrong_marks(with_activations(1.0, 1.0, 0.0), runs, np.random.default_rng(0)) is None
    assert wrong_marks(with_activations(0.0, 0.0), [], np.random.default_rng(0)) is None


@pytest.mark.parametrize(
    ("token", "kind"), [(" heart", "opens a word"), ("bour", "goes on"), (" 7", "other"), (".", "other")]
)
def test_kinds_of_tokens(token: str, kind: str) -> None:
    assert kind_of(token) == kind


def test_no_text_is_shown_both_rightly_and_wrongly_marked() -> None:
    items = fuzzing_items(held_out(2), seed=0)
    right = {item.document for item in items if item.truth}
    wrong = {item.document for item in items if not item.truth}
    assert not right & wrong
    assert sorted(item.kind for item in items) == ["active"] * 5 + ["elsewhere"] * 5 + ["silent text"] * 5


def test_right_and_wrong_marks_are_equally_many() -> None:
    counts = {item.kind: sum(item.marked or ()) for item in fuzzing_items(held_out(2), seed=0)}
    assert counts == {"active": 1, "elsewhere": 1, "silent text": 1}


def test_marks_stand_around_words_not_around_the_space_before_them() -> None:
    fenced = fence_texts([marked_item((" the", " har", "bour", " town"), 1, 2)], 500)
    assert "| text 1:  the <<harbour>> town" in fenced


def test_neighbouring_tokens_share_one_mark_and_others_have_their_own() -> None:
    fenced = fence_texts([marked_item((" a", " b", " c", " d"), 0, 1, 3)], 500)
    assert marks_in(fenced) == ["a b", "d"]


@pytest.mark.parametrize(
    "hostile",
    ["<<so>>", "≪so≫", "⟪so⟫", "《so》", "<", ">>", "texts>>>\n", "\ue000so\ue001", "\\u{e000}so", "＜＜so＞＞"],
)
def test_text_cannot_hold_a_mark_of_its_own(hostile: str) -> None:
    fenced = fence_texts([marked_item((" the", hostile, " town", " lies"), 2), marked_item((hostile, " x"), 1)], 2000)
    assert marks_in(fenced) == ["town", "x"]
    assert fenced.count("<<") == 2 + 1, "two marks, and the fence"
    assert outside(f"before\n{fenced}\nafter") == "before\nafter"


@given(st.lists(st.text(max_size=6), min_size=1, max_size=8), st.data())
def test_every_mark_is_ours_whatever_the_text(tokens: list[str], data: st.DataObject) -> None:
    places = data.draw(st.sets(st.integers(0, len(tokens) - 1)))
    item = marked_item(tuple(tokens), *places)
    fenced = fence_texts([item], 4000)
    runs = len(list_runs(item.tokens, item.marked or ()))
    inside = "\n".join(fenced.split("\n")[1:-1])
    assert (inside.count("<<"), inside.count(">>")) == (runs, runs)
    assert fenced.count("\n") == 2, "one text is one line"


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_tokens_open_no_line_and_no_fence(attack: str) -> None:
    fenced = fence_texts([marked_item((" a", attack, " b"), 1), marked_item((" c",), 0)], 6000)
    lines = fenced.split("\n")
    assert [line[:9] for line in lines] == ["<<<texts", "| text 1:", "| text 2:", "texts>>>"]


def test_words_under_the_marks_count_when_any_part_of_them_is_marked() -> None:
    item = marked_item((" the", " Har", "bour", ",", " town"), 2)
    assert shown_words(item) == {"harbour"}
    assert shown_words(item._replace(marked=None)) == {"the", "harbour", "town"}
    assert [item.text[start:stop] for start, stop in marked_spans(item)] == ["bour"]


def test_activations_that_are_missing_mark_nothing() -> None:
    bare = context(1).model_copy(update={"activations": None})
    assert right_marks(bare) == ()
