"""What `study.toml` says about training, checked once and passed down."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tools.errors import StudyError, first_problem


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TokenizerRecipe(_Section):
    """Byte-level BPE."""

    vocab_size: int = 8192
    sample_documents: int = 6000
    """Documents of each corpus the merges are learned from."""


Arm = str
"""One of `Recipe.arms`."""
Precision = Literal["float32", "bfloat16"]
Architecture = Literal["topk", "batchtopk", "standard", "gated", "jumprelu", "p-annealing"]
SPARSITY: dict[Architecture, str] = {
    "topk": "k",
    "batchtopk": "k",
    "standard": "l1_coefficient",
    "gated": "l1_coefficient",
    "p-annealing": "l1_coefficient",
    "jumprelu": "l0_coefficient",
}
"""The setting of a recipe that says how sparse an architecture is."""


class ModelRecipe(_Section):
    """A GPT-2 architecture trained from scratch, or `pretrained` weights to start from."""

    pretrained: str | None = None
    """A folder in Hugging Face's layout, a GGUF file or a model's name on the hub; the architecture below is then not used.
    A relative path starts at the study."""
    finetuned: str | None = None
    """The fine-tuned model, where it is not trained here; as `pretrained`."""
    n_layer: int = 6
    d_model: int = 256
    n_head: int = 8
    context_size: int = 128


class LanguageModelRecipe(_Section):
    """One optimisation run. Rates follow a warm-up, a plateau and a linear decay to zero."""

    corpora: list[str]
    heldout: list[str]
    tokens: int
    tokens_per_step: int = 8192
    rows_per_batch: int = 16
    """Rows of one forward pass; a step accumulates `tokens_per_step` over several."""
    checkpoint_every: int = Field(default=250, ge=1)
    """Steps after which an interrupted training can go on, and held-out losses are measured."""
    matrix_lr: float = 3e-3
    embedding_lr: float = 2e-3
    weight_decay: float = 0.1
    warmup_share: float = 0.03
    decay_share: float = 0.35
    optimizer: Literal["muon", "adamw"] = "muon"
    targets: Literal["tokens", "chances"] = "tokens"
    """What the model is trained to say next: the token that came, or, in a world of known truth, how likely each is to come."""
    precision: Precision = "bfloat16"
    """Of matrix products (autocast); weights and the optimiser's state are float32."""
    seed: int = 0


class AdapterRecipe(LanguageModelRecipe):
    """A LoRA adapter on all linear layers of given weights, which stay as they are (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = Field(default=8, ge=1)
    alpha: int = Field(default=8, ge=1)
    """What the adapter adds is scaled by alpha / rank."""
    context_size: int = Field(default=128, ge=2)
    tokens_per_step: int = 2048
    checkpoint_every: int = Field(default=60, ge=1)
    embedding_lr: float = 1e-3
    weight_decay: float = 0.0
    optimizer: Literal["muon", "adamw"] = "adamw"


class SaeRecipe(_Section):
    """One SAE training run, the same for every arm."""

    hook_name: str
    corpora: list[str]
    heldout: list[str]
    trainer: Literal["saelens", "stream"] = "saelens"
    """`saelens`: its own runner. `stream`: this project's (`tools.training.streamed`), for TopK: a forward pass cut at the
    hook, several SAEs fed from one pass, attention sinks left out, and a training that goes on where it was stopped."""
    architecture: Architecture = "topk"
    """`p-annealing`: `tools.training.p_annealing`; the others are SAELens' own."""
    d_sae: int = 2048
    k: int = Field(default=24, ge=1)
    l1_coefficient: float = Field(default=5.0, ge=0)
    l1_warm_up_steps: int = 0
    """Of the sparsity coefficient, whichever it is."""
    l0_coefficient: float = Field(default=1.0, ge=0)
    p_end: float = Field(default=0.2, gt=0, le=1)
    p_changes: int = Field(default=10, ge=1)
    anneal_start_share: float = Field(default=0.3, ge=0, lt=1)
    """Share of the training before p first changes."""
    lr: float = 8e-4
    training_tokens: int = 1_500_000
    context_size: int = 128
    train_batch_size_tokens: int = 2048
    store_batch_size_prompts: int = 16
    n_batches_in_buffer: int = 32
    normalize_activations: str = "expected_average_only_in"
    n_batches_for_norm_estimate: int = 50
    dead_feature_window: int = 200
    """Steps without activity after which a feature counts as dead."""
    aux_coefficient: float = Field(default=1 / 32, ge=0)
    """Weight of what dead features explain of the others' error (`stream`)."""
    sink_multiple: float = Field(default=4.0, gt=1)
    """Positions whose norm exceeds the median that many times are left out (`stream`)."""
    checkpoint_minutes: float = Field(default=3.0, gt=0)
    """Between two points from which a stopped training goes on (`stream`)."""
    lr_warm_up_steps: int = 50
    lr_decay_steps: int = 200
    precision: Precision = "float32"
    """Of the model's forward pass, and under `stream` of the encoder's products; weights of the SAE are float32."""
    seed: int = 0
    """Of the rows, the same for all arms and seeds, and, unless another is given, of the first weights and the order."""

    @model_validator(mode="after")
    def _is_trained_by_its_trainer(self) -> SaeRecipe:
        if self.trainer == "stream" and self.architecture != "topk":
            raise ValueError(f"trainer stream trains topk, not {self.architecture}: use saelens")
        return self

    @property
    def sparsity(self) -> float:
        """The setting that says how sparse its architecture is."""
        return float(getattr(self, SPARSITY[self.architecture]))

    def varied(self, architecture: Architecture | None, sparsity: float | None) -> SaeRecipe:
        """The recipe for another architecture, or for another sparsity of it (`SPARSITY`), all else as it stands.

        Raises:
            StudyError: its trainer does not train that, or the sparsity is none of this architecture.
        """
        changes: dict[str, object] = {"architecture": architecture or self.architecture}
        if sparsity is not None:
            changes[SPARSITY[architecture or self.architecture]] = sparsity
        try:
            return SaeRecipe.model_validate({**self.model_dump(), **changes})
        except ValidationError as error:
            raise StudyError(f"training.sae: {first_problem(error)}") from error


class VectorsRecipe(_Section):
    """gensim word vectors over all corpora."""

    corpora: list[str]
    dimensions: int = 100
    window: int = 5
    epochs: int = 4
    min_count: int = 10
    max_words: int = 40_000
    workers: int = 1
    """With more than one, gensim is faster and no longer reproducible."""
    seed: int = 0


class PublishedNames(_Section):
    """The study's arm, and folder, that what is trained for an arm is published as, and how precisely."""

    half: bool | None = None
    """SAEs are stored in half precision; without this, those of models that are trained from scratch."""

    base: str = "base"
    finetuned: str = "finetuned"

    def of(self, arm: Arm) -> str:
        """The name of the study's arm."""
        return {"base": self.base, "finetuned": self.finetuned}.get(arm, arm)


class Recipe(_Section):
    """All of `[training]`."""

    tokenizer: TokenizerRecipe | None = None
    model: ModelRecipe
    base: LanguageModelRecipe | None = None
    finetuned: LanguageModelRecipe | None = None
    adapters: dict[str, AdapterRecipe] = {}
    """Arms whose model is the base's with an adapter trained here."""
    untrained: str = ""
    """An arm whose model is the base's architecture with fresh weights: what an SAE finds where nothing was learnt."""
    sae: SaeRecipe
    vectors: VectorsRecipe | None = None
    published: PublishedNames = PublishedNames()

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        if (self.adapters or self.untrained) and self.model.pretrained is None:
            raise ValueError("adapters and untrained need model.pretrained")
        if len(set(self.arms)) < len(self.arms):
            raise ValueError(f"two arms have one name: {', '.join(self.arms)}")
        return self

    @property
    def arms(self) -> tuple[Arm, ...]:
        """All that an SAE is trained for; the place of each decides the weights its SAEs start from."""
        tuned = () if self.finetuned is None and self.model.finetuned is None else ("finetuned",)
        return ("base", *tuned, *self.adapters, *((self.untrained,) if self.untrained else ()))

    def varied(self, architecture: Architecture | None, sparsity: float | None) -> tuple[Recipe, str]:
        """The recipe with its SAE varied (`SaeRecipe.varied`), and the folder for what comes of it; none where nothing is."""
        if architecture is None and sparsity is None:
            return self, ""
        sae = self.sae.varied(architecture, sparsity)
        name = sae.architecture if sparsity is None else f"{sae.architecture}-{sparsity:g}"
        return self.model_copy(update={"sae": sae}), name

    def check_arm(self, arm: Arm) -> None:
        """Raises StudyError unless it is one of the recipe's."""
        if arm not in self.arms:
            raise StudyError(f"the recipe has no arm {arm!r}: use one of {', '.join(self.arms)}")

    def given_model(self, arm: Arm) -> str | None:
        """The arm's model, where it is not trained here; of an arm with an adapter, the model under it."""
        return self.model.finetuned if arm == "finetuned" else self.model.pretrained


def load_recipe(study_file: Path) -> Recipe:
    """Read the `[training]` table of a study file.

    Raises:
        StudyError: the file is missing, is not TOML, or its table does not fit.
    """
    try:
        table = tomllib.loads(study_file.read_text("utf-8"))
    except FileNotFoundError:
        raise StudyError(f"no study file at {study_file}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{study_file} is not TOML: {error}") from error
    if "training" not in table:
        raise StudyError(f"{study_file} has no [training] table, so there is nothing to train")
    try:
        return Recipe.model_validate(table["training"])
    except ValidationError as error:
        raise StudyError(f"{study_file}: training.{first_problem(error)}") from error
