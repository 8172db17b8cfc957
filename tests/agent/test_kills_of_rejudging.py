"""`--rejudge RUN`, killed with SIGKILL at random moments and gone on with until it ends.

What is shown: the new run's decisions, transcripts and summary are those of an undisturbed one, no request is made again
once a reply to it was on disk, and the run that is judged again is the same to the byte. All of it belongs
to endurance; the large forms print where they struck: `make endurance`, or

    python -m pytest -m endurance tests/agent/test_kills_of_rejudging.py
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from tests.agent.kills import (
    REPEATS,
    Command,
    check_ends_as_undisturbed,
    check_nothing_lies_about,
    check_nothing_was_lost_or_paid_twice,
    decisions_in,
    draw_moment,
    evidence_command,
    hashes_in,
    obedient,
    suffer,
    survive,
    table,
)
from tests.agent.lives import Moment, run_in, run_to_its_end
from tests.servers.openai_stub import serve


def judged(command: Command, runs: Path) -> Path:
    """A finished run."""
    with serve(obedient) as server:
        run_to_its_end(command, runs, server)
    found = run_in(runs)
    assert found
    return found


def judging_again(parent: Path, n_features: int) -> Command:
    """Another model, so that it says other things than the parent's did."""
    return Command(("--rejudge", str(parent), "--judge-repeats", str(REPEATS)), n_features, model="other")


@pytest.mark.endurance
def test_a_rejudging_killed_twice_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    parent, drawn = judged(evidence_command(tmp_path, n_features=24), tmp_path / "parent"), random.Random(0)
    command, before = judging_again(parent, n_features=24), hashes_in(parent)
    other = judged(command, tmp_path / "undisturbed")
    story = suffer(
        command, tmp_path / "killed", lambda: Moment(drawn.randint(1, 24), drawn.random() / 20), most=2, delay=0.02
    )
    assert len(story.kills) == 2
    assert decisions_in(story.run) != decisions_in(parent)
    check_nothing_was_lost_or_paid_twice(story)
    check_ends_as_undisturbed(story.run, other)
    check_nothing_lies_about(tmp_path / "killed", story.run)
    assert hashes_in(parent) == before


@pytest.mark.endurance
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("seed", range(2))
def test_kills_while_judging_again_change_nothing(
    tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    parent, drawn = judged(evidence_command(tmp_path, n_features=64), tmp_path / "parent"), random.Random(seed)
    before = hashes_in(parent)
    stories, seconds = survive(
        judging_again(parent, n_features=64),
        tmp_path,
        lambda life: draw_moment(drawn, life, share=0.4),
        n_kills=20,
        delay=0.12,
    )
    assert hashes_in(parent) == before
    with capsys.disabled():
        sys.stdout.write(table(f"judging again, seed {seed}", stories, seconds))


@pytest.mark.endurance
@pytest.mark.timeout(1500)
def test_kills_while_judging_again_with_instruments_change_nothing(
    study_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn, features = random.Random(0), range(12)
    first = Command(("--study", str(study_folder), "--features", ",".join(map(str, features))), len(features))
    parent = judged(first, tmp_path / "parent")
    before = hashes_in(parent)
    stories, seconds = survive(
        judging_again(parent, len(features)),
        tmp_path,
        lambda life: draw_moment(drawn, life, share=0.3),
        n_kills=10,
        delay=0.05,
    )
    assert hashes_in(parent) == before
    with capsys.disabled():
        sys.stdout.write(table("judging again with instruments", stories, seconds))
