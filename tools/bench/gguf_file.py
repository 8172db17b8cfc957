"""A language model out of a GGUF file, the form that llama.cpp, Ollama and LM Studio run; its weights are de-quantised.

transformers maps the file's tensors and its tokenizer. What it passes over in silence is looked at here: a tensor that
landed nowhere, a position encoding that the file stretches, a part of a split file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch

from tools.bench.dequantised import Dequantised
from tools.bench.untrained import draw
from tools.errors import LoadError

_ROPE_FACTORS = "rope_freqs.weight"
_CUT_AS_GPT2 = ("default", "gpt-2", "mpt", "olmo", "jais")
_CUT_DIGITWISE = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone")
"""Rules by llama.cpp's names for them: as GPT-2 cuts text, and the same with every digit by itself."""
_SOFT_CAPS = ("final_logit_softcapping", "attn_logit_softcapping")


class GgufSource(NamedTuple):
    """What a file says of itself."""

    path: Path
    architecture: str
    kinds: tuple[tuple[str, int], ...]
    """Quantisation types and how many tensors are of each, the most first."""
    n_elements: int
    """Of all weights."""
    fields: dict[str, Any]
    """Numbers and names of the header, without its lists."""
    rope_factors: torch.Tensor | None
    """What each frequency of the position encoding is divided by, as Llama 3 has it."""

    @property
    def description(self) -> str:
        """For the manifest: `GGUF (Q4_1 210, F32 61, Q8_0 1), de-quantised`."""
        return f"GGUF ({', '.join(f'{kind} {count}' for kind, count in self.kinds)}), de-quantised"


def read_source(path: Path) -> GgufSource:
    """Read a file's header.

    Raises:
        LoadError: it is no GGUF file, or one that holds no whole language model.
    """
    import numpy as np

    try:
        reader = _reader()(path)
        fields = {key: field.contents() for key, field in reader.fields.items() if _is_single(field)}
        tensors = [(tensor.name, tensor.tensor_type.name, int(tensor.n_elements)) for tensor in reader.tensors]
    except (OSError, ValueError, KeyError, IndexError, OverflowError, MemoryError) as error:
        raise LoadError(f"{path} is no whole GGUF file: {' '.join(str(error).split())[:200]}") from error
    architecture = str(fields.get("general.architecture", "unnamed"))
    _check_whole(path, fields, len(tensors))
    factors = next((tensor.data for tensor in reader.tensors if tensor.name == _ROPE_FACTORS), None)
    weights = [(kind, size) for name, kind, size in tensors if name != _ROPE_FACTORS]
    return GgufSource(
        path=path,
        architecture=architecture,
        kinds=tuple(Counter(kind for kind, _ in weights).most_common()),
        n_elements=sum(size for _, size in weights),
        fields=fields,
        rope_factors=None if factors is None else torch.from_numpy(np.array(factors, np.float32)),
    )


def _reader() -> Any:
    """The format's own reader on plain arrays: a mapped file makes an object of its own of each of a header's 300,000 slices."""
    import numpy as np
    from gguf import GGUFReader

    class Reader(GGUFReader):
        @property
        def data(self) -> Any:
            return self._bytes

        @data.setter
        def data(self, mapped: Any) -> None:
            self._bytes = mapped.view(np.ndarray)

    return Reader


def load_source(source: GgufSource, dtype: torch.dtype) -> tuple[Any, Any, dict[str, Any]]:
    """The model, its tokenizer, and what transformers says about the keys it loaded.

    Raises:
        LoadError: a tensor of the file landed nowhere in the model, or the file asks for something that is not read.
    """
    place = Dequantised.of(source.path, dtype)
    with redirect_stderr(StringIO()):  # a progress bar that no setting turns off
        recalled = place.recall()
        model, tokenizer, info = recalled or _dequantise(source, dtype)
    _set_cut(source, tokenizer)
    _check_landed(source, model)
    if recalled is None:
        place.keep(model, tokenizer)
    _hold_fast(tokenizer)
    _check_numbers(source, model)
    if source.rope_factors is not None:
        _stretch_positions(source, model)
    return model, tokenizer, info


def draw_source(source: GgufSource, seed: int) -> tuple[Any, Any]:
    """A model shaped as the file's with weights drawn anew, and the file's tokenizer.

    Raises:
        LoadError: the file asks for something that is not read.
    """
    from transformers import AutoConfig, AutoTokenizer

    with _named(source) as where:
        model, tokenizer = draw(AutoConfig.from_pretrained(**where), seed), AutoTokenizer.from_pretrained(**where)
    _set_cut(source, tokenizer)
    _hold_fast(tokenizer)
    _check_numbers(source, model)
    if source.rope_factors is not None:
        _stretch_positions(source, model)
    return model, tokenizer


def _dequantise(source: GgufSource, dtype: torch.dtype) -> tuple[Any, Any, dict[str, Any]]:
    import transformers

    settings: dict[str, Any] = {"dtype": dtype, "output_loading_info": True}
    if hasattr(transformers, "GgufConfig"):  # from 5.24 on weights may be left packed, and are asked not to be
        settings["quantization_config"] = transformers.GgufConfig(dequantize=True)
    with _named(source) as where:
        loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(**where, **settings)
        tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
    model, info = loaded
    return model, tokenizer, info


@contextmanager
def _named(source: GgufSource) -> Generator[dict[str, Any]]:
    """The file as transformers wants it named: by an ending that those in Ollama's store do not have."""
    if source.path.suffix == ".gguf":
        yield {"pretrained_model_name_or_path": str(source.path.parent), "gguf_file": source.path.name}
        return
    with TemporaryDirectory() as folder:
        (Path(folder) / "model.gguf").symlink_to(source.path.resolve())
        yield {"pretrained_model_name_or_path": folder, "gguf_file": "model.gguf"}


def _is_single(field: Any) -> bool:
    """Lists are the tokenizer's, long, and read by transformers."""
    from gguf import GGUFValueType

    return bool(field.types) and field.types[0] != GGUFValueType.ARRAY


def _check_whole(path: Path, fields: dict[str, Any], n_tensors: int) -> None:
    parts = int(fields.get("split.count", 0) or 0)
    if parts > 1:
        raise LoadError(f"{path} is one of {parts} parts of a model: join them (llama-gguf-split --merge)")
    kind = fields.get("general.type", "model")
    if kind != "model":
        raise LoadError(f"{path} holds no language model but one's {kind}: give the model's own file")
    if not n_tensors:
        raise LoadError(f"{path} holds a vocabulary and no weights")
    architecture = fields.get("general.architecture")
    stretched = fields.get(f"{architecture}.rope.scaling.type", "none")
    if stretched != "none":
        raise LoadError(
            f"{path} stretches its positions ({stretched}), which is not read from GGUF: give the model's folder"
        )


def _set_cut(source: GgufSource, tokenizer: Any) -> None:
    """The rule by which a byte-level tokenizer cuts text before it merges; transformers knows some and is silent on others."""
    rule = str(source.fields.get("tokenizer.ggml.pre", "default"))
    if source.fields.get("tokenizer.ggml.model") != "gpt2" or rule in _CUT_AS_GPT2:
        return
    from tokenizers import pre_tokenizers

    backend = tokenizer.backend_tokenizer
    if rule in _CUT_DIGITWISE:
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    elif isinstance(backend.pre_tokenizer, pre_tokenizers.ByteLevel):  # left as it was made
        raise LoadError(f"{source.path} cuts text by a rule that is not read ({rule}): give the model's folder")


def _hold_fast(tokenizer: Any) -> None:
    """TransformerLens reads a tokenizer again, by the name of its folder, unless it was made to put BOS first: not this one."""
    tokenizer.init_kwargs["add_bos_token"] = True


def _check_landed(source: GgufSource, model: Any) -> None:
    """As many weights as the file holds, each of them a number: none passed over, none left as it was drawn."""
    packed = [name for name, weight in model.named_parameters() if not weight.is_floating_point()]
    if packed:
        raise LoadError(f"{source.path} does not load: {packed[0]} was left quantised")
    held = sum(weight.numel() for weight in model.parameters())  # tied weights are one
    if held != source.n_elements:
        raise LoadError(
            f"{source.path} does not load strictly: it holds {source.n_elements:,} weights, and the model made of it "
            f"({type(model).__name__}) {held:,}"
        )


def _check_numbers(source: GgufSource, model: Any) -> None:
    """Settings that transformers leaves at a family's default when it does not read them."""
    config = model.config.get_text_config()
    for name in _SOFT_CAPS:
        said, used = source.fields.get(f"{source.architecture}.{name}"), getattr(config, name, None)
        if said and (used is None or abs(float(said) - float(used)) > 1e-3):
            raise LoadError(f"{source.path} sets {name} to {said}, and transformers does not read it from GGUF")
    base = source.fields.get(f"{source.architecture}.rope.freq_base")
    used = (getattr(config, "rope_parameters", None) or {}).get("rope_theta")
    if base and used and abs(float(base) / float(used) - 1) > 1e-6:
        raise LoadError(f"{source.path} sets rope.freq_base to {base}, and transformers reads {used}")


def _stretch_positions(source: GgufSource, model: Any) -> None:
    factors = source.rope_factors
    rotary: Any = getattr(model.base_model, "rotary_emb", None)
    frequencies = getattr(rotary, "inv_freq", None)
    if factors is None or frequencies is None or frequencies.shape != factors.shape:
        raise LoadError(
            f"{source.path} stretches its positions ({_ROPE_FACTORS}) in a way that {type(model).__name__} has not"
        )
    frequencies.div_(factors.to(frequencies))
    if hasattr(rotary, "original_inv_freq"):
        rotary.original_inv_freq = frequencies.clone()
