"""A language model with its tokenizer, out of a folder, the hub's cache or a GGUF file; with an adapter, or untrained."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch

from tools.bench.adapter import merge, read_adapter
from tools.bench.compute import Precision, choose_dtype, count_parameters, device_memory
from tools.bench.folders import is_gguf
from tools.bench.gguf_file import draw_source, load_source, read_source
from tools.bench.text_part import is_unread
from tools.bench.untrained import draw
from tools.bench.weights import check_tensors
from tools.errors import LoadError


class Change(NamedTuple):
    """What is done to a model's weights before anybody looks at them."""

    adapter: Path | None = None
    """The folder of one that is merged."""
    random_weights: int | None = None
    """The seed of weights drawn anew."""


class Checkpoint(NamedTuple):
    """A model with its tokenizer, as transformers loads them."""

    model: Any
    tokenizer: Any
    keys: dict[str, Any]
    """What transformers found missing, unexpected or of another shape."""
    source: str = ""
    """What the weights were read from, where that was no plain folder."""
    change: str = ""
    """What was done to them, where something was."""


def read_checkpoint(name: str, device: str, precision: Precision, change: Change = Change()) -> Checkpoint:  # noqa: B008
    """Read a model.

    A change is made in float32, whatever the model is then computed in.

    Args:
        name: a folder, a GGUF file, or a name on the hub.
        device: that it is to be computed on; its memory decides a precision of `auto`.
        precision: as `choose_dtype` takes it.
        change: what is done to the weights.

    Raises:
        LoadError: it is not whole, or an adapter is not its own.
    """
    memory, is_changed = device_memory(device), change != Change()
    if is_gguf(name):
        source = read_source(Path(name))
        dtype = choose_dtype(precision, source.n_elements, memory)
        if change.random_weights is not None:
            model, tokenizer = draw_source(source, change.random_weights)
            found = Checkpoint(model, tokenizer, {}, source.description)
        else:
            found = Checkpoint(*load_source(source, torch.float32 if is_changed else dtype), source.description)
    else:
        dtype = choose_dtype(precision, _count(name) if precision == "auto" else 0, memory)
        if change.random_weights is not None:
            found = _draw(name, change.random_weights)
        else:
            found = _read(name, torch.float32 if is_changed else dtype)
    if change.random_weights is None:
        _check_keys(name, found)
    return _changed(found, change, dtype)


def _count(name: str) -> int:
    from transformers import AutoConfig

    return count_parameters(AutoConfig.from_pretrained(name, trust_remote_code=False))


def _read(name: str, dtype: torch.dtype) -> Checkpoint:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded: Any = AutoModelForCausalLM.from_pretrained(
        name, dtype=dtype, output_loading_info=True, trust_remote_code=False
    )
    model, info = loaded
    return Checkpoint(model, AutoTokenizer.from_pretrained(name, trust_remote_code=False), info)


def _draw(name: str, seed: int) -> Checkpoint:
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    return Checkpoint(draw(config, seed), AutoTokenizer.from_pretrained(name, trust_remote_code=False), {})


def _check_keys(name: str, loaded: Checkpoint) -> None:
    unfit = {
        key: sorted(map(str, loaded.keys[key]))
        for key in ("missing_keys", "unexpected_keys", "mismatched_keys")
        if loaded.keys[key]
    }
    if unfit:
        raise LoadError(f"model {name} does not load strictly: {' '.join(str(unfit).split())[:300]}")
    read = ((weight, values) for weight, values in loaded.model.named_parameters() if not is_unread(weight))
    check_tensors(read, f"model {name}")


def _changed(found: Checkpoint, change: Change, dtype: torch.dtype) -> Checkpoint:
    said = ""
    if change.adapter is not None:
        adapter = read_adapter(change.adapter)
        merge(adapter, found.model)
        said = adapter.description
    elif change.random_weights is not None:
        said = f"weights drawn anew, seed {change.random_weights}"
    return found._replace(model=found.model.to(dtype), change=said) if said else found
