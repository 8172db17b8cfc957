"""The share of the whole SAE: formulas by hand, and intervals that hold it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evals.agreement.prevalence import FEATURES, StratumSample, estimate_prevalence
from evals.agreement.results import Prevalence
from evals.statistics.estimate import Estimate
from evals.statistics.intervals import join_strata, lang_reiczigel_interval, share_found, wilson_at
from tools.maths import wilson_interval


def sample(stratum: int, population: int, judged: list[float], labels: list[float]) -> StratumSample:
    filled = np.array(labels + [math.nan] * (len(judged) - len(labels)), dtype=float)
    return StratumSample(FEATURES[stratum], population, True, np.array(judged, dtype=float), filled)


def shares(found: Prevalence | None) -> dict[str, Estimate]:
    assert found is not None
    return {share.name: share.estimate for share in found.shares}


def test_wilsons_interval_takes_any_sample_size() -> None:
    whole = wilson_interval(3, 20)
    assert wilson_at(0.15, 20)[1:] == pytest.approx((whole.low, whole.high), abs=1e-6)
    assert wilson_at(0.5, 0.5)[1:] == pytest.approx((0.5 - 0.4703, 0.5 + 0.4703), abs=1e-4), "by hand, half a case"
    assert wilson_at(0.0, 7.5)[:2] == (0.0, 0.0) and wilson_at(1.0, 7.5)[0::2] == (1.0, 1.0)
    assert wilson_at(0.15, math.inf) == (0.15, 0.15, 0.15)


def test_one_stratum_joined_is_itself() -> None:
    joined = join_strata([wilson_at(0.15, 20)], np.array([1.0]))
    assert (joined.value, joined.low, joined.high) == pytest.approx(wilson_at(0.15, 20))


def test_labels_alone_are_weighted_by_the_size_of_their_stratum() -> None:
    """Half of 100 candidates and a tenth of 900 others: 50 + 90 of 1000."""
    found = estimate_prevalence([sample(0, 100, [1, 1, 0, 0], [1, 1, 0, 0]), sample(1, 900, [0] * 10, [1] + [0] * 9)])
    assert found is not None
    assert shares(found)["labels alone"].value == pytest.approx(0.14)
    assert found.shares[1].features == pytest.approx((140, *(found.shares[1].features or ())[1:]))
    assert found.recall[0].estimate.value == pytest.approx(50 / 140)


def test_what_people_could_not_decide_is_taken_either_way() -> None:
    """Of 10 drawn of 100, 2 yes, 4 no, 4 undecided: a third as labelled, and between 2 and 6 of 10."""
    one = sample(0, 100, [0] * 10, [1, 1, 0, 0, 0, 0])
    asked = one._replace(undecided=np.isnan(one.labels))
    found = shares(estimate_prevalence([asked]))
    assert found["labels alone"].value == pytest.approx(1 / 3)
    assert found["labels alone, undecided as no"].value == pytest.approx(0.2)
    assert found["labels alone, undecided as yes"].value == pytest.approx(0.6)
    assert "labels alone, undecided as no" not in shares(estimate_prevalence([one]))


def test_the_judge_corrected_by_hand() -> None:
    """Rogan and Gladen: 0.30 positive, sensitivity 0.8, specificity 0.9: (0.3 + 0.9 - 1) / (0.8 + 0.9 - 1)."""
    judged = [1] * 8 + [0] * 2 + [1] * 1 + [0] * 9 + [1] * 21 + [0] * 59
    labels = [1.0] * 10 + [0.0] * 10
    found = estimate_prevalence([sample(0, 1000, judged, labels)])
    assert found is not None
    assert (found.sensitivity, found.specificity) == pytest.approx((0.8, 0.9))
    assert shares(found)["judge alone, uncorrected"].value == pytest.approx(0.3)
    assert shares(found)["judge corrected (Rogan-Gladen)"].value == pytest.approx(0.2 / 0.7)


def test_prediction_powered_inference_by_hand() -> None:
    """Two labelled of each verdict, all as judged: the estimate moves wholly to the judge's share of all drawn."""
    judged = [1, 1, 0, 0] + [1] * 2 + [0] * 14
    found = estimate_prevalence([sample(0, 1000, judged, [1, 1, 0, 0])])
    assert found is not None
    assert found.tuning == pytest.approx(1)
    assert shares(found)["labels and judge (prediction-powered)"].value == pytest.approx(0.5 + 4 / 20 - 0.5)


def test_a_judge_without_information_is_not_listened_to() -> None:
    judged = [1, 0] * 20 + [1] * 60
    labels = [1, 1, 0, 0] * 10
    found = estimate_prevalence([sample(0, 1000, judged, labels)])
    assert found is not None
    assert found.tuning == 0
    both = shares(found)
    assert both["labels and judge (prediction-powered)"] == both["labels alone"]
    assert both["judge corrected (Rogan-Gladen)"].value is None


def test_seeing_nothing_relevant_is_not_proof_of_nothing() -> None:
    found = estimate_prevalence([sample(0, 50, [1] * 50, [1] * 50), sample(2, 2000, [0] * 30, [0] * 30)])
    assert found is not None
    labels = shares(found)["labels alone"]
    assert labels.value == pytest.approx(50 / 2050)
    assert labels.high is not None and labels.high > 0.1
    assert found.recall[0].estimate.value == 1
    assert found.recall[0].estimate.low is not None and found.recall[0].estimate.low < 0.3


def test_a_census_is_certain() -> None:
    found = estimate_prevalence([sample(0, 6, [1] * 6, [1, 1, 0, 0, 0, 0])])
    labels = shares(found)["labels alone"]
    assert (labels.low, labels.high) == pytest.approx((1 / 3, 1 / 3))


def test_a_stratum_without_labels_leaves_the_whole_unknown() -> None:
    assert estimate_prevalence([sample(0, 10, [1] * 10, [1]), sample(1, 90, [0] * 10, [])]) is None


def test_candidates_picked_from_the_top_are_said_to_be_so() -> None:
    picked = sample(0, 500, [1] * 4, [1, 0])._replace(random=False)
    found = estimate_prevalence([picked])
    assert found is not None
    assert "not a random sample of 500" in found.remarks[0]


def test_lang_and_reiczigels_interval_is_agresti_and_coulls_for_a_perfect_test() -> None:
    found = lang_reiczigel_interval(0.2, 100, 1.0, 1e9, 1.0, 1e9)
    n, p = 100 + 1.959964**2, (20 + 1.959964**2 / 2) / (100 + 1.959964**2)
    half = 1.959964 * math.sqrt(p * (1 - p) / n)
    assert found == pytest.approx((p - half, p + half), abs=1e-6)


def test_a_worse_test_gives_a_wider_interval() -> None:
    widths = []
    for accuracy in (0.99, 0.9, 0.7):
        low, high = lang_reiczigel_interval(0.4, 200, accuracy, 50, accuracy, 50)
        widths.append(high - low)
    assert widths == sorted(widths)
    assert lang_reiczigel_interval(0.4, 200, 0.4, 50, 0.5, 50) == (0, 1)


def test_a_share_of_two_certain_numbers_is_certain() -> None:
    found = share_found(Estimate(value=0.3, low=0.3, high=0.3), Estimate(value=0.1, low=0.1, high=0.1))
    assert (found.value, found.low, found.high) == pytest.approx((0.75, 0.75, 0.75))
    assert share_found(Estimate(value=0, low=0, high=0.1), Estimate(value=0, low=0, high=0.1)).value is None


def coverage(runs: int, seed: int) -> dict[str, float]:
    """How often the estimates' intervals hold the share of a world that judge and labels are drawn from."""
    rng = np.random.default_rng(seed)
    sizes, true, drawn, labelled = (200, 1000, 5000), (0.8, 0.3, 0.2), (200, 300, 600), (40, 50, 80)
    held: dict[str, list[bool]] = {}
    for _ in range(runs):
        samples, relevant = list[StratumSample](), list[np.ndarray]()
        for number, (population, share, n, m) in enumerate(zip(sizes, true, drawn, labelled, strict=True)):
            y = rng.random(population) < share
            f = np.where(y, rng.random(population) < 0.9, rng.random(population) > 0.95).astype(float)
            chosen = rng.permutation(population)[:n]
            samples.append(sample(number, population, list(f[chosen]), list(map(float, y[chosen[:m]]))))
            relevant.append(y)
        found = estimate_prevalence(samples)
        assert found is not None
        whole = sum(y.sum() for y in relevant) / sum(sizes)
        recall = relevant[0].sum() / sum(y.sum() for y in relevant)
        truth = [(share.name, share.estimate, whole) for share in found.shares]
        truth += [("recall, " + share.name, share.estimate, recall) for share in found.recall]
        for name, one, value in truth:
            held.setdefault(name, []).append((one.low or 0) <= value <= (one.high or 0))
    return {name: float(np.mean(each)) for name, each in held.items()}


def test_what_is_corrected_holds_the_truth_and_what_is_not_does_not() -> None:
    found = coverage(150, seed=0)
    assert found["judge alone, uncorrected"] < 0.9
    for name in ("labels alone", "labels and judge (prediction-powered)", "judge corrected (Rogan-Gladen)"):
        assert found[name] >= 0.90, name
    assert found["recall, labels and judge (prediction-powered)"] >= 0.90


@pytest.mark.endurance
@pytest.mark.timeout(300)
def test_corrected_shares_hold_the_truth_at_least_93_times_in_100_over_a_thousand_runs() -> None:
    found = coverage(1000, seed=1)
    assert min(share for name, share in found.items() if name != "judge alone, uncorrected") >= 0.93, found
