"""The published study's recorded steering runs, read from a clone of its repository and held against their null.

A recorded run (`experiments/ARM/RUN/`) holds a report a feature: a steered and an unsteered continuation, the reference
tokens they were scored against, and the two similarities. What a run shows is judged here in three ways: its wins against a
coin, the share of reference lists that name the feature's own tokens, and, with word vectors instead of the study's
sentence embeddings, its wins under its own lists against those under other features' lists.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from agent.errors import RunError
from tools.maths import Interval, binomial_tail, derangement, wilson_interval
from tools.records import Record

_REPORT = re.compile(
    r"FEATURE\s+(?P<feature>\d+)\n=+\n\s*"
    r"1\. Steered Output:\n(?P<steered>.*?)\n\s*"
    r"2\. Baseline Output:\n(?P<unsteered>.*?)\n\s*"
    r"3\. Top Activating Tokens:\n(?P<tokens>.*?)\n\s*\(Total: (?P<total>\d+) tokens\)\s*"
    r"4\. Scores:\n\s*Keyword Scores\s+- Baseline:\s*(?P<keywords_unsteered>\d+)\s*\|\s*Steered:\s*(?P<keywords_steered>\d+)\n"
    r"\s*Semantic Similarity - Baseline:\s*(?P<unsteered_score>-?\d+\.\d+)\s*\|\s*Steered:\s*(?P<steered_score>-?\d+\.\d+)",
    re.DOTALL,
)
SWAPS = 20
"""Derangements of the reference lists that the null is the mean of."""


class Likeness(Protocol):
    """How like each text is to each list of words."""

    def __call__(
        self, texts: Sequence[str], lists: Sequence[Sequence[str]], /
    ) -> np.ndarray[tuple[int, int], np.dtype[np.floating]]:
        """One row a text, one column a list."""
        ...


class Report(Record):
    """One feature's recorded experiment."""

    feature: int
    steered: str
    unsteered: str
    """Both with the prompt, lines joined."""
    tokens: tuple[str, ...]
    """The reference list, as printed."""
    steered_score: float
    unsteered_score: float
    """Similarity of each text to the list, by the study's sentence embeddings."""

    @property
    def win(self) -> bool:
        """The steered text is more like the list."""
        return self.steered_score > self.unsteered_score


class RecordedRun(NamedTuple):
    """All reports of one run, and what its own summary says."""

    name: str
    reports: list[Report]
    settings: dict[str, Any]
    """Its `cfg.json`: settings and summary; empty without one."""
    problems: list[str]
    """Files that do not read as a report, named."""

    @property
    def claimed_wins(self) -> int | None:
        """Wins of the steered text, by the run's own summary."""
        wins = self.settings.get("steered_wins")
        return wins if isinstance(wins, int) else None


class Tally(NamedTuple):
    """Wins against a coin."""

    wins: int
    n: int
    interval: Interval
    """Of the win rate, Wilson, 95 %."""
    p_value: float
    """Two-sided, against a coin."""


class Verdict(NamedTuple):
    """A recorded run against its null."""

    tally: Tally
    own_rate: float
    """Wins by word vectors under the run's own lists."""
    swapped_rate: float
    """The same under other features' lists: the null."""
    compared: int
    """Reports whose list and texts have word vectors."""


def read_run(folder: Path) -> RecordedRun:
    """Read every report of a recorded run.

    Raises:
        RunError: the folder holds no report, or its summary does not read.
    """
    reports: list[Report] = []
    problems: list[str] = []
    for file in sorted(folder.glob("feature_*.txt")):
        found = _REPORT.search(file.read_text("utf-8", errors="replace"))
        if found is None:
            problems.append(f"{file.name}: not a report")
            continue
        tokens = _split_tokens(found["tokens"], int(found["total"]))
        if tokens is None:
            problems.append(f"{file.name}: {found['total']} tokens are announced and others listed")
            continue
        reports.append(
            Report(
                feature=int(found["feature"]),
                steered=_joined(found["steered"]),
                unsteered=_joined(found["unsteered"]),
                tokens=tokens,
                steered_score=float(found["steered_score"]),
                unsteered_score=float(found["unsteered_score"]),
            )
        )
    if not reports:
        raise RunError(f"{folder} holds no feature_*.txt report of the published study")
    return RecordedRun(folder.name, reports, _read_settings(folder / "cfg.json"), problems)


def own_tokens(file: Path, arm: str) -> dict[int, frozenset[str]]:
    """The first-pass medical tokens of every feature of an arm, from the study's `features/old/parsed_features.json`.

    Raises:
        RunError: the file is not of that form.
    """
    try:
        table = json.loads(file.read_text("utf-8"))[arm]
        return {int(feature): frozenset(tokens) for feature, tokens in table.items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise RunError(f"{file} is not the study's list of first-pass tokens of arm {arm}: {error!r}") from None


def tally_wins(reports: Sequence[Report]) -> Tally:
    """Wins of recorded experiments against a coin."""
    wins, n = sum(report.win for report in reports), len(reports)
    p_value = min(1.0, 2 * min(binomial_tail(wins, n, 0.5), binomial_tail(n - wins, n, 0.5)))
    return Tally(wins, n, wilson_interval(wins, n), p_value)


def own_lists(reports: Sequence[Report], own: Mapping[int, frozenset[str]]) -> tuple[int, int]:
    """Reference lists that hold a token of their feature's own, and how many features' tokens are known."""
    known = [report for report in reports if report.feature in own]
    return sum(bool(own[report.feature] & set(report.tokens)) for report in known), len(known)


def judge_run(run: RecordedRun, likeness: Likeness, seed: int = 0) -> Verdict:
    """A recorded run against its null.

    Args:
        run: with its reports.
        likeness: how like a text is to a list of words: texts and lists in, [texts, lists] out, NaN where there is nothing
            to compare; `tools.effects.contrast.score_texts` on word vectors.
        seed: of the derangements.

    Raises:
        RunError: the run has one report, and so no other list.
    """
    reports = run.reports
    n = len(reports)
    if n < 2:
        raise RunError(f"run {run.name} has one report: there is no other feature's list to hold it against")
    lists = [words_in(report.tokens) for report in reports]
    scores = [likeness([text(report) for report in reports], lists) for text in (_steered, _unsteered)]
    better = np.where(np.isnan(scores[0]) | np.isnan(scores[1]), np.nan, scores[0] > scores[1])  # [texts, lists]
    rows = np.arange(n)
    swapped = [_share(better[rows, derangement(n, seed + turn)]) for turn in range(SWAPS)]
    return Verdict(
        tally_wins(reports),
        own_rate=_share(better[rows, rows]),
        swapped_rate=float(np.mean(swapped)),
        compared=int((~np.isnan(better[rows, rows])).sum()),
    )


def words_in(tokens: Sequence[str]) -> list[str]:
    """The lower-case words among byte-level BPE tokens, as printed with their leading `Ġ`."""
    plain = (token.removeprefix("Ġ").strip().lower() for token in tokens)
    return list(dict.fromkeys(word for word in plain if len(word) > 1 and word.isascii() and word.isalpha()))


def _read_settings(config: Path) -> dict[str, Any]:
    if not config.is_file():
        return {}
    try:
        settings = json.loads(config.read_text("utf-8"))
    except ValueError as error:
        raise RunError(f"{config} is not JSON: {error}") from None
    if not isinstance(settings, dict):
        raise RunError(f"{config} is not the summary of a recorded run")
    return settings


def _share(wins: np.ndarray) -> float:
    """Of wins among pairs that could be compared; NaN without any."""
    known = wins[~np.isnan(wins)]
    return float(known.mean()) if known.size else math.nan


def _steered(report: Report) -> str:
    return report.steered


def _unsteered(report: Report) -> str:
    return report.unsteered


def _joined(text: str) -> str:
    return " ".join(text.split())


def _split_tokens(text: str, total: int) -> tuple[str, ...] | None:
    tokens = tuple(_joined(text).split(", "))
    return tokens if len(tokens) == total else None
