"""Runs of the real command line, killed with SIGKILL at random moments and resumed until they end.

What is shown: the decisions, transcripts and summary are those of an undisturbed run, and no request is made again once
a reply to it was on disk. The small form belongs to the suite. The large ones, a hundred kills spread over the life of
runs on evidence alone and ten of runs that load a model, are run by hand and print where they struck: `make endurance`, or

    python -m pytest -m endurance tests/agent/test_kills.py
"""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.run import main
from tests.agent.kills import (
    REPEATS,
    check_ends_as_undisturbed,
    check_nothing_lies_about,
    check_nothing_was_lost_or_paid_twice,
    decisions_in,
    draw_moment,
    evidence_command,
    obedient,
    suffer,
    survive,
    table,
)
from tests.agent.lives import Command, Moment, run_in
from tests.servers.openai_stub import serve

# --- runs on evidence alone -------------------------------------------------------------------------------------------


def test_a_run_killed_three_times_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    command, drawn = evidence_command(tmp_path, n_features=24), random.Random(0)
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
    check_nothing_lies_about(tmp_path / "killed", story.run)


@pytest.mark.endurance
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("seed", range(4))
def test_kills_at_any_moment_change_nothing(tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = random.Random(seed)
    stories, seconds = survive(
        evidence_command(tmp_path, n_features=64),
        tmp_path,
        lambda life: draw_moment(drawn, life, share=0.75),
        n_kills=25,
        delay=0.12,
    )
    with capsys.disabled():
        sys.stdout.write(table(f"evidence alone, seed {seed}", stories, seconds))


# --- runs that load a model -------------------------------------------------------------------------------------------


@pytest.mark.endurance
@pytest.mark.timeout(1500)
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
