"""The precision that a model is computed in, and whether what is decided depends on it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, get_args

import pytest

from agent.judges.rules import judge_by_rules
from tests.tools.models import save_model
from tools.bench.compute import Compute, settle_precision
from tools.bench.loading import load_arm
from tools.bench.workbench import Workbench
from tools.observation import observe
from tools.records import Evidence, FeatureRef, Precision, Stratum
from tools.study.definition import Arm, Study
from tools.survey.features import survey_features


class Choice(NamedTuple):
    """One selected direction."""

    feature: FeatureRef
    stratum: Stratum


CHOSEN = [
    *(Choice(FeatureRef(study="tiny", sae="llama", index=i), "candidates") for i in range(0, 48, 4)),
    *(
        Choice(FeatureRef(study="tiny", sae="llama", index=i, kind="random_direction"), "random directions")
        for i in (0, 1)
    ),
]


@pytest.fixture(scope="module")
def llama(study: Study, bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The tiny study with an arm of another family: rotary positions, RMS norm, grouped keys."""
    base = study.folder / "base"
    model = save_model(tmp_path_factory.mktemp("llama"), "llama", base / "model", bench.n_tokens)
    arm = Arm(model=str(model), sae=str(base / "sae"), hook_name="")
    return study.model_copy(update={"arms": {**study.arms, "llama": arm}, "hub": True})


def measure(study: Study, precision: Precision) -> list[Evidence]:
    bench = load_arm(study, "llama", Compute(precision=precision))
    assert str(bench.dtype) == f"torch.{precision}"
    return observe(bench, study, survey_features(bench, study, seed=0), CHOSEN, seed=0)


@pytest.fixture(scope="module")
def both(llama: Study) -> list[tuple[Evidence, Evidence]]:
    return list(zip(measure(llama, "float32"), measure(llama, "bfloat16"), strict=True))


def test_the_rules_decide_in_bfloat16_as_in_float32(both: list[tuple[Evidence, Evidence]], study: Study) -> None:
    decided = [[judge_by_rules(one, study.survey).relevant for one in pair] for pair in both]
    assert [words[0] for words in decided] == [words[1] for words in decided]


def test_what_is_measured_differs_by_rounding(both: list[tuple[Evidence, Evidence]]) -> None:
    for exact, rounded in both:
        assert exact.activations and rounded.activations and exact.steering and rounded.steering
        assert rounded.activations.density == pytest.approx(exact.activations.density, abs=0.03)
        assert rounded.steering.strength == pytest.approx(exact.steering.strength, rel=0.1)
        assert rounded.steering.kl == pytest.approx(exact.steering.kl, rel=0.1)
    tops = [
        [one.activations.top[0].document for one in pair if one.activations and one.activations.top] for pair in both
    ]
    assert all(len(pair) in (0, 2) for pair in tops), "a direction is active in both or in neither"
    active = [pair for pair in tops if pair]
    assert len(active) > 1
    assert sum(one == other for one, other in active) >= 0.7 * len(active)


@pytest.mark.parametrize("asked", get_args(Precision))
@pytest.mark.parametrize("own", get_args(Precision))
def test_a_command_decides_before_the_study_and_the_study_before_the_memory(asked: Precision, own: Precision) -> None:
    expected = own if asked == "auto" else asked
    assert settle_precision(asked, own) == expected


def test_a_study_may_name_its_precision(study_copy: Path) -> None:
    from tools.study.reading import load_study

    file = study_copy / "study.toml"
    assert load_study(str(study_copy)).precision == "auto"
    file.write_text(f'precision = "bfloat16"\n{file.read_text("utf-8")}', "utf-8")
    assert load_study(str(study_copy)).precision == "bfloat16"
