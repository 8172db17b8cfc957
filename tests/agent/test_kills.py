"""Runs of the real command line, killed with SIGKILL at random moments and resumed until they end.

What is shown: the decisions, transcripts and summary are those of an undisturbed run, and no request is made again once
a reply to it was on disk. The small form belongs to the suite. The large ones, a hundred kills spread over the life of
runs on evidence alone and ten of runs that load a model, are run by hand and print where they struck: `make endurance`, or

    python -m pytest -m endurance tests/agent/test_kills.py
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.run import main
from tests.agent.cases import make_evidence
from tests.agent.test_faults import KINDS, WORDS, hash_of, honest, purpose_of
from tests.servers.openai_stub import JsonDict, Scripted, StubServer, serve
from tools.records import FeatureRef

ROOT = Path(__file__).parents[2]
STAGES = ("imports and loading", "first calls", "middle", "last calls", "report", "exit")
SPOILING = ("refusal", "fenced JSON", "truncated JSON", "wrong schema", "extra field")
ITS_OWN = {"run_id", "seconds"}
"""What a summary shares with no other run's."""
REPEATS = 2
AT_ONCE = 8 * REPEATS
"""Calls that may be under way, to the server or to the disk, when a run is killed: eight features, by default."""


def obedient(body: JsonDict, attempt: int) -> Scripted:
    """A reply that follows from the body alone, so that a run is the same however often it is begun again; some are bad."""
    drawn = random.Random(hash_of(body))
    reply = honest(body, drawn, drawn.choice(WORDS))
    kinds = [KINDS[name] for name in SPOILING if purpose_of(body) in KINDS[name].where]
    return drawn.choice(kinds).spoil(reply) if drawn.random() < 0.2 else reply


# --- lives and deaths -------------------------------------------------------------------------------------------------


class Moment(NamedTuple):
    """When to kill: so many seconds after the process has made so many requests."""

    requests: int
    seconds: float


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

    def begin(self, runs: Path, server: StubServer) -> list[str]:
        """Arguments of a new run, or to go on with the one there is."""
        if begun := run_in(runs):
            return ["--resume", str(begun)]
        return [*self.arguments, "--runs", str(runs), "--base-url", server.base_url, "--llm-model", "stub"]


def live(arguments: Sequence[str], runs: Path) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI")}
    with output_of(runs).open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "agent.run", *arguments],
            cwd=ROOT,
            env=environment | {"OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )


def output_of(runs: Path) -> Path:
    """What the latest process said."""
    return runs.with_suffix(".txt")


def run_to_its_end(command: Command, runs: Path, server: StubServer) -> float:
    """The seconds that the run, or what is left of it, takes."""
    began = time.monotonic()
    with live(command.begin(runs, server), runs) as process:
        assert process.wait(timeout=120) == 0, output_of(runs).read_text("utf-8")
    return time.monotonic() - began


def kill_at(moment: Moment, command: Command, runs: Path, server: StubServer) -> Kill | None:
    """Begin or resume the run and kill it; None if it ended before the moment came."""
    before = len(server.requests)
    with live(command.begin(runs, server), runs) as process:
        while process.poll() is None and len(server.requests) - before < moment.requests:
            let_live(process, 0.002)
        let_live(process, moment.seconds)
        in_flight = server.in_flight
        process.kill()
        if process.wait() == 0:
            return None
        assert process.returncode == -9, output_of(runs).read_text("utf-8")
    path = run_in(runs)
    decisions = lines_of(path, "decisions.jsonl")
    calls = [json.loads(line) for line in lines_of(path, "llm_calls.jsonl")]
    n_requests = len(server.requests) - before
    return Kill(
        stage=stage_of(output_of(runs).read_text("utf-8"), n_requests, len(decisions), command),
        in_flight=in_flight if n_requests else 0,  # else they are those of the process before
        replied=frozenset(call["request_sha256"] for call in calls if call["reply"] is not None),
        decisions=tuple(decisions),
        n_requests=len(server.requests),
    )


def let_live(process: subprocess.Popen[str], seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


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


# --- what is shown ----------------------------------------------------------------------------------------------------


class Story(NamedTuple):
    """A run that was killed and resumed until it ended."""

    run: Path
    kills: list[Kill]
    requests: list[str]
    """Hashes of all that the server saw, in order."""

    @property
    def asked_again(self) -> int:
        """Requests beyond the first of each."""
        return len(self.requests) - len(set(self.requests))


def suffer(command: Command, runs: Path, draw: Callable[[], Moment], most: int, delay: float) -> Story:
    """Kill a run up to so many times, as long as it lives, and let it end."""
    kills: list[Kill] = []
    with serve(obedient, delay=delay) as server:
        while len(kills) < most and (kill := kill_at(draw(), command, runs, server)):
            kills.append(kill)
        run_to_its_end(command, runs, server)
        path = run_in(runs)
        assert path
        return Story(path, kills, [request.sha256 for request in server.requests])


def check_ends_as_undisturbed(run: Path, other: Path) -> None:
    """Decisions, transcripts and summary are the same but for the run's id and the seconds it took."""
    assert decisions_in(run) == decisions_in(other)
    assert transcripts_in(run) == transcripts_in(other)
    summaries = [json.loads((path / "summary.json").read_text("utf-8")) for path in (run, other)]
    one, two = ({k: v for k, v in summary.items() if k not in ITS_OWN} for summary in summaries)
    assert one == two
    assert (run / "report.html").is_file()


def check_nothing_was_lost_or_paid_twice(story: Story) -> None:
    final = lines_of(story.run, "decisions.jsonl")
    for kill in story.kills:
        assert not kill.replied & set(story.requests[kill.n_requests :])
        assert set(kill.decisions) <= set(final)
    stored = [json.loads(line) for line in lines_of(story.run, "llm_calls.jsonl")]
    replied = Counter(call["request_sha256"] for call in stored if call["reply"] is not None)
    assert set(replied.values()) == {1}
    assert story.asked_again <= AT_ONCE * len(story.kills)
    measured = [json.loads(line)["sha256"] for line in lines_of(story.run, "tool_calls.jsonl")]
    assert len(measured) == len(set(measured))


def decisions_in(run: Path) -> list[JsonDict]:
    return [{**json.loads(line), "run_id": "-"} for line in lines_of(run, "decisions.jsonl")]


def transcripts_in(run: Path) -> dict[str, str]:
    return {
        file.name: file.read_text("utf-8").replace(run.name, "-")
        for file in run.glob("transcripts/*")
        if file.is_file()
    }


# --- runs on evidence alone -------------------------------------------------------------------------------------------


def evidence_command(folder: Path, n_features: int) -> Command:
    """A study that is a question alone, and evidence that differs from feature to feature in one token."""
    (folder / "guideline.md").write_text("A feature is medical when it is about illness.\n")
    (folder / "study.toml").write_text(
        'name = "toy"\ntitle = "A toy"\n[domain]\nname = "medicine"\ndefinition = "The care of the sick."\n'
        'guideline = "guideline.md"\n'
    )
    whole = make_evidence().projection
    assert whole
    lines: list[str] = []
    for number in range(n_features):
        named = whole.top[0].model_copy(update={"token": f" unit{number}"})
        projection = whole.model_copy(update={"top": (named, *whole.top[1:])})
        feature = FeatureRef(study="toy", sae="base", index=number)
        lines.append(make_evidence(feature=feature, stratum="imported", projection=projection).model_dump_json())
    (folder / "evidence.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    arguments = ("--evidence", str(folder / "evidence.jsonl"), "--study", str(folder), "--judge-repeats", str(REPEATS))
    return Command(arguments, n_features)


def test_a_run_killed_three_times_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    command, drawn = evidence_command(tmp_path, n_features=40), random.Random(0)
    with serve(obedient, delay=0.02) as server, ThreadPoolExecutor(1) as beside:
        undisturbed = beside.submit(main, command.begin(tmp_path / "undisturbed", server))
        story = suffer(
            command, tmp_path / "killed", lambda: Moment(drawn.randint(1, 24), drawn.random() / 20), most=3, delay=0.02
        )
        assert undisturbed.result() == 0
    other = run_in(tmp_path / "undisturbed")
    assert other and len(story.kills) == 3
    assert {decision["status"] for decision in decisions_in(story.run)} == {"decided", "failed"}
    check_nothing_was_lost_or_paid_twice(story)
    check_ends_as_undisturbed(story.run, other)


def survive(
    command: Command, folder: Path, draw: Callable[[float], Moment], n_kills: int, delay: float
) -> tuple[list[Story], float]:
    """Runs, one after another, until so many kills have struck; and how long an undisturbed one lives."""
    with serve(obedient, delay=delay) as server:
        seconds = run_to_its_end(command, folder / "undisturbed", server)
    other = run_in(folder / "undisturbed")
    assert other
    stories: list[Story] = []
    while (left := n_kills - sum(len(story.kills) for story in stories)) > 0:
        runs = folder / f"killed-{len(stories)}"
        stories.append(suffer(command, runs, lambda: draw(seconds), min(left, 8), delay))
        check_nothing_was_lost_or_paid_twice(stories[-1])
        check_ends_as_undisturbed(stories[-1].run, other)
    return stories, seconds


def draw_moment(drawn: random.Random, life: float, share: float) -> Moment:
    """Any moment of a life, in that share of cases; else one of the first calls, which a life is short of."""
    if drawn.random() < share:
        return Moment(0, drawn.random() * life)
    return Moment(drawn.randint(1, 40), drawn.random() / 10)


def table(title: str, stories: Sequence[Story], seconds: float) -> str:
    """Where the kills struck, and what they cost."""
    kills = [kill for story in stories for kill in story.kills]
    lines = [f"\n{title}: {len(kills)} kills in {len(stories)} runs, of {seconds:.1f} s each when undisturbed\n"]
    for stage in STAGES:
        met = [kill for kill in kills if kill.stage == stage]
        flying = sum(kill.in_flight > 0 for kill in met)
        lines.append(f"  {stage:<24}{len(met):>4}, {flying} of them with requests in flight\n")
    asked = sum(len(story.requests) for story in stories)
    again = sum(story.asked_again for story in stories)
    flying = sum(kill.in_flight for kill in kills)
    lines.append(f"  {asked:,} requests; {again} made again; {flying} were unanswered when their process was killed\n")
    measured = sum(len(lines_of(story.run, "tool_calls.jsonl")) for story in stories)
    lines.append(f"  {measured} measurements, none made again\n" if measured else "")
    return "".join(lines)


@pytest.mark.endurance
@pytest.mark.timeout(530)
@pytest.mark.parametrize("seed", range(4))
def test_kills_at_any_moment_change_nothing(tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = random.Random(seed)
    stories, seconds = survive(
        evidence_command(tmp_path, n_features=64),
        tmp_path,
        lambda life: draw_moment(drawn, life, share=0.85),
        n_kills=25,
        delay=0.12,
    )
    with capsys.disabled():
        sys.stdout.write(table(f"evidence alone, seed {seed}", stories, seconds))


# --- runs that load a model -------------------------------------------------------------------------------------------


@pytest.mark.endurance
@pytest.mark.timeout(530)
def test_kills_of_a_run_with_instruments_change_nothing(
    study_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn, features = random.Random(0), range(12)
    arguments = (
        "--study",
        str(study_folder),
        "--features",
        ",".join(map(str, features)),
        "--judge-repeats",
        str(REPEATS),
    )

    command = Command(arguments, len(features))
    stories, seconds = survive(
        command, tmp_path, lambda life: draw_moment(drawn, life, share=0.3), n_kills=10, delay=0.05
    )
    with capsys.disabled():
        sys.stdout.write(table("with instruments", stories, seconds))
