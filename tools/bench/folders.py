"""What lies in a model's or an SAE's folder, and whether it can be loaded at all: found without a heavy import.

Weights are read as safetensors, or as GGUF for a model. Pickles (`.bin`, `.pt`, `.ckpt`) can run code when they are opened,
and are refused; what is said then is how to save the same weights anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from tools.border.hub import TOKENIZER_FILES
from tools.border.json_text import read_json
from tools.border.text_files import read_text
from tools.errors import LoadError, first_problem

GGUF, _GGUF_MAGIC = ".gguf", b"GGUF"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_FOREIGN = ("*.msgpack", "*.h5", "*.npz", "*.onnx")
_NO_LANGUAGE_MODEL = (
    "vit",
    "clip",
    "siglip",
    "dinov2",
    "bert",
    "roberta",
    "deberta",
    "distilbert",
    "wav2vec2",
    "whisper",
)
_NO_REALS = ("I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "BOOL", "C64")
_WEIGHTS = (
    "weight",
    "qweight",
    "weight_packed",
    "W_enc",
    "W_dec",
    "b_enc",
    "b_dec",
    "bias",
    "threshold",
    "log_threshold",
)
_MASKS = (".attn.bias", ".attention.bias", ".attn.attention.bias")
"""Not weights but causal masks, which older versions of transformers saved beside them."""
_NAMED = 4
Width = Annotated[int, Field(gt=0, le=10**9)]


class SaeFolder(NamedTuple):
    """Where an SAE's files are, and who saved them."""

    path: Path
    form: Literal["sae_lens", "sparsify"]
    weights: Path


class SaeSettings(BaseModel):
    """Fields of an SAE's configuration that decide how it is read, in all versions of SAELens; others may be anything."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    architecture: str | None = None
    d_in: Width | None = None
    d_sae: Width | None = None
    dtype: str | None = None
    device: str | None = None
    model_name: str | None = None
    hook_name: str | None = None
    hook_point: str | None = None
    apply_b_dec_to_input: bool | None = None
    normalize_activations: str | bool | None = None
    reshape_activations: str | None = None
    k: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    metadata: dict[str, JsonValue] | None = None


_SAE_FILES: dict[str, Literal["sae_lens", "sparsify"]] = {
    "sae_weights.safetensors": "sae_lens",
    "sae.safetensors": "sparsify",
}


def check_model_path(path: Path) -> None:
    """Find out what would keep a model from being loaded.

    Args:
        path: a folder in Hugging Face's layout, or a GGUF file.

    Raises:
        LoadError: the path is another kind of file; or the folder holds an adapter, pickles, a part of its shards, no
            configuration, no tokenizer, quantised weights or a model that does not continue text.
    """
    if path.is_file():
        if is_gguf(path):
            return
        if path.suffix.lower() != GGUF:
            raise LoadError(f"{path} is a file, and no GGUF: give the folder that a model was saved to, or a GGUF file")
        raise LoadError(f"{path} is no GGUF file: perhaps a page that was saved in its place, or half a download")
    if (path / "adapter_config.json").is_file():
        raise LoadError(
            f"{path} holds an adapter (PEFT), not a model: name it as an arm's adapter, beside its base model, or merge it "
            "(PeftModel.from_pretrained(BASE, FOLDER).merge_and_unload()) and save that with its tokenizer"
        )
    _check_weight_files(path)
    config = read_object(path / "config.json", f"model {path}")
    _check_config(path, config)
    if not any((path / file).is_file() for file in TOKENIZER_FILES):
        raise LoadError(
            f"the model's folder {path} has no tokenizer (tokenizer.json, vocab.json or tokenizer.model): save it there "
            "with AutoTokenizer.from_pretrained(BASE).save_pretrained(FOLDER)"
        )


def is_gguf(path: Path | str) -> bool:
    """A file that begins as such files do, whatever its name: Ollama's store calls its own by their hash."""
    try:
        if not Path(path).is_file():  # reading a pipe may never end
            return False
        with Path(path).open("rb") as file:
            return file.read(len(_GGUF_MAGIC)) == _GGUF_MAGIC
    except (OSError, ValueError):  # a hub's name may be none that a file can have
        return False


def find_sae(path: Path) -> SaeFolder:
    """An SAE's folder: the one given, the one that a given file lies in, or the only one right below.

    Raises:
        LoadError: there is none, or more than one, or it holds no safetensors.
    """
    if path.is_file() and path.suffix.lower() in (".safetensors", ".json"):
        path = path.parent
    if path.is_file():
        raise LoadError(_pickled([path], "an SAE", "the folder that SAELens saved"))
    here = _sae_at(path)
    if here is not None:
        return here
    below = [found for folder in sorted(path.iterdir()) if folder.is_dir() and (found := _sae_at(folder)) is not None]
    if len(below) == 1:
        return below[0]
    if below:
        names = _listed(found.path.name for found in below)
        raise LoadError(f"{path} holds {len(below)} SAEs ({names}): give the folder of one")
    refuse_pickles(path, "an SAE", "sae.save_model(FOLDER) of SAELens")
    if _sae_at(path.resolve().parent) is not None:
        raise LoadError(f"{path} holds no SAE, but the folder above it does: give {path.resolve().parent}")
    if foreign := _matching(path, _FOREIGN):
        raise LoadError(
            f"{path} holds {foreign[0].name}, which is not SAELens' format: give the SAE as RELEASE/SAE_ID, or load it "
            "with SAELens and save it (sae.save_model(FOLDER))"
        )
    raise LoadError(
        f"{path} holds no .safetensors weights: restore them (git checkout) or train them (python -m tools.training)"
    )


def check_header(file: Path) -> None:
    """Find out that a safetensors file is whole and holds floating-point weights; only its header is read.

    Raises:
        LoadError: it is not, or does not.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as opened:
            kinds = {name: opened.get_slice(name).get_dtype() for name in opened.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise LoadError(f"{file} is corrupt ({error}): restore it (git checkout) or train it anew") from error
    for name, kind in kinds.items():
        if kind in _NO_REALS and name.rsplit(".", 1)[-1] in _WEIGHTS and not f".{name}".endswith(_MASKS):
            what = "complex numbers" if kind == "C64" else "integers"
            raise LoadError(
                f"{file} holds {what} ({kind}) as its weight {name}: a quantised checkpoint is not read, save the "
                "weights in half or single precision"
            )


def _check_weight_files(path: Path) -> None:
    if not any(path.glob("*.safetensors")):
        if files := _matching(path, ("*.gguf",)):
            raise LoadError(
                f"{path} holds {_listed(file.name for file in files)}: give the file itself, not its folder"
            )
        refuse_pickles(
            path,
            "a model",
            "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(OTHER), and the tokenizer too",
        )
        if foreign := _matching(path, _FOREIGN):
            raise LoadError(f"{path} holds {foreign[0].name} but no safetensors: convert it with transformers")
        return  # said where the weights are hashed
    index = path / "model.safetensors.index.json"
    if index.is_file():
        shards = set(read_object(index, f"model {path}").get("weight_map", {}).values())
        if missing := sorted(shard for shard in shards if not (path / shard).is_file()):
            raise LoadError(f"model {path} lacks {len(missing)} of its {len(shards)} parts: {_listed(missing)}")


def _check_config(path: Path, config: dict[str, Any]) -> None:
    kind = str(config.get("model_type", "of no named type"))
    if config.get("is_encoder_decoder"):
        raise LoadError(
            f"model {path} is an encoder and a decoder ({kind}): only models that continue text can be studied"
        )
    named = " ".join(map(str, config.get("architectures") or ()))
    if kind in _NO_LANGUAGE_MODEL and "CausalLM" not in named and "LMHead" not in named:
        raise LoadError(f"model {path} is a {kind}: only models that continue text can be studied")
    quantised = config.get("quantization_config")
    if isinstance(quantised, dict):
        method = quantised.get("quant_method", "an unnamed method")
        raise LoadError(
            f"model {path} is quantised ({method}), and is not read so: give the weights in half or single precision, or "
            "a GGUF file"
        )


def _sae_at(folder: Path) -> SaeFolder | None:
    for file, form in _SAE_FILES.items():
        if (folder / file).is_file():
            return SaeFolder(folder, form, folder / file)
    return None


def read_object(file: Path, owner: str) -> dict[str, Any]:
    """A JSON object out of a file.

    Args:
        file: such as a configuration.
        owner: what it belongs to, as the error's sentence begins.

    Raises:
        LoadError: it is missing, or holds something else.
    """
    if not file.is_file():
        raise LoadError(f"{owner} does not load: it has no {file.name}")
    try:
        read: Any = read_json(read_text(file, LoadError))
    except ValueError as error:
        raise LoadError(f"{owner} does not load: its {file.name} is not JSON: {error}") from None
    if not isinstance(read, dict):
        raise LoadError(f"{owner} does not load: its {file.name} is no JSON object")
    return read


def read_sae_config(found: SaeFolder) -> dict[str, Any]:
    """The configuration beside an SAE's weights, as it was saved.

    Raises:
        LoadError: there is none, it is not JSON, or what it says of the SAE is of another kind than such settings are.
    """
    owner = f"SAE {found.path}"
    config = read_object(found.path / "cfg.json", owner)
    try:
        SaeSettings.model_validate(config)
    except ValidationError as error:
        raise LoadError(f"{owner} does not load: its cfg.json: {first_problem(error)}") from None
    return config


def refuse_pickles(path: Path, what: str, remedy: str) -> None:
    """Raise where a folder's weights are pickles; `remedy` says how to save them otherwise.

    Raises:
        LoadError: they are.
    """
    if pickles := _matching(path, _PICKLES):
        raise LoadError(_pickled(pickles, what, remedy))


def _matching(path: Path, patterns: Iterable[str]) -> list[Path]:
    return sorted(file for pattern in patterns for file in path.glob(pattern) if file.name != "training_args.bin")


def _pickled(files: list[Path], what: str, remedy: str) -> str:
    return (
        f"{files[0].parent} holds {what} as {_listed(file.name for file in files)}: pickles can run code and are not "
        f"opened; save it as safetensors ({remedy})"
    )


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:_NAMED]) + (", …" if len(found) > _NAMED else "")
