"""How many features of the whole SAE are relevant, and how many of those the keyword filter finds.

The run's features are a stratified sample with known sizes; the labelled ones are a sample of those. From both come
estimates of the share in the whole SAE: the judge's answers alone, the labels alone, the two together
(prediction-powered inference, Angelopoulos et al. 2023, with the tuned weight of its second version, as a two-phase
difference estimator in a finite population), and the judge's share corrected for its sensitivity and specificity (Rogan
and Gladen 1978, interval of Lang and Reiczigel 2014).

Intervals of strata are Wilson's, at the sample size that gives the estimate's variance: they stay honest where not one
relevant feature was seen. They are joined by MOVER (Zou and Donner 2008). It is assumed that which of the drawn
features were labelled was left to chance, within each stratum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from evals.agreement.results import Prevalence, Share, StratumLabels
from evals.statistics.estimate import Estimate
from evals.statistics.intervals import Part, join_strata, lang_reiczigel_interval, sample_worth, share_found, wilson_at
from tools.records import Stratum

FEATURES: tuple[Stratum, ...] = ("candidates", "near controls", "unrelated controls")
"""The strata that make up the SAE; candidates are what the keyword filter finds."""
UNKNOWN = 0.5
"""What a judge that was undecided, or failed, is taken to have said. The correction by labels holds for any number."""


class StratumSample(NamedTuple):
    """One stratum: its size, what the judge said of the drawn features, what people said of the labelled ones."""

    stratum: Stratum
    population: int
    random: bool
    """Whether the drawn features are all of the stratum, or left to chance."""
    judged: Float[np.ndarray, " drawn"]
    """1 yes, 0 no, `UNKNOWN` otherwise."""
    labels: Float[np.ndarray, " drawn"]
    """1 yes, 0 no, NaN where not labelled."""
    undecided: Bool[np.ndarray, " drawn"] | None = None
    """Where people were asked and did not decide; their labels are NaN."""

    def settled(self, share: float) -> StratumSample:
        """The sample with every undecided label taken for so much of a yes."""
        if self.undecided is None:
            return self
        return self._replace(labels=np.where(self.undecided, share, self.labels), undecided=None)

    @property
    def seen(self) -> tuple[Float[np.ndarray, " labelled"], Float[np.ndarray, " labelled"]]:
        """Labels and the judge's answers of the labelled features."""
        known = ~np.isnan(self.labels)
        return self.labels[known], self.judged[known]


def estimate_prevalence(samples: Sequence[StratumSample]) -> Prevalence | None:
    """The share of relevant features in the SAE and the keyword filter's recall; None if a stratum has no label.

    Args:
        samples: one a stratum, in the order of `FEATURES`.
    """
    samples = [sample for sample in samples if sample.population > 0]
    if not samples or any(len(sample.seen[0]) == 0 for sample in samples):
        return None
    population = sum(sample.population for sample in samples)
    weights = np.array([sample.population / population for sample in samples])
    tuning = _tune(samples)
    alone, by_labels = [_judge_alone(sample) for sample in samples], [_labels_alone(sample) for sample in samples]
    powered = [_prediction_powered(sample, tuning) for sample in samples]
    sensitivity, specificity, gladen = _rogan_gladen(samples, weights, alone)
    shares = {
        "judge alone, uncorrected": join_strata(alone, weights),
        "labels alone": join_strata(by_labels, weights),
        "labels and judge (prediction-powered)": join_strata(powered, weights),
        "judge corrected (Rogan-Gladen)": gladen,
    }
    if any(sample.undecided is not None and sample.undecided.any() for sample in samples):
        for answer, share in (("no", 0.0), ("yes", 1.0)):
            parts = [_labels_alone(sample.settled(share)) for sample in samples]
            shares[f"labels alone, undecided as {answer}"] = join_strata(parts, weights)
    recall = {
        "labels alone": _recall(by_labels, weights),
        "labels and judge (prediction-powered)": _recall(powered, weights),
    }
    filtered = samples[0].stratum == FEATURES[0] and len(samples) > 1
    return Prevalence(
        population=population,
        strata=tuple(_describe(sample) for sample in samples),
        shares=tuple(Share(name=n, estimate=e, features=_in_features(e, population)) for n, e in shares.items()),
        recall=tuple(Share(name=n, estimate=e, features=None) for n, e in recall.items()) if filtered else (),
        tuning=tuning,
        sensitivity=sensitivity,
        specificity=specificity,
        remarks=tuple(_remarks(samples)),
    )


def _tune(samples: Sequence[StratumSample]) -> float:
    """The weight of the judge's answers with the least variance, within strata, kept between 0 and 1."""
    above = below = 0.0
    for sample in samples:
        y, f = sample.seen
        weight = sample.population**2 / len(y)
        above += weight * float(((y - y.mean()) * (f - f.mean())).mean())
        below += weight * float(((f - f.mean()) ** 2).mean())
    return float(np.clip(above / below, 0, 1)) if below > 0 else 1.0


def _judge_alone(sample: StratumSample) -> Part:
    """Share of yes; undecided and failed are no yes."""
    n = len(sample.judged)
    return wilson_at(float((sample.judged == 1).mean()), sample_worth(1 / n - 1 / sample.population))


def _labels_alone(sample: StratumSample) -> Part:
    y, _ = sample.seen
    return wilson_at(float(y.mean()), sample_worth(1 / len(y) - 1 / sample.population))


def _prediction_powered(sample: StratumSample, tuning: float) -> Part:
    """Labels' mean plus how much more often the judge said yes over all drawn features than over the labelled ones.

    Its variance has two phases: the drawn features stand for the stratum, the labelled ones for the drawn.
    """
    y, f = sample.seen
    n, m = len(sample.judged), len(y)
    value = float(y.mean() + tuning * (sample.judged.mean() - f.mean()))
    # A feature missed and one taken wrongly are added, so that few errors in few labels are not taken for none.
    spread = (float(((y - y.mean()) ** 2).sum()) + 0.5) / (m + 2)
    rest = y - tuning * f
    residual = min(spread, (float(((rest - rest.mean()) ** 2).sum()) + 1) / (m + 2))
    variance = (1 / n - 1 / sample.population) + (1 / m - 1 / n) * residual / spread
    return wilson_at(min(1.0, max(0.0, value)), sample_worth(variance))


def _recall(parts: Sequence[Part], weights: Float[np.ndarray, " strata"]) -> Estimate:
    """Relevant features among the candidates over all relevant ones."""
    return share_found(join_strata(parts[:1], weights[:1]), join_strata(parts[1:], weights[1:]))


def _rogan_gladen(
    samples: Sequence[StratumSample], weights: Float[np.ndarray, " strata"], alone: Sequence[Part]
) -> tuple[float | None, float | None, Estimate]:
    """The judge's share of yes, corrected for its sensitivity and specificity on the labelled features.

    Labelled features count as many times as there are features like them. Nothing is corrected where the two add up to
    1 or less: such a judge is no better than chance.
    """
    w = np.concatenate(
        [np.full(len(s.seen[0]), weight / len(s.seen[0])) for s, weight in zip(samples, weights, strict=True)]
    )
    y = np.concatenate([s.seen[0] for s in samples])
    yes = np.concatenate([s.seen[1] == 1 for s in samples])
    if not (y == 1).any() or not (y == 0).any():
        return None, None, Estimate(value=None)
    sensitivity = float(np.average(yes[y == 1], weights=w[y == 1]))
    specificity = float(np.average(~yes[y == 0], weights=w[y == 0]))
    share = float(weights @ np.array([part.value for part in alone]))
    if sensitivity + specificity <= 1:
        return sensitivity, specificity, Estimate(value=None)
    value = float(np.clip((share + specificity - 1) / (sensitivity + specificity - 1), 0, 1))
    variance = sum(
        weight**2 * (1 / len(s.judged) - 1 / s.population) for s, weight in zip(samples, weights, strict=True)
    )
    low, high = lang_reiczigel_interval(
        share, sample_worth(variance), sensitivity, _kish(w[y == 1]), specificity, _kish(w[y == 0])
    )
    return (
        sensitivity,
        specificity,
        Estimate(value=value, low=min(low, value), high=max(high, value), method="lang-reiczigel"),
    )


def _kish(weights: Float[np.ndarray, " n"]) -> float:
    """Number of equally weighted features that are worth as much."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def _in_features(estimate: Estimate, population: int) -> tuple[float, float, float] | None:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    return (estimate.value * population, estimate.low * population, estimate.high * population)


def _describe(sample: StratumSample) -> StratumLabels:
    y, _ = sample.seen
    return StratumLabels(
        stratum=sample.stratum,
        population=sample.population,
        drawn=len(sample.judged),
        labelled=len(y),
        relevant=int(y.sum()),
        judged_yes=int((sample.judged == 1).sum()),
        random_sample=sample.random,
    )


def _remarks(samples: Sequence[StratumSample]) -> list[str]:
    return [
        f"{sample.stratum}: the {len(sample.judged)} drawn are not a random sample of {sample.population}, but those "
        "with the most keyword hits; the estimates take them for one"
        for sample in samples
        if not sample.random
    ]
