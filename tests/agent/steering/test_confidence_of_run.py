"""A target that the SAE cannot represent is said to be outside before anything else, and fails a build that asks for more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent.errors import RunError
from agent.folder.confidence import FILE, ConfidenceModel, Term
from agent.folder.steered import SteerConfig
from agent.folder.steering_store import SteeringFolder
from agent.steer import main
from agent.steering.confidence import check_requirements, find_confidence, is_outside, unmet_by
from tests.agent.steering.made import doubt, target
from tools.bench.arms import ArmHashes
from tools.display.gates import read_requirement

HASHES = ArmHashes(model="m", sae="s")
CONFIG = SteerConfig(toward=("any.txt",), prompts=("One day",))


def model(**changes: Any) -> ConfidenceModel:
    terms = (Term(part="auroc", mean=0.5, scale=0.1, coefficient=1.0),)
    fields: dict[str, Any] = {"model_sha256": "m", "sae_sha256": "s", "hook_name": "h", "scorer": "contrast"}
    fields |= {"scheme": "swap", "success": "it does", "targets": (), "intercept": 0.0, "terms": terms}
    return ConfidenceModel(**fields | changes)


def with_confidence(confidence: float | None) -> Any:
    one = target("law")
    return one.model_copy(update={"doubt": one.doubt.model_copy(update={"confidence": confidence})})


@pytest.mark.parametrize(
    ("changes", "fits"),
    [({}, True), ({"sae_sha256": "x"}, False), ({"scorer": "reference"}, False), ({"model_sha256": "x"}, False)],
)
def test_a_fitted_file_speaks_of_its_own_weights_and_scorer_alone(
    changes: dict[str, Any], fits: bool, tmp_path: Path
) -> None:
    (tmp_path / FILE).write_text(model(**changes).model_dump_json(), "utf-8")
    assert (find_confidence(tmp_path, CONFIG, HASHES) is not None) == fits
    assert find_confidence(tmp_path, CONFIG, HASHES, "another hook") is None


def test_a_study_without_a_file_has_no_confidence_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    assert find_confidence(tmp_path, CONFIG, HASHES) is None
    (tmp_path / FILE).write_text("{", "utf-8")
    with pytest.raises(RunError, match=r"toward\.json is damaged"):
        find_confidence(tmp_path, CONFIG, HASHES)


@pytest.mark.parametrize(
    ("share", "outside"), [(0.013, True), (0.05, True), (0.051, False), (1.0, False), (None, False)]
)
def test_a_target_that_is_described_as_badly_as_hardly_any_other_text_is_outside(
    share: float | None, outside: bool
) -> None:
    one = target("law", doubt=doubt(1.0, as_unexplained=share))
    assert is_outside(one, None) == outside
    assert is_outside(one, model(level=0.5)) == outside


def test_below_its_level_a_target_is_outside() -> None:
    assert is_outside(with_confidence(0.3), model(level=0.5))
    assert not is_outside(with_confidence(0.6), model(level=0.5))
    assert not is_outside(with_confidence(None), model())
    assert not is_outside(with_confidence(0.3), None)


def test_a_figure_that_was_not_measured_meets_no_bound() -> None:
    bound = [read_requirement("confidence>=0.5")]
    assert unmet_by(with_confidence(0.5), bound) == []
    assert unmet_by(with_confidence(0.4), bound) == ["law: confidence>=0.5: confidence is 0.4"]
    assert len(unmet_by(with_confidence(None), bound)) == 1


def test_confidence_may_be_required_where_a_file_gives_it() -> None:
    asks = CONFIG.model_copy(update={"require": ("confidence>=0.5",)})
    check_requirements(asks, model())
    with pytest.raises(RunError, match=r"toward\.json"):
        check_requirements(asks, None)


def test_an_unmet_requirement_is_said_first_and_is_the_status(
    finished: SteeringFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(finished.path, tmp_path / finished.path.name))
    manifest = json.loads((run / "steering.json").read_text("utf-8"))
    manifest["config"]["require"] = ["auroc_low>0.99"]
    (run / "steering.json").write_text(json.dumps(manifest), "utf-8")
    assert main(["--resume", str(run)]) == 1
    said = capsys.readouterr()
    lines = said.out.splitlines()
    outside = [place for place, line in enumerate(lines) if "is outside what this SAE can represent" in line]
    assert outside == [1, 2], "before any figure of the targets"
    assert "not met: clinic: auroc_low>0.99" in said.err
    results = SteeringFolder(run).results()
    assert results and results.refused == ("clinic", "village")
