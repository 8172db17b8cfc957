"""Bad input to a steering run is one line and status 2, before anything is made."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from agent.errors import RunError
from agent.folder.steered import SteerConfig
from agent.folder.steering_store import SteeringFolder
from agent.steer import main
from agent.steering.beginning import hash_encoder_of
from agent.steering.inputs import read_prompts
from tests.agent.steering.conftest import SMALL, write_target
from tests.conftest import EVERYDAY, MEDICAL
from tools.study.definition import Study

Refused = Callable[..., str]


@pytest.fixture
def refused(study_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """What a command is refused with."""

    def run(*words: str, study: Path = study_folder) -> str:
        runs = tmp_path / "runs"
        assert main(["--study", str(study), "--runs", str(runs), *words]) == 2
        error = capsys.readouterr().err.removeprefix("warning: ")
        assert error.count("\n") == 1 and "Traceback" not in error
        assert not runs.exists()
        return error

    return run


def empty(file: Path) -> None:
    file.write_text("\n \n")


def binary(file: Path) -> None:
    file.write_bytes(bytes(range(256)) * 20)


def latin(file: Path) -> None:
    file.write_bytes(("Das Gericht prüfte die Klage. " * 20).encode("latin-1"))


def utf_16(file: Path) -> None:
    file.write_text("Some words that nobody can read as they are. " * 20, "utf-16")


def short(file: Path) -> None:
    file.write_text("A word or two.")


def folder(file: Path) -> None:
    file.mkdir()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (empty, "holds no text"),
        (binary, "is not"),
        (latin, "is not UTF-8"),
        (utf_16, "UTF-16"),
        (short, "too little text"),
        (folder, "is a folder"),
        (lambda file: None, "there is no file"),
    ],
    ids=["empty", "binary", "another encoding", "UTF-16", "too short", "a folder", "missing"],
)
def test_a_target_that_is_none_is_refused(
    make: Callable[[Path], None], said: str, tmp_path: Path, refused: Refused
) -> None:
    make(file := tmp_path / "target.txt")
    error = refused("--toward", str(file))
    assert error.startswith("error: ") and said in error and str(file) in error


def test_a_target_that_is_what_it_is_held_against_is_refused(tmp_path: Path, refused: Refused) -> None:
    file = write_target(tmp_path / "one.txt", MEDICAL)
    assert "are the same text" in refused("--toward", str(file), "--away", str(file))


def test_two_targets_of_one_name_or_one_text_are_refused(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "other").mkdir()
    one = write_target(tmp_path / "one.txt", MEDICAL)
    namesake = write_target(tmp_path / "other" / "one.txt", EVERYDAY)
    twin = tmp_path / "twin.txt"
    twin.write_bytes(one.read_bytes())
    assert "have one name" in refused("--toward", str(one), str(namesake))
    assert "are the same text" in refused("--toward", str(one), str(twin))
    assert "are the same text" in refused("--toward", str(one), str(one))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--prompts", "{empty}"], "holds no prompt"),
        (["--prompts", "{missing}"], "cannot be read"),
        (["--verdicts", "{missing}"], "is no run folder"),
        (["--require", "confidence"], "is no requirement"),
        (["--require", "charm>1"], "no such figure"),
        (["--require", "confidence>=0.5"], "no toward.json"),
        (["--require", "uninterpretable<0.5"], "--verdicts"),
        (["--require", "significant>3", "--scorer", "reference"], "have no null"),
        (["--pairs", "3"], "--llm-model"),
        (["--sae", "nosuch"], "base, finetuned"),
        (["--encoder", "{missing}"], "sentence encoder"),
    ],
)
def test_what_is_said_beside_a_target_is_checked(
    words: Sequence[str], said: str, tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_MODEL", raising=False)
    empty(tmp_path / "empty.txt")
    file = write_target(tmp_path / "one.txt", MEDICAL)
    places = {"empty": tmp_path / "empty.txt", "missing": tmp_path / "missing"}
    assert said in refused("--toward", str(file), *(word.format(**places) for word in words))


def test_a_topic_is_that_of_one_target(tmp_path: Path, refused: Refused) -> None:
    files = [write_target(tmp_path / f"{name}.txt", MEDICAL, seed=place) for place, name in enumerate("ab")]
    assert "--topic" in refused("--toward", *map(str, files), "--topic", "illness")


@pytest.mark.parametrize(
    "words", [["--schemes", "swop"], ["--samples", "0"], ["--length", "x"], ["--target-kl", "nan"], []]
)
def test_flags_that_make_no_sense_are_refused_by_the_parser(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--toward", str(tmp_path / "any.txt"), *words] if words else []
    with pytest.raises(SystemExit) as stop:
        main(given)
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_prompt_that_leaves_no_room_is_refused(
    long_study: Path, targets: tuple[str, str], tmp_path: Path, refused: Refused
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("In the market\n" + "the doctor met the nurse in the hospital and " * 12 + "\n")
    error = refused("--toward", targets[0], "--prompts", str(prompts), study=long_study)
    assert "the prompt 'the doctor met" in error and "--length" in error


def test_prompts_are_lines_each_once(study: Study, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("\ufeff  One day \n\nOne day\nTwo days\r\n", "utf-8")
    assert read_prompts(str(file), study) == ("One day", "Two days")
    assert read_prompts(None, study) == study.steering.prompts


def test_prompts_may_be_piped_in_but_not_typed(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"One day\nTwo days\n")))
    assert read_prompts("-", study) == ("One day", "Two days")
    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(RunError, match="a terminal"):
        read_prompts("-", study)


def test_a_folder_that_is_no_steering_run_is_not_resumed(
    finished: SteeringFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--resume", str(tmp_path)]) == 2
    assert "is no steering run" in capsys.readouterr().err
    assert main(["--resume", str(finished.path), "--samples", "3"]) == 2
    assert "leave out --samples" in capsys.readouterr().err


def test_a_run_folder_has_no_encoder_downloaded_by_its_own_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.border.hub.cached_folder", lambda repo, file: None)
    named = SteerConfig(toward=("any.txt",), prompts=("One day",), encoder="someone/encoder")
    with pytest.raises(RunError, match="its word is not enough"):
        hash_encoder_of(named, at_hand=True)
    assert hash_encoder_of(named.model_copy(update={"encoder": None}), at_hand=True) == {}


def test_verdicts_on_another_sae_are_refused(
    long_study: Path, targets: tuple[str, str], tmp_path: Path, refused: Refused
) -> None:
    from tests.evals.exports.runs import usual_decisions, write_finished

    run = write_finished(tmp_path / "investigated", usual_decisions())
    error = refused("--toward", targets[0], "--verdicts", str(run), *SMALL, study=long_study)
    assert "is of another SAE" in error
