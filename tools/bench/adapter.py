"""A LoRA adapter in the layout of PEFT, merged into the model that it was trained on: W + scale * B A, and then it is gone.

Read without that library, and strictly: an adapter that holds more than such pairs, or lacks one, would be another model
than its folder says.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tools.bench.folders import check_header, read_object, refuse_pickles
from tools.errors import LoadError, first_problem

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_INERT = {
    "megatron_core",
    "qalora_group_size",
    "peft_version",
    "task_type",
    "auto_mapping",
    "revision",
    "runtime_config",
}
"""Settings that change nothing by themselves, and are set in any adapter."""
_ALTERS_BASE = re.compile(r"pissa|olora|corda|loftq|lora_ga", re.IGNORECASE)
"""Ways to begin that take something away from the base model's own weights."""
_PAIR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<half>[AB])\.weight")


class AdapterSettings(BaseModel):
    """What is read of `adapter_config.json`; any other setting has to be off."""

    model_config = ConfigDict(extra="allow", frozen=True)

    peft_type: str
    r: int = Field(gt=0, le=10**6)
    lora_alpha: float = Field(gt=0, allow_inf_nan=False)
    target_modules: list[str] | str
    """Names that end modules' names, or an expression that matches them."""
    exclude_modules: list[str] | str | None = None
    use_rslora: bool = False
    bias: str = "none"
    init_lora_weights: bool | str = True
    base_model_name_or_path: str | None = None
    lora_dropout: float = 0.0
    inference_mode: bool = True
    fan_in_fan_out: bool = False
    """How the base model stores a matrix, which its module tells as well."""

    @field_validator("target_modules", "exclude_modules")
    @classmethod
    def _is_expression(cls, wanted: list[str] | str | None) -> list[str] | str | None:
        try:
            re.compile(wanted if isinstance(wanted, str) else "")
        except re.error as error:
            raise ValueError(f"no expression: {error}") from None
        return wanted

    @property
    def scale(self) -> float:
        """What the product is multiplied by."""
        return self.lora_alpha / (self.r**0.5 if self.use_rslora else self.r)


class Adapter(NamedTuple):
    """A folder that was found to hold one."""

    folder: Path
    settings: AdapterSettings

    @property
    def description(self) -> str:
        """For the manifest."""
        return f"LoRA adapter of rank {self.settings.r} merged"

    @property
    def weights(self) -> Path:
        """The file."""
        return self.folder / WEIGHTS

    @property
    def sha256(self) -> str:
        """Of the weights and of what decides how much of them is added."""
        with self.weights.open("rb") as file:
            weights = hashlib.file_digest(file, "sha256").hexdigest()
        return hashlib.sha256(f"{weights} {self.settings.scale!r}".encode()).hexdigest()


def read_adapter(folder: Path) -> Adapter:
    """What a folder says of its adapter; of the weights only the header is read.

    Raises:
        LoadError: it holds none, or one of a kind that is not merely added to a model's matrices.
    """
    owner = f"adapter {folder}"
    if not (folder / WEIGHTS).is_file():
        refuse_pickles(folder, "an adapter", "adapted_model.save_pretrained(FOLDER), of PEFT")
        raise LoadError(f"{owner} does not load: it has no {WEIGHTS}")
    read = read_object(folder / CONFIG, owner)
    try:
        settings = AdapterSettings.model_validate(read)
    except ValidationError as error:
        raise LoadError(f"{owner} does not load: its {CONFIG}: {first_problem(error)}") from None
    if settings.peft_type.upper() != "LORA":
        raise LoadError(f"{owner} is of kind {settings.peft_type}: only LoRA is merged into a model")
    beyond = [name for name, value in (settings.model_extra or {}).items() if value and name not in _INERT]
    if settings.bias != "none":
        beyond.append("bias")
    if _ALTERS_BASE.search(str(settings.init_lora_weights)):
        beyond.append(f"init_lora_weights {settings.init_lora_weights}")
    if beyond:
        raise LoadError(
            f"{owner} asks for more than is merged here ({', '.join(sorted(beyond)[:4])}): merge it with PEFT "
            "(merge_and_unload), and give the model that comes out of it"
        )
    check_header(folder / WEIGHTS)
    return Adapter(folder, settings)


def merge(adapter: Adapter, model: Any) -> None:
    """Add an adapter to a model's weights, which are changed.

    Args:
        adapter: as `read_adapter` gives it.
        model: of transformers, in float32: a product added in half precision would be rounded twice.

    Raises:
        LoadError: a tensor of the adapter has no place in the model, a place that it names lacks its tensors, or shapes or
            rank differ: it was trained on another model.
    """
    import torch
    from safetensors.torch import load_file

    from tools.bench.weights import check_tensors

    tensors = load_file(adapter.weights)
    check_tensors(tensors.items(), f"adapter {adapter.folder}")
    pairs = _pair(adapter, tensors)
    modules = dict(model.named_modules())
    if unplaced := sorted(pairs.keys() - modules.keys()):
        raise LoadError(_foreign(adapter, f"which has no {unplaced[0]}"))
    expected = {name for name, module in modules.items() if _is_target(adapter.settings, name, module)}
    if lacking := sorted(expected - pairs.keys()):
        raise LoadError(
            f"adapter {adapter.folder} does not load strictly: it names {len(lacking)} places that it has no tensors for, "
            f"the first {lacking[0]}"
        )
    for name, (down, up) in pairs.items():
        _check_place(adapter, name, model, modules[name], (up.shape[0], down.shape[1]))
    with torch.no_grad():
        for name, (down, up) in pairs.items():
            change = adapter.settings.scale * (up.float() @ down.float())
            weight = modules[name].weight
            weight.add_((change.T if _is_turned(modules[name]) else change).to(weight.dtype))


def _pair(adapter: Adapter, tensors: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """A and B by the module they belong to."""
    halves: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        found = _PAIR.fullmatch(key)
        if found is None:
            raise LoadError(f"adapter {adapter.folder} does not load strictly: nothing is known of its tensor {key}")
        halves.setdefault(found["module"], {})[found["half"]] = tensor
    rank = adapter.settings.r
    for name, half in halves.items():
        if len(half) < 2:
            raise LoadError(
                f"adapter {adapter.folder} does not load strictly: {name} has only one of lora_A and lora_B"
            )
        if half["A"].dim() != 2 or half["B"].dim() != 2 or {half["A"].shape[0], half["B"].shape[1]} != {rank}:
            raise LoadError(
                f"adapter {adapter.folder} does not load: its {CONFIG} says rank {rank}, and {name} is "
                f"{tuple(half['B'].shape)} by {tuple(half['A'].shape)}"
            )
    if not halves:
        raise LoadError(f"adapter {adapter.folder} does not load: its {WEIGHTS} is empty")
    return {name: (half["A"], half["B"]) for name, half in halves.items()}


def _check_place(adapter: Adapter, name: str, model: Any, module: Any, shape: tuple[int, int]) -> None:
    weight, wanted = getattr(module, "weight", None), shape[::-1] if _is_turned(module) else shape
    if weight is None or tuple(weight.shape) != wanted:
        found = "no matrix" if weight is None else f"{tuple(weight.shape)}, not {wanted}"
        raise LoadError(_foreign(adapter, f"whose {name} is {found}"))
    embedding = model.get_input_embeddings()
    if module is not embedding and weight is embedding.weight:
        raise LoadError(f"adapter {adapter.folder} changes {name}, which is one with the embedding: that is not read")


def _is_turned(module: Any) -> bool:
    """GPT-2 stores its matrices the other way round."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, Conv1D)


def _is_target(settings: AdapterSettings, name: str, module: Any) -> bool:
    """Whether PEFT would have put a pair there; only of modules that hold a matrix."""
    return (
        getattr(module, "weight", None) is not None
        and module.weight.dim() == 2
        and _matches(settings.target_modules, name)
        and not _matches(settings.exclude_modules or [], name)
    )


def _matches(wanted: list[str] | str, name: str) -> bool:
    if isinstance(wanted, str):
        return re.fullmatch(wanted, name) is not None
    return any(name == one or name.endswith(f".{one}") for one in wanted)


def _foreign(adapter: Adapter, what: str) -> str:
    base = adapter.settings.base_model_name_or_path
    named = f" ({base})" if base else ""
    return f"adapter {adapter.folder} was trained on another model{named} than the arm's, {what}"
