"""What a scoring of labels on held-out text writes: figures of every feature, rows over features, and what they rest on."""

from __future__ import annotations

from typing import Literal

from agent.folder.records import PromptRef
from agent.folder.sides import Verdict
from agent.llm.records import FailureType, Usage
from evals.scoring.collisions import Collisions
from evals.scoring.sanity import SanityCheck
from evals.statistics.estimate import Estimate
from tools.records import SCHEMA_VERSION, FeatureRef, Record, Stratum

Task = Literal["detection", "fuzzing", "detection by level", "fuzzing by level", "simulation"]
"""The first two count any activation, as others do; the others are drawn and scored by level (`evals.scoring.levels`)."""
BEFORE: tuple[Task, ...] = ("detection", "fuzzing")
GRADED_TASKS: tuple[Task, ...] = ("detection by level", "fuzzing by level", "simulation")
Level = Literal["top tenth", "upper half", "lower half", "by mass"]
"""Of a feature's active contexts, by how strong their peaks are among all that count; `by mass`: all of them, each weighing
as much as activation it stands for."""
Status = Literal["scored", "not scorable", "no label", "failed"]
"""`not scorable`: too few contexts; `failed`: the run has no decision on it."""
RowKind = Literal["labels", "stratum", "control", "difference"]
ALL = "all"
"""Of kinds of texts whose answer is no: taken together."""


class ScorerRef(Record):
    """Who answered."""

    name: str
    kind: Literal["words", "llm"]
    base_url: str | None = None
    batch: int | None = None
    """Texts a prompt."""
    prompts: tuple[PromptRef, ...] = ()
    usage: Usage = Usage()
    """Of all calls stored beside the run, those of earlier scorings included."""


class Figures(Record):
    """One feature's answers to one task."""

    scorer: str
    task: Task
    against: str
    """Kind of texts whose answer is no; `all` of them."""
    active: int
    silent: int
    """Texts asked about whose answer is yes, and no."""
    failed: int
    """Of both: answers that never came, in no measure but the worst case."""
    measures: dict[str, float]
    worst: dict[str, float]
    """With failures counted as the surest wrong answers."""


class LevelSize(Record):
    """What a text holds of one feature at one level."""

    level: Level
    contexts: int
    """Active stretches."""
    documents: int
    """That they are of."""
    why: str | None = None
    """It is not scorable."""


class LevelFigures(Record):
    """One feature's answers to one task at one level."""

    scorer: str
    task: Task
    level: Level
    against: str
    """Kind of texts whose answer is no; `all` of them."""
    active: int
    silent: int
    """Texts asked about."""
    failed: int
    measures: dict[str, float]
    """The active and the silent texts weigh equally."""
    worst: dict[str, float]
    """With failures counted as the surest wrong answers."""


class LevelRow(Record):
    """Mean figures of several features at one level; intervals are over features."""

    name: str
    kind: RowKind
    scorer: str
    task: Task
    level: Level
    against: str
    features: int
    answers: int
    failed: int
    contexts: float | None
    """Of the level, in the text: median over the features."""
    documents: float | None
    statistics: dict[str, Estimate]


class FeatureScore(Record):
    """One decided feature."""

    feature: FeatureRef
    stratum: Stratum
    relevant: Verdict | None
    label: str | None
    status: Status
    why: str | None = None
    """It has no figures."""
    active_stretches: int | None = None
    stretches: int | None = None
    token_share: float | None = None
    """Share of held-out tokens at which it is active."""
    figures: tuple[Figures, ...] = ()
    sizes: tuple[LevelSize, ...] = ()
    """Of its levels; none in scorings of before."""
    levels: tuple[LevelFigures, ...] = ()
    said: tuple[str, ...] = ()
    """In words, what its levels say of the label."""


class ScoreRow(Record):
    """Mean figures of several features; intervals are over features."""

    name: str
    kind: RowKind
    scorer: str
    task: Task | Literal["both"]
    against: str
    features: int
    answers: int
    failed: int
    prevalence: float | None
    """Share of yeses among the right answers: what AUPRC is worth by chance."""
    statistics: dict[str, Estimate]


class ItemAnswer(Record):
    """One text and what was said of it, one line of `score_items.jsonl`."""

    feature: str
    scorer: str
    task: Task
    kind: str
    quantile: int | None
    document: str
    text: str
    marked: tuple[int, ...] | None
    """Places of the marked characters: start and stop, start and stop, …"""
    truth: bool
    probability: float | None
    """That the answer is yes; a yes above 0.5. None for a failure, and in simulation."""
    simulated: tuple[float, ...] | None = None
    """In simulation: the activation at each token as it was guessed, 0 to 1."""
    failure: FailureType | None = None
    request_sha256: str | None = None


class Drawn(Record):
    """Where the texts come from, and how many there are of each kind."""

    documents: int
    """In the held-out split."""
    tokens: int
    contexts: int
    """Most of each kind that a feature is asked about."""
    quantiles: int
    context_tokens: int
    fewest: int
    """Active contexts that a feature needs."""
    source: tuple[str, ...] = ()
    """Names of the user's own texts; none for the study's held-out split."""
    left_out: int = 0
    """Documents that are copies of what labels were made from."""
    share: float | None = None
    """By level, an activation counts from this share of its feature's largest one on; None in scorings of before."""
    fewest_documents: int = 0
    """That the contexts of a level have to be of."""


class ScoreReport(Record):
    """Everything one scoring found."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run_id: str
    labelled_by: str
    scorers: tuple[ScorerRef, ...]
    drawn: Drawn
    seed: int
    status: dict[Stratum, dict[Status, int]]
    rows: tuple[ScoreRow, ...]
    levels: tuple[LevelRow, ...] = ()
    sanity: tuple[SanityCheck, ...]
    collisions: Collisions
    features: tuple[FeatureScore, ...]
    figures: dict[str, float] = {}
    """Every figure a requirement may name."""
    remarks: tuple[str, ...] = ()
