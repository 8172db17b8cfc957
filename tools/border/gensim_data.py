"""Word vectors of gensim's downloader: from its cache without asking anyone, or fetched from where it keeps them."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.border.egress import reaching

SOURCES = ("https://github.com", "https://*.githubusercontent.com")
"""The downloader's list and releases, and where the latter lead a download on to."""


def load_named_vectors(name: str) -> Any:
    """The vectors of that name, as gensim's `KeyedVectors`.

    Raises:
        OSError, ValueError: they are neither in the cache nor to be had.
    """
    import gensim.downloader

    folder = Path(gensim.downloader.BASE_DIR)
    if (folder / name).is_dir() and (folder / "information.json").is_file():
        with _from_cache(gensim.downloader):
            return gensim.downloader.load(name)
    with reaching(*SOURCES):
        return gensim.downloader.load(name)


@contextmanager
def _from_cache(downloader: Any) -> Generator[None]:
    """Within it the downloader reads its list from the cache; left alone it asks for it anew every time."""

    def unasked(*_: object) -> None:
        raise OSError("the vectors are in the cache")

    log: logging.Logger = downloader.logger
    open_url, disabled = downloader.urlopen, log.disabled
    downloader.urlopen, log.disabled = unasked, True  # it would print the traceback of what it goes on from
    try:
        yield
    finally:
        downloader.urlopen, log.disabled = open_url, disabled
