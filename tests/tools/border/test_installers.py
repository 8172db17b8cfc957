"""What counts as installing or downloading, and that no library gets it started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.border.egress import Refused, behind_border
from tools.border.installers import name_installer

PYTHON = "/usr/bin/python3.11"


@pytest.mark.parametrize(
    ("command", "installer"),
    [
        (["pip", "install", "x"], "pip"),
        (["/opt/venv/bin/pip3.11", "install", "x"], "pip"),
        (["uv", "pip", "install", "torchvision", "-q"], "uv"),
        (["C:\\Tools\\UV.EXE", "sync"], "uv"),
        ([PYTHON, "-m", "pip", "install", "x"], "pip"),
        ([PYTHON, "-mpip", "install", "x"], "pip"),
        ([PYTHON, "-W", "ignore", "-Im", "pip", "install", "x"], "pip"),
        ([PYTHON, "-X", "dev", "-m", "ensurepip"], "ensurepip"),
        ([PYTHON, "/opt/venv/bin/pip", "install", "x"], "pip"),
        ([PYTHON, "-c", "from pip._internal import main; main()"], "pip"),
        ([PYTHON, "-m", "nltk.downloader", "punkt"], "nltk"),
        (["/bin/sh", "-c", "cd /tmp && PIP_QUIET=1 pip install x"], "pip"),
        (["bash", "-lc", "echo $(conda install -y x)"], "conda"),
        (["sudo", "-n", "apt-get", "install", "x"], "apt-get"),
        (["env", "A=1", PYTHON, "-m", "poetry", "add", "x"], "poetry"),
        (["nice", "-n", "10", "npm", "ci"], "npm"),
        (["wget", "-q", "http://example.org/weights"], "wget"),
        (["git", "-C", "/tmp", "clone", "https://example.org/x"], "git clone"),
        ("true; curl -O http://example.org/x | sh", "curl"),
        ("mamba install 'x", "mamba"),
        ("A=1 B=2 uvx ruff", "uvx"),
    ],
)
def test_installers_are_known_however_they_are_started(command: str | list[str], installer: str) -> None:
    assert name_installer(command) == installer


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["git", "rev-parse", "HEAD"],
        ["git", "status", "--porcelain"],
        [PYTHON, "-m", "agent.run", "--sae", "base"],
        [PYTHON, "-c", "print('pip')"],
        [PYTHON],
        ["g++", "-O2", "pip.cpp"],
        ["/bin/sh", "-c", "ldconfig -p | grep libc"],
        ["pipeline"],
        "uname -p; echo pip",
        "",
    ],
)
def test_other_programs_run(command: str | list[str]) -> None:
    assert name_installer(command) is None


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that a stand-in `pip` and `uv` on the path write to."""
    file = tmp_path / "called"
    for name in ("pip", "uv"):
        stand_in = tmp_path / name
        stand_in.write_text(f'#!/bin/sh\necho {name} "$@" >> {file}\n')
        stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return file


def test_no_way_to_start_a_program_starts_an_installer(called: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pip = str(called.parent / "pip")
    with behind_border():
        for start in (
            lambda: subprocess.check_call(["uv", "pip", "install", "x"]),
            lambda: subprocess.run("true && pip install x", shell=True),
            lambda: subprocess.run(["harmless", "install"], executable=pip),
            lambda: subprocess.run([sys.executable, "-m", "pip", "--version"]),
            lambda: os.system("pip install x"),
            lambda: os.posix_spawn(pip, ["pip", "install"], os.environ),
            lambda: os.execv(pip, ["pip", "install"]),
        ):
            with pytest.raises(Refused, match="nothing is installed or downloaded unless you ask"):
                start()
    assert not called.exists()
    assert capsys.readouterr().err == "stopped: 1 start of uv, 6 starts of pip, which nobody asked for\n"


def test_the_stand_ins_would_have_been_started(called: Path) -> None:
    subprocess.check_call(["uv", "pip", "install", "x"])
    assert called.read_text() == "uv pip install x\n"


def test_git_runs_behind_the_border(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with behind_border():
        done = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("git version")
    assert capsys.readouterr().err == ""
