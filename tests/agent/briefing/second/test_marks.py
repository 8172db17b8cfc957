"""Marked text: nothing is left to be guessed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.briefing.second.marks import mark, quote, show_context, spell, tenths
from tools.records import Context, Shared


def context(*tokens: tuple[str, float], **changes: object) -> Context:
    values = tuple(value for _, value in tokens)
    fields = {
        "document": "d",
        "tokens": tuple(t for t, _ in tokens),
        "activations": values,
        "max_activation": max(values),
    }
    return Context.model_validate({**fields, **changes})


def test_a_mark_holds_a_run_of_tokens_with_the_tenths_behind_the_strongest() -> None:
    shown = show_context(
        context((" the", 0.0), (" left", 6.0), (" ventri", 8.0), ("cle", 3.0), (" is", 0.0)), 16.0, 100
    )
    assert shown == "… the «left ventri|5|cle» is"


@pytest.mark.parametrize(
    ("tokens", "shown"),
    [
        (("in", " 19", "84"), "…in «19|10»84"),
        (("in", "5"), "…in«5|10»"),
        (("a", ":"), "…a«:|10»"),
        (("a", "|"), "…a«¦|10»"),
        (("a", "«"), "…a«‹|10»"),
    ],
)
def test_marks_do_not_run_into_what_stands_beside_them(tokens: tuple[str, ...], shown: str) -> None:
    assert show_context(context(*((token, float(i == 1)) for i, token in enumerate(tokens))), None, 100) == shown


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" heart", '" heart"'),
        ("heart", '"heart"'),
        (" ", '"␣"'),
        ("   ", '"␣␣␣"'),
        ("\n", '"⏎"'),
        (',"', "',\"'"),
        ("\n\n", '"⏎⏎"'),
        ("\t", '"⇥"'),
        ("\ufffd", '"\\u{fffd}"'),
        ("\u00a0", '"\\u{a0}"'),
        ("\u2003x", '"\\u{2003}x"'),
        ("\u200b", '"\\u{200b}"'),
        ("a  b", '"a␣␣b"'),
        ("a" + " " * 12 + "b", '"a␣×12 b"'),
    ],
)
def test_what_nobody_would_see_is_spelt(token: str, shown: str) -> None:
    assert quote(token) == shown


def test_a_blank_that_is_active_can_be_seen() -> None:
    assert show_context(context(("a", 0.0), (" ", 2.0), (" b", 0.0)), None, 100) == "…a«␣|10» b"


def test_the_edge_of_a_context_says_what_begins_there() -> None:
    tokens = ((" The", 1.0), (" end", 0.0))
    assert show_context(context(*tokens, begins="text"), None, 90) == "[text]  «The|10» end"
    assert show_context(context(*tokens, begins="row"), None, 90) == "[row]  «The|10» end"
    assert show_context(context(*tokens), None, 90).startswith("… «The")
    cut = context(("w", 0.0), *((f" w{i}", 0.0) for i in range(40)), (" peak", 1.0), begins="text")
    assert show_context(cut, None, 40).startswith("…"), "what begins is not shown"


def test_three_times_as_much_stands_before_the_peak_as_behind_it() -> None:
    tokens = [(f" w{number:02}", 9.0 if number == 50 else 0.0) for number in range(100)]
    shown = show_context(context(*tokens), None, 80)
    before, behind = shown.split("«w50|10»")
    assert 2.5 < len(before) / len(behind) < 4.5
    assert shown.startswith("…") and shown.endswith("…")
    at_end = show_context(context(*tokens[:51]), None, 80)
    assert at_end.endswith("«w50|10»") and len(at_end) > 75, "what is not there behind it is shown before it"


def test_a_silent_context_marks_what_it_shares_wherever_that_is() -> None:
    tokens = [(f" w{number:02}", 0.0) for number in range(100)]
    silent = context(*tokens, shared=Shared(kind="word", place=70))
    assert "«w70|0»" in show_context(silent, 5.0, 60)


def test_dense_text_stays_readable() -> None:
    tokens = [(f" word{number}", 5.0 + number % 3) for number in range(30)]
    shown = show_context(context(*tokens), None, 500)
    assert shown.count("«") == 1 and shown.count("|") == 2


def test_without_activations_nothing_is_marked() -> None:
    assert show_context(Context(document="d", tokens=("a «b»", " c")), None, 100) == "a ‹b› c"
    assert show_context(Context(document="d", tokens=()), None, 100) == ""


@given(st.floats(0, 50), st.floats(0.1, 50))
def test_tenths_are_of_the_largest_and_never_nothing_for_what_is_active(value: float, largest: float) -> None:
    found = tenths(value, largest)
    assert (found == 0) == (value <= 0)
    assert abs(found - 10 * value / largest) <= 1


TOKEN = st.text(alphabet=st.sampled_from("ab 19|«»:\n\t\ufffd"), min_size=1, max_size=4)


@given(st.lists(st.tuples(TOKEN, st.integers(0, 3)), min_size=1, max_size=12))
def test_marks_can_be_taken_out_again_and_leave_the_text(tokens: list[tuple[str, int]]) -> None:
    """Runs, their order and their strongest tokens are all there, and no sign of the text is taken for a mark."""
    values = [float(value) for _, value in tokens]
    marked = {place for place, value in enumerate(values) if value > 0}
    shown = "".join(mark([token for token, _ in tokens], values, marked, 3.0))
    runs = re.findall(r"«([^«»|]*)\|(\d+)(?:\|([^«»|]*))?»", shown)
    expected: list[list[float]] = []
    for place, value in enumerate(values):
        if value > 0:
            if place and values[place - 1] > 0:
                expected[-1].append(value)
            else:
                expected.append([value])
    assert [int(level) for _, level, _ in runs] == [tenths(max(run), 3.0) for run in expected]
    assert shown.count("«") == shown.count("»") == len(expected)
    bare = re.sub(r"\|\d+(?:\|)?(?=[^«]*»)|[«»]", "", shown)
    squeezed = spell("".join(token for token, _ in tokens))
    assert re.sub("[ ␣]|×\\d+", "", bare) == re.sub("[ ␣]|×\\d+", "", squeezed)
