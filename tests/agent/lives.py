"""The real command line as processes that are killed with SIGKILL at a given moment and begun again."""

from __future__ import annotations

import json
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import NamedTuple

from tests.servers.openai_stub import StubServer
from tests.warm import live

STAGES = ("imports and loading", "first calls", "middle", "last calls", "report", "exit")


class Moment(NamedTuple):
    """When to kill: so many seconds after the process has made so many requests, and has said so."""

    requests: int
    seconds: float
    after: str = ""


class Kill(NamedTuple):
    """What was on disk when the process was dead, and what the server had seen."""

    stage: str
    in_flight: int
    replied: frozenset[str]
    """Hashes of the requests whose reply was stored."""
    decisions: tuple[str, ...]
    n_requests: int


class Command(NamedTuple):
    """A run that can be started any number of times."""

    arguments: tuple[str, ...]
    n_features: int
    model: str = "stub"

    def begin(self, runs: Path, server: StubServer) -> list[str]:
        """Arguments of a new run, or to go on with the one there is."""
        if begun := run_in(runs):
            return ["--resume", str(begun)]
        return [*self.arguments, "--runs", str(runs), "--base-url", server.base_url, "--llm-model", self.model]


def output_of(runs: Path) -> Path:
    """What the latest process said."""
    return runs.with_suffix(".txt")


def strike(process: ForkServerProcess, moment: Moment, server: StubServer, said: Path) -> int | None:
    """Kill a process that has just begun; the requests then in flight, or None if it ended before the moment came."""
    before = len(server.requests)
    while process.is_alive() and (
        len(server.requests) - before < moment.requests or moment.after not in said.read_text("utf-8")
    ):
        process.join(0.002)
    process.join(moment.seconds)
    in_flight = server.in_flight if len(server.requests) > before else 0  # else they are those of the process before
    process.kill()
    process.join()
    if process.exitcode == 0:
        return None
    assert process.exitcode == -9, said.read_text("utf-8")
    return in_flight


def run_to_its_end(command: Command, runs: Path, server: StubServer) -> float:
    """The seconds that the run, or what is left of it, takes."""
    began = time.monotonic()
    with live("agent.run", command.begin(runs, server), output_of(runs)) as process:
        process.join(120)
        assert process.exitcode == 0, output_of(runs).read_text("utf-8")
    return time.monotonic() - began


def kill_at(moment: Moment, command: Command, runs: Path, server: StubServer) -> Kill | None:
    """Begin or resume the run and kill it; None if it ended before the moment came."""
    before = len(server.requests)
    with live("agent.run", command.begin(runs, server), output_of(runs)) as process:
        in_flight = strike(process, moment, server, output_of(runs))
    if in_flight is None:
        return None
    path = run_in(runs)
    decisions = lines_of(path, "decisions.jsonl")
    calls = [json.loads(line) for line in lines_of(path, "llm_calls.jsonl")]
    n_requests = len(server.requests) - before
    return Kill(
        stage=stage_of(output_of(runs).read_text("utf-8"), n_requests, len(decisions), command),
        in_flight=in_flight,
        replied=frozenset(call["request_sha256"] for call in calls if call["reply"] is not None),
        decisions=tuple(decisions),
        n_requests=len(server.requests),
    )


def stage_of(said: str, n_requests: int, n_decisions: int, command: Command) -> str:
    """Where the process was, by what it had said and asked since it began and what its run had decided."""
    if "next: " in said:
        return STAGES[5]
    if "investigate " in said:  # the line is written when all features are done
        return STAGES[4]
    if n_requests == 0:
        return STAGES[0]
    if n_decisions == 0:
        return STAGES[1]
    return STAGES[2] if n_decisions < 0.8 * command.n_features else STAGES[3]


def run_in(runs: Path) -> Path | None:
    """The run that has been begun, if one has come so far."""
    found = [path for path in runs.glob("[!.]*") if path.is_dir()] if runs.is_dir() else []
    assert len(found) <= 1
    return found[0] if found else None


def lines_of(run: Path | None, name: str) -> list[str]:
    """Whole lines of a file that a kill may have cut, or that may not be there yet."""
    file = run / name if run else None
    return file.read_text("utf-8").split("\n")[:-1] if file and file.is_file() else []
