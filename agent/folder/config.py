"""What the command line decides, frozen and stored with the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, computed_field, model_validator

from agent.folder.withheld import Kind
from agent.llm.settings import Budget, LlmChoice
from tools.records import Precision, Record

if TYPE_CHECKING:
    from tools.study.definition import Study


_ANY_MODEL = ("model", "merged", "final", "checkpoint", "weights", "snapshot", "hf")
"""Names of a folder that tell one model from another only with the folder that it lies in."""
_LONGEST_NAME = 40
NEWEST = 4
"""Generation of briefing and rules that new runs use."""


class Limits(Budget):
    """What one feature, or the whole run, may use before it ends in a normal record."""

    rounds: int = Field(default=2, ge=0)
    """Times a hypothesis may be revised and tested again."""
    calls_per_feature: int = Field(default=12, ge=0)
    tool_calls_per_feature: int = Field(default=8, ge=0)
    tokens_per_feature: int = Field(default=100_000, ge=0)
    """Input and output together."""
    seconds_per_feature: float = Field(default=600, ge=0)


class RunConfig(Record):
    """One run, complete: the same config and seed give the same decisions."""

    study: str = "pocket"
    sae: str = "base"
    model: str | None = None
    """For an SAE that is no arm of the study: the model it belongs to."""
    hook: str | None = None
    """Where the SAE is read and written, whatever its own configuration says."""
    evidence: str | None = None
    """File of evidence from elsewhere; then no model is loaded."""
    corpus: str | None = None
    """Text that replaces the study's corpus: a file, a folder or a data set on the hub."""
    features: tuple[int, ...] | None = None
    """Just these, instead of a selection."""
    choose: str | None = None
    """A strategy of choosing features, where it does not follow from `features`, `task` or `toward` (`agent.selection`)."""
    task: str | None = None
    """A classification task: the name of one of the study, or a file. Features are chosen by what they do for a classifier
    of it, and judged by how much they have to do with its label and its attribute."""
    toward: str | None = None
    """File of a text: the features that score best for it are investigated."""
    away: str | None = None
    """File of what that text is held against; the study's corpus if None."""
    scorer: Literal["contrast", "reference"] = "contrast"
    """Of the two by which features are scored for a text, the one that ranks them."""
    encoder: str | None = None
    """A sentence encoder for the scorer by reference prompts; the study's word vectors if None."""
    reference_prompts: str | None = None
    """File of reference prompts; how documents of the study's corpus open if None."""
    limit: int | None = None
    """Most candidates investigated; the study's default if None."""
    controls: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Multiplies the study's numbers of controls; 0 for none."""
    judge_repeats: int = Field(default=1, ge=1)
    generation: int = Field(default=1, ge=1, le=NEWEST)
    """Of what judges are shown and asked (`agent.briefing.generations`); runs from before it was kept are of the first."""
    without: tuple[Kind, ...] = Field(default=(), exclude_if=lambda kinds: not kinds)
    """Kinds of evidence that were kept from the judge of a run that judges another's evidence again."""
    llm: LlmChoice | None = None
    limits: Limits = Limits()
    seed: int = 0
    device: str = "auto"
    """CUDA where there is one, then MPS, then the processor."""
    precision: Precision = "auto"
    """Of the language model; `auto` leaves it to the study, which leaves it to the memory there is."""
    memory_gib: float = Field(default=1.0, gt=0)
    """What the working arrays of one step may take, weights aside."""
    allow_unproved: str | None = None
    """The reason given for going on although the bench does not prove itself."""
    traced: bool = False
    """LangSmith received its prompts, evidence, replies and decisions (`--trace`)."""

    @property
    def strategy(self) -> str:
        """How the features to be investigated are chosen: a key of `agent.selection.strategy.STRATEGIES`."""
        if self.features is not None:
            return "listed"
        if self.task is not None:
            return "effect"
        return "text" if self.toward is not None else (self.choose or "keywords")

    @property
    def model_name(self) -> str | None:
        """What people call the model of `model`, short enough for a file name; None where the study names it."""
        if self.model is None:
            return None
        path = Path(self.model)
        called = path.name.removesuffix(".gguf") or path.resolve().name
        if called in _ANY_MODEL and (folder := path.resolve().parent.name):
            called = f"{folder}-{called}"
        return called[:_LONGEST_NAME]

    @computed_field
    @property
    def judge(self) -> Literal["rules", "llm"]:
        """Who judges. It is stored for readers of the manifest, and follows from `llm`."""
        return "rules" if self.llm is None else "llm"

    @model_validator(mode="before")
    @classmethod
    def _pass_over_judge(cls, given: Any) -> Any:
        return {name: given[name] for name in given if name != "judge"} if isinstance(given, dict) else given


def open_study(config: RunConfig) -> Study:
    """The run's study; with one more arm for an SAE of the user's (`--sae`, `--model`), or other text (`--corpus`).

    Raises:
        StudyError, LoadError: it is not there, or does not read.
    """
    from tools.study.corpus import replace_corpus
    from tools.study.definition import Arm
    from tools.study.reading import load_study

    study = load_study(config.study)
    if config.corpus is not None:
        study = replace_corpus(study, config.corpus)
    arm = study.arms.get(config.sae)
    if arm is None and config.model is not None:
        arm = Arm(model=config.model, sae=config.sae, hook_name="")
        study = study.model_copy(update={"hub": True})
    if arm is None:
        return study
    if config.hook is not None:
        arm = arm.model_copy(update={"hook_name": config.hook, "hook_overrides": True})
    return study.model_copy(update={"arms": {**study.arms, config.sae: arm}})
