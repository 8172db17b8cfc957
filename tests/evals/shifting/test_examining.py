"""Acting on verdicts, against a world whose truth is planted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from evals.shifting.examining import Asked, Examined, examine, find_cell
from evals.shifting.judges import Judge, read_judge
from evals.shifting.measuring import Ends
from evals.shifting.ranking import rank
from evals.shifting.report import lay_out
from evals.shifting.resampling import Frame, correct_together, two_sided
from evals.shifting.results import Compared, ShiftReport
from evals.shifting.saebench import to_saebench
from evals.shifting.sentences import say_value, say_verdict
from tests.evals.shifting.worlds import RIGHT, PlantedTokens, U, V, decisions_of, make_ground, manifest_of
from tools.probes.ground import Ground
from tools.probes.scr import measure_removal

CONCEPTS = ("trade", "age")


def act(
    ratings: Mapping[int, tuple[int, int]],
    ground: Ground,
    *others: Judge,
    failed: tuple[int, ...] = (),
    **rest: Any,
) -> Examined:
    decisions = decisions_of(ratings, failed)
    judge = read_judge(decisions, CONCEPTS)
    asked = rest.pop("asked", Asked(seeds=(0, 1), draws=3))
    return examine(manifest_of(decisions, ground.task), decisions, [judge, *others], ground, asked, **rest)


def judge_of(name: str, ratings: Mapping[int, tuple[int, int]]) -> Judge:
    return read_judge(decisions_of(ratings), CONCEPTS, name)


@pytest.fixture(scope="module")
def ground() -> Ground:
    bare = make_ground()
    return bare._replace(tokens=PlantedTokens(bare), bare=bare.pooled.residual, cues=("he",))


@pytest.fixture(scope="module")
def examined(ground: Ground) -> Examined:
    wrong = judge_of("wrong", {**RIGHT, U: (0, 4), V: (4, 0)})
    return act(RIGHT, ground, judge_of("twin", RIGHT), wrong, failed=(5,), classes=ground)


@pytest.fixture(scope="module")
def right(examined: Examined) -> ShiftReport:
    return examined.report


def scr(report: ShiftReport, way: str, asked: int | None = None, direction: int = 1, threshold: str = "old") -> float:
    cell = find_cell(report, way, asked, direction, threshold)
    assert cell is not None and cell.scr.value is not None
    return cell.scr.value


@pytest.mark.parametrize("threshold", ["old", "centred"])
def test_acting_on_right_verdicts_goes_all_the_way_and_on_the_opposite_backwards(
    right: ShiftReport, threshold: str
) -> None:
    assert right.sides[0].biased.value == pytest.approx(0.75, abs=0.15)
    for direction in (1, 2):
        assert scr(right, "judged", None, direction, threshold) == pytest.approx(1.0, abs=0.02)
        assert scr(right, "to the point", None, direction, threshold) <= 0
        assert scr(right, "random like judged", None, direction, threshold) <= 0.1
    assert [side.judged for side in right.sides] == [1, 1]


def test_features_that_are_neither_change_nothing(ground: Ground) -> None:
    report = act({2: (4, 0), 3: (3, 0)}, ground).report
    for threshold in ("old", "centred"):
        assert scr(report, "judged", threshold=threshold) == pytest.approx(0.0, abs=0.1)


def test_effects_find_the_planted_feature_without_a_judge(right: ShiftReport) -> None:
    assert scr(right, "SCR", 1) == scr(right, "judged")
    assert scr(right, "tokens", 1) == pytest.approx(1.0, abs=0.02), "a token at the embedding gives the attribute away"
    assert scr(right, "words") == 0, "texts from which nothing was deleted"


def test_the_published_rule_takes_out_any_trace(right: ShiftReport) -> None:
    assert right.sides[0].published == 2 and right.sides[0].judged == 1
    cell = find_cell(right, "published rule", None)
    assert cell is not None and cell.taken == 2


def test_what_has_fewer_says_how_many_were_taken_out(right: ShiftReport) -> None:
    cell = find_cell(right, "SCR", 100)
    assert cell is not None and cell.taken == 10
    assert find_cell(right, "judged", 2) is None, "a list stands at its own number"


def test_a_verdict_that_failed_takes_nothing_out_and_is_counted(right: ShiftReport) -> None:
    assert right.judges[0].failed == 1
    assert any("1 of 6 verdicts failed" in one for one in right.remarks)


def test_better_labels_are_worth_what_acting_on_them_changes(right: ShiftReport) -> None:
    by = {(one.way, one.direction, one.threshold): one for one in right.values}
    twin, wrong = by["twin", 1, "old"], by["wrong", 1, "old"]
    assert (twin.difference.value, twin.difference.low, twin.difference.high, twin.p) == (0, 0, 0, 1)
    assert wrong.difference.value == pytest.approx(scr(right, "to the point") - scr(right, "judged"))
    assert wrong.difference.high is not None and wrong.difference.high < 0
    assert wrong.p is not None and wrong.p_corrected is not None and wrong.p <= wrong.p_corrected < 0.05
    first = next(say_value(right))
    assert "twin instead of rules" in first and "they take out what comes to the same" in first
    assert "wrong's labels are worth less here" in list(say_value(right))[1]


def test_judges_are_compared_on_what_both_were_asked_about(ground: Ground) -> None:
    report = act(RIGHT, ground, judge_of("partial", {V: (0, 4), 2: (4, 0)})).report
    value = next(one for one in report.values if one.direction == 1 and one.threshold == "old")
    assert (value.taken, value.against_taken) == (1, 0), "u was not shown to the other judge"
    assert any("partial rated 2 of the 5 features" in one for one in report.remarks)


def test_each_verdict_is_left_out_of_what_is_taken_out(ground: Ground) -> None:
    """The attribute's own feature carries all that is gained; of a list that holds the class's too, that one ruins it."""
    report = act({**RIGHT, 2: (4, 0)}, ground._replace(tokens=None)).report
    by = {one.feature: one for one in report.kept}
    assert by["base-000000"].word == "helped" and by["base-000000"].loss.value == pytest.approx(1.0, abs=0.05)
    assert by["base-000002"].word == "not told apart"
    assert {one.ratings["age"] for one in report.kept} == {4}
    ruined = act({**RIGHT, V: (4, 0)}, ground._replace(tokens=None)).report
    assert {one.feature: one.word for one in ruined.kept}["base-000001"] == "hurt"


def test_controls_judged_beside_the_point_are_false_alarms(right: ShiftReport) -> None:
    by = {one.stratum: one for one in right.strata}
    assert by["near controls"].beside[0].value == 0
    assert by["random directions"].beside[0].value == 1 and by["random directions"].rated == 1
    assert by["candidates"].failed == 1
    taken = find_cell(right, "judged", None)
    assert taken is not None and taken.taken == 1, "controls take nothing out"


def test_the_verdict_is_said_with_every_comparison_that_was_made(right: ShiftReport) -> None:
    first, centred, second, _, last = say_verdict(right)
    assert "the threshold centred" in centred
    assert "taking out the 1 feature judged beside the point, SCR is 1.00" in first
    assert "falls short of" not in first
    beaten, alike = first.split("; it cannot be told from ")
    assert beaten.count("It beats") == 1 and "judged to the point (trade) instead" in beaten
    assert "largest effects on a classifier of age, no judge (SCR)" in alike
    assert "trade taken out, age read" in second and "corrected together" in last


def test_no_feature_judged_so_is_an_honest_row(ground: Ground) -> None:
    report = act({2: (0, 0), 3: (0, 4)}, ground, classes=None).report
    assert scr(report, "judged") == 0 and find_cell(report, "judged", None).taken == 0  # type: ignore[union-attr]
    assert not [one for one in report.compared if one.direction == 1] and not report.kept
    assert "nothing is taken out and SCR is 0" in next(say_verdict(report))
    assert lay_out(report).sections


def test_a_run_all_of_whose_verdicts_failed_is_measured_all_the_same(ground: Ground) -> None:
    report = act({}, ground, failed=(0, 1)).report
    assert report.judges[0].failed == 2 and scr(report, "judged") == 0


def test_a_dead_gap_has_no_figures() -> None:
    """Nothing is written of the attribute, so the biased classifier is as good as the oracle."""
    report = act(RIGHT, make_ground(size=0.0)).report
    assert report.sides[0].dead
    assert all(one.scr.value is None for one in report.cells if one.direction == 1)
    assert any("no way to go" in one for one in report.remarks)
    assert "no figure" in next(say_verdict(report)) or "no way of choosing has a figure" in next(say_verdict(report))
    assert (
        to_saebench(report, manifest_of(decisions_of(RIGHT)))["scr"]["eval_result_metrics"]["scr_metrics"][
            "scr_dir1_threshold_2"
        ]
        == 0
    )


def test_one_seed_has_the_interval_that_its_texts_give(ground: Ground) -> None:
    """Nothing else is drawn again, so it is the interval of the score's own function."""
    found = act(RIGHT, ground._replace(tokens=None), asked=Asked(seeds=(3,), draws=1))
    ends, cell = found.ends[0], find_cell(found.report, "SCR", 2)
    ablated, biased, oracle = (one[:, 0, 0] > 0 for one in (found.published[1, 2], *ends))
    removal = measure_removal(ablated, biased, oracle, found.frame.quadrants)
    assert cell is not None and removal.interval is not None
    assert (cell.scr.value, cell.scr.low, cell.scr.high) == pytest.approx((removal.score, *removal.interval))
    assert any(one.startswith("one probe seed") for one in found.report.remarks)


def test_saes_are_ranked_and_the_first_is_not_behind_itself(examined: Examined) -> None:
    worse = examined._replace(
        report=examined.report.model_copy(
            update={
                "run": "worse",
                "cells": tuple(
                    one.model_copy(update={"scr": one.scr.model_copy(update={"value": -1.0})})
                    for one in examined.report.cells
                ),
            }
        ),
        published={key: np.zeros_like(one) for key, one in examined.published.items()},
    )
    first, second = rank([worse, examined], examined.frame)
    assert (first.run, second.run) == ("run", "worse")
    assert first.behind.value is None and (second.behind.value or 0) > 0.5
    assert len(first.scr) == len(first.tpp) == 6


def test_saebench_reads_the_fields_it_knows(right: ShiftReport) -> None:
    found = to_saebench(right, manifest_of(decisions_of(RIGHT)))
    assert found.keys() == {"scr", "tpp"}
    for kind, result in found.items():
        assert isinstance(result, dict) and result["eval_type_id"] == kind
        metrics: Any = result["eval_result_metrics"]
        own = metrics[f"{kind}_metrics"]
        details: Any = result["eval_result_details"]
        assert {key: value for key, value in details[0].items() if key != "dataset_name"} == own
    own = found["scr"]["eval_result_metrics"]["scr_metrics"]
    assert own["scr_dir1_threshold_10"] == scr(right, "SCR", 10)
    assert own["scr_metric_threshold_10"] in (own["scr_dir1_threshold_10"], own["scr_dir2_threshold_10"])
    assert {f"scr_{what}_threshold_500" for what in ("dir1", "dir2", "metric")} <= own.keys()
    tpp = found["tpp"]["eval_result_metrics"]["tpp_metrics"]
    assert tpp["tpp_threshold_2_total_metric"] == pytest.approx(
        tpp["tpp_threshold_2_intended_diff_only"] - tpp["tpp_threshold_2_unintended_diff_only"]
    )


def test_the_same_command_finds_the_same(ground: Ground, right: ShiftReport) -> None:
    quick = ground._replace(tokens=None, bare=None)
    assert act(RIGHT, quick).report == act(RIGHT, quick).report


# --- resamples --------------------------------------------------------------------------------------------------------


def simulate(texts: int, share: float, rng: np.random.Generator, seeds: int = 3, apart: float = 0.0) -> np.ndarray:
    """Classifiers of several seeds, whose accuracy differs by as much."""
    shares = np.clip(share + apart * rng.normal(size=seeds), 0, 1)
    return (rng.random((texts, seeds, 1)) < shares[:, None]).astype(float)


def test_intervals_widen_with_what_seeds_differ_by() -> None:
    quadrants = np.arange(400) % 4
    widths: list[float] = []
    for apart in (0.0, 0.15):
        rng = np.random.default_rng(1)
        found = Frame(quadrants, 5, 0).accuracy(simulate(400, 0.7, rng, seeds=5, apart=apart))
        assert found.low is not None and found.high is not None and found.value is not None
        assert found.low <= found.value <= found.high
        widths.append(found.high - found.low)
    assert widths[1] > 1.3 * widths[0]


def test_intervals_hold_what_they_should() -> None:
    """Nineteen times in twenty, near enough, where texts and seeds are both drawn anew."""
    quadrants, held = np.arange(200) % 4, 0
    for trial in range(80):
        rng = np.random.default_rng(trial)
        found = Frame(quadrants, 5, trial).accuracy(simulate(200, 0.7, rng, seeds=5, apart=0.05))
        held += (found.low or 0) <= 0.7 <= (found.high or 0)
    assert 0.85 <= held / 80 <= 1


def test_null_differences_are_seldom_called_differences() -> None:
    quadrants, told = np.arange(200) % 4, 0
    for trial in range(80):
        rng = np.random.default_rng(trial)
        one, other = simulate(200, 0.7, rng), simulate(200, 0.7, rng)
        ends = Ends(np.full_like(one, 0.5), np.ones_like(one))
        _, p = Frame(quadrants, 3, trial).difference(one, other, *ends)
        told += p is not None and p < 0.05
    assert told / 80 < 0.12


@pytest.mark.parametrize(
    ("resampled", "p"), [([0.0] * 10, 1.0), ([1.0] * 9, 0.2), ([-1.0] * 9, 0.2), ([1.0, -1.0] * 5, 1.0)]
)
def test_p_is_twice_the_smaller_side(resampled: list[float], p: float) -> None:
    assert two_sided(np.array(resampled)) == pytest.approx(p)


def test_holm_leaves_out_what_has_no_p() -> None:
    assert correct_together([0.01, None, 0.04]) == [pytest.approx(0.02), None, pytest.approx(0.04)]
    assert correct_together([None]) == [None]


@settings(max_examples=15)  # the library collects all garbage at each call
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_that_of_the_library(ps: list[float]) -> None:
    known: Any = multipletests(ps, method="holm")
    assert correct_together(ps) == pytest.approx(known[1].tolist())


def test_differences_are_named_whole(right: ShiftReport) -> None:
    compared: dict[str, Compared] = {
        one.against: one for one in right.compared if one.direction == 1 and one.threshold == "old"
    }
    assert list(compared) == [
        "random like judged", "SCR", "no judge", "to the point", "tokens", "words", "words, trained again",
    ]  # fmt: skip
    assert compared["tokens"].against_taken == 1
