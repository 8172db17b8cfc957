"""A run's features with what judge and people said of each, as the estimates for the whole SAE need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from agent.folder.records import Decision, Selection
from evals.agreement.pairing import Matching, answer_of, code
from evals.agreement.prevalence import FEATURES, UNKNOWN, StratumSample
from evals.agreement.sampling import Judged
from evals.manual.records import RELEVANT


def label_features(matching: Matching) -> dict[str, int]:
    """The people's answer for each labelled feature of the run; below 0 where they have none in common."""
    return {case.feature.key: int(one) for case, one in zip(matching.cases, matching.reference, strict=True)}


def judge_features(decisions: Sequence[Decision], known: Mapping[str, int]) -> list[Judged]:
    """Features, not random directions, that the judge called relevant or not."""
    found: list[Judged] = []
    for decision in decisions:
        verdict = code(answer_of(decision, RELEVANT), ordinal=False)
        if verdict >= 0 and decision.feature.kind == "feature":
            label = known.get(decision.feature.key)
            given = label if label is not None and label >= 0 else None
            found.append(Judged(decision.feature, decision.stratum, verdict, given, label is not None))
    return found


def sample_strata(
    selection: Selection | None, decisions: Sequence[Decision], known: Mapping[str, int]
) -> list[StratumSample]:
    """The strata that make up the SAE; none where the run did not draw its features from strata of known size."""
    sizes = {size.stratum: size for size in selection.sizes} if selection else {}
    samples: list[StratumSample] = []
    for stratum in FEATURES:
        size = sizes.get(stratum)
        if size is None or size.population is None:
            return []
        members = [decision for decision in decisions if decision.stratum == stratum]
        answers = [answer_of(decision, RELEVANT) for decision in members]
        judged = np.array([{"yes": 1.0, "no": 0.0}.get(str(answer), UNKNOWN) for answer in answers])
        given = [known.get(decision.feature.key) for decision in members]
        labels = np.array([_share_of(label) for label in given])
        undecided = np.array([label is not None and label < 0 for label in given])
        random = stratum != FEATURES[0] or size.drawn >= size.population
        samples.append(StratumSample(stratum, size.population, random, judged, labels, undecided))
    return samples


def _share_of(label: int | None) -> float:
    return float("nan") if label is None or label < 0 else float(label)
