"""Two sides, one verdict: the study's rule as a truth table."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.folder.sides import Side, Sides, Verdict
from agent.judges.counting import choose_label, count_sides
from tools.study.definition import Counts

VERDICTS: tuple[Verdict, ...] = ("yes", "no", "undecided")
RULES: tuple[Counts, ...] = ("input", "output", "either", "both")
SIDES = st.one_of(
    st.none(), st.builds(Side, relevant=st.sampled_from(VERDICTS), confidence=st.floats(0, 1), label=st.just("a label"))
)


def side(relevant: Verdict, confidence: float = 0.5, label: str | None = None) -> Side:
    return Side(relevant=relevant, confidence=confidence, label=label)


@pytest.mark.parametrize(
    ("input", "output", "either", "both"),
    [
        ("yes", "yes", "yes", "yes"),
        ("yes", "no", "yes", "no"),
        ("no", "yes", "yes", "no"),
        ("no", "no", "no", "no"),
        ("yes", "undecided", "yes", "undecided"),
        ("undecided", "yes", "yes", "undecided"),
        ("no", "undecided", "undecided", "no"),
        ("undecided", "no", "undecided", "no"),
        ("undecided", "undecided", "undecided", "undecided"),
    ],
)
def test_the_rule_makes_one_verdict_of_two(input: Verdict, output: Verdict, either: Verdict, both: Verdict) -> None:
    one, other = side(input), side(output)
    found = {counts: count_sides(counts, one, other).relevant for counts in RULES}
    assert found == {"input": input, "output": output, "either": either, "both": both}


@pytest.mark.parametrize(
    ("counts", "input", "output", "confidence"),
    [
        ("both", "yes", "yes", 0.6),  # no surer than its weaker part
        ("both", "no", "no", 0.9),  # one is enough: the surer
        ("both", "no", "yes", 0.6),
        ("either", "yes", "yes", 0.9),
        ("either", "no", "no", 0.6),
        ("both", "undecided", "undecided", 0.6),
        ("both", "yes", "undecided", 0.9),  # only the undecided one stands in the way
    ],
)
def test_a_verdict_is_as_sure_as_what_it_rests_on(
    counts: Counts, input: Verdict, output: Verdict, confidence: float
) -> None:
    assert count_sides(counts, side(input, 0.6), side(output, 0.9)).confidence == confidence


@pytest.mark.parametrize(("counts", "seen"), list(product(("either", "both"), VERDICTS)))
def test_a_side_without_evidence_leaves_the_verdict_to_the_other(counts: Counts, seen: Verdict) -> None:
    assert count_sides(counts, side(seen, 0.7), None).relevant == seen
    assert count_sides(counts, None, side(seen, 0.7)).relevant == seen


def test_a_side_that_alone_counts_and_is_not_there_leaves_everything_open() -> None:
    for counts in RULES:
        assert count_sides(counts, None, None) == side("undecided", 0.0)
    assert count_sides("output", side("yes", 0.9), None) == side("undecided", 0.0)


@given(st.sampled_from(RULES), SIDES, SIDES)
def test_either_asks_no_more_than_one_side_and_both_no_less(
    counts: Counts, input: Side | None, output: Side | None
) -> None:
    rank = {"no": 0, "undecided": 1, "yes": 2}
    if input and output:
        found = [rank[count_sides(rule, input, output).relevant] for rule in ("both", "input", "either")]
        assert found == sorted(found)
    parts = [one.confidence for one in (input, output) if one]
    assert count_sides(counts, input, output).confidence in {*parts, 0.0}


@pytest.mark.parametrize(
    ("kind", "counts", "label"),
    [
        ("both", "both", "wards"),
        ("cross", "both", "wards"),
        ("neither", "either", "wards"),
        ("output", "both", "drugs"),
        ("both", "output", "drugs"),
        (None, "input", "wards"),
    ],
)
def test_a_feature_is_called_by_where_it_is_active_unless_only_its_output_counts(
    kind: str | None, counts: str, label: str
) -> None:
    given = {"kind": kind, "counts": counts, "input": side("yes", label="wards"), "output": side("no", label="drugs")}
    assert choose_label(Sides.model_validate(given)) == label
    assert choose_label(Sides.model_validate({**given, "input": None})) == "drugs"
    assert choose_label(Sides.model_validate({**given, "output": None})) == "wards"
