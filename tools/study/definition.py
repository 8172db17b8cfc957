"""A study names what is compared: a domain, its arms, word vectors, a corpus and defaults. Data, read from a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tools.errors import StudyError
from tools.records import InterventionKind, Policy, Precision, PromptForm, Record, StrengthUnit
from tools.study.pinned import Fetch
from tools.study.wording import Line, list_versions, read_guideline

Number = Annotated[float, Field(allow_inf_nan=False)]
"""What TOML may also write as `nan` or `inf`, which no setting may be."""


LensName = Literal["direct", "effect", "jacobian"]
CandidateRule = Literal["hits", "null"]
SplitName = Literal["train", "held_out"]
Counts = Literal["input", "output", "either", "both"]
"""Which side of a feature has to be about the domain for the feature to count as relevant."""


class FurtherSae(Record):
    """A sparse autoencoder beside the arm's own, of the same model at another place."""

    sae: str
    """As `Arm.sae`."""
    hook_name: str = ""
    """As `Arm.hook_name`."""


class Arm(Record):
    """One model with its sparse autoencoder."""

    model: str
    """A folder in Hugging Face's layout or a GGUF file, relative to the study, or a model's name on the hub."""
    sae: str
    """A folder saved by SAELens, relative to the study, or `RELEASE/SAE_ID` in SAELens' registry."""
    hook_name: str
    """Empty: the hook that the SAE's own configuration names."""
    explained_variance: tuple[Number, Number] | None = None
    """The range that the SAE's published figures claim for it; a run on one that does not reach it is refused."""
    hook_overrides: bool = False
    """The hook stands though the SAE's configuration names another; how much it explains there is measured (`Probe`)."""
    adapter: str = ""
    """A folder with a LoRA adapter (PEFT), relative to the study, that is merged into the model when it is loaded."""
    random_weights: int | None = Field(default=None, ge=0, lt=2**63)
    """A seed: the model's architecture with weights drawn anew by its own rule, as before any training."""

    also: tuple[FurtherSae, ...] = ()
    """SAEs at further places, for what edits several in one pass; everything else looks at the arm's own alone."""

    @model_validator(mode="after")
    def _is_trained_or_not(self) -> Arm:
        if self.adapter and self.random_weights is not None:
            raise ValueError("an arm has an adapter or random_weights, and not both")
        return self

    def has_model_of(self, other: Arm) -> bool:
        """Whether another arm names the same weights, to be read with another SAE perhaps."""
        return all(getattr(self, name) == getattr(other, name) for name in ("model", "adapter", "random_weights"))


class Domain(Record):
    """What the study looks for."""

    name: Line
    definition: Line
    """One sentence."""
    vocabulary: str = ""
    """File of lower-case words, one a line; only a survey needs it."""
    guideline: str
    """File with what counts and what does not, as a human annotator would get it."""
    counts: Counts = "both"
    """The default asks most: a step along almost any direction promotes rare words, those of a domain among them, and a
    feature that fires in a domain need not write anything of it."""


class Rating(Record):
    """Another form of judgement than a domain: how much a feature has to do with each of several concepts, 0 to 4."""

    guideline: str
    """File with what the numbers mean and what counts, as a human annotator would get it."""
    concepts: dict[Line, Line] = Field(min_length=1)
    """Name -> what is meant, in a sentence; empty where the name says it all."""
    words: dict[Line, str] = {}
    """Name -> file of lower-case words, one a line, that have to do with it, for rules that rate where no model does."""


class VectorsSource(Record):
    """Word vectors: a safetensors file with its word list, or a name in gensim's downloader."""

    file: str | None = None
    words: str | None = None
    gensim: str | None = None


class CorpusSource(Record):
    """Where passages come from; everything named is read, in this order (`tools.study.texts`)."""

    file: str | None = None
    """Passages that belong to the study, with their topics, as JSON lines; all of them are read."""
    gensim_test_data: tuple[str, ...] = ()
    """Files in gensim's test data, one document a line."""
    texts: tuple[str, ...] = ()
    """Files (.jsonl, .parquet, .txt), folders of such files, or `hub:NAME[:CONFIG]` for a data set on the hub."""
    documents: int = Field(default=2000, gt=0, le=10**9)
    """Most documents taken of each of `texts`: its first ones."""
    held_out_share: Number = Field(default=0.25, gt=0, lt=1)


class SurveyDefaults(Record):
    """How every feature is looked at."""

    lens: LensName = "direct"
    """How directions are read as tokens (`tools.survey.lens`); the published study reads directly."""
    lens_rows: int = Field(default=8, ge=1, le=100_000)
    """Most rows of text that the mean Jacobian is taken over."""
    lens_width: int = Field(default=64, ge=2, le=10**6)
    """Their positions, BOS included; no more than a row has."""
    lens_skip: int | None = Field(default=None, ge=1, le=10**6)
    """Positions at a row's beginning that are left out, BOS among them; None: BOS alone, and 16 for `jacobian`."""
    lens_tolerance: Number | None = Field(default=None, gt=0, lt=1)
    """Rows are added until none of the last eight moves the mean by more than this share of its length; None: all are taken."""
    lens_agreement: Number | None = Field(default=None, gt=0, lt=1)
    """Rows are added, eight at a time, until the lenses of either half of them have this share of features' top tokens in
    common; None: all are taken."""
    lens_folder: str = ""
    """Lenses that come with the study, relative to it (`python -m tools.training lens` writes them); each is used for its
    own weights, hook and settings alone."""
    lens_file: str = ""
    """A fitted Jacobian lens in its authors' format, relative to the study, for `jacobian`; without one it is made."""
    top_k: int = Field(default=10, ge=1, le=1000)
    candidate_hits: int = Field(default=2, ge=1)
    """Keyword hits among the top tokens that make a candidate, as in the published study."""
    candidates: CandidateRule = "hits"
    """`hits`: so many make one, as in the published study. `null`: as many more as it takes until at most `alpha` of
    random directions have them, so that no feature becomes a candidate that the null rules out."""
    null_directions: int = Field(default=4000, ge=1, le=10**6)
    """Random directions the survey's null is estimated from."""
    alpha: Number = Field(default=0.01, gt=0, lt=1)
    """A keyword count that random directions reach more often than this is no evidence."""


class ObservationDefaults(Record):
    """How a selected feature is looked at more closely."""

    context_tokens: int = Field(default=32, ge=2, le=10**6)
    top_contexts: int = Field(default=8, ge=1, le=1000)
    quantile_contexts: int = Field(default=4, ge=0, le=1000)
    sink_multiple: Number = Field(default=4.0, gt=1, le=1e6)
    """Positions with a residual stream that many times as long as the median one count as no text (`tools.bench.positions`)."""


class SteeringSequence(Record):
    """Texts are spent in sequence: further ones only on directions that those so far do not decide (`tools.effects.sequence`)."""

    win_rate: Number = Field(default=0.75, ge=0.55, le=0.95)
    """Share of texts won, where chance wins half, that is to be found; where it wins more or less, the same odds."""
    power: Number = Field(default=0.8, ge=0.5, le=0.99)
    """Share of the directions that win so often which is to pass."""
    alpha: Number = Field(default=0.01, ge=0.001, le=0.1)
    """Share of the directions that win no more than chance which may pass."""


class SteeringDefaults(Record):
    """How text is continued with the feature added."""

    prompts: tuple[str, ...] = Field(min_length=1)
    prompt_form: PromptForm = "plain"
    """Continued as they stand, or answered as what a user says, in the chat template of the model's tokenizer."""
    new_tokens: int = Field(default=20, ge=1, le=10**6)
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] = Field(default=(0, 1), min_length=1, max_length=1000)
    temperature: Number = Field(default=0.8, ge=0, le=100)
    top_k: int = Field(default=40, ge=1, le=10**9)
    kind: InterventionKind = "add"
    policy: Policy = "all"
    unit: StrengthUnit = "kl"
    """What a feature's strength is set by; `kl` searches for the strength that has the effect `target_kl`."""
    target_kl: Number = Field(default=0.5, gt=0)
    """Nats between the unsteered and steered next-token distributions."""
    kl_tolerance: Number = Field(default=0.01, gt=0, lt=1)
    """Share of `target_kl` by which what is found may miss it."""
    first_strength: Number | None = Field(default=None, gt=0, le=1e6)
    """In mean residual norms: where the search for `target_kl` begins; at `max_strength` without it."""
    strength: Number | None = Field(default=None, gt=0, le=1e6)
    """In mean residual norms or in each feature's largest activation, as `unit` says."""
    max_strength: Number = Field(default=2.0, gt=0, le=1e6)
    """In mean residual norms; a feature that needs more to reach `target_kl` is steered at this."""
    fluency_factor: Number = Field(default=5.0, gt=0, le=1e6)
    """A steered text that many times as perplexing as the unsteered texts' 99th percentile has collapsed."""
    sequence: SteeringSequence | None = None
    """How texts beyond the seeds above are spent; without it every direction is given these alone."""
    unsteered: Literal["own", "shared"] = "own"
    """Whether each direction has unsteered texts of its own, or draws from one stock of them."""
    controls: bool = True
    """Whether the first pairs are written along a random direction and with the sign turned, too, to be read."""

    @model_validator(mode="after")
    def _numbers_what_is_shared(self) -> SteeringDefaults:
        if self.unsteered == "shared" and self.seeds != tuple(range(len(self.seeds))):
            raise ValueError('unsteered = "shared" numbers its texts: seeds must be 0, 1, 2 and so on')
        return self

    @model_validator(mode="after")
    def _begins_within_reach(self) -> SteeringDefaults:
        if self.first_strength is not None and self.first_strength > self.max_strength:
            raise ValueError(f"first_strength {self.first_strength:g} exceeds max_strength {self.max_strength:g}")
        return self

    @model_validator(mode="after")
    def _names_one_strength(self) -> SteeringDefaults:
        if self.kind != "ablate" and (self.unit == "kl") != (self.strength is None):
            wanted = "target_kl and no strength" if self.unit == "kl" else "a strength"
            raise ValueError(f"unit {self.unit} takes {wanted}")
        return self


class ControlDefaults(Record):
    """Sizes of the control strata."""

    near: int = Field(default=30, ge=0, le=10_000)
    unrelated: int = Field(default=30, ge=0, le=10_000)
    random_directions: int = Field(default=60, ge=0, le=10_000)


class Question(Record):
    """What a judge is asked of every feature: whether it belongs to a domain, or ratings of concepts. No model in it."""

    name: Line
    """The study's."""
    title: Line
    folder: Path
    domain: Domain | None = None
    rating: Rating | None = None
    survey: SurveyDefaults = SurveyDefaults()
    """What the rules judge holds evidence to."""
    guideline_version: int | None = Field(default=None, ge=1)
    """Place among its versions, from 1; None for the newest."""

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Question:
        if (self.domain is None) == (self.rating is None):
            raise ValueError("a study asks about [domain] or for [rating], and not both")
        return self

    @property
    def topic(self) -> str:
        """What it is about, in a word or several."""
        return self.domain.name if self.domain else ", ".join(self.rating.concepts if self.rating else ())

    @property
    def guidelines(self) -> list[Path]:
        """The guideline's versions, oldest first; the first need not be there."""
        asked = self.domain or self.rating
        return list_versions(self.folder / asked.guideline) if asked else [self.folder]

    @property
    def guideline(self) -> Path:
        """The guideline's file, in the version that is asked by.

        Raises:
            StudyError: it is not there.
        """
        versions = self.guidelines
        path = versions[-1] if self.guideline_version is None else versions[self.guideline_version - 1]
        if not path.is_file():
            raise StudyError(f"study {self.name}: the guideline {path} is missing")
        return path

    def read_guideline(self) -> str:
        """The guideline's text.

        Raises:
            StudyError: it is missing, or no text that may be shown to a judge.
        """
        return read_guideline(self.guideline)


class Study(Record):
    """Everything `study.toml` says but its training table."""

    name: Line
    title: Line
    folder: Path
    domain: Domain
    arms: dict[str, Arm]
    vectors: VectorsSource
    corpus: CorpusSource
    survey: SurveyDefaults = SurveyDefaults()
    observation: ObservationDefaults = ObservationDefaults()
    steering: SteeringDefaults
    controls: ControlDefaults = ControlDefaults()
    candidate_limit: int = Field(default=60, ge=0, le=10**6)
    """Most candidates investigated by default; those with the most hits come first."""
    fetch: Fetch | None = None
    precision: Precision = "auto"
    """Of the language model, where a command asks for none: the one its decisions were measured in."""
    hub: bool = False
    """Some asset comes from a hub and may have to be downloaded."""

    @property
    def question(self) -> Question:
        """What its judges are asked."""
        return Question(name=self.name, title=self.title, folder=self.folder, domain=self.domain, survey=self.survey)

    def asset(self, name: str) -> Path:
        """Path of a file or folder of the study.

        Raises:
            StudyError: it is not there.
        """
        path = self.folder / name
        if path.exists():
            return path
        if self.fetch is not None and path == self.folder / self.fetch.to:
            called = self.name if self.folder == Path("studies", self.name) else self.folder
            raise StudyError(
                f"study {self.name}: {path} is missing; python -m tools.training fetch --study {called} obtains it "
                f"({self.fetch.description})"
            )
        raise StudyError(
            f"study {self.name}: {path} is missing; restore it (git checkout) or build it (python -m tools.training)"
        )

    def arm(self, name: str) -> Arm:
        """The arm of that name.

        Raises:
            StudyError: there is none; the text lists those there are.
        """
        if name not in self.arms:
            known = ", ".join(self.arms)
            raise StudyError(
                f"study {self.name} has no arm {name!r}: use one of {known}, or RELEASE/SAE_ID or a SAELens folder with --model"
            )
        return self.arms[name]
