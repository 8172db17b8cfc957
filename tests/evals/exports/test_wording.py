"""Evidence as text: what was measured, marked and whole; what was not has no line."""

from __future__ import annotations

from evals.exports.wording import word_evidence
from tests.agent.cases import make_evidence, make_pairs
from tools.records import Evidence


def test_strong_tokens_are_marked_with_their_activation() -> None:
    text = word_evidence(make_evidence())
    assert "listened to the «heart 8.1» for a long time" in text
    assert 'top tokens: " heart" 1, " blood" 0.95' in text


def test_every_steered_pair_is_shown_with_its_controls() -> None:
    lines = word_evidence(make_evidence()).split("\n")
    for pair in make_pairs(10):
        assert f"     steered: {pair.steered}" in lines
        assert f"     unsteered: {pair.unsteered}" in lines
    assert lines.count("     along a random direction:  x") == 10


def test_lists_stand_apart() -> None:
    lines = word_evidence(make_evidence()).split("\n")
    for number, line in enumerate(lines):
        if line.startswith("contexts"):
            assert lines[number - 1] == ""
        if line.startswith(("steering", "ablation")):
            assert lines[number - 1] == ""


def test_what_was_not_measured_has_no_line() -> None:
    whole = make_evidence()
    assert word_evidence(Evidence(feature=whole.feature, stratum="imported")) == (
        "feature base-004711 of study toy, drawn from: imported"
    )


def test_a_line_break_in_a_text_is_a_sign_and_none_in_the_list() -> None:
    whole = make_evidence()
    assert whole.activations
    context = whole.activations.top[0].model_copy(update={"tokens": ("a\nb",), "activations": (0.0,)})
    evidence = whole.model_copy(update={"activations": whole.activations.model_copy(update={"top": (context,)})})
    assert "  1. a⏎b" in word_evidence(evidence).split("\n")
