"""Runs that are killed and resumed until they end, what has to hold of them, and where the kills struck."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from agent.check import main as check_run
from tests.agent.cases import make_evidence
from tests.agent.lives import STAGES, Command, Kill, Moment, kill_at, lines_of, run_in, run_to_its_end
from tests.agent.test_faults import KINDS, WORDS, hash_of, honest, purpose_of
from tests.servers.openai_stub import JsonDict, Scripted, serve
from tools.records import FeatureRef

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


def check_nothing_lies_about(runs: Path, run: Path) -> None:
    """There is the run and nothing else; no file in it was left half written; and what stands in it agrees."""
    assert [path for path in runs.iterdir() if path != run] == []
    assert sorted(run.rglob("*.new")) == []
    assert check_run([str(run)]) == 0


def hashes_in(folder: Path) -> dict[str, str]:
    """Every file of a folder by its path in it, and the sha256 of its bytes."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def decisions_in(run: Path) -> list[JsonDict]:
    return [{**json.loads(line), "run_id": "-"} for line in lines_of(run, "decisions.jsonl")]


def transcripts_in(run: Path) -> dict[str, str]:
    return {
        file.name: file.read_text("utf-8").replace(run.name, "-")
        for file in run.glob("transcripts/*")
        if file.is_file()
    }


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
        check_nothing_lies_about(runs, stories[-1].run)
    return stories, seconds


def draw_moment(drawn: random.Random, life: float, share: float) -> Moment:
    """Any moment of a life, in that share of cases; else one of what a life is short of: its calls, or its report."""
    if drawn.random() < share:
        return Moment(0, drawn.random() * life)
    if drawn.random() < 0.7:
        return Moment(drawn.randint(1, 40), drawn.random() / 10)
    return Moment(0, drawn.random(), after="investigate ")


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
