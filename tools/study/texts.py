"""Readers of text: files, folders of files, data sets on the hub, texts that come with installed packages.

What is one document:

- `.jsonl`: a line, an object with `text` and perhaps `document` (lines with one name belong together) and `topic`;
- `.parquet`: a row, with the same columns;
- `.txt`: a paragraph, told from the next by blank lines; or, where lines `<|doc|>` part them, what stands between two;
- `hub:NAME` or `hub:NAME:CONFIG`: a row of the `train` split, streamed, with a column `text`.

Files of lines may be gzipped (`.txt.gz`, `.jsonl.gz`): they are read as they are unpacked, never as a whole.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tools.border.hub import offline_mode, require_hub
from tools.border.text_files import decode
from tools.errors import StudyError

T = TypeVar("T")

HUB = "hub:"
DOCUMENT_CHARACTERS = 2000
"""What is read of one text of a user's corpus: many documents say more about a feature than few long ones."""
HUB_DOCUMENTS = 20_000
"""Most rows of a data set on the hub that are read of a stream of texts, which takes whole ones."""
DOCUMENT_LINE = "<|doc|>"
"""Parts the documents of a corpus, where paragraphs do not."""
_PARQUET_ROWS = 256
_INSTEAD = "give texts that are on this machine instead"


class Passage(NamedTuple):
    """One stretch of text."""

    document: str
    topic: str | None
    text: str


def read_jsonl(path: Path) -> Iterator[Passage]:
    """The passages of a file, whole.

    Raises:
        StudyError: a line is no object with a text.
    """
    yield from _read_lines(path, path.name)


def read_gensim(name: str) -> Iterator[Passage]:
    """A file of gensim's test data, one document a line.

    Raises:
        StudyError: gensim has no such file.
    """
    from gensim.test.utils import datapath

    path = Path(datapath(name))
    if Path(name).is_absolute() or ".." in Path(name).parts or not path.is_file():
        raise StudyError(f"gensim's test data has no file {name!r}")
    lines = path.read_text("utf-8", errors="replace").splitlines()
    yield from (Passage(f"{name}:{number}", None, line) for number, line in enumerate(lines, 1) if line.strip())


def read_texts(source: str, folder: Path, documents: int) -> list[Passage]:
    """The first documents of a file, of a folder's files in order of their names, or of a data set on the hub.

    Args:
        source: a path, relative to `folder` or to the working directory, or `hub:NAME[:CONFIG]`.
        folder: the study's.
        documents: most documents taken; of each text, the first `DOCUMENT_CHARACTERS` are read.

    Raises:
        StudyError: there is no such source, it holds no text, or a part of it, which is named, is malformed.
        LoadError: the hub cannot be reached.
    """
    if source.startswith(HUB):
        found = list(_read_hub(source.removeprefix(HUB), documents))
    else:
        found = list(_first_documents(_read_files(source, folder), documents))
    if not found:
        raise StudyError(f"{source} holds no text")
    return [passage._replace(text=passage.text[:DOCUMENT_CHARACTERS]) for passage in found]


def stream_texts(source: str, folder: Path) -> Iterator[Passage]:
    """Every document of a file, of a folder's files or of a data set on the hub, whole, one at a time.

    Args:
        source: as for `read_texts`; of a data set, the first `HUB_DOCUMENTS` rows.
        folder: what a relative path may be relative to, beside the working directory.

    Raises:
        StudyError, LoadError: as `read_texts`, when the part at fault is reached.
    """
    if source.startswith(HUB):
        yield from _read_hub(source.removeprefix(HUB), HUB_DOCUMENTS)
    else:
        yield from _read_files(source, folder)


def _read_files(source: str, folder: Path) -> Iterator[Passage]:
    path = _find(source, folder)
    parent = path if path.is_dir() else path.parent
    for file in _list(path):
        yield from _READERS[_kind(file)](file, file.relative_to(parent).as_posix())


def check_texts(source: str, folder: Path) -> None:
    """Find out early that a source is missing.

    Raises:
        StudyError, LoadError: as `read_texts`.
    """
    if source.startswith(HUB):
        require_hub("the corpus", source.removeprefix(HUB), _INSTEAD)
    else:
        _list(_find(source, folder))


def _find(source: str, folder: Path) -> Path:
    for path in (folder / source, Path(source)):
        if path.exists():
            return path
    raise StudyError(f"there are no texts at {source}: give a file, a folder, or {HUB}NAME for a data set on the hub")


def _list(path: Path) -> list[Path]:
    if path.is_file():
        if _kind(path) not in _READERS:
            raise StudyError(f"{path} is none of {', '.join(_READERS)}")
        return [path]
    files = sorted(file for file in path.rglob("*") if _kind(file) in _READERS and file.is_file())
    files = [file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    if not files:
        raise StudyError(f"the folder {path} holds no file that ends in {', '.join(_READERS)}")
    return files


def _kind(file: Path) -> str:
    """The end of a file's name that says how it is read; `.gz` behind it says only how it is packed."""
    ends = [end.lower() for end in file.suffixes[-2:]]
    return ends[0] if ends[1:] == [".gz"] and ends[0] != ".parquet" else (ends or [""])[-1]


def _first_documents(passages: Iterable[Passage], most: int) -> Iterator[Passage]:
    documents: set[str] = set()
    for passage in passages:
        documents.add(passage.document)
        if len(documents) > most:
            return
        yield passage


def _decoded_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; only a line feed ends one, as JSON has it."""
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as file:
            yield from _decode(file, path)
    except (OSError, EOFError, zlib.error) as error:
        said = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise StudyError(f"{path} cannot be read: {said}") from error


def _decode(lines: Iterable[bytes], path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, 1):
        try:
            yield number, (decode(line, str(path)) if number == 1 else line.decode("utf-8")).rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise StudyError(f"{path} is not UTF-8: line {number}, {error.reason} at byte {error.start}") from error


def _read_paragraphs(path: Path, name: str) -> Iterator[Passage]:
    parted = any(line == DOCUMENT_LINE for _, line in _decoded_lines(path))
    first, lines = 0, list[str]()
    for number, line in _decoded_lines(path):
        ends = line == DOCUMENT_LINE if parted else not line.strip()
        if not ends and (lines or line.strip()):
            first = first if lines else number
            lines.append(line)
        elif ends and lines:
            yield Passage(f"{name}:{first}", None, "\n".join(lines).rstrip("\n"))
            lines = []
    if lines:
        yield Passage(f"{name}:{first}", None, "\n".join(lines).rstrip("\n"))


def _read_lines(path: Path, name: str) -> Iterator[Passage]:
    for number, line in _decoded_lines(path):
        if not line.strip():
            continue
        try:
            entry: Any = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise StudyError(f"{path}:{number}: not a passage, for it is not JSON: {error}") from error
        if passage := _passage(entry, f"{path}:{number}", f"{name}:{number}"):
            yield passage


def _read_parquet(path: Path, name: str) -> Iterator[Passage]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            columns = [column for column in ("document", "topic", "text") if column in file.schema_arrow.names]
            if "text" not in columns:
                raise StudyError(f"{path} has no column text: it has {', '.join(file.schema_arrow.names) or 'none'}")
            for batch in file.iter_batches(_PARQUET_ROWS, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    if passage := _passage(row, f"{path}, row {number}", f"{name}:{number}"):
                        yield passage
    except (pa.ArrowException, OSError) as error:
        raise StudyError(f"{path} is not a parquet file: {' '.join(str(error).split())}") from error


@lru_cache(maxsize=4)
def _read_hub(name: str, documents: int) -> tuple[Passage, ...]:
    """Kept, for a run that goes on reads its corpus to compare it and to use it, and a stream is slow."""
    rows = gather_rows(name, "the corpus", lambda stream: list(islice(stream, documents)))
    found = (
        _passage({"text": row.get("text")}, f"{HUB}{name}, row {number}", f"{name}:{number}")
        for number, row in enumerate(rows, 1)
    )
    return tuple(passage for passage in found if passage)


def gather_rows(name: str, needed_by: str, gather: Callable[[Iterable[dict[str, Any]]], T]) -> T:
    """What is made of the rows of a data set's `train` split, which are streamed: only those asked for are fetched.

    Args:
        name: NAME or NAME:CONFIG on the hub.
        needed_by: subject of the sentence that says what is missing.
        gather: goes through the rows as far as it needs to.

    Raises:
        StudyError: the data set cannot be read.
        LoadError: the hub cannot be reached.
    """
    require_hub(needed_by, name, _INSTEAD)
    from datasets import disable_progress_bars, load_dataset
    from datasets.exceptions import DatasetsError

    disable_progress_bars()
    dataset, _, config = name.partition(":")
    try:
        with offline_mode(False):
            stream: Any = load_dataset(dataset, config or None, split="train", streaming=True)
            return gather(stream)
    except (DatasetsError, OSError, ValueError, KeyError, TypeError, RuntimeError, NotImplementedError) as error:
        raise StudyError(f"the data set {name} cannot be read from the hub: {' '.join(str(error).split())}") from error


def _passage(entry: Any, where: str, document: str) -> Passage | None:
    """One passage, or None for a blank text."""
    table: dict[str, Any] = entry if isinstance(entry, dict) else {}
    text, topic = table.get("text"), table.get("topic")
    if not isinstance(text, str) or not isinstance(topic, str | None):
        raise StudyError(f"{where}: not a passage: its text, and its topic if it has one, have to be strings")
    text = text.encode("utf-8", "replace").decode()  # JSON may hold half a surrogate pair, which no tokenizer takes
    named = table.get("document")
    return Passage(document if named is None else str(named), topic, text) if text.strip() else None


_READERS: dict[str, Callable[[Path, str], Iterator[Passage]]] = {
    ".txt": _read_paragraphs,
    ".jsonl": _read_lines,
    ".parquet": _read_parquet,
}
