"""Recorded runs of the published study: read whole, and a placebo told from a working run."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from agent.errors import RunError
from evals.audit.published import judge_run, own_lists, own_tokens, read_run, tally_wins, words_in

WORDS = [f"word{chr(97 + place // 26)}{chr(97 + place % 26)}" for place in range(200)]
LABELS = os.environ.get("UNVEIL_LABELS")

REPORT = """
{rule}
FEATURE  {feature}
{rule}

1. Steered Output:
   What topic is on your mind?  I think of {steered}
and of little else

2. Baseline Output:
   What topic is on your mind?  I think of {unsteered}

3. Top Activating Tokens:
   {tokens}
   (Total: 2 tokens)

4. Scores:
   Keyword Scores      - Baseline:    0  |  Steered:    0
   Semantic Similarity - Baseline: 0.3000  |  Steered: {score}
   ------------------------------------------------------------
   RESULT: The steered output is more aligned with the feature.
"""


def record(folder: Path, n: int, placebo: bool, wins: int) -> Path:
    """A run of n features: feature i steers towards word i; a placebo's lists are its neighbour's."""
    rng = np.random.default_rng(0)
    for feature in range(n):
        named = WORDS[(feature + placebo) % n]
        text = REPORT.format(
            rule="=" * 100,
            feature=feature,
            steered=WORDS[feature],
            unsteered=WORDS[int(rng.integers(n))],
            tokens=f"Ġ{named}, =#",
            score="0.4000" if feature < wins else "0.2000",
        )
        (folder / f"feature_{feature}.txt").write_text(text)
    (folder / "cfg.json").write_text(json.dumps({"steered_wins": wins}))
    return folder


def likeness(texts: Sequence[str], lists: Sequence[Sequence[str]]) -> np.ndarray:
    """1 where a text holds a word of the list, else a number that only the text decides: coin tosses."""
    noise = [hash_of(text) for text in texts]
    return np.array(
        [[1.0 if set(words) & set(t.split()) else x for words in lists] for t, x in zip(texts, noise, strict=True)]
    )


def hash_of(text: str) -> float:
    import hashlib

    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**33


def test_a_report_is_read_whole(tmp_path: Path) -> None:
    run = read_run(record(tmp_path, 3, placebo=False, wins=2))
    assert (run.claimed_wins, run.problems, len(run.reports)) == (2, [], 3)
    first = run.reports[0]
    assert first.steered == f"What topic is on your mind? I think of {WORDS[0]} and of little else"
    assert first.tokens == (f"Ġ{WORDS[0]}", "=#")
    assert (first.steered_score, first.unsteered_score, first.win) == (0.4, 0.3, True)


def test_what_is_no_report_is_named(tmp_path: Path) -> None:
    record(tmp_path, 2, placebo=False, wins=1)
    (tmp_path / "feature_9.txt").write_text("half a rep")
    (tmp_path / "feature_8.txt").write_text((tmp_path / "feature_0.txt").read_text().replace("Total: 2", "Total: 10"))
    assert read_run(tmp_path).problems == [
        "feature_8.txt: 10 tokens are announced and others listed",
        "feature_9.txt: not a report",
    ]


def test_a_folder_without_reports_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no feature_"):
        read_run(tmp_path)
    with pytest.raises(RunError, match="first-pass tokens"):
        own_tokens(tmp_path / "none.json", "baseline")


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_summary_that_does_not_read_is_an_error(tmp_path: Path, content: str) -> None:
    (record(tmp_path, 2, placebo=False, wins=1) / "cfg.json").write_text(content)
    with pytest.raises(RunError, match="cfg.json"):
        read_run(tmp_path)


def test_a_first_pass_without_lists_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "parsed.json").write_text('{"baseline": {"7": 3}}')
    with pytest.raises(RunError, match="first-pass tokens"):
        own_tokens(tmp_path / "parsed.json", "baseline")


def test_wins_are_held_against_a_coin_and_lists_against_known_tokens(tmp_path: Path) -> None:
    reports = read_run(record(tmp_path, 10, placebo=False, wins=9)).reports
    tally = tally_wins(reports)
    assert (tally.wins, tally.n) == (9, 10)
    assert tally.p_value == pytest.approx(2 * 11 / 1024)
    own = {0: frozenset({f"Ġ{WORDS[0]}"}), 1: frozenset({"Ġother"}), 77: frozenset({f"Ġ{WORDS[2]}"})}
    assert own_lists(reports, own) == (1, 2)


def test_words_without_vectors_cannot_be_compared(tmp_path: Path) -> None:
    def unknown(texts: Sequence[str], lists: Sequence[Sequence[str]]) -> np.ndarray:
        return np.full((len(texts), len(lists)), np.nan)

    verdict = judge_run(read_run(record(tmp_path, 4, placebo=False, wins=2)), unknown)
    assert (verdict.compared, verdict.tally.wins) == (0, 2)
    assert np.isnan([verdict.own_rate, verdict.swapped_rate]).all()


def test_one_report_has_no_null(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="one report"):
        judge_run(read_run(record(tmp_path, 1, placebo=False, wins=1)), likeness)


def test_a_working_run_beats_the_lists_of_other_features_and_a_placebo_does_not(tmp_path: Path) -> None:
    own = {feature: frozenset({f"Ġ{WORDS[feature]}"}) for feature in range(100)}
    (works, placebo) = (tmp_path / name for name in ("works", "placebo"))
    for folder in (works, placebo):
        folder.mkdir()
    runs = [read_run(record(works, 100, placebo=False, wins=80)), read_run(record(placebo, 100, placebo=True, wins=51))]
    real, fake = (judge_run(run, likeness) for run in runs)
    assert [own_lists(run.reports, own) for run in runs] == [(100, 100), (0, 100)]
    assert real.own_rate > 0.95
    assert abs(real.swapped_rate - 0.5) < 0.15  # one toss a text, whatever the list
    assert abs(fake.own_rate - fake.swapped_rate) < 0.1
    assert real.tally.p_value <= 0.05 < fake.tally.p_value


def test_words_are_read_from_printed_tokens() -> None:
    assert words_in(("ĠHeart", "heart", "=#", "Ġthe", "a", "ĠMRI")) == ["heart", "the", "mri"]


@pytest.mark.skipif(LABELS is None, reason="UNVEIL_LABELS does not name a folder with the study's files")
def test_the_studys_own_baseline_run_is_its_null() -> None:
    study = Path(LABELS or "") / "study"
    arms = study / "experiments"
    base, tuned = (
        read_run(next(p for p in (arms / arm).iterdir() if p.is_dir())) for arm in ("baseline", "fine-tuned")
    )
    assert (len(base.reports), len(tuned.reports)) == (311, 452)
    assert base.problems == tuned.problems == []
    tokens = study / "features/old/parsed_features.json"
    found, other = tally_wins(base.reports), tally_wins(tuned.reports)
    assert (found.wins, found.n, base.claimed_wins) == (158, 311, 158)
    assert own_lists(base.reports, own_tokens(tokens, "baseline"))[0] == 0
    assert found.p_value == pytest.approx(0.82, abs=0.005)
    assert (other.wins, tuned.claimed_wins) == (308, 308) and other.p_value <= 0.05
