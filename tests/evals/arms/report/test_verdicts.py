"""The sentences follow from the statistics, and name the unit they rest on."""

from __future__ import annotations

import pytest

from evals.arms.report.verdicts import judge_claim, judge_claims
from evals.arms.results import Measured
from evals.arms.seeds import compare_seeds
from evals.statistics.estimate import Estimate


def measured(value: float, low: float, high: float, p: float, claim: str = "relevant", **more: object) -> Measured:
    return Measured.model_validate(
        {
            "key": "relevant",
            "name": "judged relevant",
            "definition": "corrected",
            "over": "all",
            "claim": claim,
            "is_share": claim == "relevant",
            "base": Estimate(value=0.1),
            "finetuned": Estimate(value=0.1 + value),
            "n_base": 100,
            "n_finetuned": 100,
            "difference": Estimate(value=value, low=low, high=high),
            "p": p,
            "p_adjusted": p,
            "test": "exact",
            **more,
        }
    )


@pytest.mark.parametrize(
    ("one", "found", "begins"),
    [
        (measured(0.05, 0.02, 0.08, 0.001), "more", "The fine-tuned arm has more relevant features, by 5.00 points"),
        (
            measured(-0.05, -0.08, -0.02, 0.001),
            "less",
            "The fine-tuned arm has fewer relevant features, by 5.00 points",
        ),
        (
            measured(0.05, -0.01, 0.08, 0.2),
            "no evidence",
            "No evidence that the fine-tuned arm has more relevant features",
        ),
        (measured(0.05, 0.01, 0.08, 0.2), "no evidence", "No evidence that"),
        (measured(0.05, -0.01, 0.08, 0.01), "no evidence", "No evidence that"),
        (
            measured(0.2, 0.1, 0.3, 0.001, "sharper"),
            "more",
            "Features at large are more coherent in the fine-tuned arm",
        ),
        (
            measured(-0.2, -0.3, -0.1, 0.001, "steerable"),
            "less",
            "Features at large steer less strongly in the fine-tuned",
        ),
    ],
)
def test_the_sentence_says_what_the_figures_say(one: Measured, found: str, begins: str) -> None:
    verdict = judge_claim(one)
    assert verdict.found == found
    assert verdict.text.startswith(begins)
    assert verdict.unit == "features" and "one SAE an arm" in verdict.text


def test_what_was_not_measured_is_said_to_be() -> None:
    nothing = measured(0, 0, 0, 1).model_copy(
        update={"difference": Estimate(value=None), "p": None, "p_adjusted": None}
    )
    verdict = judge_claim(nothing)
    assert verdict.found == "not measured"
    assert verdict.text.startswith("Not measured: whether the fine-tuned arm has more relevant features")


def test_with_several_saes_the_seeds_decide_and_not_the_features() -> None:
    """A difference that thousands of features make certain is no evidence if SAEs of one model differ as much."""
    noisy = compare_seeds([0.1, 0.2, 0.15], [0.16, 0.22, 0.12])
    verdict = judge_claim(measured(0.05, 0.04, 0.06, 1e-9, seeds=noisy))
    assert (verdict.unit, verdict.found) == ("SAE seeds", "no evidence")
    assert "3 against 3 SAEs" in verdict.text and "cannot give less than p = 0.1" in verdict.text


def test_a_difference_beyond_seed_noise_is_found() -> None:
    clear = compare_seeds([0.10, 0.11, 0.12], [0.30, 0.31, 0.32])
    verdict = judge_claim(measured(0.2, 0.1, 0.3, 0.5, seeds=clear))
    assert (verdict.unit, verdict.found) == ("SAE seeds", "more")
    assert verdict.text.startswith("The fine-tuned arm has more relevant features, by 20.00 points")


def test_only_measures_with_a_claim_are_judged() -> None:
    assert judge_claims([measured(0.1, 0, 0.2, 0.5).model_copy(update={"claim": None})]) == []


def test_a_difference_that_the_uninvestigated_could_undo_is_no_evidence() -> None:
    verdict = judge_claim(measured(0.05, 0.02, 0.08, 0.001, bounds=(-0.01, 0.09)))
    assert verdict.found == "no evidence"
    assert "were not investigated leave it anywhere from -1.00 points to +9.00 points" in verdict.text
    assert judge_claim(measured(0.05, 0.02, 0.08, 0.001, bounds=(0.01, 0.09))).found == "more"
