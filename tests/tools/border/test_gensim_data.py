"""Vectors of gensim's downloader: a cache in its own layout, and a server that stands in for where it keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import gensim.downloader
import pytest

from tests.servers.listener import listen
from tools.border.egress import behind_border
from tools.border.gensim_data import load_named_vectors

NAME = "border_test_vectors"
MODULE = """\
from gensim.models import KeyedVectors
def load_data():
    vectors = KeyedVectors(2)
    vectors.add_vectors(["heart", "river"], [[1.0, 0.0], [0.0, 1.0]])
    return vectors
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setattr(gensim.downloader, "BASE_DIR", str(tmp_path))
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])
    return tmp_path


def test_vectors_in_the_cache_are_read_without_asking_for_the_list(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "information.json").write_text(json.dumps({"corpora": {}, "models": {NAME: {"file_name": "v.gz"}}}))
    (folder / NAME).mkdir()
    (folder / NAME / "__init__.py").write_text(MODULE)
    with behind_border() as guard:
        assert load_named_vectors(NAME).index_to_key == ["heart", "river"]
    assert not guard.connections
    assert (capsys.readouterr().err, caplog.records) == ("", [])


def test_vectors_that_are_not_there_are_fetched_from_their_own_place_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list names no such vectors; that it was asked for shows that its place is open."""
    with listen() as place:
        monkeypatch.setattr("tools.border.gensim_data.SOURCES", (place.url,))
        ask = gensim.downloader.urlopen
        monkeypatch.setattr(gensim.downloader, "urlopen", lambda _: ask(f"{place.url}/list.json"))
        with behind_border() as guard, pytest.raises((ValueError, KeyError)):
            load_named_vectors(NAME)
        assert place.gets == ["/list.json"]
    assert not guard.connections
