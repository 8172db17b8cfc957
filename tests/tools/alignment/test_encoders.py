"""Trained encoders: found in a folder or the hub's cache, refused where they would run code, and clear where they are not there.

The library is an optional one; its border is a small module of the same name and the same two calls.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest

from tools.alignment import encoders
from tools.alignment.encoders import find_at_hand, find_encoder, hash_encoder, locate_encoder
from tools.errors import LoadError, UnveilError
from tools.study.corpus import Corpus
from tools.study.definition import Study

OWN = "sentence_transformers.models.Transformer"


class _Model:
    """Embeds a text as its first letters."""

    made: dict[str, Any] = {}

    def __init__(self, path: str, **settings: Any) -> None:
        if "broken" in path:
            raise OSError("no file named\nmodel.safetensors")
        _Model.made = {"path": path, **settings}

    def encode(self, texts: Sequence[str], **settings: Any) -> np.ndarray:
        assert settings == {"convert_to_numpy": True, "show_progress_bar": False}
        return np.array([[ord(letter) - 90 for letter in f"{text:<3}"[:3]] for text in texts], dtype=np.float32)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("sentence_transformers")
    module.__spec__ = ModuleSpec("sentence_transformers", None)
    module.SentenceTransformer = _Model  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)


def save(folder: Path, kinds: Sequence[str] = (OWN,), weights: str = "model.safetensors") -> Path:
    folder.mkdir(parents=True)
    (folder / "modules.json").write_text(json.dumps([{"idx": i, "type": kind} for i, kind in enumerate(kinds)]))
    (folder / weights).write_bytes(b"\0")
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_library_that_is_not_installed_is_named_with_how_to_get_it(tmp_path: Path, study: Study) -> None:
    assert encoders.find_spec("sentence_transformers") is None, "this environment has no such library"
    with pytest.raises(LoadError, match=r"pip install -e '\.\[encoder\]'") as raised:
        find_encoder(str(save(tmp_path / "e")), Corpus(study))
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("library")
def test_encoder_in_a_folder_gives_unit_rows_and_runs_no_code(tmp_path: Path, study: Study) -> None:
    folder = save(tmp_path / "e")
    encoder = find_encoder(str(folder), Corpus(study))
    rows = encoder.encode(["abc", "aaa", "xyz"])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1)
    assert encoder.name == str(folder)
    made = _Model.made
    assert (made["path"], made["trust_remote_code"], made["local_files_only"]) == (str(folder), False, True)
    assert made["model_kwargs"] == {"use_safetensors": True}


@pytest.mark.usefixtures("library")
def test_encoder_in_the_hubs_cache_is_found_there(cache: Path) -> None:
    folder = cache / "models--own--small"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    saved = save(folder / "snapshots" / ("0" * 40))
    assert locate_encoder("own/small") == saved


@pytest.mark.usefixtures("library", "cache")
@pytest.mark.parametrize("name", ["own/other", "nowhere", "/no/such/folder", "a name with spaces"])
def test_hub_that_cannot_be_reached_is_said_in_a_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(LoadError, match="cannot be reached.*this machine") as raised:
        locate_encoder(name)
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("kinds", "weights", "said"),
    [
        (["custom_st.Transformer"], "model.safetensors", "code of its own"),
        ([OWN, "os.path.join"], "model.safetensors", "code of its own"),
        ([OWN], "pytorch_model.bin", "no safetensors"),
    ],
)
def test_encoder_that_would_run_something_is_refused(tmp_path: Path, kinds: list[str], weights: str, said: str) -> None:
    with pytest.raises(LoadError, match=said):
        locate_encoder(str(save(tmp_path / "e", kinds, weights)))


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("text", [None, "", "[1]", "{}", '[{"idx": 0}]'])
def test_folder_that_is_no_encoder_is_refused_in_a_line(tmp_path: Path, text: str | None) -> None:
    folder = tmp_path / "e"
    folder.mkdir()
    if text is not None:
        (folder / "modules.json").write_text(text)
    with pytest.raises(LoadError, match="holds no model of sentence-transformers") as raised:
        locate_encoder(str(folder))
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("library")
def test_what_the_library_says_is_one_line(tmp_path: Path, study: Study) -> None:
    with pytest.raises(LoadError, match="no file named model.safetensors") as raised:
        find_encoder(str(save(tmp_path / "broken")), Corpus(study))
    assert "\n" not in str(raised.value)


def test_hash_of_an_encoder_is_that_of_its_files(tmp_path: Path) -> None:
    one, same, other = (save(tmp_path / name) for name in "abc")
    (other / "model.safetensors").write_bytes(b"\1")
    (same / "README.md").write_text("of no effect")
    (same / ".cache").mkdir()
    (same / ".cache" / "x.json").write_text("of no effect")
    assert hash_encoder(one) == hash_encoder(same) != hash_encoder(other)
    assert find_at_hand(str(one)) == one


def test_embedding_that_is_no_number_is_an_error() -> None:
    with pytest.raises(UnveilError, match="no number"):
        encoders.to_unit(np.array([[np.nan, 1.0]]))
