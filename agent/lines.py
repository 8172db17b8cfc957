"""JSON that may come from anyone, read strictly: bounded in size, finite in its numbers, refused by file, line and field.

Lines are read one at a time. A last line without its line end was cut off by a kill, and is no line: a reader passes it
over, and `mend_last_line` takes it away, or ends it where nothing of it is missing, before anything is appended.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from agent.errors import RunError
from tools.errors import first_problem
from tools.records import SCHEMA_VERSION

R = TypeVar("R", bound=BaseModel)

LONGEST = 64 * 2**20
"""Most bytes of a line, or of a file that is one record."""
_ODD_NUMBER = re.compile(rb"NaN|Infinity|[0-9]{19}|[eE]\+?[0-9]{3}")
"""What may be no finite number, or a whole one that does not fit into 64 bits: what has none of it is not looked at twice."""
_WRITTEN = re.compile(rb'\{"[^\x00-\x1f]*\Z')
"""How the beginning of a line of ours looks: no control character is ever written as itself."""


def read_lines(file: Path, kind: type[R]) -> Iterator[R]:
    """Records of a JSONL file.

    Raises:
        RunError: the file is missing or a folder, or a line does not fit; the text names the line.
    """
    for number, line in numbered_lines(file):
        yield parse_record(kind, line, f"{file}:{number}")


def numbered_lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """Lines with their line feeds, numbered from 1; a last one that was cut off is left out.

    Raises:
        RunError: the file cannot be read, or a line is longer than `LONGEST`.
    """
    try:
        with file.open("rb") as opened:
            number = 0
            while line := opened.readline(LONGEST + 1):
                number += 1
                if len(line) > LONGEST:
                    raise RunError(f"{file}:{number}: the line is longer than {LONGEST >> 20} MiB: it is damaged")
                if line.endswith(b"\n"):
                    yield number, line
    except OSError as error:
        raise RunError(_say_unreadable(file, error)) from None


def read_record(file: Path, kind: type[R], remedy: str) -> R:
    """A file that is one record.

    Args:
        file: of JSON.
        kind: of record.
        remedy: what to do where it is damaged.

    Raises:
        RunError: it cannot be read, or does not fit.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(LONGEST + 1)
    except OSError as error:
        raise RunError(_say_unreadable(file, error)) from None
    if len(data) > LONGEST:
        raise RunError(f"{file} is damaged: it is larger than {LONGEST >> 20} MiB; {remedy}")
    if newer := say_newer(data):
        raise RunError(f"{file} {newer}")
    try:
        return _validated(kind, data)
    except ValueError as error:
        raise RunError(f"{file} is damaged: {explain(error)}; {remedy}") from None


def parse_record(kind: type[R], data: bytes, place: str) -> R:
    """One record of JSON.

    Raises:
        RunError: it does not fit; the text begins with its place.
    """
    try:
        return _validated(kind, data)
    except ValueError as error:
        raise RunError(f"{place}: {say_newer(data) or explain(error)}") from None


def explain(error: ValueError) -> str:
    """What does not fit, and where in the record. A field from the future reads like damage: both are named."""
    if not isinstance(error, ValidationError):
        return str(error)
    newer = error.errors()[0]["type"] == "extra_forbidden"
    return first_problem(error, "line") + (" (damaged, or made by a newer version of Unveil)" if newer else "")


def say_newer(data: bytes) -> str | None:
    """That a record is of a later schema, if it is."""
    if b"schema_version" not in data:
        return None
    try:
        value: Any = json.loads(data)
    except (ValueError, RecursionError):
        return None
    version = value.get("schema_version") if isinstance(value, dict) else None
    if not isinstance(version, int) or version <= SCHEMA_VERSION:
        return None
    shown = str(version) if version < 10**6 else "of many digits"
    return f"was made by a newer version of Unveil (schema {shown}; this one reads {SCHEMA_VERSION}): read it with that one"


def mend_last_line(file: Path) -> None:
    """End a last line that lacks nothing but its line end, and take away one that a kill cut off.

    Raises:
        RunError: what stands at the end is neither: nothing is changed.
    """
    if not file.is_file():
        return
    tail = _read_tail(file)
    if not tail:
        return
    if not _WRITTEN.match(tail):
        raise RunError(f"{file} is damaged: it ends in what is no line of a run; nothing was changed")
    with file.open("r+b") as opened:
        if _is_whole(tail):
            opened.seek(0, 2)
            opened.write(b"\n")
        else:
            opened.truncate(file.stat().st_size - len(tail))


def _read_tail(file: Path) -> bytes:
    """What stands after the last line feed."""
    with file.open("rb") as opened:
        size, tail = opened.seek(0, 2), b""
        while b"\n" not in tail and len(tail) < min(size, LONGEST):
            start = max(0, size - max(4096, 4 * len(tail)))
            opened.seek(start)
            tail = opened.read(size - start)
        return tail.rpartition(b"\n")[2]


def strict_json(text: str | bytes) -> Any:
    """JSON in which a key stands once in an object, and every number is finite and fits into 64 bits.

    Raises:
        ValueError: it is not that; `json.JSONDecodeError` where it is no JSON at all.
        RecursionError: it is nested too deep.
    """
    return json.loads(
        text, parse_constant=_refuse, parse_float=_finite, parse_int=_bounded, object_pairs_hook=_without_repeats
    )


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"the key {counts.most_common(1)[0][0][:60]!r} stands there more than once")
    return found


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _validated(kind: type[R], data: bytes) -> R:
    """The record.

    Raises:
        ValueError: it does not fit, or holds a number that is none.
    """
    record = kind.model_validate_json(data)
    if _ODD_NUMBER.search(data):
        try:
            json.loads(data, parse_constant=_refuse, parse_float=_finite, parse_int=_bounded)
        except RecursionError:
            raise ValueError("it is nested too deep") from None
    return record


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is beyond all bounds")
    return value


def _bounded(text: str) -> int:
    if len(text) > 20 or abs(int(text)) >= 2**63:
        raise ValueError(f"the whole number {text[:20]}… does not fit into 64 bits")
    return int(text)


def _say_unreadable(file: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{file} is missing"
    return f"{file} cannot be read: {error.strerror}"
