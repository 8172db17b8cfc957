"""Steering over many targets, against worlds whose truth is planted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from agent.errors import RunError
from agent.folder.confidence import ConfidenceModel
from agent.folder.judged import UNSTEERED
from agent.lines import read_record
from evals.errors import LabelError
from evals.steered import main
from evals.steerings.comparisons import compare, sign_test
from evals.steerings.confidence import LEFT_OUT, RIDGE, Known, area_of, draw_curve, fit, leave_out, leave_pairs_out
from evals.steerings.examining import Examined, examine
from evals.steerings.over_targets import auroc_of, by_score
from evals.steerings.runs import read_together
from evals.steerings.success import find_outcomes
from tests.agent.steering.made import HOOK, doubt, manifest, target, text, write_run
from tests.evals.steerings.worlds import BEGINNINGS, Planted, plant, texts_of, write_world


def examined(*paths: Path, **rest: Any) -> Examined:
    return examine(read_together(list(paths)), rest.get("scheme"), rest.get("seed", 0))


# --- success ----------------------------------------------------------------------------------------------------------


def outcomes_of(tmp_path: Path, **arms: Any) -> tuple[list[bool], list[bool]]:
    """Success and floor, of one beginning, from changes to the arms' texts."""
    names = {"unsteered": "unsteered", "swap": "swap", "shuffled": "swap, shuffled"}
    texts = [text("law", arm, likeness=0.0) for arm in names.values()]
    for key, changes in arms.items():
        texts = [one for one in texts if one.arm != names[key]]
        texts += [text("law", names[key], sample=n, **change) for n, change in enumerate(changes)]
    together = read_together([write_run(tmp_path / "run", [target("law")], texts, judged=False).path])
    found = find_outcomes(together.targets[0], "swap")
    return list(found.measured.values()), list(found.floor.values())


@pytest.mark.parametrize(
    ("arms", "measured", "floor"),
    [
        ({"swap": [{"likeness": 0.2}]}, True, False),
        ({"swap": [{"likeness": -0.1}]}, False, False),
        ({"swap": [{"likeness": 0.2}], "shuffled": [{"likeness": 0.3}]}, False, True),
        ({"swap": [{"likeness": 0.2}], "unsteered": [{"likeness": 0.3}]}, False, False),
        ({"swap": [{"likeness": 0.5}, {"likeness": -0.1}]}, True, False),
        ({"swap": [{"likeness": 0.2, "perplexity": 500.0}]}, False, False),
        ({"swap": [{"likeness": 0.2, "repetition": 0.9}]}, False, False),
        ({"swap": [{"likeness": 0.2, "perplexity": 500.0}, {"likeness": 0.2}]}, True, False),
        ({}, False, False),
    ],
)
def test_success_is_to_be_likest_and_not_collapsed(
    arms: dict[str, Any], measured: bool, floor: bool, tmp_path: Path
) -> None:
    assert outcomes_of(tmp_path, **arms) == ([measured], [floor])


def test_what_was_not_measured_is_neither_a_success_nor_a_failure(tmp_path: Path) -> None:
    assert outcomes_of(tmp_path, swap=[{"likeness": None}]) == ([], [])


def test_success_and_its_floor_are_counted_over_targets(tmp_path: Path) -> None:
    report = examined(write_world(tmp_path / "run", plant(12))).report
    assert report.succeeded.value == 0.5 and report.floor.value is not None and report.floor.value < 0.4
    assert [one.succeeded in (0, BEGINNINGS) for one in report.targets] == [True] * 12
    assert report.judged_succeeded.value == 1.0, "the planted judge believes in every steered text"


def test_the_measures_and_the_model_are_held_against_each_other(tmp_path: Path) -> None:
    agreed = examined(write_world(tmp_path / "run", plant(12))).report.agreed
    assert agreed is not None
    assert agreed.counts == ((0, 18), (0, 18)) and agreed.accuracy.value == 0.5
    assert agreed.kappa.value == pytest.approx(0.0)
    assert examined(write_world(tmp_path / "unjudged", plant(4), judged=False)).report.agreed is None


# --- arms -------------------------------------------------------------------------------------------------------------


def test_comparisons_are_named_and_corrected_together(tmp_path: Path) -> None:
    all_work = [Planted(f"target {n}", 0.8, 0.3) for n in range(10)]
    found = examined(write_world(tmp_path / "run", all_work)).report
    by_name = {(one.arm, one.against, one.measure): one for one in found.compared}
    swap = by_name["swap", "swap, shuffled", "likeness"]
    assert swap.difference.value == pytest.approx(0.3, abs=0.02) and swap.p == pytest.approx(2 / 2**10)
    assert swap.p_corrected is not None and swap.p is not None
    tested = sorted(one.p for one in found.compared if one.p is not None)
    assert swap.p <= swap.p_corrected <= min(1.0, swap.p * len(tested))
    asked = by_name["swap", "prompt", "likeness"]
    assert asked.difference.value == pytest.approx(-0.2, abs=0.02), (
        "a prompt that asks does better here, and it is said"
    )
    assert ("add", "add, shuffled", "likeness") not in by_name, "what no run has is not compared"


def test_the_sign_test_is_exact_where_it_can_be() -> None:
    assert sign_test([1.0, 2.0, 3.0], 0) == pytest.approx(2 / 8)
    assert sign_test([1.0, -1.0], 0) == pytest.approx(1.0)
    assert sign_test([0.0] * 5, 0) == pytest.approx(1.0)
    assert sign_test([1.0], 0) is None
    assert (sign_test(list(np.linspace(0.1, 1, 20)), 0) or 1.0) < 0.001


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    null = [Planted(f"target {n}", 0.7, 0.0) for n in range(10)]
    found = examined(write_world(tmp_path / "run", null)).report
    assert all(
        (one.p_corrected or 1.0) > 0.05
        for one in found.compared
        if one.measure == "likeness" and one.against != "prompt"
    )
    assert found.succeeded.value == pytest.approx(1 / 3, abs=0.25)


def test_a_target_of_two_runs_is_one_target(tmp_path: Path) -> None:
    planted = plant(6)
    one, other = (write_world(tmp_path / name, planted, seed=seed) for seed, name in enumerate(("one", "two")))
    both = examined(one, other).report
    assert len(both.targets) == 6 and {row.beginnings for row in both.targets} == {2 * BEGINNINGS}
    assert examined(one, one).report == examined(one).report, "a run that is named twice counts once"


# --- confidence -------------------------------------------------------------------------------------------------------


def known(*values: tuple[float, int, int]) -> list[Known]:
    return [Known(f"t{n}", f"{n:064d}", doubt(a), k, m) for n, (a, k, m) in enumerate(values)]


def test_the_fit_is_the_minimum_of_the_penalised_likelihood() -> None:
    rng = np.random.default_rng(0)
    some = [
        Known(
            f"t{n}", str(n), doubt(a, error_ratio=e, significant=int(s), uninterpretable=u), int(rng.integers(0, 7)), 6
        )
        for n, (a, e, s, u) in enumerate(zip(*rng.uniform(0.5, 3, (4, 9)), strict=True))
    ]
    found = fit(some)
    assert found is not None and [term.part for term in found.terms] == [
        "auroc",
        "error_ratio",
        "significant",
        "uninterpretable",
    ]
    design = np.array([[(term.value(one.doubt) - term.mean) / term.scale for term in found.terms] for one in some])  # type: ignore[operator]
    share = np.array([one.share for one in some])

    def cost(point: np.ndarray) -> float:
        logits = point[0] + design @ point[1:]
        return float(-(share * logits - np.logaddexp(0, logits)).sum() + RIDGE / 2 * (point[1:] ** 2).sum())

    best = minimize(cost, np.zeros(5)).x
    np.testing.assert_allclose([found.intercept, *(term.coefficient for term in found.terms)], best, atol=1e-3)


def test_what_cannot_be_told_apart_fits_nothing() -> None:
    assert fit(known((0.8, 1, 3), (0.8, 2, 3), (0.8, 3, 3))) is None, "all known alike"
    assert fit(known((0.6, 0, 3), (0.9, 3, 3))) is None, "too few"
    assert leave_out(known((0.6, 0, 3), (0.7, 1, 3), (0.9, 3, 3))) == [None] * 3


def test_success_throughout_is_no_certainty() -> None:
    found = fit(known((0.6, 3, 3), (0.7, 3, 3), (0.8, 3, 3), (0.9, 3, 3)))
    assert found is not None
    assert all(0.6 < (found.confidence(doubt(a)) or 0) < 0.95 for a in (0.5, 0.9, 1.0))


def test_the_confidence_is_told_by_targets_left_out(tmp_path: Path) -> None:
    told, untold = (
        examined(write_world(tmp_path / name, plant(16, telling=telling))).report
        for name, telling in (("told", True), ("untold", False))
    )
    rank = {one.by: one for one in told.ranked}
    assert rank[LEFT_OUT].auroc.value == 1.0 and rank["auroc"].auroc.value == 1.0
    assert rank[LEFT_OUT].targets == 16 and "error ratio" in rank
    other = {one.by: one for one in untold.ranked}[LEFT_OUT].auroc
    assert other.low is not None and other.high is not None and other.low <= 0.5
    assert {one.left_out is not None for one in told.targets} == {True}


def test_a_fit_that_knows_nothing_is_at_chance_and_not_below() -> None:
    """Leaving out one target at a time would rank every success below every failure."""
    found: list[float] = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        some = known(*((float(rng.normal()), 3 * (n % 2), 3) for n in range(8)))
        surer = leave_pairs_out(some)
        assert surer is not None
        found.append(float(auroc_of(surer, [(one.succeeded, one.beginnings) for one in some])(np.ones(8))))
    assert np.mean(found) == pytest.approx(0.5, abs=0.15)


def test_the_curve_goes_from_the_surest_to_all() -> None:
    some = known((0.9, 3, 3), (0.8, 2, 3), (0.6, 0, 3))
    curve = draw_curve(some, by_score([0.9, 0.5, 0.1]))
    assert [(one.coverage, one.risk) for one in curve] == [
        (pytest.approx(1 / 3), 0.0), (pytest.approx(2 / 3), pytest.approx(1 / 6)), (1.0, pytest.approx(4 / 9))
    ]  # fmt: skip
    assert area_of(curve) == pytest.approx((0 + 1 / 6 + 4 / 9) / 3)
    assert len(draw_curve(some, by_score([0.5, 0.5, 0.1]))) == 2, "equal confidences are answered together"
    assert draw_curve(some, None) == () and area_of(()) is None


def test_a_stored_confidence_is_ranked_too(tmp_path: Path) -> None:
    planted = plant(6)
    found = [target(one.name, doubt=doubt(one.auroc, confidence=one.auroc)) for one in planted]
    run = write_run(tmp_path / "run", found, [one for each in planted for one in texts_of(each)], judged=False).path
    rank = {one.by: one for one in examined(run).report.ranked}
    assert rank["confidence, as stored"].auroc.value == 1.0


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_prints_writes_and_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, file, fitted = write_world(tmp_path / "run", plant(8)), tmp_path / "all.json", tmp_path / "toward.json"
    assert main([str(run), "--json", str(file), "--fit", str(fitted), "--require", "auroc_left_out>=0.9"]) == 0
    said = capsys.readouterr().out
    for part in (
        "swap succeeds from 50%",
        "swap, shuffled",
        "p corrected",
        LEFT_OUT,
        "target 7",
        "fitted on 8 targets",
    ):
        assert part in said
    written = {one.name for one in (run / "evals" / "steered").iterdir()}
    assert {"report.html", "steered.json", "steered.md", "arms.csv", "risk_and_coverage.png"} <= written
    figures = json.loads(file.read_text())["figures"]
    assert {
        "success",
        "floor_low",
        "kappa",
        "swap_over_shuffled_likeness",
        "swap_over_shuffled_likeness_p",
    } <= figures.keys()
    model = read_record(fitted, ConfidenceModel, "")
    assert (model.model_sha256, model.sae_sha256, model.hook_name, model.scheme) == ("a" * 64, "b" * 64, HOOK, "swap")
    sure, unsure = (model.confidence(doubt(auroc)) or 0.0 for auroc in (0.9, 0.6))
    assert sure > 0.5 > unsure and model.auroc is not None and sum(one.succeeded for one in model.targets) == 4


def test_an_unmet_requirement_is_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_world(tmp_path / "run", plant(6))
    assert main([str(run), "--require", "success>0.9", "--require", "nothing>1"]) == 1
    said = capsys.readouterr().err
    assert "success>0.9: success is 0.5" in said and "no such figure" in said


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(one) for one in arguments]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
    return said.err


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, unfinished = write_world(tmp_path / "run", plant(4)), write_run(tmp_path / "unfinished", finished=False).path
    assert "no steering run" in refused(capsys, tmp_path / "nowhere")
    assert "is not finished" in refused(capsys, run, unfinished)
    assert "--scheme add" in refused(capsys, run, "--scheme", "add")
    assert not (run / "evals").exists()
    two = write_world(tmp_path / "two", plant(2))
    assert "fewer than 3" in refused(capsys, two, "--fit", tmp_path / "fitted.json")
    assert not (tmp_path / "fitted.json").exists()


def test_runs_of_different_saes_are_read_together_only_for_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = write_world(tmp_path / "one", plant(4)), tmp_path / "other"
    made = manifest(["a"]).provenance.model_copy(update={"sha256": {"model": "a" * 64, "sae": "c" * 64}})
    each = Planted("another", 0.9, 0.3)
    write_run(other, [target(each.name, doubt=doubt(0.9))], texts_of(each), provenance=made)
    assert "have another sae" in refused(capsys, one, other)
    assert main([str(one), str(other), "--allow-different", "to see"]) == 0
    assert "because: to see" in capsys.readouterr().out
    assert "one kind of run" in refused(capsys, one, other, "--allow-different", "to see", "--fit", tmp_path / "f.json")


def test_a_run_without_a_scheme_has_nothing_to_examine(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [target("law")], [text("law", UNSTEERED)], arms=manifest().arms[:1]).path
    with pytest.raises(LabelError, match="no run has a scheme"):
        examined(run)
    silent = write_run(tmp_path / "silent", [target("law")], [text("law", UNSTEERED)]).path
    with pytest.raises(LabelError, match="nothing to examine"):
        examined(silent)
    with pytest.raises(RunError):
        read_together([tmp_path])


def test_the_same_seed_gives_the_same_report(tmp_path: Path) -> None:
    run = write_world(tmp_path / "run", plant(6))
    assert examined(run, seed=3) == examined(run, seed=3)
    assert compare(read_together([run]), 0) == compare(read_together([run]), 0)
