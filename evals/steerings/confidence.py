"""What is known of a target beforehand, and what it says of success: fitted, tried on targets left out, and ranked.

The fit is a logistic regression with a ridge. Each target counts once, with the share of its beginnings that succeeded, half
a success and half a failure added, so that no sample makes the fit certain.

What it is worth is told by leaving out pairs of targets: which of two is held surer by a model of all the others. To leave out
one at a time and compare what different models say would not do: without a success the rest looks worse, so that a fit that
knows nothing would rank every success below every failure (Airola et al. 2011, and for the order of all Montoya Perez et al.
2018).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
import statsmodels.api as sm
from jaxtyping import Float

from agent.folder.confidence import ConfidenceModel, DoubtPart, FittedTarget, Term
from agent.folder.steered import Doubt, Interval, Scheme, SteerManifest
from evals.errors import LabelError
from evals.statistics.estimate import Estimate
from evals.steerings.over_targets import Above, auroc_of, by_score, estimate_over
from evals.steerings.results import Point, Ranked
from evals.steerings.runs import hook_of

LEFT_OUT = "confidence, left out"
RIDGE = 1.0
"""Half of this times the sum of squared coefficients, in nats, is what large ones cost; the intercept costs nothing."""
FEWEST = 3
"""Targets that a fit takes."""
LOGGED: frozenset[DoubtPart] = frozenset({"error_ratio", "significant"})
"""Ratios and counts."""
WORSE: frozenset[DoubtPart] = frozenset({"error_ratio", "uninterpretable"})
"""Parts of which more is a worse sign."""
PARTS: tuple[DoubtPart, ...] = get_args(DoubtPart)


class Known(NamedTuple):
    """One target: what was known beforehand, and what came of it."""

    name: str
    sha256: str
    doubt: Doubt
    succeeded: int
    beginnings: int

    @property
    def share(self) -> float:
        """Of its beginnings that succeeded, drawn a little toward a half."""
        return (self.succeeded + 0.5) / (self.beginnings + 1)


class Fit(NamedTuple):
    """A logistic model."""

    intercept: float
    terms: tuple[Term, ...]

    def confidence(self, doubt: Doubt) -> float | None:
        """Of a target; None where a figure that it needs was not measured."""
        return _as_model(self).confidence(doubt)


def fit(known: Sequence[Known]) -> Fit | None:
    """The model of these targets; None where there are too few, or nothing about them differs."""
    terms = [term for part in PARTS if (term := _standardise(part, known)) is not None]
    if len(known) < FEWEST or not terms:
        return None
    columns = [[_value(term, one.doubt) for one in known] for term in terms]
    design: Float[np.ndarray, "targets terms"] = np.column_stack([np.ones(len(known)), *columns])
    model: Any = sm.GLM(np.array([one.share for one in known]), design, family=sm.families.Binomial())
    penalty = np.array([0.0, *(RIDGE for _ in terms)]) / len(known)  # the library's likelihood is a mean
    found = [float(value) for value in model.fit_regularized(alpha=penalty, L1_wt=0.0).params]
    fitted = (term.model_copy(update={"coefficient": value}) for term, value in zip(terms, found[1:], strict=True))
    return Fit(found[0], tuple(fitted))


def leave_out(known: Sequence[Known]) -> list[float | None]:
    """The confidence of each target by a model of the others."""
    fits = [fit([other for other in known if other is not one]) for one in known]
    return [None if model is None else model.confidence(one.doubt) for one, model in zip(known, fits, strict=True)]


def leave_pairs_out(known: Sequence[Known]) -> Above | None:
    """Which target of a pair is held surer, by a model of all but the two; None where too few are left to fit one."""
    above = np.full((len(known), len(known)), 0.5)
    for one, other in itertools.combinations(range(len(known)), 2):
        model = fit([target for place, target in enumerate(known) if place not in (one, other)])
        said = [None if model is None else model.confidence(known[place].doubt) for place in (one, other)]
        if said[0] is None or said[1] is None:
            return None
        above[one, other] = by_score([said[0], said[1]])[0, 1]
        above[other, one] = 1 - above[one, other]
    return above if len(known) > 1 else None


def rank_all(known: Sequence[Known], surer: Above | None, seed: int) -> tuple[Ranked, ...]:
    """How well the fitted confidence, the stored one and each part of the doubt tell successes from failures."""
    found: list[Ranked | None] = [] if surer is None else [_rank(LEFT_OUT, surer, known, seed)]
    told: dict[str, list[float | None]] = {"confidence, as stored": [one.doubt.confidence for one in known]}
    for part in PARTS:
        sign = -1.0 if part in WORSE else 1.0
        values: list[float | None] = [getattr(one.doubt, part) for one in known]
        told[part.replace("_", " ")] = [None if value is None else sign * value for value in values]
    for by, scores in told.items():
        scored = [(score, one) for score, one in zip(scores, known, strict=True) if score is not None]
        found.append(_rank(by, by_score([score for score, _ in scored]), [one for _, one in scored], seed))
    return tuple(one for one in found if one is not None)


def _rank(by: str, above: Above, known: Sequence[Known], seed: int) -> Ranked | None:
    """None for fewer than two targets, or where all have succeeded throughout, or failed."""
    if len(known) < 2:
        return None
    found = estimate_over(len(known), auroc_of(above, [(one.succeeded, one.beginnings) for one in known]), seed)
    return None if found.value is None else Ranked(by=by, auroc=found, targets=len(known))


def draw_curve(known: Sequence[Known], surer: Above | None) -> tuple[Point, ...]:
    """What answering only the surest targets risks, from the surest to all; targets that are as sure are answered together.

    The order is that of a tournament: the more of the others a target is held surer than, the surer it is.
    """
    if surer is None:
        return ()
    scores = ((surer.sum(1) - 0.5) / (len(known) - 1)).round(9).tolist()
    ranked = sorted(zip(scores, known, strict=True), key=lambda pair: -pair[0])
    total, points, answered, failed = sum(one.beginnings for one in known), list[Point](), 0, 0
    for place, (score, one) in enumerate(ranked):
        answered, failed = answered + one.beginnings, failed + one.beginnings - one.succeeded
        if place + 1 == len(ranked) or ranked[place + 1][0] != score:
            points.append(Point(coverage=answered / total, risk=failed / answered, surer_than=score))
    return tuple(points)


def area_of(points: Sequence[Point]) -> float | None:
    """Mean risk over the coverage, each point's risk standing for what it adds."""
    if not points:
        return None
    added = np.diff([0.0, *(point.coverage for point in points)])
    return float(added @ np.array([point.risk for point in points]))


def make_file(
    known: Sequence[Known], manifest: SteerManifest, scheme: Scheme, success: str, auroc: Estimate | None
) -> ConfidenceModel:
    """The study's file.

    Args:
        known: the targets.
        manifest: of a run that has them; all have the same weights, hook and scorer.
        scheme: whose success it tells.
        success: what counts as one, in a sentence.
        auroc: of targets left out.

    Raises:
        LabelError: there are too few targets, or nothing about them differs, or the run does not say where it steered.
    """
    found, sha256, hook = fit(known), manifest.provenance.sha256, hook_of(manifest)
    if found is None:
        raise LabelError(f"{len(known)} targets that differ in nothing, or fewer than {FEWEST}, fit no confidence")
    if not hook or not {"model", "sae"} <= sha256.keys():
        raise LabelError(
            f"{manifest.run_id} does not say which weights and hook it is about: no confidence is fitted on it"
        )
    ranked = auroc if auroc is not None and auroc.value is not None else None
    return _as_model(
        found,
        model_sha256=sha256["model"],
        sae_sha256=sha256["sae"],
        hook_name=hook,
        scorer=manifest.config.scorer,
        scheme=scheme,
        success=success,
        targets=tuple(
            FittedTarget(name=one.name, sha256=one.sha256, succeeded=2 * one.succeeded > one.beginnings)
            for one in known
        ),
        auroc=ranked and Interval(mean=ranked.value or 0.0, low=ranked.low, high=ranked.high, n=len(known)),
    )


def _as_model(found: Fit, **fields: Any) -> ConfidenceModel:
    blank: dict[str, Any] = {"model_sha256": "", "sae_sha256": "", "hook_name": "", "scorer": "contrast"}
    blank |= {"scheme": "swap", "success": "", "targets": ()}
    return ConfidenceModel(intercept=found.intercept, terms=found.terms, **blank | fields)


def _standardise(part: DoubtPart, known: Sequence[Known]) -> Term | None:
    """A term with its mean and spread over the targets; None where one has no such figure, or all have the same."""
    blank = Term(part=part, logged=part in LOGGED, mean=0.0, scale=1.0, coefficient=0.0)
    values = [blank.value(one.doubt) for one in known]
    given = [value for value in values if value is not None]
    if len(given) < max(1, len(known)) or np.ptp(given) < 1e-9:
        return None
    return blank.model_copy(update={"mean": float(np.mean(given)), "scale": float(np.std(given))})


def _value(term: Term, doubt: Doubt) -> float:
    value = term.value(doubt)
    if value is None:
        raise TypeError("a term is made of what every target has")
    return (value - term.mean) / term.scale
