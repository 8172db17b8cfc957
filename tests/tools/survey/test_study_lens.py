"""A study's lens: made once, kept, gone on with after a kill, and never taken from a file that is not its own."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tools.bench.loading import load_arm
from tools.bench.workbench import Workbench
from tools.errors import StudyError
from tools.study.definition import Study, SurveyDefaults
from tools.survey import jacobian, study_lens
from tools.survey.agreement import agreement_of_halves, share_in_common
from tools.survey.jacobian import BATCH, Mean, average_jacobian
from tools.survey.lens_file import (
    JacobianLens,
    pack_jacobians,
    pack_mean,
    pack_values,
    read_jacobians,
    read_mean,
    source_layer,
    unpack_values,
)
from tools.survey.shipped_lens import lens_path
from tools.survey.study_lens import averaging_of, find_lens, identify, pick_rows
from tools.training.lenses import ship_lens

WIDTH = 12


class Stop(Exception):
    """A kill, as far as a test can make one."""


def lens_study(study: Study, **settings: Any) -> Study:
    usual = {"lens": "effect", "lens_rows": 12, "lens_width": WIDTH, "null_directions": 50}
    survey = SurveyDefaults.model_validate({**usual, **settings})
    return study.model_copy(update={"survey": survey})


def bare(study: Study) -> Study:
    """The same without lenses in its folder."""
    return study.model_copy(update={"survey": study.survey.model_copy(update={"lens_folder": ""})})


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


def test_rows_are_added_until_halves_of_them_agree_and_not_longer(
    bench: Workbench, study: Study, tmp_path: Path
) -> None:
    loose, strict = (lens_study(study, lens_rows=24, lens_agreement=share) for share in (0.01, 0.9999))
    first, second = (find_lens(bench, one, cache=tmp_path).report for one in (loose, strict))
    assert first is not None and second is not None
    assert first.converged and first.rows == BATCH and len(first.agreements) == 1
    assert second.converged is False and second.rows == 24 and "NOT at rest" in second.sentence
    assert second.agreements[0] == first.agreements[0] and len(second.agreements) == 3
    assert f"halves list {second.agreements[-1]:.0%}" in second.sentence
    again = find_lens(bench, loose, cache=tmp_path).report
    assert again is not None and again.remembered and again.agreements == first.agreements


@pytest.mark.parametrize("n_rows", [2, 7, 8, 13])
def test_halves_are_the_means_of_every_other_row(bench: Workbench, study: Study, n_rows: int) -> None:
    tokens = torch.from_numpy(pick_rows(bench, lens_study(study)))[:n_rows]
    one, other = average_jacobian(bench, tokens).halves()
    torch.testing.assert_close(one, average_jacobian(bench, tokens[::2]).jacobian(), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(other, average_jacobian(bench, tokens[1::2]).jacobian(), atol=1e-4, rtol=1e-3)


def test_halves_with_the_same_text_agree_in_everything(bench: Workbench, study: Study) -> None:
    row = torch.from_numpy(pick_rows(bench, lens_study(study)))[:1]
    same = average_jacobian(bench, row.repeat(4, 1))
    assert agreement_of_halves(bench, "effect", same, 10) > 0.99
    shuffled = Mean(total=torch.eye(32) + (flip := torch.randn(32, 32)), half=flip, positions=2, rows=2)
    assert agreement_of_halves(bench, "effect", shuffled, 10) < 0.9


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 5))
def test_share_in_common_is_that_of_sets(seed: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = (np.stack([rng.permutation(8)[:k] for _ in range(n)]) for _ in range(2))
    expected = np.mean([len(set(a) & set(b)) / k for a, b in zip(one.tolist(), other.tolist(), strict=True)])
    assert share_in_common(torch.from_numpy(one), torch.from_numpy(other)) == pytest.approx(expected)


@pytest.fixture
def shipped(study: Study, study_copy: Path, tmp_path: Path) -> Study:
    """A study with a lens of its base arm in its folder."""
    settings = lens_study(study, lens_agreement=0.01, lens_folder="lenses")
    with_folder = settings.model_copy(update={"folder": study_copy})
    ship_lens(with_folder, "base", cache=tmp_path / "made")
    return with_folder


def test_lens_that_comes_with_the_study_is_not_made(
    bench: Workbench, shipped: Study, tmp_path: Path, passes: list[int]
) -> None:
    lens, made = find_lens(bench, shipped, cache=tmp_path / "none"), find_lens(bench, bare(shipped), cache=tmp_path)
    assert len(passes) == 32, "by the second alone"
    assert lens.report is not None and lens.report.shipped and lens.report.converged and lens.report.note is None
    assert "from the study's folder" in lens.report.sentence
    assert lens.report.rows == BATCH and made.report is not None and lens.report.agreements == made.report.agreements
    assert lens.jacobian is not None and made.jacobian is not None
    torch.testing.assert_close(lens.jacobian, made.jacobian, atol=1e-6, rtol=1e-3)
    assert not (tmp_path / "none").exists()
    (file,) = (shipped.folder / "lenses").iterdir()
    assert file.stat().st_size < 2 * 32 * 32 + 6000


def test_same_lens_is_the_same_file(shipped: Study, tmp_path: Path) -> None:
    (file,) = (shipped.folder / "lenses").iterdir()
    before = file.read_bytes()
    ship_lens(shipped, "base", cache=tmp_path / "made")
    assert [one.read_bytes() for one in (shipped.folder / "lenses").iterdir()] == [before]


def test_lens_of_another_model_or_settings_is_refused_whatever_it_is_called(
    bench: Workbench, shipped: Study, tmp_path: Path
) -> None:
    (file,) = (shipped.folder / "lenses").iterdir()
    own, others = find_lens(bench, bare(shipped), cache=tmp_path), file.read_bytes()
    other_settings = shipped.model_copy(update={"survey": shipped.survey.model_copy(update={"lens_skip": 3})})
    finetuned = load_arm(shipped, "finetuned")
    for model, study in ((finetuned, shipped), (bench, other_settings)):
        absent = find_lens(model, study, cache=tmp_path).report
        assert absent is not None and not absent.shipped and absent.note is not None
        assert "has no lens for this model, hook and settings" in absent.note
        tokens = pick_rows(model, study)
        identity = identify(model, study.survey, averaging_of(study.survey), tokens)
        renamed = lens_path(shipped.folder / "lenses", identity)
        renamed.write_bytes(others)
        refused = find_lens(model, study, cache=tmp_path)
        assert refused.report is not None and refused.report.note is not None
        assert "is a lens of another model, hook or settings" in refused.report.note
        assert "\n" not in refused.report.note
        assert not torch.allclose(refused.matrix, own.matrix, atol=1e-3)


@pytest.mark.parametrize("damage", ["cut", "text", "shape", "infinite", "report", "list"])
def test_damaged_lens_of_a_study_is_told_of_and_made(
    bench: Workbench, shipped: Study, tmp_path: Path, damage: str
) -> None:
    (file,) = (shipped.folder / "lenses").iterdir()
    stored = unpack_values(file)
    damaged = {
        "cut": file.read_bytes()[:-100],
        "text": b"version https://git-lfs",
        "shape": pack_values({**stored, "jacobian": torch.zeros(3, 3)}),
        "infinite": pack_values({**stored, "jacobian": torch.full((32, 32), torch.inf)}),
        "report": pack_values({**stored, "report": "{}"}),
        "list": pack_values({"of": stored["of"]}),
    }[damage]
    file.write_bytes(damaged)
    report = find_lens(bench, shipped, cache=tmp_path).report
    assert report is not None and not report.shipped and report.note is not None
    assert str(file) in report.note and report.note.endswith("it was made here, which takes minutes on a real model")


def test_lens_that_is_not_at_rest_or_has_no_folder_is_not_shipped(
    study: Study, study_copy: Path, tmp_path: Path
) -> None:
    restless = lens_study(study, lens_agreement=0.9999, lens_folder="lenses").model_copy(update={"folder": study_copy})
    with pytest.raises(StudyError, match=r"NOT at rest.*raise survey\.lens_rows"):
        ship_lens(restless, "base", cache=tmp_path)
    with pytest.raises(StudyError, match="names no folder for lenses"):
        ship_lens(bare(restless), "base", cache=tmp_path)
    assert not (study_copy / "lenses").exists()


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
