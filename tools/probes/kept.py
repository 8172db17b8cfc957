"""What was read of texts, kept in the user's cache under the weights, the hook and the texts: it is read once."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tools.bench.workbench import Workbench
from tools.border.cache import cache_folder
from tools.display.terminal import complain
from tools.whole_files import replacing

VERSION = 1
"""Of what is kept in the cache."""


def name_reading(bench: Workbench, texts: Sequence[str]) -> str:
    """A name for everything that follows from these texts and this bench."""
    known = (VERSION, bench.hashes, str(bench.dtype), bench.hook_name, bench.row_width, bench.sink_multiple)
    digest = hashlib.sha256(repr(known).encode())
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:24]


def file_of(name: str, cache: Path | None = None) -> Path:
    """Where it is kept; in the user's cache unless a folder is given."""
    return (cache or cache_folder("probes")) / f"{name}.npz"


def keep_arrays(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """What stands in the way of keeping them is said in a line, and costs time only."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as fresh, fresh.open("wb") as opened:
            np.savez_compressed(opened, allow_pickle=False, **arrays)
    except OSError as error:
        complain(f"note: what was read is not kept in {file.parent} ({error.strerror}): another reading takes as long")


def read_arrays(file: Path, shapes: Mapping[str, tuple[int | None, ...]]) -> dict[str, np.ndarray] | None:
    """What was kept; None where there is none, or it does not read or fit. A length of None may be any."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as kept:
            found = {name: np.asarray(kept[name]) for name in shapes}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    fits = all(
        len(found[name].shape) == len(shape)
        and all(wanted in (None, length) for wanted, length in zip(shape, found[name].shape, strict=True))
        for name, shape in shapes.items()
    )
    return found if fits else None
