"""A manifest is data: what it names is taken only where it vouches for it, and a run goes on, or is judged again, as it began."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.errors import RunError
from agent.folder.entrusted import open_question, open_recorded_corpus
from agent.folder.records import Manifest
from agent.folder.store import RunFolder
from agent.run import main
from prompts import loader
from tests.security.conftest import GUIDELINE, write_domain, write_evidence
from tests.security.damage import lines_of
from tests.servers.openai_stub import StubServer, happy, serve
from tools.errors import UnveilError

SECRET = "hunter2 is what only the reader of this run knows\n"


KEY = "sk-planted-0123456789abcdef"


@pytest.fixture(scope="module")
def serving() -> Iterator[StubServer]:
    with serve(happy) as stub:
        yield stub


@pytest.fixture
def server(serving: StubServer, monkeypatch: pytest.MonkeyPatch) -> StubServer:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return serving


class Own:
    """A user's study, and a run on it that was stopped after its first decision."""

    def __init__(self, place: Path, stub: StubServer) -> None:
        self.study, self.stub, self.runs = place / "medicine", stub, place / "runs"
        self.endpoint = ["--base-url", stub.base_url]
        self.command = [*self.endpoint, "--llm-model", "stub", "--runs", str(self.runs)]
        if not self.runs.exists():
            evidence = write_evidence(place / "evidence.jsonl")
            assert main([*self.command, "--evidence", str(evidence), "--study", str(write_domain(self.study))]) == 0
        (self.run,) = self.runs.glob("*/")
        self.asked = len(stub.requests)

    def stop_early(self) -> None:
        """As if it had been killed: one decision, and the calls that led to it."""
        file = self.run / "decisions.jsonl"
        file.write_bytes(lines_of(file)[0])
        for name in ("llm_calls.jsonl", "summary.json"):
            (self.run / name).unlink()
        steps = self.run / "transcripts"
        for path in steps.iterdir():
            path.unlink()

    def edit_manifest(self, change: Callable[[Any], None]) -> None:
        value = json.loads((self.run / "manifest.json").read_bytes())
        change(value)
        (self.run / "manifest.json").write_text(json.dumps(value))

    def edit_study(self, old: str, new: str) -> None:
        file = self.study / "study.toml"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    @property
    def sent(self) -> str:
        """Everything that was sent since the run was made."""
        return json.dumps([request.body for request in self.stub.requests[self.asked :]])


@pytest.fixture(scope="module")
def kept(serving: StubServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Where a user's study and run are, and a copy of both: their files name places, so each test finds them where they were."""
    place = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", KEY)
        Own(place, serving)
    return place, Path(shutil.copytree(place, tmp_path_factory.mktemp("kept") / "own"))


@pytest.fixture
def own(kept: tuple[Path, Path], server: StubServer) -> Own:
    place, copy = kept
    shutil.rmtree(place)
    shutil.copytree(copy, place)
    return Own(place, server)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


# --- a stranger's run ---------------------------------------------------------------------------------------------------


def absolute(study: Path, secret: Path) -> None:
    text = (study / "study.toml").read_text()
    (study / "study.toml").write_text(text.replace('"guideline.md"', f'"{secret}"'))


def climbing(study: Path, secret: Path) -> None:
    text = (study / "study.toml").read_text()
    way = "/".join([".."] * 20) + str(secret)
    (study / "study.toml").write_text(text.replace('"guideline.md"', f'"{way}"'))


def linked(study: Path, secret: Path) -> None:
    (study / "guideline.md").unlink()
    (study / "guideline.md").symlink_to(secret)


def linked_folder(study: Path, secret: Path) -> None:
    (study / "guideline.md").unlink()
    (study / "docs").symlink_to(secret.parent)
    text = (study / "study.toml").read_text()
    (study / "study.toml").write_text(text.replace('"guideline.md"', f'"docs/{secret.name}"'))


@pytest.mark.parametrize("flag", ["--resume", "--rejudge", "--replay"])
@pytest.mark.parametrize("vouched", [True, False], ids=["of another file", "of none"])
@pytest.mark.parametrize("way", [absolute, climbing, linked, linked_folder])
def test_no_file_of_the_readers_is_put_into_a_prompt_on_a_manifests_word(
    own: Own,
    tmp_path: Path,
    way: Callable[[Path, Path], None],
    vouched: bool,
    flag: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    secret = tmp_path / "home" / "secret.txt"
    secret.parent.mkdir()
    secret.write_text(SECRET)
    way(own.study, secret)

    def rewrite(value: Any) -> None:
        value["study_sha256"] = {}  # as an older version, or a liar, leaves it
        if not vouched:
            del value["provenance"]["sha256"]["guideline"]

    own.edit_manifest(rewrite)
    if flag == "--resume":
        own.stop_early()
    more = ["--llm-model", "other", "--runs", str(own.runs)] if flag == "--rejudge" else []
    where = [] if flag == "--replay" else own.endpoint
    assert main([flag, str(own.run), *where, *more]) == 2
    error = one_line(capsys)
    assert "guideline" in error and "run used" in error
    assert "hunter2" not in error
    assert "hunter2" not in own.sent
    assert own.stub.requests[own.asked :] == []


def test_a_study_of_ones_own_may_point_anywhere_when_the_command_line_names_it(
    tmp_path: Path, server: StubServer
) -> None:
    elsewhere = tmp_path / "elsewhere" / "rules.md"
    elsewhere.parent.mkdir()
    elsewhere.write_text(GUIDELINE)
    place = tmp_path / "place"
    study = write_domain(place / "medicine")
    absolute(study, elsewhere)
    evidence = write_evidence(place / "evidence.jsonl")
    command = ["--base-url", server.base_url, "--llm-model", "stub", "--runs", str(place / "runs")]
    assert main([*command, "--evidence", str(evidence), "--study", str(study)]) == 0
    (run,) = (place / "runs").glob("*/")
    file = run / "decisions.jsonl"
    file.write_bytes(lines_of(file)[0])
    assert main(["--resume", str(run), "--base-url", server.base_url]) == 0  # the same file, and its hash agrees
    assert len(RunFolder.open(run).decisions()) == 3


def test_a_manifest_downloads_nothing_on_its_word(measured: Path) -> None:
    known = RunFolder.open(measured).manifest()
    config = known.config.model_copy(update={"model": "somebody/model", "sae": "somebody/sae"})
    with pytest.raises(UnveilError) as refused:
        open_recorded_corpus(known.model_copy(update={"config": config}))
    assert "\n" not in str(refused.value)
    assert "downloaded" in str(refused.value)


@pytest.mark.parametrize("role", ["corpus", "vocabulary", "vectors", "words", "model", "sae"])
def test_an_input_without_a_hash_has_to_lie_in_the_studys_folder(
    measured: Path, study_copy: Path, tmp_path: Path, role: str
) -> None:
    names = {
        "corpus": "corpus.jsonl",
        "vocabulary": "vocabulary.txt",
        "vectors": "vectors.safetensors",
        "words": "words.txt",
        "model": "base/model",
        "sae": "base/sae",
    }
    known = RunFolder.open(measured).manifest()
    config = known.config.model_copy(update={"study": str(study_copy)})
    hashes = {name: sha256 for name, sha256 in known.provenance.sha256.items() if name != role}
    provenance = known.provenance.model_copy(update={"sha256": hashes})
    told = known.model_copy(update={"config": config, "provenance": provenance})
    assert open_recorded_corpus(told).study.folder == study_copy
    moved = tmp_path / "elsewhere" / Path(names[role]).name
    moved.parent.mkdir()
    shutil.move(study_copy / names[role], moved)
    (study_copy / names[role]).symlink_to(moved)
    with pytest.raises(RunError, match=rf"{role} \(the run does not say which it used\)"):
        open_recorded_corpus(told)
    assert open_recorded_corpus(known.model_copy(update={"config": config})).study.folder == study_copy  # vouched for


def test_shipped_studies_are_taken_by_name(monkeypatch: pytest.MonkeyPatch, measured: Path) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    known = RunFolder.open(measured).manifest()
    bare = known.provenance.model_copy(update={"sha256": {}})
    for name in ("pocket", "studies/pocket", "studies/pocket/study.toml"):
        config = known.config.model_copy(update={"study": name})
        told: Manifest = known.model_copy(update={"config": config, "provenance": bare})
        assert open_question(told).name == "pocket"


# --- going on, and judging again --------------------------------------------------------------------------------------


def change_guideline(own: Own) -> None:
    (own.study / "guideline.md").write_text("Food counts too.\n")


def change_definition(own: Own) -> None:
    own.edit_study('definition = "Care."', 'definition = "Cookery."')


def change_domain(own: Own) -> None:
    own.edit_study('name = "medicine"\ndefinition', 'name = "cookery"\ndefinition')


def change_thresholds(own: Own) -> None:
    own.edit_study("[domain]", "[survey]\nalpha = 0.5\n[domain]")


CHANGES: dict[str, tuple[Callable[[Own], None], str]] = {
    "guideline": (change_guideline, "the guideline"),
    "definition": (change_definition, "the study's [domain]"),
    "domain": (change_domain, "the study's domain"),
    "thresholds": (change_thresholds, "the study's [survey]"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("flag", ["--resume", "--retry-failed", "--rejudge", "--replay"])
def test_a_changed_study_is_named_and_nothing_is_asked(
    own: Own, change: str, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    edit, said = CHANGES[change]
    edit(own)
    if flag in ("--resume", "--retry-failed"):
        own.stop_early()
    before = {path: path.read_bytes() for path in own.run.rglob("*") if path.is_file()}
    commands = {
        "--resume": ["--resume", str(own.run), *own.endpoint],
        "--retry-failed": ["--resume", str(own.run), "--retry-failed", *own.endpoint],
        "--rejudge": ["--rejudge", str(own.run), *own.endpoint, "--llm-model", "other", "--runs", str(own.runs)],
        "--replay": ["--replay", str(own.run)],
    }
    assert main(commands[flag]) == 2
    assert said in one_line(capsys)
    assert own.stub.requests[own.asked :] == []
    assert {path: path.read_bytes() for path in own.run.rglob("*") if path.is_file()} == before
    assert len(list(own.runs.iterdir())) == 1


@pytest.mark.parametrize("flag", ["--resume", "--rejudge"])
def test_a_changed_prompt_is_named_and_nothing_is_asked(
    own: Own, tmp_path: Path, flag: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = tmp_path / "prompts"
    shutil.copytree(loader.FOLDER, prompts, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for file in prompts.glob("judge.v*.md"):
        file.write_text(file.read_text() + "\nBe kind.\n")
    monkeypatch.setattr("agent.folder.entrusted.hash_prompts", lambda: loader.hash_prompts(prompts))
    more = ["--llm-model", "other", "--runs", str(own.runs)] if flag == "--rejudge" else []
    if flag == "--resume":
        own.stop_early()
    assert main([flag, str(own.run), *own.endpoint, *more]) == 2
    assert "prompt judge.v" in one_line(capsys)
    assert own.stub.requests[own.asked :] == []


def test_comments_and_other_arms_may_change(own: Own) -> None:
    own.edit_study('title = "Medicine"', 'title = "Medicine, revised"  # a comment')
    own.stop_early()
    assert main(["--resume", str(own.run), *own.endpoint]) == 0


def test_a_reason_lets_a_run_be_judged_by_another_definition_and_is_said_ever_after(
    own: Own, capsys: pytest.CaptureFixture[str]
) -> None:
    change_definition(own)
    command = ["--rejudge", str(own.run), *own.command, "--allow-different", "the definition was too narrow"]
    assert main(command) == 0
    (again,) = (path for path in own.runs.glob("*/") if path != own.run)
    said = "although the study's [domain] differed, allowed because: the definition was too narrow"
    assert any(said in caveat for caveat in RunFolder.open(again).manifest().caveats)
    assert said in (again / "report.html").read_text().replace("&#39;", "'")
    capsys.readouterr()
    assert main(["--replay", str(again)]) == 0
    assert said in capsys.readouterr().out


def test_a_reason_opens_no_other_guideline_of_a_study_that_only_the_manifest_names(
    own: Own, capsys: pytest.CaptureFixture[str]
) -> None:
    change_guideline(own)
    assert main(["--rejudge", str(own.run), *own.command, "--allow-different", "I was told to"]) == 2
    assert "guideline" in one_line(capsys)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("vocabulary.txt", "the vocabulary"),
        ("vectors.safetensors", "the vectors"),
        ("words.txt", "the words"),
        ("corpus.jsonl", "the corpus"),
        ("base/model/model.safetensors", "the model"),
        ("base/sae/sae_weights.safetensors", "the sae"),
        ("guideline.md", "the guideline"),
    ],
)
def test_changed_inputs_and_weights_are_named(
    measured: Path, study_copy: Path, tmp_path: Path, file: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(measured, tmp_path / "copy" / measured.name))
    known = RunFolder.open(copy).manifest()
    config = known.config.model_copy(update={"study": str(study_copy)})
    RunFolder.open(copy).write_manifest(known.model_copy(update={"config": config}))
    assert main(["--resume", str(copy)]) == 0
    content = (study_copy / file).read_bytes()
    changed = content.replace(b"doctor", b"baker").replace(b"medical", b"culinary")
    if file.endswith("safetensors"):
        changed = content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]
    assert changed != content
    (study_copy / file).write_bytes(changed)
    capsys.readouterr()
    assert main(["--resume", str(copy)]) == 2
    assert said in one_line(capsys)
