"""What a run stores: its manifest, one decision per feature, one line per call. The contract of a run folder."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from agent.folder.config import RunConfig
from agent.folder.sides import Sides, Verdict
from agent.llm.records import Failure, Usage
from tools.proof.floors import DeadFloor
from tools.proof.outcome import Probe, Proof
from tools.records import SCHEMA_VERSION, DensityNull, FeatureRef, Record, SteeringWord, Stratum
from tools.study.definition import CandidateRule
from tools.survey.lens_report import LensReport


def _is_none(value: object) -> bool:
    return value is None


_DECIDED = ([True, False, True], [False, True, True])
"""Of relevance, ratings and confidence."""


class JudgeRef(Record):
    """Who judged."""

    kind: Literal["llm", "rules"]
    model: str | None = None
    prompt: str | None = None
    prompt_sha256: str | None = None
    repeats: int = 1
    self_agreement: float | None = None
    """Share of the repeats that gave the verdict recorded; None for a single judgement."""


class SteeringVerdict(Record):
    """Whether steering shows what the label says."""

    verdict: SteeringWord
    win_rate: float | None
    n: int
    null_win_rate: float | None


class ConceptRating(Record):
    """How much a feature has to do with one concept."""

    concept: str
    rating: int = Field(ge=0, le=4)


class Decision(Record):
    """The verdict on one feature, or the reason why there is none."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run_id: str
    feature: FeatureRef
    stratum: Stratum
    status: Literal["decided", "failed"]
    label: str | None = None
    relevant: Verdict | None = None
    ratings: tuple[ConceptRating, ...] | None = None
    """Instead of `relevant`, in a study that asks for ratings of concepts."""
    sides: Sides | None = Field(default=None, exclude_if=_is_none)
    """None for ratings, and in runs whose judges were asked the one question alone."""
    confidence: float | None = Field(default=None, ge=0, le=1)
    interpretable: int | None = Field(default=None, ge=0, le=4)
    steering: SteeringVerdict | None = None
    reasons: tuple[str, ...] = ()
    evidence_sha256: str
    judge: JudgeRef
    usage: Usage = Usage()
    failure: Failure | None = None

    @model_validator(mode="after")
    def _failed_has_no_verdict(self) -> Self:
        given = [value is not None for value in (self.relevant, self.ratings, self.confidence)]
        if self.status == "failed" and (self.failure is None or any(given)):
            raise ValueError("a failed decision carries a failure and no verdict")
        if self.status == "decided" and (self.failure is not None or given not in _DECIDED):
            raise ValueError("a decided feature carries one verdict or ratings, with a confidence, and no failure")
        return self


class TranscriptStep(Record):
    """One step of one feature's investigation, in order."""

    step: int
    kind: Literal["messages", "reply", "tool", "judgement", "rule", "failure", "decision"]
    node: str
    content: JsonValue
    """Messages, reply, tool call with arguments and result, or verdict; shape by `kind`."""
    request_sha256: str | None = None
    usage: Usage | None = None


class PromptRef(Record):
    """One prompt file as it was used."""

    name: str
    sha256: str


class StratumSize(Record):
    """How many features a stratum holds and how many of them were drawn: the sampling weights of every estimate."""

    stratum: Stratum
    population: int | None
    """None where it has no limit."""
    drawn: int


class SelectedFeature(Record):
    """One direction to be investigated."""

    feature: FeatureRef
    stratum: Stratum
    score: float | None = Field(default=None, exclude_if=_is_none, allow_inf_nan=False)
    """What it was ranked by, in a strategy that scores features and of a feature that has one."""


class Selection(Record):
    """What will be investigated, in order."""

    items: tuple[SelectedFeature, ...]
    sizes: tuple[StratumSize, ...]
    rule: CandidateRule | None = None
    """How candidates were told from the others; None where they were named, imported, or chosen before it was kept."""
    least_hits: int | None = None
    """Keyword hits that make a candidate by that rule; None where no number of hits is beyond the null."""
    strategy: str | None = None
    """By which features were chosen (`agent.selection`); None in runs from before there were several, and for evidence from
    elsewhere."""
    notes: tuple[str, ...] = ()
    """What the strategy says of its choice, a sentence each."""
    basis: dict[str, JsonValue] = {}
    """What it rests on, in the strategy's own words; the scores of all features are in `features.parquet`."""


class SinkCount(Record):
    """Positions of the observed text that counted as no text (`tools.bench.positions`)."""

    positions: int
    of: int
    usual_norm: float
    """Median length of the residual stream at the hook."""
    multiple: float
    """A longer one than so many times that makes a sink."""

    @property
    def sentence(self) -> str:
        """For the console."""
        return (
            f"{self.positions:,} of {self.of:,} positions are attention sinks (residual stream over {self.multiple:g} times "
            f"the usual {self.usual_norm:.0f}): left out of contexts, maxima, strengths and figures"
        )


class Provenance(Record):
    """What it takes to run the same again."""

    command: tuple[str, ...]
    git_commit: str | None
    git_dirty: bool | None
    python: str
    packages: dict[str, str]
    sha256: dict[str, str]
    """Of model, SAE, corpus, vectors, vocabulary and guideline, and of evidence that was not made by this run."""
    prompts: tuple[PromptRef, ...] = ()


class SettingChange(Record):
    """A setting of the endpoint or the budget that was corrected when the run was gone on with."""

    at: str
    """UTC, ISO 8601."""
    name: str
    before: JsonValue
    after: JsonValue


class Manifest(Record):
    """Written before anything else; `selection` follows once the survey has been read."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run_id: str
    started: str
    """UTC, ISO 8601."""
    config: RunConfig
    study_title: str
    domain: str
    """What the judge is asked about: the domain's name, or those of the concepts."""
    provenance: Provenance
    selection: Selection | None = None
    parent: str | None = None
    """The run whose evidence this one judges again."""
    computed: str | None = None
    """Device and dtype of the language model; None before it was loaded, or if it never was."""
    threads: int | None = None
    """That the model was computed on, on the processor; None as for `computed`, and in runs from before it was kept."""
    probe: Probe | None = None
    """How well the SAE reconstructs what the model does: whether it belongs to it."""
    changes: tuple[SettingChange, ...] = ()
    """What `config` says differently from how the run began."""
    proof: Proof | None = None
    """Of the bench that the evidence was measured on, the parent's for a run that judges its evidence again."""
    lens: LensReport | None = None
    """What directions were read through, and how its mean came to rest; None for the direct lens, and before it was kept."""
    sinks: SinkCount | None = None
    """Attention sinks in the observed text; None before it was observed, and in runs from before they were left out."""
    densities: DensityNull | None = None
    """How often features are active, and random directions; None before it was observed, and in runs whose random directions
    all are as often as the median feature."""
    floors: tuple[DeadFloor, ...] | None = None
    """Instruments that measured nothing, as they were known to the judge; None where nobody looked when it judged."""
    study_sha256: dict[str, str] = {}
    """Of each part of the study file as the run found it (`tools.study.parts.hash_tables`); empty in runs from before that."""
    inherited: tuple[str, ...] = ()
    """What was to be said of the run whose evidence this one judges again, and what differed and was allowed to."""

    @property
    def caveats(self) -> tuple[str, ...]:
        """What every command that shows this run's verdicts says of them first."""
        return (*self._of_bench, *self.inherited)

    @property
    def _of_bench(self) -> tuple[str, ...]:
        if self.config.evidence is not None:
            return ()
        if self.proof is None:
            return ("measured on a bench that never proved itself (by a version of Unveil without that check)",)
        if self.proof.failed:
            names = ", ".join(check.name for check in self.proof.failed)
            return (f"measured on a bench that FAILED its proof ({names}), allowed because: {self.proof.allowed}",)
        return ()

    @property
    def measures(self) -> bool:
        """Whether the run has a model to measure on: it does unless its evidence is another run's or another tool's."""
        return self.parent is None and self.config.evidence is None


class StratumRow(Record):
    """One line of the summary table."""

    stratum: Stratum
    population: int | None
    n: int
    yes: int
    no: int
    undecided: int
    rated: int = 0
    """Decided by ratings of concepts, which are neither yes nor no."""
    failed: int
    median_coherence: float | None
    steering_wins: int
    """Texts won, of `steering_n`, all features of the stratum together; of pairs in sequence, those that all were given."""
    steering_n: int
    null_win_rate: float | None
    steering_passes: int | None = None
    """Directions for whom their pairs in sequence decided; None where none were written so."""
    nats_unsteered: float | None = None
    nats_steered: float | None = None
    """A token, under the unsteered model, mean over the continuations; None where it was not recorded."""
    collapsed: float | None = None
    """Share of the steered texts."""


class SequenceNote(Record):
    """How pairs were spent in sequence, and what they are good for: as `tools.records.SequentialTest`, over all directions."""

    win_rate: float
    alpha: float
    power: float
    opening: int
    most: int
    pairs: int
    """Written in all."""
    directions: int
    undecided: int
    """Directions that had had the most."""


class ConceptRow(Record):
    """How often one concept was given each rating."""

    concept: str
    counts: tuple[int, int, int, int, int]
    """Features rated 0, 1, 2, 3 and 4."""


class Summary(Record):
    """What the run found, in counts that add up."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run_id: str
    d_sae: int | None
    candidates: int | None
    """Features with enough keyword hits, investigated or not."""
    strata: tuple[StratumRow, ...]
    accepted: StratumRow | None
    """The features found relevant, as a row of their own."""
    floors: tuple[DeadFloor, ...] = ()
    """Instruments that measured nothing: they have no figure in any row, and no text counted in one."""
    sequence: SequenceNote | None = None
    concepts: tuple[ConceptRow, ...] = ()
    failures: dict[str, int]
    examples: dict[str, str] = {}
    """Of each type of failure the message of the first."""
    remarks: tuple[str, ...] = ()
    """What is to be known of the server: which model answered in place of another, what it refused. Of a run over a task,
    how many features are beside its point."""
    usage: Usage
    seconds: dict[str, float]
    """Wall time by stage; the only figures here that differ between equal runs."""
