"""Ways to damage a run folder: what a bad disk, a careless editor or a malicious hand leaves behind."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

Edit = Callable[[Path, random.Random], None]


class Damage(NamedTuple):
    """One way, by name, and to which files it is done."""

    name: str
    do: Edit
    suffixes: tuple[str, ...] = (".json", ".jsonl", ".parquet")


def lines_of(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines(keepends=True)


def remove(file: Path, rng: random.Random) -> None:
    file.unlink()


def become_folder(file: Path, rng: random.Random) -> None:
    file.unlink()
    file.mkdir()


def empty(file: Path, rng: random.Random) -> None:
    file.write_bytes(b"")


def cut(file: Path, rng: random.Random) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: rng.randrange(1, len(content))])


def cut_line_end(file: Path, rng: random.Random) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip(file: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(3):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(bytes(content))


def become_binary(file: Path, rng: random.Random) -> None:
    file.write_bytes(rng.randbytes(500))


def become_utf_16(file: Path, rng: random.Random) -> None:
    file.write_bytes(file.read_text("utf-8").encode("utf-16"))


def nest(file: Path, rng: random.Random) -> None:
    file.write_bytes(b'{"a":' * 50_000 + b"\n")


def drop_line(file: Path, rng: random.Random) -> None:
    lines = lines_of(file)
    del lines[rng.randrange(len(lines))]
    file.write_bytes(b"".join(lines))


def repeat_line(file: Path, rng: random.Random) -> None:
    lines = lines_of(file)
    file.write_bytes(b"".join([*lines, rng.choice(lines)]))


def swap_lines(file: Path, rng: random.Random) -> None:
    lines = lines_of(file)
    rng.shuffle(lines)
    file.write_bytes(b"".join(lines))


def add_blank_line(file: Path, rng: random.Random) -> None:
    file.write_bytes(file.read_bytes() + b"\n")


def add_foreign_line(file: Path, rng: random.Random) -> None:
    """A line like the last, on a feature that was never selected."""
    line = re.sub(rb'"index":\s*\d+', b'"index":424242', lines_of(file)[-1])
    file.write_bytes(file.read_bytes() + line)


def bump_schema(file: Path, rng: random.Random) -> None:
    file.write_bytes(re.sub(rb'"schema_version":\s*1', b'"schema_version":2', file.read_bytes()))


def change_hashes(file: Path, rng: random.Random) -> None:
    file.write_bytes(re.sub(rb'"([0-9a-f]{64})"', b'"' + b"0" * 64 + b'"', file.read_bytes()))


def change_a_leaf(file: Path, rng: random.Random) -> None:
    """One value somewhere becomes one of another kind."""
    lines = lines_of(file) if file.suffix == ".jsonl" else [file.read_bytes()]
    place = rng.randrange(len(lines))
    value: Any = json.loads(lines[place])
    holders = list(_holders(value))
    holder, key = rng.choice(holders)
    holder[key] = rng.choice([None, -1, 10**30, 1e300, "", "x" * 5000, [], {}, True, "\u202e\x1b[31m", "../../etc"])
    lines[place] = json.dumps(value).encode() + b"\n"
    file.write_bytes(b"".join(lines))


def spoil_a_number(file: Path, rng: random.Random) -> None:
    """A number becomes none, or one that no array holds."""
    wrong = rng.choice([b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"9" * 30])
    content = file.read_bytes()
    places = list(re.finditer(rb"(?<=[:,\[])\s*-?\d+(\.\d+)?(?=[,\]}])", content))
    if places:
        found = rng.choice(places)
        file.write_bytes(content[: found.start()] + wrong + content[found.end() :])


def add_unknown_field(file: Path, rng: random.Random) -> None:
    file.write_bytes(file.read_bytes().replace(b"{", b'{"tomorrow":1,', 1))


def _holders(value: Any) -> list[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found: list[tuple[Any, Any]] = []
    for key, inner in items:
        found.append((value, key))
        found += _holders(inner)
    return found


ANY = tuple(map(lambda edit: Damage(edit.__name__, edit), (remove, become_folder, empty, cut, flip, become_binary)))
TEXT = tuple(
    Damage(edit.__name__, edit, (".json", ".jsonl"))
    for edit in (cut_line_end, become_utf_16, nest, bump_schema, change_hashes, change_a_leaf, spoil_a_number)
) + (Damage("add_unknown_field", add_unknown_field, (".json", ".jsonl")),)
LINES = tuple(
    Damage(edit.__name__, edit, (".jsonl",))
    for edit in (drop_line, repeat_line, swap_lines, add_blank_line, add_foreign_line)
)
DAMAGES = (*ANY, *TEXT, *LINES)


def files_of(run: Path) -> list[str]:
    """Files that a command reads, one transcript for all."""
    names = sorted(str(path.relative_to(run)) for path in run.glob("*.json*"))
    transcripts = sorted(str(path.relative_to(run)) for path in run.glob("transcripts/*"))
    return [*names, *(["features.parquet"] if (run / "features.parquet").is_file() else []), transcripts[0]]


def restore(whole: Path, copy: Path) -> None:
    """The copy as the whole run is, whatever was done to it."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(whole, copy)
