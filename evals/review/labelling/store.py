"""Labels as they are written at the desk: a file for each annotator, appended to and never rewritten.

    RUN/labels/ana.jsonl              one `evals.manual.records.Label` a line
    RUN/labels/adjudication.jsonl     answers that settle a question, of whoever gave them

A label is on disk before its annotator sees the next feature. Whoever writes holds the folder's lock, so that two
browsers, or two desks on the same run, lose nothing of each other's. A last line that a stop cut off was never answered
for: it is set aside, and named.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
import unicodedata
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from filelock import FileLock

from evals.errors import LabelError
from evals.manual.files import settle
from evals.manual.own import read_own
from evals.manual.reading import Options
from evals.manual.records import Import, Label

ADJUDICATION = "adjudication"
_NAME = re.compile(r"[^\W_][\w.-]{0,39}")
_SECRET_BYTES = 32

Question = tuple[str, str]
"""A feature's key and what was asked of it."""


class LabelStore:
    """The labels folder of one run."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read or made before it is needed."""
        self.folder = folder
        self._lock = threading.Lock()
        self._held: dict[Path, tuple[tuple[int, int], Import]] = {}

    def check_name(self, name: str) -> str:
        """An annotator's name in the spelling that names their file.

        Raises:
            LabelError: it can name no file, or differs from another's only in upper and lower case.
        """
        plain = unicodedata.normalize("NFC", name.strip())
        if not _NAME.fullmatch(plain):
            raise LabelError("a name is 1 to 40 letters, digits, dots, dashes and underscores, a letter or digit first")
        if plain.casefold() == ADJUDICATION:
            raise LabelError(f"{ADJUDICATION} is the name of the file of settled questions: take another")
        for other in self.annotators():
            if other != plain and other.casefold() == plain.casefold():
                raise LabelError(f"there is an annotator {other} already: write the name so, or take another")
        return plain

    def annotators(self) -> tuple[str, ...]:
        """Everyone who has a file, in order."""
        files = self.folder.glob("*.jsonl") if self.folder.is_dir() else ()
        return tuple(sorted(file.stem for file in files if file.stem != ADJUDICATION))

    def written(self, name: str) -> Import:
        """Every line of an annotator's file, in order, and what is wrong with those that do not read.

        Raises:
            LabelError: the file cannot be read.
        """
        file = self._file(name)
        with self._lock:
            try:
                status = file.stat()
            except (FileNotFoundError, NotADirectoryError):
                return Import()
            stamp = (status.st_mtime_ns, status.st_size)
            known = self._held.get(file)
            if known is None or known[0] != stamp:
                known = self._held[file] = (stamp, read_own(file, Options()))
            return known[1]

    def standing(self, name: str) -> dict[Question, Label]:
        """The blind answers that an annotator gave and has not taken back."""
        own = [label for label in self.written(name).labels if label.annotator == name and not label.machine]
        return {(label.item.key, label.question): label for label in settle(own)[0]}

    def settled(self) -> dict[Question, list[Label]]:
        """Answers that settle questions, by question, the newest last."""
        found: dict[Question, list[Label]] = {}
        for label in self.written(ADJUDICATION).labels:
            if label.settles is not None:
                found.setdefault((label.item.key, label.question), []).append(label)
        return found

    def remarks(self, name: str) -> list[str]:
        """What is wrong with an annotator's file, in words; nothing of it is lost."""
        found = [f"{problem.where} does not read: {problem.text}" for problem in self.written(name).problems]
        if (cut := _cut_file(self._file(name))).is_file():
            found.append(
                f"a line of {name}.jsonl was cut off by a stop and counts for nothing; it is kept in {cut.name}"
            )
        return found

    def append(self, name: str, labels: Sequence[Label], now: datetime | None = None) -> None:
        """Add labels and see them on disk before returning.

        Their time and source are filled in: now, but never before the line above, and the line they become.

        Args:
            name: whose file, as `check_name` gives it, or `ADJUDICATION`.
            labels: in the order in which they were given.
            now: the time in UTC; the clock's if None.

        Raises:
            LabelError: they cannot be written; then none of them is.
        """
        file = self._file(name)
        try:
            with _claimed(file) as opened:
                above = _mend(opened, file)
                time = max((now or datetime.now(UTC)).isoformat(timespec="milliseconds"), _last_time(above))
                first = above.count(b"\n") + 1
                lines = [
                    label.model_copy(update={"time": time, "source": f"{file.name}:{number}"})
                    for number, label in enumerate(labels, first)
                ]
                _write_through(opened, "".join(line.model_dump_json(exclude_defaults=True) + "\n" for line in lines))
        except OSError as error:
            raise LabelError(f"not saved: {file} cannot be written: {error.strerror}") from None

    def take_back(self, name: str, key: str) -> list[Label]:
        """Take back an annotator's answers to a feature, named by `Item.key`; they stay in the file.

        Returns:
            The answers taken back; none if the feature has none that stands.

        Raises:
            LabelError: that cannot be written.
        """
        answers = [label for (item, _), label in self.standing(name).items() if item == key]
        if answers:
            self.append(name, [label.model_copy(update={"withdrawn": True, "seconds": None}) for label in answers])
        return answers

    def secret(self) -> bytes:
        """Random bytes that stay the same for this folder: addresses of features are made with them.

        Raises:
            LabelError: they cannot be kept.
        """
        file = self.folder / ".secret"
        try:
            with _claimed(file) as opened:
                opened.seek(0)
                known = opened.readall()
                if len(known) != _SECRET_BYTES:
                    known = secrets.token_bytes(_SECRET_BYTES)
                    file.chmod(0o600)
                    opened.truncate(0)
                    opened.write(known)
        except OSError as error:
            raise LabelError(f"nobody can label this run: {file} cannot be written: {error.strerror}") from None
        return known

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"


@contextmanager
def _claimed(file: Path) -> Generator[FileIO]:
    """A file to append to that nobody else writes to meanwhile, in this process or another."""
    file.parent.mkdir(exist_ok=True)
    with FileLock(file.parent / ".lock", fallback_to_soft=False), file.open("ab+", buffering=0) as opened:
        yield opened


def _mend(opened: FileIO, file: Path) -> bytes:
    """What the file holds, ending in a newline: half a line goes to a file of its own, a whole one gets its end."""
    opened.seek(0)
    held = opened.readall()
    whole, tail = held[: held.rfind(b"\n") + 1], held[held.rfind(b"\n") + 1 :]
    if not tail:
        return held
    if _is_object(tail):
        opened.write(b"\n")
        return held + b"\n"
    with _cut_file(file).open("ab", buffering=0) as aside:
        aside.write(tail + b"\n")
        os.fsync(aside.fileno())
    opened.truncate(len(whole))
    return whole


def _write_through(opened: FileIO, text: str) -> None:
    """Append all of a text and flush it to disk, or leave the file as it was."""
    end, rest = opened.seek(0, os.SEEK_END), memoryview(text.encode())
    try:
        while rest:
            rest = rest[opened.write(rest) :]
        os.fsync(opened.fileno())
    except OSError:
        opened.truncate(end)
        raise


def _cut_file(file: Path) -> Path:
    return file.with_name(file.name + ".cut")


def _last_time(lines: bytes) -> str:
    """Time of the last line, if it has one in this store's form."""
    last = lines[lines.rfind(b"\n", 0, -1) + 1 :]
    if not _is_object(last):
        return ""
    time = json.loads(last).get("time")
    return time if isinstance(time, str) and time.endswith("+00:00") else ""


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
