"""Sentences that answer the study's question, made from the statistics alone: no figure here is written by hand.

A difference counts as found when the corrected p-value is at most 5 % and the interval leaves 0 out. With two or more SAEs an
arm the unit is the SAE seed; with one an arm it is the feature, and the sentence says what that cannot show.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from evals.arms.report.tables import form_of
from evals.arms.results import Claim, Measured, SeedTest, Verdict
from evals.statistics.estimate import format_figures

LEVEL = 0.05
_SUBJECTS: dict[Claim, str] = {
    "relevant": "the fine-tuned arm has {more} relevant features",
    "sharper": "{over} are {more} coherent in the fine-tuned arm",
    "steerable": "{over} steer {more} strongly in the fine-tuned arm",
}
_OVER = {"relevant": "relevant features", "all": "features at large"}
_LIMIT = {
    "features": "unit: features of one SAE an arm, so that it says how two SAEs differ and not why",
    "SAE seeds": "unit: SAEs trained with different seeds",
}
Found = Literal["more", "less", "no evidence", "not measured"]


def judge_claims(measured: Sequence[Measured]) -> list[Verdict]:
    """One sentence for each measure that a claim rests on."""
    return [judge_claim(one) for one in measured if one.claim is not None]


def judge_claim(one: Measured) -> Verdict:
    """The sentence for one measure.

    Args:
        one: with its claim, its corrected p-values and, if there are several SAEs an arm, their test.
    """
    assert one.claim is not None
    if one.lost is not None:
        text = f"Not measured: whether {_claim(one, 'more')}. {one.lost}."
        return Verdict(claim=one.claim, measure=one.key, unit="features", found="not measured", text=text)
    if one.seeds is not None:
        found, text = _judge_seeds(one, one.seeds)
        return Verdict(claim=one.claim, measure=one.key, unit="SAE seeds", found=found, text=text)
    found, text = _judge_features(one)
    return Verdict(claim=one.claim, measure=one.key, unit="features", found=found, text=text)


def _judge_seeds(one: Measured, test: SeedTest) -> tuple[Found, str]:
    p = test.p if test.p_adjusted is None else test.p_adjusted
    found = _decide(test.difference, test.low, test.high, p, one.bounds)
    n, m = len(test.base), len(test.finetuned)
    size = show(test.difference, one.is_share, signed=found == "no evidence")
    figures = (
        f"difference of arm means {size} [{show(test.low, one.is_share)}, {show(test.high, one.is_share)}], seed-to-seed "
        f"standard deviation {show(test.noise, one.is_share)}, p = {p:.3g} after Holm, {n} against {m} SAEs"
    )
    exact = (
        f"permuting so few SAEs cannot give less than p = {test.least_p:.2g} (here {test.p_permutation:.2g}), so it rests on "
        "the t distribution"
        if test.least_p > LEVEL
        else f"permutation of SAEs p = {test.p_permutation:.2g}"
    )
    return found, f"{_sentence(one, found, size)} ({figures}; {_LIMIT['SAE seeds']}; {exact}{_bounds(one)})."


def _judge_features(one: Measured) -> tuple[Found, str]:
    value, low, high = one.difference.value, one.difference.low, one.difference.high
    p = one.p_adjusted if one.p_adjusted is not None else one.p
    if value is None or low is None or high is None or p is None:
        alike = one.difference.method == "one answer only"
        why = (
            "All features of an arm are alike"
            if alike
            else "An arm has no such feature, or no random direction to hold it against"
        )
        return "not measured", f"Not measured: whether {_claim(one, 'more')}. {why}."
    found = _decide(value, low, high, p, one.bounds)
    size, form = show(value, one.is_share, signed=found == "no evidence"), form_of(one.is_share)
    interval = f"[{show(low, one.is_share)}, {show(high, one.is_share)}]"
    arms = f"{format_figures(one.finetuned.value, form=form)} against {format_figures(one.base.value, form=form)}"
    counts = f"{one.n_finetuned:,} against {one.n_base:,} features"
    return found, (
        f"{_sentence(one, found, size)} ({arms}: difference {size} {interval}, p = {p:.3g} after Holm, {counts}; "
        f"{_LIMIT['features']}{_bounds(one)})."
    )


def _decide(value: float, low: float, high: float, p: float, bounds: tuple[float, float] | None) -> Found:
    if p > LEVEL or low <= 0 <= high or (bounds is not None and bounds[0] <= 0 <= bounds[1]):
        return "no evidence"
    return "more" if value > 0 else "less"


def _sentence(one: Measured, found: Found, size: str) -> str:
    if found == "no evidence":
        return (
            f"No evidence that {_claim(one, 'more')}, or fewer"
            if one.claim == "relevant"
            else (f"No evidence that {_claim(one, 'more')}, or less so")
        )
    direction = "more" if found == "more" else ("fewer" if one.claim == "relevant" else "less")
    text = _claim(one, direction)
    return f"{text[0].upper()}{text[1:]}, by {size.lstrip('-')}"


def _claim(one: Measured, more: str) -> str:
    assert one.claim is not None
    return _SUBJECTS[one.claim].format(more=more, over=_OVER.get(one.over, one.over))


def _bounds(one: Measured) -> str:
    if one.bounds is None:
        return ""
    low, high = (show(end, one.is_share, signed=True) for end in one.bounds)
    return f"; candidates that were not investigated leave it anywhere from {low} to {high}"


def show(value: float, is_share: bool, signed: bool = False) -> str:
    """A figure as text: shares in percentage points."""
    sign = "+" if signed else ""
    return f"{100 * value:{sign}.2f} points" if is_share else f"{value:{sign}.3f}"
