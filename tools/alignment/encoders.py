"""Sentence encoders: what says how alike two texts are, without the SAE.

The default is at hand everywhere and is no trained encoder: the mean of a study's word vectors, each weighted by how often
the word stands in the text and how few documents of the corpus hold it. A trained one is the user's choice, and comes with
the optional library sentence-transformers; it is read from a folder of safetensors, and runs no code of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from tools.border.hub import cached_folder, offline_mode, require_hub
from tools.errors import LoadError, UnveilError
from tools.study.corpus import Corpus
from tools.survey.coherence import WordVectors
from tools.survey.keywords import words_of
from tools.survey.lexicon import load_study_vectors

INSTALL = "pip install -e '.[encoder]'"
_LIBRARY = "sentence_transformers"
_FETCHED = ("*.json", "*.txt", "*.model", "*.safetensors")
_PICKLES = ("*.bin", "*.pt", "*.pkl", "*.ckpt", "*.h5")


@runtime_checkable
class SentenceEncoder(Protocol):
    """Texts in, directions out."""

    @property
    def name(self) -> str:
        """What it is, for whoever reads the result."""
        ...

    def encode(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """A unit row for each text; a row of zeros for one that it knows nothing of."""
        ...


class WordVectorEncoder:
    """The mean of word vectors by tf-idf."""

    def __init__(self, vectors: WordVectors, texts: Iterable[str], called: str) -> None:
        """Weights are counted in `texts`; `called` names vectors and texts."""
        self.name = f"tf-idf mean of word vectors ({called})"
        self._vectors = vectors
        seen, n = Counter[str](), 0
        for text in texts:
            seen.update(set(words_of(text)))
            n += 1
        counts = np.array([seen[word] for word in vectors.words], dtype=np.float64)
        self._rarity: Float[np.ndarray, " words"] = np.log((1 + n) / (1 + counts)) + 1

    def encode(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """A unit row for each text; zeros for one without a word that has a vector."""
        rows = np.zeros((len(texts), self._vectors.matrix.shape[1]))
        for place, text in enumerate(texts):
            known = Counter(self._vectors.row[word] for word in words_of(text) if word in self._vectors.row)
            if known:
                words, times = np.array(list(known)), np.array(list(known.values()))
                rows[place] = (times * self._rarity[words]) @ self._vectors.matrix[words]
        return to_unit(rows)


class TrainedEncoder:
    """A model of sentence-transformers, from a folder."""

    def __init__(self, folder: Path, name: str, device: str = "cpu") -> None:
        """Load it.

        Raises:
            LoadError: the library is not there, or cannot load what the folder holds.
        """
        self.name = name
        check_encoder_folder(folder, name)
        from sentence_transformers import SentenceTransformer  # pyright: ignore[reportMissingImports]

        try:
            with offline_mode(True):
                self._model: Any = SentenceTransformer(
                    str(folder),
                    device=device,
                    trust_remote_code=False,
                    local_files_only=True,
                    model_kwargs={"use_safetensors": True},
                )
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError) as error:
            raise LoadError(f"sentence encoder {name}: {' '.join(str(error).split())[:200]}") from error

    def encode(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """A unit row for each text, or for as much of it as the model reads."""
        rows = self._model.encode(list(texts), convert_to_numpy=True, show_progress_bar=False)
        return to_unit(np.asarray(rows, dtype=np.float64))


def find_encoder(name: str | None, corpus: Corpus, device: str = "cpu") -> SentenceEncoder:
    """The encoder of that name; the study's word vectors without one.

    Args:
        name: a folder, or a model on the hub.
        corpus: of the study; what the default's weights are counted in.
        device: of a trained one.

    Raises:
        UnveilError: there is none, it does not load, or the study has no word vectors.
    """
    if name is not None:
        return TrainedEncoder(locate_encoder(name), name, device)
    texts = [passage.text for passage in corpus.passages("train")]
    return WordVectorEncoder(load_study_vectors(corpus.study), texts, f"study {corpus.study.name}")


def locate_encoder(name: str) -> Path:
    """The folder of a trained encoder, fetched from the hub where it is neither a folder nor in the cache.

    Raises:
        LoadError: the library for it is not installed, the hub cannot be reached, or has no such model.
    """
    if find_spec(_LIBRARY) is None:
        raise LoadError(
            f"sentence encoder {name} needs the library sentence-transformers: {INSTALL} (without --encoder the study's "
            "word vectors stand in)"
        )
    if (at_hand := find_at_hand(name)) is not None:
        check_encoder_folder(at_hand, name)
        return at_hand
    require_hub("--encoder", name, "give the folder of one that is on this machine")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        with offline_mode(False):
            return Path(snapshot_download(name, allow_patterns=list(_FETCHED)))
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise LoadError(
            f"sentence encoder {name} is no folder here, and the hub has none: {str(error)[:200]}"
        ) from error


def find_at_hand(name: str) -> Path | None:
    """The folder of an encoder on this machine; None if there is none."""
    return Path(name) if Path(name).is_dir() else cached_folder(name, "modules.json")


def check_encoder_folder(folder: Path, name: str) -> None:
    """See that a folder is an encoder whose weights are safetensors, and that nothing in it would be run.

    Raises:
        LoadError: it is not.
    """
    try:
        modules: Any = json.loads((folder / "modules.json").read_text("utf-8"))
        types = [str(module["type"]) for module in modules]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LoadError(f"{folder} holds no model of sentence-transformers: its modules.json does not read") from error
    if not types:
        raise LoadError(f"{folder} holds no model of sentence-transformers: its modules.json names no module")
    if foreign := [kind for kind in types if not kind.startswith(f"{_LIBRARY}.")]:
        raise LoadError(f"sentence encoder {name} would run code of its own ({foreign[0]}): take another")
    pickles = [file for pattern in _PICKLES for file in folder.rglob(pattern)]
    if unsafe := [file for file in pickles if not any(file.parent.glob("*.safetensors"))]:
        raise LoadError(f"sentence encoder {name} has weights that are no safetensors ({unsafe[0].name}): take another")


def hash_encoder(folder: Path) -> str:
    """sha256 over the names and bytes of the folder's files."""
    digest = hashlib.sha256()
    for file in sorted(file for file in folder.rglob("*") if file.is_file() and file.match("*.*")):
        relative = file.relative_to(folder)
        if any(part.startswith(".") for part in relative.parts) or not any(map(relative.match, _FETCHED)):
            continue
        digest.update(relative.as_posix().encode() + b"\0")
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def to_unit(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Rows of length 1; zeros stay zeros.

    Raises:
        UnveilError: one holds what is no number.
    """
    if not np.isfinite(rows).all():
        raise UnveilError("an embedding is no number")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros(rows.shape), where=lengths > 0)
