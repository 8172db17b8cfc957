"""What a run of `python -m agent.steer` stores: its settings, what each target is, every text written, every judgement.

A steering run is a folder beside investigations, told from them by `steering.json`. It may name one of them, whose labels
and verdicts it then reads; it holds no decision of its own.

    steering.json        settings, provenance, proof of the bench; written first
    targets.json         of each target: its scores summed up, its features, its doubt; written before anything is written toward it
    scores.parquet       every feature's scores for every target
    texts.jsonl          a line a continuation, appended as they are made
    likelihoods.jsonl    a line a held-out text and arm
    judgements.jsonl     a line a comparison or rating by a model, appended
    llm_calls.jsonl      the requests and replies these rest on
    results.json         the table; made from the files above alone, and written last
    report.html
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agent.folder.records import Provenance, SettingChange
from agent.llm.records import Failure, Usage
from agent.llm.settings import Budget, LlmChoice
from tools.proof.outcome import Probe, Proof
from tools.records import SCHEMA_VERSION, Precision, Record

Scorer = Literal["contrast", "reference"]
"""How features are scored for a text: `tools.alignment`."""
Scheme = Literal["swap", "weight", "clamp", "add"]
"""What is done with the scores: `tools.toward.rewriting`."""
SCHEMES: tuple[Scheme, ...] = ("swap", "weight", "clamp", "add")
Kind = Literal["unsteered", "reconstruction", "prompt", "swap", "weight", "clamp", "add"]
Whose = Literal["target", "shuffled", "random"]
"""Scores are the target's own; the same numbers dealt anew among features that are as often active; or, of an addition,
the direction is random."""


class ArmRef(Record):
    """One way of writing that is compared with the others."""

    kind: Kind
    whose: Whose | None = None
    """None where no scores are used: unsteered, reconstruction, prompt."""

    @property
    def name(self) -> str:
        """As tables and files call it: `swap`, `swap, shuffled`, `unsteered`."""
        return self.kind if self.whose in (None, "target") else f"{self.kind}, {self.whose}"


class SteerConfig(Record):
    """One steering run, complete: the same config and seed give the same texts."""

    study: str = "pocket"
    sae: str = "base"
    model: str | None = None
    hook: str | None = None
    toward: tuple[str, ...] = Field(min_length=1)
    """Files, a target each."""
    away: str | None = None
    """Text that targets are held against; None: the study's corpus."""
    prompts: tuple[str, ...] = Field(min_length=1)
    """What is continued, as they were read from the file or from standard input."""
    topic: str | None = None
    """What the arm `prompt` asks for; None: the target's name."""
    scorer: Scorer = "contrast"
    """Whose scores steer; both are measured."""
    encoder: str | None = None
    """Of sentences, a folder or a name; None: the study's word vectors."""
    schemes: tuple[Scheme, ...] = ("swap", "add")
    keep_error: bool = True
    """Whether what the SAE does not represent is left in the residual stream."""
    samples: int = Field(default=2, ge=1)
    """Continuations of a prompt in each arm."""
    new_tokens: int = Field(default=30, ge=1)
    temperature: float = Field(default=0.8, ge=0, allow_inf_nan=False)
    top_k: int = Field(default=40, ge=1)
    target_kl: float = Field(default=0.5, gt=0, allow_inf_nan=False)
    """Nats that `add` is calibrated to."""
    labels: str | None = None
    """The investigation whose labels and `interpretable` are read."""
    require: tuple[str, ...] = ()
    """Bounds on the doubt, such as `confidence>=0.5`, below which a target counts as refused."""
    llm: LlmChoice | None = None
    """Who judges texts; None: nobody does."""
    limits: Budget = Budget()
    pairs: int | None = Field(default=None, ge=1)
    """Most comparisons by the model a target and arm; None: all."""
    judge_repeats: int = Field(default=1, ge=1, le=2)
    """1: each pair in an order that a coin decides; 2: in both orders, and only what both say is won."""
    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    memory_gib: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    allow_unproved: str | None = None


class SteerManifest(Record):
    """What a steering run began with."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run_id: str
    started: str
    """UTC, ISO 8601."""
    config: SteerConfig
    study_title: str
    domain: str = ""
    """Of the study."""
    arms: tuple[ArmRef, ...]
    """In the order of tables; `unsteered` is the first."""
    support: int
    """Features that a swap decodes at a position."""
    support_rule: str
    """Where that number is from."""
    weights_rule: str = "the score itself"
    """What swap and weight multiply pre-activations by (`tools.toward.weighing`)."""
    asked: dict[str, str] = {}
    """Of each target what the arm `prompt` says before a prompt, word for word."""
    provenance: Provenance
    study_sha256: dict[str, str] = {}
    """As `Manifest.study_sha256`."""
    changes: tuple[SettingChange, ...] = ()
    computed: str | None = None
    threads: int | None = None
    probe: Probe | None = None
    proof: Proof | None = None


class ChosenFeature(Record):
    """One of the features that stand for a target."""

    index: int
    score: float
    other_score: float | None
    """By the other scorer; None where it gives none."""
    tokens: tuple[str, ...]
    """The tokens that it promotes most."""
    label: str | None = None
    interpretable: int | None = Field(default=None, ge=0, le=4)
    investigation: str | None = None
    """Run folder and key, for a link; None where it was never investigated."""


class Agreement(Record):
    """Of the two scorers, over features that both have a score for."""

    n: int
    spearman: float | None
    top: int
    shared: int
    """Of the `top` features of either."""
    shared_by_chance: float


class Doubt(Record):
    """What is known before a word is written of whether the SAE can represent a target."""

    auroc: float | None
    """Of score-weighted activation, held-out target documents against reference ones: 0.5 is chance."""
    auroc_low: float | None
    auroc_high: float | None
    error_ratio: float | None
    """Unexplained variance of the target's median document over that of the reference's."""
    as_unexplained: float | None = None
    """Share of reference documents, the target's median one counted among them, in which the SAE leaves as much unexplained."""
    significant: int | None
    """Features that differ between target and reference at 5 % false discoveries; None for scores by reference."""
    uninterpretable: float | None
    """Share of the score mass on features whose label the agent could not interpret; None where nothing was investigated."""
    confidence: float | None
    """That steering toward this target succeeds, in [0, 1], by the study's fitted file; None without one."""


class TargetFound(Record):
    """One target, as it was before anything was written toward it."""

    name: str
    sha256: str
    documents: int
    held_out: int
    tokens: int
    coverage: float
    """Share of the SAE's features that have a score."""
    chosen: tuple[ChosenFeature, ...]
    agreement: Agreement
    doubt: Doubt
    excerpt: str
    """The beginning of its first document, for pages."""
    exemplars: tuple[str, ...] = ()
    """Beginnings of held-out documents, which a model that judges is shown."""


class SteeredText(Record):
    """One continuation."""

    target: str
    arm: str
    prompt: int
    """Place in the config's prompts."""
    sample: int
    text: str
    tokens: tuple[str, ...]
    displaced: tuple[float, ...] | None = None
    """Of each token, the share of the features at its position that the swap put in others' places."""
    moved: tuple[float, ...] | None = None
    """Of each token, activation changed over activation there was."""
    perplexity: float
    """Under the unsteered model."""
    repetition: float
    kl: float
    """Nats a token between unsteered and steered next-token distributions along this text."""
    likeness: float | None
    """To the target's held-out texts, by word vectors, minus that to the reference's; None without a word that has a vector."""
    likeness_encoder: float | None = None
    """The same by the sentence encoder, where one was named."""


class HeldOutLikelihood(Record):
    """How likely a held-out text of the target is to the model as an arm steers it."""

    target: str
    arm: str
    document: int
    tokens: int
    nats: float
    """A token."""


class Judged(Record):
    """A model's answer on two continuations, or on one; which arm wrote what is kept here and was not shown."""

    target: str
    arm: str
    prompt: int
    sample: int
    task: Literal["more alike", "rating"]
    swapped: bool = False
    """Of `more alike`: whether the arm's text was shown second."""
    shown: str | None = None
    """Of the judge's floor: another target, whose excerpts were shown; None for the target's own. A comparison of the
    unsteered arm shows one text twice."""
    prefers_arm: bool | None = None
    """None for a tie, a rating or a failure."""
    concept: int | None = Field(default=None, ge=0, le=2)
    relevance: int | None = Field(default=None, ge=0, le=2)
    fluency: int | None = Field(default=None, ge=0, le=2)
    failure: Failure | None = None
    """A reply that does not read is this, never a 0."""
    request_sha256: str | None = None
    usage: Usage = Usage()


class Interval(Record):
    """A mean over paired differences with its 95 % interval."""

    mean: float
    low: float | None
    high: float | None
    """None where a single unit leaves no interval."""
    n: int


class ArmResult(Record):
    """One row of the table, of one target or of all."""

    target: str | None
    """None: over all targets."""
    arm: str
    nats_gained: Interval | None
    """Of held-out target text, a token, against unsteered; None for the prompt's arm where it is not measured."""
    likeness_gained: Interval | None
    encoder_gained: Interval | None = None
    perplexity: float
    """Median under the unsteered model."""
    repetition: float
    collapsed: float
    """Share of texts beyond the bounds of `tools.effects.fluency`."""
    kl: float
    displaced: float | None
    wins: Interval | None = None
    """Share of comparisons with unsteered text that the model says is more like the target."""
    harmonic: Interval | None = None
    """Of concept, relevance and fluency, 0 to 2."""
    failed: int = 0
    """Judgements that failed."""


class ArmContrast(Record):
    """An arm against another, text by text and document by document: what its own scores are worth beyond that."""

    target: str | None
    """None: over all targets."""
    arm: str
    against: str
    nats: Interval | None
    likeness: Interval | None


class Results(Record):
    """What the run found."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run_id: str
    rows: tuple[ArmResult, ...]
    contrasts: tuple[ArmContrast, ...] = ()
    most_perplexity: float | None = None
    """Beyond which a text has collapsed; None in runs from before it was kept."""
    most_repetition: float | None = None
    refused: tuple[str, ...]
    """Targets below the stated confidence."""
    usage: Usage
    seconds: dict[str, float]
