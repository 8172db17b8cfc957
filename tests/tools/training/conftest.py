"""The tiny study, taken through every step of the training command once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.training.tiny_study import EVERYDAY, MEDICAL, train, write_corpus, write_study

ORDER = (
    "tokenizer",
    "base",
    "finetuned",
    "sae",
    "sae --arm finetuned",
    "sae --seed 1",
    "vectors",
    "publish",
    "measure",
)


@pytest.fixture(autouse=True, scope="module")
def kept_signal_handlers() -> Iterator[None]:
    """SAELens' runner puts handlers of its own for interrupts and leaves them."""
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}
    yield
    for kind, handler in before.items():
        signal.signal(kind, handler)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of corpora."""
    folder = tmp_path_factory.mktemp("texts")
    for seed, (name, words) in enumerate((("general", EVERYDAY), ("medical", MEDICAL))):
        write_corpus(folder, name, words, documents=130, seed=seed)
        write_corpus(folder, f"{name}.heldout", words, documents=8, seed=10 + seed)
    return folder


@pytest.fixture(scope="session")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the study's, `trained`, and the folder it was trained in, `work`, after every step in order."""
    root = tmp_path_factory.mktemp("training")
    write_study(root / "trained")
    for step in ORDER:
        more = ("--rows", "6") if step == "measure" else ()
        assert train(root / "trained", data, root / "work", step, *more) == 0, step
    return root
