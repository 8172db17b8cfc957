"""The Hugging Face hub as this machine sees it: what its cache holds, whether it can be reached, and offline mode.

No heavy library is imported here, so that a missing download is said at once.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlparse

from tools.border.egress import reaching
from tools.errors import LoadError

PROBE_SECONDS = 1.0
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
SHARD_INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model", "spiece.model")
SAE_FILES = ("cfg.json", "sae_weights.safetensors")
"""Of SAELens' own format; other formats are recognised by their folder."""
_REGISTRY = "pretrained_saes.yaml"
CONTENT = ("https://*.hf.co", "https://*.huggingface.co")
"""Where the hub, and mirrors of it, lead a download on to."""
_NAMED = 5
"""Known SAE ids named in an error."""


class SaeLocation(NamedTuple):
    """Where an SAE lies on the hub."""

    release: str
    sae_id: str
    repo: str
    folder: str
    converted: bool
    """Not in SAELens' own format: the library has a converter for it."""


def locate_sae(name: str) -> SaeLocation:
    """The repository behind `RELEASE/SAE_ID` of SAELens' registry, or behind `OWNER/REPOSITORY/FOLDER`.

    Raises:
        LoadError: it is neither.
    """
    release, _, sae_id = name.partition("/")
    entry = _read_registry(release)
    if entry is not None:
        paths = {str(sae["id"]): str(sae["path"]) for sae in entry["saes"]}
        if sae_id not in paths:
            known = ", ".join(list(paths)[:_NAMED]) + (", …" if len(paths) > _NAMED else "")
            raise LoadError(f"SAELens' release {release} has no SAE {sae_id!r}: it has {known}")
        return SaeLocation(release, sae_id, entry["repo_id"], paths[sae_id], bool(entry.get("conversion_func")))
    repository = "/".join(name.split("/")[:2])
    folder = name[len(repository) + 1 :]
    if not folder:
        raise LoadError(f"SAE {name!r} is no folder here and no RELEASE/SAE_ID that SAELens knows")
    return SaeLocation(repository, folder, repository, folder, False)


def _read_registry(release: str) -> dict[str, Any] | None:
    """One entry of the list that SAELens ships, read without importing the library, which takes seconds."""
    import yaml

    spec = find_spec("sae_lens")
    if spec is None or not spec.submodule_search_locations:
        return None
    text = (Path(spec.submodule_search_locations[0]) / _REGISTRY).read_text("utf-8")
    found = re.search(rf"^{re.escape(release)}:\n((?:[ -].*\n)*)", text, re.MULTILINE)
    return yaml.safe_load(found[1]) if found else None


def is_model_cached(name: str) -> bool:
    """The cache holds a model's configuration, tokenizer and every weight file."""
    if not (_is_cached(name, "config.json") and any(_is_cached(name, file) for file in TOKENIZER_FILES)):
        return False
    return any(_is_cached(name, file) for file in WEIGHT_FILES) or any(
        _are_shards_cached(name, index) for index in SHARD_INDICES
    )


def is_sae_cached(name: str) -> bool:
    """The cache holds what SAELens reads of an SAE.

    Raises:
        LoadError: as `locate_sae`.
    """
    found = locate_sae(name)
    if not found.converted:
        return all(_is_cached(found.repo, f"{found.folder}/{file}") for file in SAE_FILES)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return (Path(snapshot_download(found.repo, local_files_only=True)) / found.folder).exists()
    except LocalEntryNotFoundError:
        return False


def _is_cached(repo: str, file: str) -> bool:
    return _cached_file(repo, file) is not None


def _cached_file(repo: str, file: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache  # light, unlike the libraries that use it
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(repo, file)
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None


def cached_folder(repo: str, file: str) -> Path | None:
    """Where the cache holds a repository of which it has that file; None if it has not."""
    found = _cached_file(repo, file)
    return found.parent if found else None


def _are_shards_cached(repo: str, index: str) -> bool:
    file = _cached_file(repo, index)
    if file is None:
        return False
    shards = set(json.loads(file.read_text("utf-8"))["weight_map"].values())
    return all(_is_cached(repo, shard) for shard in shards)


def require_hub(needed_by: str, name: str, remedy: str) -> None:
    """One short probe; left alone, the hub libraries retry for 25 s before they say that there is no network.

    Args:
        needed_by: subject of the error's sentence.
        name: of what is needed.
        remedy: what to do if the hub cannot be reached.

    Raises:
        LoadError: the hub cannot be reached.
    """
    from huggingface_hub import constants

    endpoint = urlparse(constants.ENDPOINT)
    try:
        if constants.is_offline_mode():
            raise OSError("HF_HUB_OFFLINE is set")
        port = endpoint.port or (443 if endpoint.scheme == "https" else 80)
        with reaching(constants.ENDPOINT):
            socket.create_connection((endpoint.hostname or "", port), timeout=PROBE_SECONDS).close()
    except OSError as error:
        raise LoadError(
            f"{needed_by} needs {name!r} from the Hugging Face hub, which cannot be reached ({error}); {remedy}"
        ) from error


@contextmanager
def offline_mode(wanted: bool) -> Generator[None]:
    """Within it, and if it is wanted, the hub libraries take files from their cache and ask no server about them.

    If it is not wanted, what was asked for by name still has to be fetched, and the hub may be reached.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or wanted  # pyright: ignore[reportConstantRedefinition]
    try:
        with nullcontext() if wanted else reaching(constants.ENDPOINT, *CONTENT):
            yield
    finally:
        constants.HF_HUB_OFFLINE = before  # pyright: ignore[reportConstantRedefinition]
