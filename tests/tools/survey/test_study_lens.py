"""A study's lens: made once, kept, gone on with after a kill, and never taken from a file that is not its own."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from tools.bench.loading import load_arm
from tools.bench.workbench import Workbench
from tools.errors import StudyError
from tools.study.definition import Study, SurveyDefaults
from tools.survey import jacobian, study_lens
from tools.survey.jacobian import BATCH, Mean, average_jacobian
from tools.survey.lens_file import (
    JacobianLens,
    pack_jacobians,
    pack_mean,
    read_jacobians,
    read_mean,
    source_layer,
)
from tools.survey.study_lens import find_lens, pick_rows

WIDTH = 12


class Stop(Exception):
    """A kill, as far as a test can make one."""


def lens_study(study: Study, **settings: Any) -> Study:
    usual = {"lens": "effect", "lens_rows": 12, "lens_width": WIDTH, "null_directions": 50}
    survey = SurveyDefaults.model_validate({**usual, **settings})
    return study.model_copy(update={"survey": survey})


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts backward passes, by the mean that each leaves."""
    counted: list[int] = []

    def count(*arguments: Any, **named: Any) -> Mean:
        after = arguments[4]

        def and_count(mean: Mean) -> None:
            counted.append(mean.passes)
            after(mean)

        made: Any = average_jacobian
        return made(*arguments[:4], and_count, *arguments[5:], **named)

    monkeypatch.setattr(study_lens, "average_jacobian", count)
    return counted


def test_second_run_reads_what_the_first_made(
    bench: Workbench, study: Study, tmp_path: Path, passes: list[int]
) -> None:
    one = find_lens(bench, lens_study(study), cache=tmp_path)
    assert len(passes) == 2 * 32
    two = find_lens(bench, lens_study(study), cache=tmp_path)
    assert len(passes) == 2 * 32, "nothing is made again"
    assert torch.equal(one.matrix, two.matrix)
    assert one.report is not None and two.report is not None
    assert (one.report.remembered, two.report.remembered) == (False, True)
    assert two.report.model_copy(update={"remembered": False}) == one.report
    assert one.report.rows == 12 and one.report.positions == 12 * (WIDTH - 1) and len(one.report.curve) == 11
    assert "kept from an earlier run" in two.report.sentence and "made in" in one.report.sentence


def test_killed_run_goes_on_where_it_was_stored(
    bench: Workbench, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passes: list[int]
) -> None:
    whole = find_lens(bench, lens_study(study), cache=tmp_path / "other").matrix
    passes.clear()
    writes = 0

    def write(file: Path, data: bytes, flush: bool = True) -> None:
        nonlocal writes
        file.write_bytes(data)
        writes += 1
        if writes == 40:
            raise Stop

    monkeypatch.setattr(study_lens, "write_bytes", write)
    with pytest.raises(Stop):
        find_lens(bench, lens_study(study), cache=tmp_path, stored_every=0.0)
    assert passes[-1] == 40
    again = find_lens(bench, lens_study(study), cache=tmp_path)
    assert passes[40] == 41, "the next pass is the one that was not made yet"
    assert len(passes) == 2 * 32
    assert torch.equal(again.matrix, whole)


def test_lens_is_kept_for_weights_hook_text_and_rule(bench: Workbench, study: Study, tmp_path: Path) -> None:
    find_lens(bench, lens_study(study), cache=tmp_path)
    others = [
        (load_arm(study, "finetuned"), lens_study(study)),
        (bench, lens_study(study, lens="jacobian", lens_skip=3)),
        (bench, lens_study(study, lens_skip=2)),
        (bench, lens_study(study, lens_rows=11)),
        (bench, lens_study(study, lens_width=WIDTH - 1)),
    ]
    for number, (model, settings) in enumerate(others, 2):
        report = find_lens(model, settings, cache=tmp_path).report
        assert report is not None and not report.remembered
        assert len(list(tmp_path.glob("*.pt"))) == number


def test_mean_at_rest_serves_for_any_text_and_one_that_is_not_goes_on(
    bench: Workbench, study: Study, tmp_path: Path, study_copy: Path, passes: list[int]
) -> None:
    loose, strict = (lens_study(study, lens_rows=24, lens_tolerance=bound) for bound in (0.5, 1e-6))
    first = find_lens(bench, loose, cache=tmp_path)
    assert first.report is not None and first.report.converged and first.report.rows == 2 * BATCH
    made = len(passes)
    lines = (study_copy / "corpus.jsonl").read_text("utf-8").splitlines()
    (study_copy / "corpus.jsonl").write_text("\n".join(lines[2:]) + "\n", "utf-8")
    other = loose.model_copy(update={"folder": study_copy})
    assert pick_rows(bench, other).tolist() != pick_rows(bench, loose).tolist()
    second = find_lens(bench, other, cache=tmp_path)
    assert len(passes) == made
    assert second.report is not None and second.report.remembered
    assert second.report.text_sha256 == first.report.text_sha256
    restless = find_lens(bench, strict, cache=tmp_path).report
    assert restless is not None and restless.converged is False and "NOT at rest" in restless.sentence


@pytest.mark.parametrize("damage", ["cut", "text", "other", "shape", "list"])
def test_file_that_is_not_its_own_is_made_anew_and_told_of(
    bench: Workbench, study: Study, tmp_path: Path, damage: str
) -> None:
    whole = find_lens(bench, lens_study(study), cache=tmp_path)
    (file,) = tmp_path.glob("*.pt")
    stored = read_mean(file, file.stem, 32)
    damaged = {
        "cut": file.read_bytes()[:-200],
        "text": b"<html>not found</html>",
        "other": pack_mean(stored, "another model"),
        "shape": pack_mean(Mean(torch.zeros(3, 3), 5, 5), file.stem),
        "list": b"",
    }[damage]
    file.write_bytes(damaged)
    if damage == "list":
        torch.save([1, 2], file)
    again = find_lens(bench, lens_study(study), cache=tmp_path)
    assert torch.equal(again.matrix, whole.matrix)
    assert again.report is not None and again.report.note is not None
    assert again.report.note.endswith("the lens was made anew") and "\n" not in again.report.note
    third = find_lens(bench, lens_study(study), cache=tmp_path).report
    assert third is not None and third.note is None and third.remembered


@pytest.mark.parametrize("fault", ["full", "file in the way"])
def test_lens_that_cannot_be_kept_costs_the_run_nothing(
    bench: Workbench, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    cache = tmp_path / "lenses"
    if fault == "full":

        def full(file: Path, data: bytes, flush: bool = True) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(study_lens, "write_bytes", full)
    else:
        cache.write_text("a file", "utf-8")
    lens = find_lens(bench, lens_study(study), cache=cache, stored_every=0.0)
    assert lens.report is not None and lens.report.note is not None
    assert lens.report.note.startswith("the lens could not be kept (") and lens.report.rows == 12


def test_state_of_other_rows_is_not_gone_on_with(bench: Workbench, study: Study, tmp_path: Path) -> None:
    settings = lens_study(study, lens_rows=24, lens_tolerance=0.5)
    whole = find_lens(bench, settings, cache=tmp_path)
    (file,) = tmp_path.glob("*.pt")
    strange = Mean(text="other rows", part=[torch.ones(1 + BATCH, 32)] * 5)
    file.write_bytes(pack_mean(strange, file.stem))
    assert torch.equal(find_lens(bench, settings, cache=tmp_path).matrix, whole.matrix)


def test_rows_shorter_than_what_is_skipped_are_refused(bench: Workbench, study: Study) -> None:
    with pytest.raises(StudyError, match="survey.lens_skip leaves nothing of a row of 12 positions"):
        pick_rows(bench, lens_study(study, lens_skip=12))
    with pytest.raises(StudyError, match="survey.lens_skip leaves nothing"):
        pick_rows(bench, lens_study(study, lens="jacobian"))


def test_published_file_is_read_and_written(bench: Workbench, study: Study, tmp_path: Path, study_copy: Path) -> None:
    made = jacobian.average_jacobian(bench, torch.from_numpy(pick_rows(bench, lens_study(study)))).jacobian()
    file = study_copy / "lens.pt"
    file.write_bytes(pack_jacobians(JacobianLens({0: made, 1: 2 * made}, 12, 32)))
    plain = torch.load(file, weights_only=True)
    assert set(plain) == {"J", "n_prompts", "source_layers", "d_model"}
    assert plain["J"][0].dtype == torch.float16 and plain["source_layers"] == [0, 1] and plain["n_prompts"] == 12
    settings = lens_study(study, lens="jacobian", lens_file="lens.pt").model_copy(update={"folder": study_copy})
    lens = find_lens(bench, settings)
    torch.testing.assert_close(lens.matrix, made.half().float().T @ bench.W_U)
    assert lens.report is not None and lens.report.rows == 12 and lens.report.note == "read from lens.pt"
    wrong = lens_study(study, lens_file="lens.pt").model_copy(update={"folder": study_copy})
    with pytest.raises(StudyError, match=r'survey.lens_file is for survey.lens = "jacobian"'):
        find_lens(bench, wrong)


def test_kept_effect_lens_is_no_published_file(bench: Workbench, study: Study, tmp_path: Path) -> None:
    find_lens(bench, lens_study(study), cache=tmp_path)
    (file,) = tmp_path.glob("*.pt")
    assert "J" not in torch.load(file, weights_only=True)
    with pytest.raises(StudyError, match="is no Jacobian lens: it holds mean, of"):
        read_jacobians(file, 32)


def test_layer_of_a_hook_is_the_one_whose_output_it_is() -> None:
    places = {"blocks.3.hook_resid_pre": 2, "blocks.3.hook_resid_post": 3, "blocks.0.hook_resid_pre": None}
    assert {name: source_layer(name) for name in places} == places
    assert source_layer("blocks.3.hook_resid_mid") is None


def save_expanded(file: Path) -> None:
    torch.save({"J": {0: torch.zeros(1).expand(32, 32)}, "n_prompts": 1}, file)


def save_compressed(file: Path) -> None:
    torch.save({"J": {0: torch.zeros(32, 32)}, "n_prompts": 1}, file)
    with zipfile.ZipFile(file) as archive:
        parts = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts:
            archive.writestr(name, data)


class Runs:
    """What a pickle may do when it is opened by something careless."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("ran",)


STRANGE: dict[str, tuple[Any, str]] = {
    "no lens": ({"weights": torch.zeros(2)}, "is no Jacobian lens: it holds weights"),
    "other width": ({"J": {0: torch.zeros(16, 16)}, "n_prompts": 1}, "is no lens for a model of 32 dimensions"),
    "whole numbers": ({"J": {0: torch.zeros(32, 32, dtype=torch.int64)}, "n_prompts": 1}, "its layer 0 does not fit"),
    "no numbers": ({"J": {0: torch.full((32, 32), torch.nan)}, "n_prompts": 1}, "its layer 0 does not fit"),
    "named layer": ({"J": {"zero": torch.zeros(32, 32)}, "n_prompts": 1}, "its layer zero does not fit"),
    "no count": ({"J": {0: torch.zeros(32, 32)}}, "is no Jacobian lens"),
    "no layer": ({"J": {}, "n_prompts": 1}, "is no Jacobian lens"),
    "a list": ([1], "holds no dictionary"),
    "code": (Runs(), "is no lens, or a damaged one"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_file_is_refused_in_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    value, said = STRANGE[name]
    torch.save(value, tmp_path / "lens.pt")
    with pytest.raises(StudyError) as caught:
        read_jacobians(tmp_path / "lens.pt", 32)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("save", [save_expanded, save_compressed])
def test_few_bytes_that_stand_for_many_are_refused(save: Any, tmp_path: Path) -> None:
    save(tmp_path / "lens.pt")
    with pytest.raises(StudyError):
        read_jacobians(tmp_path / "lens.pt", 32)


def test_bare_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lens.pt").write_bytes(pickle.dumps({"J": {}}))
    with pytest.raises(StudyError, match="was not written by torch.save"):
        read_jacobians(tmp_path / "lens.pt", 32)
