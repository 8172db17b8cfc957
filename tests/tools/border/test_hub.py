"""What the hub's cache is found to hold, and offline mode. The cache is a real one in its layout; nothing is downloaded."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from tools.border.hub import is_model_cached, is_sae_cached, locate_sae, offline_mode, require_hub
from tools.errors import LoadError

RELEASE = "gpt2-small-res-jb"
REPOSITORY = "jbloom/GPT2-Small-SAEs-Reformatted"
FOLDER = "blocks.8.hook_resid_pre"
MODEL = ("config.json", "tokenizer.json", "model.safetensors")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield


def put(cache: Path, repository: str, *files: str, text: str = "{}") -> None:
    """Files of a repository at one revision, as a download leaves them."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text("0" * 40, "utf-8")
    for file in files:
        path = folder / "snapshots" / ("0" * 40) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def test_release_of_the_registry_is_found_in_its_repository() -> None:
    found = locate_sae(f"{RELEASE}/{FOLDER}")
    assert (found.release, found.sae_id) == (RELEASE, FOLDER)
    assert (found.repo, found.folder, found.converted) == (REPOSITORY, FOLDER, False)


def test_registry_is_read_as_the_library_reads_it() -> None:
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    directory = get_pretrained_saes_directory()
    for release in sorted(directory)[::40]:
        entry = directory[release]
        sae_id, path = list(entry.saes_map.items())[-1]
        found = locate_sae(f"{release}/{sae_id}")
        assert (found.repo, found.folder) == (entry.repo_id, path)
        assert found.converted == bool(entry.conversion_func)


def test_repository_that_is_not_registered_is_named_with_its_folder() -> None:
    found = locate_sae("owner/repository/some/folder")
    assert (found.release, found.sae_id) == (found.repo, found.folder) == ("owner/repository", "some/folder")


def test_unknown_sae_of_a_release_names_some_that_there_are() -> None:
    with pytest.raises(LoadError, match=r"has no SAE 'blocks\.77': it has blocks\.0\.hook_resid_pre, .*…"):
        locate_sae(f"{RELEASE}/blocks.77")


@pytest.mark.parametrize("name", ["nosuch", "nosuch/id", "owner/repository/"])
def test_name_that_is_neither_a_release_nor_a_repository_is_refused(name: str) -> None:
    with pytest.raises(LoadError, match="no folder here and no RELEASE/SAE_ID"):
        locate_sae(name)


@pytest.mark.parametrize("missing", [*MODEL, None])
def test_model_is_cached_when_every_file_is_there(cache: Path, missing: str | None) -> None:
    put(cache, "gpt2", *(file for file in MODEL if file != missing))
    assert is_model_cached("gpt2") == (missing is None)


@pytest.mark.parametrize("missing", [1, None])
def test_sharded_model_is_cached_when_every_shard_is(cache: Path, missing: int | None) -> None:
    put(cache, "a/b", "config.json", "vocab.json")
    put(cache, "a/b", *(f"part-{i}.safetensors" for i in range(3) if i != missing))
    index = {"weight_map": {f"w{i}": f"part-{i}.safetensors" for i in range(3)}}
    put(cache, "a/b", "model.safetensors.index.json", text=json.dumps(index))
    assert is_model_cached("a/b") == (missing is None)


@pytest.mark.parametrize("missing", ["cfg.json", "sae_weights.safetensors", None])
def test_sae_is_cached_under_the_repository_of_its_release(cache: Path, missing: str | None) -> None:
    files = (file for file in ("cfg.json", "sae_weights.safetensors") if file != missing)
    put(cache, REPOSITORY, *(f"{FOLDER}/{file}" for file in files))
    assert is_sae_cached(f"{RELEASE}/{FOLDER}") == (missing is None)
    assert not is_sae_cached(f"{RELEASE}/blocks.9.hook_resid_pre")


def test_sae_of_another_format_is_cached_when_its_folder_is(cache: Path) -> None:
    name = "gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71"
    assert locate_sae(name).converted
    assert not is_sae_cached(name)
    put(cache, "google/gemma-scope-2b-pt-res", "layer_20/width_16k/average_l0_71/params.npz")
    assert is_sae_cached(name)
    assert not is_sae_cached("gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_38")


@pytest.mark.parametrize("name", ["no such name!", "a/b/c/d", ""])
def test_name_that_the_hub_would_not_take_is_not_cached(cache: Path, name: str) -> None:
    assert not is_model_cached(name)


@pytest.mark.usefixtures("endpoint")
def test_hub_that_answers_is_enough() -> None:
    require_hub("this", "that", "nothing to do")


@pytest.mark.usefixtures("endpoint")
def test_hub_is_out_of_reach_in_offline_mode() -> None:
    with offline_mode(True), pytest.raises(LoadError, match=r"this needs 'that' .*HF_HUB_OFFLINE is set\); do it"):
        require_hub("this", "that", "do it")


def test_offline_mode_ends_with_its_block_and_is_never_lifted() -> None:
    def offline() -> bool:
        return huggingface_hub.constants.is_offline_mode()

    with offline_mode(False):
        assert not offline()
    with pytest.raises(KeyError), offline_mode(True):
        assert offline()
        with offline_mode(False):
            assert offline(), "who asked for it keeps it"
        raise KeyError
    assert not offline()
