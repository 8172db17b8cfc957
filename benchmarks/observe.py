"""The observation of many features as one stage, against the same for one feature at a time; and what sharing saves.

Everything that does not belong to one feature alone (the pass over the corpus, the texts the model writes by itself) is
done once for all of them, and the rest in batches. A study may go further: one stock of unsteered texts for all, no
controls, strengths found to a tenth. Beside it is what every study did before: texts of each feature's own, with two
controls, strengths found to a hundredth, and every pass from the first block on.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from jaxtyping import Int64
from torch import Tensor

from benchmarks.material.assets import make_bench
from benchmarks.measure import Arm, equal, faster, race, row
from benchmarks.records import Result, Setting
from tools.bench.workbench import Workbench
from tools.observation import observe
from tools.records import Evidence, FeatureRef, Stratum
from tools.study.definition import SteeringDefaults, Study
from tools.survey.features import Survey, survey_features


class Size(NamedTuple):
    """How many features are observed."""

    features: int
    sample: int
    """Features that the baseline observes, each alone."""


class Item(NamedTuple):
    """One feature to be observed."""

    feature: FeatureRef
    stratum: Stratum = "candidates"


SIZES = {"small": Size(features=8, sample=2), "full": Size(features=100, sample=1)}
STEERING = {
    "small": 'prompts = [" aaaa baaa caaa"]\nnew_tokens = 3',
    "full": 'prompts = [" aaaa baaa caaa daaa eaaa faaa gaaa haaa"]\nnew_tokens = 10',
}
TIMES = 10.0


SHARING = {"unsteered": "shared", "controls": False, "kl_tolerance": 0.1, "first_strength": 0.3}
SHARED_TIMES = 1.5


class WholePasses(Workbench):
    """The bench as it was: what lies below the hook is computed in every pass."""

    def __init__(self, bench: Workbench) -> None:
        self.__dict__.update(bench.__dict__)

    @property
    def hook_reads_below(self) -> bool:
        """Nothing is kept of it."""
        return False

    def read_below(self, tokens: Int64[Tensor, "rows positions"]) -> None:
        """Nothing is known of it."""


def measure(setting: Setting) -> list[Result]:
    """The stage with all features: beside the stage with one feature a few times, and beside one that shares nothing."""
    size = SIZES[setting.scale]
    with TemporaryDirectory() as name:
        bench, study = make_bench(Path(name), setting.scale, STEERING[setting.scale])
        survey = survey_features(bench, study, seed=0)
        items = [Item(FeatureRef(study=study.name, sae="base", index=i)) for i in range(size.features)]
        return [
            _measure_batches(setting, bench, study, survey, items),
            _measure_sharing(setting, bench, study, survey, items),
        ]


def _measure_batches(setting: Setting, bench: Workbench, study: Study, survey: Survey, items: list[Item]) -> Result:
    size = SIZES[setting.scale]
    found = race(
        Arm(
            "one feature at a time",
            lambda: [observe(bench, study, survey, [item], seed=0)[0] for item in items[: size.sample]],
            size.sample / size.features,
        ),
        Arm("", lambda: observe(bench, study, survey, items, seed=0)),
        setting.rounds,
    )
    return row(
        "observe",
        f"{size.features} features: contexts, steering, causal effect",
        found,
        reaches=[
            faster(found, TIMES, judged=setting.scale == "full"),
            equal(
                "features with other contexts or texts than alone",
                count_different(found.baseline_result, found.ours_result[: size.sample]),
                0,
            ),
        ],
    )


def _measure_sharing(setting: Setting, bench: Workbench, study: Study, survey: Survey, items: list[Item]) -> Result:
    settings = SteeringDefaults.model_validate({**study.steering.model_dump(), **SHARING})
    sharing, whole = study.model_copy(update={"steering": settings}), WholePasses(bench)
    found = race(
        Arm(
            "texts of each feature's own, controls, whole passes", lambda: observe(whole, study, survey, items, seed=0)
        ),
        Arm("", lambda: observe(bench, sharing, survey, items, seed=0)),
        setting.rounds,
    )
    return row(
        "observe sharing",
        f"{len(items)} features: one stock of unsteered texts, no controls, nothing below the hook twice",
        found,
        reaches=[
            faster(found, SHARED_TIMES, judged=setting.scale == "full"),
            equal(
                "features whose effect misses the target by more than a tenth, or the one found before",
                count_missing(found.baseline_result, found.ours_result, settings.target_kl * settings.kl_tolerance),
                0,
            ),
        ],
    )


def count_missing(exact: list[Evidence], rough: list[Evidence], most: float) -> int:
    """Features whose KL divergence differs by more than so many nats from the one that was found exactly."""
    kls = [
        (one.steering.kl, other.steering.kl)
        for one, other in zip(exact, rough, strict=True)
        if one.steering and other.steering
    ]
    return sum(abs(kl - other) > 1.2 * most for kl, other in kls) + len(exact) - len(kls)


def count_different(alone: list[Evidence], together: list[Evidence]) -> int:
    """Features whose contexts or steered texts are not the same; numbers may differ by rounding."""
    return sum(_seen(one) != _seen(other) for one, other in zip(alone, together, strict=True))


def _seen(evidence: Evidence) -> tuple[list[str], list[str]]:
    contexts = evidence.activations.top if evidence.activations else ()
    pairs = evidence.steering.pairs if evidence.steering else ()
    return ["".join(context.tokens) for context in contexts], [pair.steered for pair in pairs]
