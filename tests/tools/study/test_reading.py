"""Study files: what is read, and what is said about those that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tools.errors import StudyError
from tools.study.definition import Study
from tools.study.reading import list_studies, load_study


@pytest.fixture(autouse=True)
def repository_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies that ship are found from the repository root, wherever pytest was started."""
    monkeypatch.chdir(Path(__file__).parents[3])


def edit(folder: Path, old: str, new: str) -> str:
    """Replace text in the study file and return the folder's name for `load_study`."""
    path = folder / "study.toml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    return str(folder)


def test_study_is_read_from_its_folder_and_from_its_file(study_folder: Path, study: Study) -> None:
    assert list(study.arms) == ["base", "finetuned"]
    assert study.folder == study_folder
    assert study.steering.new_tokens == 5
    assert load_study(str(study_folder / "study.toml")) == study


def test_training_table_is_left_to_the_training_commands(study: Study) -> None:
    assert not hasattr(study, "training")


def test_shipped_studies_load_by_name() -> None:
    assert "pocket" in list_studies()
    for name in list_studies():
        assert load_study(name).name == name


def test_unknown_study_names_those_there_are() -> None:
    with pytest.raises(StudyError, match=r"no study 'nosuch': use one of .*pocket"):
        load_study("nosuch")


def test_unknown_arm_names_those_there_are(study: Study) -> None:
    with pytest.raises(StudyError, match="no arm 'nosuch': use one of base, finetuned"):
        study.arm("nosuch")


def test_missing_asset_says_how_to_restore_it(study: Study) -> None:
    with pytest.raises(StudyError, match=r"nosuch\.txt is missing; restore it"):
        study.asset("nosuch.txt")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[survey]", "[survey", "is not TOML"),
        ("new_tokens", "new_token", r"steering\.new_token: Extra inputs"),
        ('name = "medicine"\n', "", r"domain\.name: Field required"),
        ("target_kl = 0.3", 'target_kl = "much"', r"steering\.target_kl: "),
        ("[corpus]\n", "[corpus]\nheld_out_share = 1.0\n", r"corpus\.held_out_share: "),
    ],
)
def test_misfit_is_reported_with_its_place_in_one_line(study_copy: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(StudyError, match=said) as raised:
        load_study(edit(study_copy, old, new))
    assert "\n" not in str(raised.value)


def test_study_file_in_another_encoding_is_an_error(study_copy: Path) -> None:
    (study_copy / "study.toml").write_bytes(b'name = "caf\xe9"')
    with pytest.raises(StudyError, match="is not UTF-8"):
        load_study(str(study_copy))


def test_study_is_frozen(study: Study) -> None:
    with pytest.raises(ValidationError):
        study.name = "other"  # pyright: ignore


# Steering


@pytest.mark.parametrize(
    ("lines", "asked"),
    [
        ("", ("add", "all", "kl", None)),
        ('unit = "max_activation"\nstrength = 4', ("add", "all", "max_activation", 4.0)),
        ('unit = "residual_norm"\nstrength = 0.5\nkind = "clamp"', ("clamp", "all", "residual_norm", 0.5)),
        ('kind = "ablate"\npolicy = "prompt"', ("ablate", "prompt", "kl", None)),
    ],
)
def test_study_says_what_is_done_where_and_how_strongly(
    study_copy: Path, lines: str, asked: tuple[str, str, str, float | None]
) -> None:
    steering = load_study(edit(study_copy, "[steering]", f"[steering]\n{lines}")).steering
    assert (steering.kind, steering.policy, steering.unit, steering.strength) == asked


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("strength = 4", "unit kl takes target_kl and no strength"),
        ('unit = "max_activation"', "unit max_activation takes a strength"),
        ('unit = "nats"', "steering.unit: Input should be 'kl', 'residual_norm' or 'max_activation'"),
        ('kind = "swap"', "steering.kind"),
        ('unit = "residual_norm"\nstrength = -1', "steering.strength"),
    ],
)
def test_strength_that_cannot_be_meant_is_refused_in_one_line(study_copy: Path, lines: str, complaint: str) -> None:
    with pytest.raises(StudyError) as caught:
        load_study(edit(study_copy, "[steering]", f"[steering]\n{lines}"))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
