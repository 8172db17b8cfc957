"""`evals.score RUN`, killed with SIGKILL at random moments and started again until it ends.

What is shown: every file it writes is an undisturbed scoring's to the byte, no prompt is asked again once a reply to it
was on disk, and nothing that the run itself holds is changed. Both forms take long; the large one prints
where the kills struck: `make endurance`, or

    python -m pytest -m endurance tests/evals/scoring/test_kills_of_scoring.py
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from evals.score import CALLS, main
from tests.agent.kills import hashes_in
from tests.agent.lives import Moment, lines_of, strike
from tests.agent.test_faults import KINDS, hash_of
from tests.evals.scoring.runs import make_run
from tests.servers.openai_stub import JsonDict, Scripted, StubServer, serve
from tests.servers.score_stub import answering, shares_a_word
from tests.warm import live
from tools.study.definition import Study

STAGES = ("imports, loading, texts", "first calls", "middle", "last calls", "figures and files")
SPOILING = ("refusal", "fenced JSON", "truncated JSON", "wrong schema", "extra field")
AT_ONCE = 8 * 2
"""Calls that may be under way when a scoring is killed: eight to the server, and as many to the disk."""


def spoilt(body: JsonDict, attempt: int) -> Scripted:
    """A reply that follows from the body alone; some are bad."""
    drawn, reply = random.Random(hash_of(body)), answering(shares_a_word)(body, attempt)
    return KINDS[drawn.choice(SPOILING)].spoil(reply) if drawn.random() < 0.2 else reply


class Kill(NamedTuple):
    """Where a kill struck, and what was on disk then."""

    stage: str
    in_flight: int
    replied: frozenset[str]
    """Hashes of the requests whose reply was stored."""
    n_requests: int
    """That the server had seen of this scoring."""


class Scoring(NamedTuple):
    """A scoring that was killed and started again until it ended."""

    run: Path
    kills: list[Kill]
    requests: list[str]
    """Hashes of all that the server saw, in order."""


def arguments_for(run: Path, server: StubServer, *more: str) -> list[str]:
    asks = ["--llm-model", "stub", "--base-url", server.base_url, "--contexts", "6", "--batch", "2"]
    return [str(run), *asks, "--concurrency", "8", *more]


def replied_in(run: Path) -> Counter[str]:
    """How often each request has a reply on disk."""
    calls = [json.loads(line) for line in lines_of(run / "evals", CALLS)]
    return Counter(call["request_sha256"] for call in calls if call["reply"] is not None)


def kill_at(moment: Moment, words: Sequence[str], run: Path, server: StubServer, n_prompts: int) -> Kill | None:
    """Start the scoring and kill it; None if it ended before the moment came."""
    said, before = run.with_suffix(".txt"), len(server.requests)
    with live("evals.score", words, said) as process:
        in_flight = strike(process, moment, server, said)
    if in_flight is None:
        return None
    replied, asked = replied_in(run), len(server.requests) > before
    stage = STAGES[0]
    if "score        stub" in said.read_text("utf-8"):  # the line is written when all is answered
        stage = STAGES[4]
    elif asked:
        share = len(replied) / n_prompts
        stage = STAGES[1] if share < 0.2 else STAGES[2] if share < 0.8 else STAGES[3]
    return Kill(stage, in_flight, frozenset(replied), len(server.requests))


def suffer(
    words: Sequence[str], run: Path, server: StubServer, draw: Callable[[int], Moment], most: int, n_prompts: int
) -> Scoring:
    """Kill a scoring up to so many times, as long as it lives, and let it end in this process."""
    server.requests.clear()
    kills: list[Kill] = []
    while len(kills) < most:
        left = n_prompts - len(replied_in(run))
        if (kill := kill_at(draw(left), words, run, server, n_prompts)) is None:
            break
        kills.append(kill)
    assert main(words) == 0
    return Scoring(run, kills, [request.sha256 for request in server.requests])


def check_ends_as_undisturbed(scoring: Scoring, other: Path, of_the_run: dict[str, str]) -> None:
    """What was written is the same to the byte, what was there before is as it was, and nothing else is left."""
    files, others = hashes_in(scoring.run / "evals"), hashes_in(other / "evals")
    assert files.keys() == others.keys()
    assert {name for name in files if files[name] != others[name]} <= {CALLS}
    assert replied_in(scoring.run) == replied_in(other)
    assert own_files(scoring.run) == of_the_run


def check_nothing_was_paid_twice(scoring: Scoring) -> None:
    for kill in scoring.kills:
        assert not kill.replied & set(scoring.requests[kill.n_requests :])
    assert set(replied_in(scoring.run).values()) == {1}
    assert len(scoring.requests) - len(set(scoring.requests)) <= AT_ONCE * len(scoring.kills)


def own_files(run: Path) -> dict[str, str]:
    """What the run holds beside its scores, and beside the lock, which is empty."""
    return {name: sha256 for name, sha256 in hashes_in(run).items() if not name.startswith(("evals/", ".lock"))}


def undisturbed(study: Study, folder: Path, server: StubServer, *more: str) -> Path:
    """The run, scored; and beside it the same run, not scored."""
    made = make_run(folder / "run", study)
    run = Path(shutil.copytree(made, folder / "undisturbed"))
    assert main(arguments_for(run, server, *more)) == 0
    return run


@pytest.mark.endurance
def test_a_scoring_killed_twice_ends_as_if_it_had_not_been(study: Study, tmp_path: Path) -> None:
    few = ("--features", "1,2,3,4,5", "--shuffled", "0")
    with serve(spoilt, delay=0.02) as server:
        other = undisturbed(study, tmp_path, server, *few)
        before, n_prompts = own_files(tmp_path / "run"), len(server.requests)
        words = arguments_for(tmp_path / "run", server, *few)
        moments = iter((Moment(n_prompts // 2, 0.01), Moment(n_prompts // 4, 0.0)))
        scoring = suffer(words, tmp_path / "run", server, lambda left: next(moments), most=2, n_prompts=n_prompts)
    assert len(scoring.kills) == 2 and scoring.kills[0].replied
    check_nothing_was_paid_twice(scoring)
    check_ends_as_undisturbed(scoring, other, before)


def draw_moment(drawn: random.Random, left: int, life: float) -> Moment:
    """Any moment of a life in a third of cases, which is loading for the most part; else one of the calls, or after them."""
    if left == 0 or drawn.random() < 1 / 3:
        return Moment(0, drawn.random() * life)
    if drawn.random() < 1 / 3:
        return Moment(left, drawn.random() * 3)
    return Moment(drawn.randint(1, left), drawn.random() / 10)


def table(seed: int, scorings: Sequence[Scoring], seconds: float) -> str:
    """Where the kills struck, and what they cost."""
    kills = [kill for scoring in scorings for kill in scoring.kills]
    lines = [f"\nscoring, seed {seed}: {len(kills)} kills in {len(scorings)} scorings, {seconds:.1f} s to begin with\n"]
    for stage in STAGES:
        met = [kill for kill in kills if kill.stage == stage]
        flying = sum(kill.in_flight > 0 for kill in met)
        lines.append(f"  {stage:<24}{len(met):>4}, {flying} of them with requests in flight\n")
    asked = sum(len(scoring.requests) for scoring in scorings)
    again = sum(len(scoring.requests) - len(set(scoring.requests)) for scoring in scorings)
    flying = sum(kill.in_flight for kill in kills)
    lines.append(f"  {asked:,} requests; {again} made again; {flying} were unanswered when their process was killed\n")
    return "".join(lines)


@pytest.mark.endurance
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("seed", range(2))
def test_kills_while_scoring_change_nothing(
    study: Study, tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn, scorings = random.Random(seed), list[Scoring]()
    with serve(spoilt, delay=0.12) as server:
        other = undisturbed(study, tmp_path, server)
        before, n_prompts = own_files(tmp_path / "run"), len(server.requests)
        began = time.monotonic()
        with live("evals.score", arguments_for(other, server), tmp_path / "again.txt") as process:
            process.join()
            assert process.exitcode == 0  # nothing is asked: the loading and the writing of a life
        seconds = time.monotonic() - began
        while (left := 25 - sum(len(scoring.kills) for scoring in scorings)) > 0:
            run = Path(shutil.copytree(tmp_path / "run", tmp_path / f"killed-{len(scorings)}"))
            scorings.append(
                suffer(
                    arguments_for(run, server),
                    run,
                    server,
                    lambda left: draw_moment(drawn, left, seconds),
                    min(left, 8),
                    n_prompts,
                )
            )
            check_nothing_was_paid_twice(scorings[-1])
            check_ends_as_undisturbed(scorings[-1], other, before)
    with capsys.disabled():
        sys.stdout.write(table(seed, scorings, seconds))
