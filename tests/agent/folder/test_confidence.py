"""The confidence of a target follows from its doubt and the study's file alone."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from agent.folder.confidence import ConfidenceModel, Term
from agent.folder.steered import Doubt


def doubt(**fields: float | None) -> Doubt:
    names = ("auroc", "auroc_low", "auroc_high", "error_ratio", "significant", "uninterpretable", "confidence")
    return Doubt(**{**dict.fromkeys(names), **fields})  # type: ignore[arg-type]


def model(*terms: Term, intercept: float = 0.0) -> ConfidenceModel:
    given: dict[str, Any] = {"model_sha256": "m", "sae_sha256": "s", "hook_name": "h", "scorer": "contrast"}
    more: dict[str, Any] = {"scheme": "swap", "success": "it does", "targets": ()}
    return ConfidenceModel(**given, **more, intercept=intercept, terms=terms)


AUROC = Term(part="auroc", mean=0.5, scale=0.1, coefficient=2.0)


def test_the_confidence_is_the_logistic_of_the_standardised_figures() -> None:
    assert model(AUROC).confidence(doubt(auroc=0.5)) == 0.5
    assert model(AUROC, intercept=1).confidence(doubt(auroc=0.6)) == pytest.approx(1 / (1 + math.exp(-3)))


def test_a_logged_figure_is_read_as_its_logarithm() -> None:
    term = Term(part="error_ratio", logged=True, mean=math.log(2), scale=1, coefficient=-1)
    assert model(term).confidence(doubt(error_ratio=1)) == pytest.approx(0.5)
    assert model(term).confidence(doubt(error_ratio=3)) == pytest.approx(1 / 3)


def test_a_figure_that_was_not_measured_leaves_no_confidence() -> None:
    assert model(AUROC).confidence(doubt(error_ratio=1)) is None


def test_what_is_far_away_has_a_confidence_of_0_or_1_and_no_overflow() -> None:
    steep = Term(part="auroc", mean=0.5, scale=1e-6, coefficient=1.0)
    assert model(steep).confidence(doubt(auroc=0.0)) == 0
    assert model(steep).confidence(doubt(auroc=1.0)) == 1


def test_a_scale_of_nothing_is_refused() -> None:
    with pytest.raises(ValidationError):
        Term(part="auroc", mean=0.5, scale=0, coefficient=1.0)
