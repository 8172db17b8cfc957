"""Human scores in the form of Inspect's `precomputed_scores`: JSON (an array) or JSONL of id, value and more.

`value` is a verdict, a number, or an object of them by question; `id` names a feature; a record for one epoch only is a
label like any other. Who scored stands in `metadata.annotator`, or is the file's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evals.errors import LabelError
from evals.manual.reading import Collector, Options, Row, read_item, read_json, read_jsonl, read_value
from evals.manual.records import Import


def read_precomputed(path: Path, options: Options) -> Import:
    """Scores of one file.

    Raises:
        LabelError: it cannot be read as such a file.
    """
    into = Collector()
    seen: dict[tuple[str, object], str] = {}
    for where, record in _records(path, into):
        if "id" not in record or "value" not in record:
            into.refuse(where, "a record has an id and a value")
            continue
        place = (str(record["id"]), record.get("epoch"))
        if place in seen:
            into.refuse(where, f"the same id and epoch as {seen[place]}")
            continue
        seen[place] = where
        _read_record(where, record, path, options, into)
    return into.done()


def _records(path: Path, into: Collector) -> Iterator[Row]:
    if path.suffix.lower() == ".jsonl":
        yield from read_jsonl(path, into)
        return
    records = read_json(path)
    if not isinstance(records, list):
        raise LabelError(f"{path} is not a list of score records")
    for number, record in enumerate(records, 1):
        where = f"{path.name}: record {number}"
        if isinstance(record, dict):
            yield Row(where, record)
        else:
            into.refuse(where, "not a JSON object")


def _read_record(where: str, record: dict[str, Any], path: Path, options: Options, into: Collector) -> None:
    metadata = record.get("metadata")
    who = metadata.get("annotator") if isinstance(metadata, dict) else None
    value = record["value"]
    answers = value if isinstance(value, dict) else {options.question: value}
    note = str(record.get("explanation") or "") or None
    for question, answer in answers.items():
        try:
            item, read = read_item(str(record["id"]), options), read_value(str(question), answer)
        except ValueError as error:
            into.refuse(where, str(error))
            continue
        annotator = str(who or options.annotator or path.stem)
        into.add(where, annotator=annotator, item=item, question=str(question), value=read, note=note)
