"""Counts that add up, and a table that shows them."""

from __future__ import annotations

from math import e
from pathlib import Path

import pytest

from agent.folder.records import ConceptRating, Decision, JudgeRef
from agent.llm.records import Failure, Usage
from agent.report.figures import draw_figures
from agent.report.summary import summarise
from agent.report.tables import decisions_csv, describe_seconds, format_summary, strata_csv
from benchmarks.material.evidence import typical_pair, typical_steering
from tools.records import CoherenceEvidence, Evidence, FeatureRef, SequentialTest, SteeringWord, Stratum


def feature(index: int, stratum: Stratum) -> FeatureRef:
    kind = "random_direction" if stratum == "random directions" else "feature"
    return FeatureRef(study="tiny", sae="base", index=index, kind=kind)


def rating(index: int, **ratings: int) -> Decision:
    given = tuple(ConceptRating(concept=name, rating=value) for name, value in ratings.items())
    changes = {"relevant": None, "ratings": given, "stratum": "imported", "feature": feature(index, "imported")}
    return decided(index, "imported", "no").model_copy(update=changes)


def decided(index: int, stratum: Stratum, relevant: str) -> Decision:
    return Decision(
        run_id="r",
        feature=feature(index, stratum),
        stratum=stratum,
        status="decided",
        label="a label, with a comma",
        relevant=relevant,
        confidence=0.9,
        evidence_sha256="0",
        judge=JudgeRef(kind="rules"),
        usage=Usage(calls=1, input_tokens=100, output_tokens=10, usd=0.01),
    )


def failed(index: int, stratum: Stratum) -> Decision:
    return Decision(
        run_id="r",
        feature=feature(index, stratum),
        stratum=stratum,
        status="failed",
        evidence_sha256="0",
        judge=JudgeRef(kind="llm"),
        failure=Failure(type="timeout", message="no reply", attempts=6),
    )


def evidence(index: int, stratum: Stratum, wins: int, coherence: float | None) -> Evidence:
    return Evidence(
        feature=feature(index, stratum),
        stratum=stratum,
        coherence=CoherenceEvidence(
            weighted=coherence, deduplicated=coherence, n_valid=5, coverage=0.5, null_share=0.2
        ),
        steering=typical_steering(win_rate=wins / 10, n=10),
    )


DECISIONS = [
    decided(1, "candidates", "yes"),
    decided(2, "candidates", "no"),
    failed(3, "candidates"),
    decided(0, "random directions", "undecided"),
]
EVIDENCE = [
    evidence(1, "candidates", 9, 0.6),
    evidence(2, "candidates", 4, None),
    evidence(3, "candidates", 5, 0.2),
    evidence(0, "random directions", 5, 0.1),
]
SUMMARY = summarise("r", DECISIONS, EVIDENCE, None, 48, usage=Usage(calls=3))


def test_every_decision_is_counted_once() -> None:
    for row in SUMMARY.strata:
        assert row.yes + row.no + row.undecided + row.failed == row.n
    assert sum(row.n for row in SUMMARY.strata) == len(DECISIONS)
    assert SUMMARY.failures == {"timeout": 1}
    assert SUMMARY.usage.calls == 3


def test_steering_texts_are_pooled_and_missing_coherence_is_left_out_of_the_median() -> None:
    row = SUMMARY.strata[0]
    assert (row.steering_wins, row.steering_n, row.null_win_rate) == (18, 30, 0.5)
    assert row.median_coherence == 0.4


def test_accepted_features_are_a_row_without_random_directions() -> None:
    accepted = summarise(
        "r", [*DECISIONS, decided(1, "random directions", "yes")], EVIDENCE, None, 48, usage=Usage()
    ).accepted
    assert accepted is not None
    assert accepted.n == 1


def test_the_table_shows_verdicts_failures_and_the_null() -> None:
    text = "\n".join(format_summary(SUMMARY))
    assert "candidates" in text
    assert "60% [42%, 75%]" in text  # 18 of 30, Wilson
    assert "failed: 1 timeout" in text


def test_csv_holds_one_line_a_feature_and_quotes_labels() -> None:
    lines = decisions_csv(DECISIONS, EVIDENCE).splitlines()
    assert len(lines) == 1 + len(DECISIONS)
    assert '"a label, with a comma"' in lines[1]
    assert strata_csv(SUMMARY).splitlines()[1].startswith("candidates,,3,1,1,0,0,1,")


@pytest.mark.parametrize("wins", [0, 10])
def test_figures_are_drawn_of_what_was_measured_when_all_texts_were_won_or_none(tmp_path: Path, wins: int) -> None:
    found = [evidence(1, "candidates", wins, 0.6)]
    summary = summarise("r", DECISIONS[:1], found, None, 48, usage=Usage())
    figures = draw_figures(tmp_path / "figures", summary, found)
    assert {path.stem for path in figures} == {"coherence", "steering"}
    assert all(path.stat().st_size > 5000 for path in figures)


def test_a_study_of_ratings_in_which_all_failed_has_no_column_for_yes() -> None:
    summary = summarise("r", [failed(1, "imported")], [], None, None, usage=Usage(), concepts=("dentist",))
    assert [row.counts for row in summary.concepts] == [(0, 0, 0, 0, 0)]
    assert "yes" not in format_summary(summary)[0]


def test_ratings_are_counted_by_concept_and_are_neither_yes_nor_no() -> None:
    rated = [rating(1, dentist=4, nurse=0), rating(2, dentist=0, nurse=0), rating(3, dentist=4, nurse=1)]
    summary = summarise("r", rated, [], None, None, usage=Usage(), concepts=("dentist", "nurse"))
    assert [(row.concept, row.counts) for row in summary.concepts] == [
        ("dentist", (1, 0, 0, 0, 2)),
        ("nurse", (2, 1, 0, 0, 0)),
    ]
    assert [(row.n, row.yes, row.no, row.undecided, row.rated, row.failed) for row in summary.strata] == [
        (3, 0, 0, 0, 3, 0)
    ]
    text = "\n".join(format_summary(summary))
    assert "rated 4" in text
    assert "undecided" not in text
    assert "dentist 4; nurse 0" in decisions_csv(rated[:1], [evidence(1, "imported", 0, None)])


def in_sequence(index: int, stratum: Stratum, wins: str, verdict: SteeringWord, opening: int = 4) -> Evidence:
    """A direction whose pairs are won (w) or lost (l), four of which every direction was given."""
    pairs = [
        typical_pair(place, score_steered=0.4 if won == "w" else 0.0, perplexity_unsteered=e, perplexity_steered=e**2)
        for place, won in enumerate(wins)
    ]
    test = SequentialTest(
        win_rate=0.75,
        alpha=0.01,
        power=0.82,
        most=60,
        opening=opening,
        null=(0.25,) * opening + (0.75,) * (len(wins) - opening),
        verdict=verdict,
        p_value=0.5,
    )
    found = typical_steering(pairs, win_rate=wins.count("w") / len(wins), n=len(wins), sequence=test)
    return evidence(index, stratum, 0, None).model_copy(update={"steering": found})


def test_pairs_in_sequence_are_compared_by_those_that_every_direction_was_given() -> None:
    """Where further pairs go to the undecided, these would weigh more than the rest."""
    found = [
        in_sequence(1, "candidates", "wwlw" + "llllllll", "fails"),
        in_sequence(2, "candidates", "wwww", "passes"),
        in_sequence(0, "random directions", "wlwl" + "lwlw", "undecided"),
    ]
    decisions = [decided(1, "candidates", "no"), decided(2, "candidates", "yes"), DECISIONS[3]]
    summary = summarise("r", decisions, found, None, 48, usage=Usage())
    row = summary.strata[0]
    assert (row.steering_wins, row.steering_n, row.null_win_rate, row.steering_passes) == (7, 8, 0.25, 1)
    assert row.nats_unsteered == pytest.approx(1.0)
    assert row.nats_steered == pytest.approx(2.0)
    assert summary.sequence is not None
    assert (summary.sequence.pairs, summary.sequence.directions, summary.sequence.undecided) == (24, 3, 1)
    lines = format_summary(summary)
    assert lines[0].endswith("null   passes   nats a token")
    assert lines[1].endswith("25%        1    1.00 → 2.00")
    text = "\n".join(lines)
    assert "first 4 pairs" in text
    assert "24 were written in all, at most 60 each" in text
    assert "of directions that win 75% where chance wins half, 82% pass" in text
    assert "at most 1.0%" in text


def test_a_table_of_fixed_numbers_of_pairs_says_nothing_of_sequences() -> None:
    lines = format_summary(SUMMARY)
    assert lines[0].endswith("null")
    assert "sequence" not in "\n".join(lines)
    assert SUMMARY.strata[0].steering_passes is None


def test_a_stage_says_what_its_parts_took() -> None:
    took = {"load": 4.0, "observe": 30.0, "investigate": 0.25, "observe contexts": 5.0, "observe steering": 21.0}
    assert describe_seconds(took) == "seconds: load 4.0, observe 30.0 (contexts 5.0, steering 21.0), investigate 0.2"
