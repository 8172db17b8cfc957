"""Neuronpedia's explanations as annotations: a `batch-N.jsonl`, with or without `.gz`, or a folder of them.

An explanation that names a model is a program's work and is marked so. Verdicts have no field there, and none is guessed
from `notes`.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from evals.errors import LabelError
from evals.manual.reading import Collector, Options, Row, read_jsonl
from evals.manual.records import ANNOTATION, Import


def read_neuronpedia(path: Path, options: Options) -> Import:
    """Explanations of a file, or of all folders named `explanations…` in a folder.

    Raises:
        LabelError: there is none, or a file cannot be read.
    """
    files = [path]
    if path.is_dir():
        found = sorted({*path.rglob("*.jsonl"), *path.rglob("*.jsonl.gz")})
        files = [file for file in found if file.parent.name.startswith("explanations")]
    if not files:
        raise LabelError(f"{path} holds no explanations/batch-N.jsonl of Neuronpedia's")
    into = Collector()
    for file in files:
        for where, row in _rows(file, into):
            _read_row(where, row, options, into)
    return into.done()


def _rows(file: Path, into: Collector) -> Iterator[Row]:
    if file.suffix.lower() != ".gz":
        yield from read_jsonl(file, into)
        return
    with TemporaryDirectory() as folder:
        plain = Path(folder) / file.stem
        try:
            plain.write_bytes(gzip.decompress(file.read_bytes()))
        except (OSError, EOFError) as error:
            raise LabelError(f"{file} cannot be unpacked: {error}") from None
        yield from read_jsonl(plain, into)


def _read_row(where: str, row: dict[str, Any], options: Options, into: Collector) -> None:
    missing = [name for name in ("layer", "index", "description") if row.get(name) in (None, "")]
    if missing:
        into.refuse(where, f"an explanation has layer, index and description: {', '.join(missing)} is missing")
        return
    if not str(row["index"]).isdecimal():
        into.refuse(where, f"{row['index']!r} is no feature's number")
        return
    model = row.get("explanationModelName")
    into.add(
        where,
        annotator=str(model or row.get("authorId") or options.annotator or "neuronpedia"),
        item={"study": options.study, "sae": str(row["layer"]), "index": int(row["index"])},
        question=ANNOTATION,
        value=row["description"],
        time=row.get("createdAt"),
        note=row.get("notes"),
        machine=model is not None,
    )
