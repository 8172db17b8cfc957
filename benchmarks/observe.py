"""The observation of many features as one stage, against the same for one feature at a time.

Everything that does not belong to one feature alone (the pass over the corpus, the texts the model writes by itself) is
done once for all of them, and the rest in batches.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.material.assets import make_bench
from benchmarks.measure import Arm, equal, faster, race, row
from benchmarks.records import Result, Setting
from tools.observation import observe
from tools.records import Evidence, FeatureRef, Stratum
from tools.survey.features import survey_features


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


def measure(setting: Setting) -> list[Result]:
    """The stage with all features, beside the stage with one feature a few times."""
    size = SIZES[setting.scale]
    with TemporaryDirectory() as name:
        bench, study = make_bench(Path(name), setting.scale, STEERING[setting.scale])
        survey = survey_features(bench, study, seed=0)
        items = [Item(FeatureRef(study=study.name, sae="base", index=i)) for i in range(size.features)]
        found = race(
            Arm(
                "one feature at a time",
                lambda: [observe(bench, study, survey, [item], seed=0)[0] for item in items[: size.sample]],
                size.sample / size.features,
            ),
            Arm("", lambda: observe(bench, study, survey, items, seed=0)),
            setting.rounds,
        )
    return [
        row(
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
    ]


def count_different(alone: list[Evidence], together: list[Evidence]) -> int:
    """Features whose contexts or steered texts are not the same; numbers may differ by rounding."""
    return sum(_seen(one) != _seen(other) for one, other in zip(alone, together, strict=True))


def _seen(evidence: Evidence) -> tuple[list[str], list[str]]:
    contexts = evidence.activations.top if evidence.activations else ()
    pairs = evidence.steering.pairs if evidence.steering else ()
    return ["".join(context.tokens) for context in contexts], [pair.steered for pair in pairs]
