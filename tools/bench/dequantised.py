"""A model that was de-quantised once, kept in the user's cache: another reading takes a tenth of the time.

A folder for each file, dtype and version of this reader, by the file's sha256. It is believed only while its weights have
the hash that they were written with; whoever loads from it holds it against the GGUF file as it holds a fresh reading.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError

from tools.border.cache import cache_folder
from tools.display.terminal import complain
from tools.records import Record

VERSION = 1
"""Of what is kept; another is made anew."""
_RECORD, _WEIGHTS = "kept.json", "model.safetensors"
_FREE = 2.0
"""Times as much room as it takes has to be free: a cache is no reason for a full disk."""


class Kept(Record):
    """What makes a folder whole; written last."""

    tokenizer: str
    """Its class in transformers."""
    sha256: str
    """Of the weights."""


class Dequantised(NamedTuple):
    """Where a file's weights are kept in a dtype, or would be."""

    folder: Path
    dtype: torch.dtype

    @classmethod
    def of(cls, file: Path, dtype: torch.dtype) -> Dequantised:
        """The place for a GGUF file."""
        kind = str(dtype).removeprefix("torch.")
        return cls(cache_folder("models") / f"{_hash(file)}-{kind}-{VERSION}", dtype)

    def recall(self) -> tuple[Any, Any, dict[str, Any]] | None:
        """Model, tokenizer and what transformers says of the keys it loaded; None where nothing whole is kept."""
        import transformers

        try:
            kept = Kept.model_validate_json((self.folder / _RECORD).read_bytes())
            if _hash(self.folder / _WEIGHTS) != kept.sha256:
                return None
        except (OSError, ValidationError):
            return None
        loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
            self.folder, dtype=self.dtype, output_loading_info=True, trust_remote_code=False
        )
        model, info = loaded
        return model, getattr(transformers, kept.tokenizer).from_pretrained(self.folder), info

    def keep(self, model: Any, tokenizer: Any) -> None:
        """Keep a model that was just de-quantised; what stands in the way is said in a line, and costs time only."""
        fresh = self.folder.with_name(f".{self.folder.name}.{os.getpid()}.new")
        try:
            fresh.mkdir(parents=True)
            needed = sum(weight.nbytes for weight in model.parameters())
            if (free := shutil.disk_usage(fresh).free) < _FREE * needed:
                raise OSError(f"{needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free")
            _write(fresh, model, tokenizer)
            shutil.rmtree(self.folder, ignore_errors=True)  # one that is not whole
            fresh.rename(self.folder)
        except Exception as error:  # a full disk raises as every library likes; what was loaded is whole in any case
            said = " ".join(str(error).split())[:160]
            complain(
                f"note: the de-quantised weights are not kept in {self.folder.parent} ({said}): each loading takes longer"
            )
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def _write(folder: Path, model: Any, tokenizer: Any) -> None:
    """All of it, read back and compared."""
    import transformers
    from safetensors.torch import load_file, save_file

    config = model.config.to_dict()
    config.pop("quantization_config", None)
    type(model.config).from_dict(config).save_pretrained(folder)
    weights = {name: weight.detach().contiguous() for name, weight in model.named_parameters()}  # tied ones once
    save_file(weights, folder / _WEIGHTS, metadata={"format": "pt"})
    tokenizer.save_pretrained(folder)
    written = load_file(folder / _WEIGHTS)
    again = getattr(transformers, type(tokenizer).__name__).from_pretrained(folder)
    if written.keys() != weights.keys() or not all(torch.equal(weights[name], written[name]) for name in weights):
        raise OSError("the weights did not read back as they were written")
    if _says(again) != _says(tokenizer):
        raise OSError("the tokenizer did not read back as it was written")
    kept = Kept(tokenizer=type(tokenizer).__name__, sha256=_hash(folder / _WEIGHTS))
    (folder / _RECORD).write_text(kept.model_dump_json() + "\n", "utf-8")


def _says(tokenizer: Any) -> tuple[object, ...]:
    return (
        tokenizer.backend_tokenizer.to_str(),
        tokenizer.special_tokens_map,
        tokenizer.chat_template,
        len(tokenizer),
    )


def _hash(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
