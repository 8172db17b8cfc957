"""Labels of any source in one schema, and settled to one answer per question, annotator and feature."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from evals.errors import LabelError
from evals.manual.reading import Options
from evals.manual.records import Import, Label, Remark
from evals.manual.renaming import rename_sae
from evals.manual.sources import SOURCES

NOTHING_SAID = Options()


def import_labels(source: str, path: Path, options: Options = NOTHING_SAID) -> Import:
    """Everything one source holds.

    Args:
        source: one of `SOURCES`.
        path: a file or folder of it.
        options: what the source leaves open.

    Raises:
        LabelError: the source cannot be read, or holds no label.
    """
    found: Import = SOURCES[source].load()(path, options)
    if found.labels:
        return rename_sae(found, options)
    first = f": {found.problems[0].where}: {found.problems[0].text}" if found.problems else ""
    raise LabelError(f"{path} holds no label that could be read{first}")


def read_label_files(files: Sequence[Path]) -> tuple[tuple[Label, ...], tuple[Remark, ...]]:
    """Settled labels of our own files, and everything worth saying about them.

    Raises:
        LabelError: a file cannot be read, or has a row that does not read: what is left out must be left out by hand.
    """
    return settle(_read(files))


def read_outcomes(files: Sequence[Path]) -> tuple[Label, ...]:
    """Answers of our own files that settle a question knowing the machine's answer: of each question the newest.

    Raises:
        LabelError: as `read_label_files`.
    """
    kept: dict[tuple[str | None, str, str], Label] = {}
    for label in _read(files):
        question = (label.item.study, label.item.key, label.question)
        before = kept.get(question)
        if label.settles is not None and (before is None or not _is_later(before, label)):
            kept[question] = label
    return tuple(kept.values())


def _read(files: Sequence[Path]) -> list[Label]:
    labels: list[Label] = []
    for file in files:
        found = import_labels("own", file)
        if found.problems:
            first, more = found.problems[0], len(found.problems) - 1
            also = f" (and {more} more bad rows)" if more else ""
            raise LabelError(f"{first.where}: {first.text}{also}; python -m evals.labels own {file} lists them")
        labels += found.labels
    return labels


def settle(labels: Sequence[Label]) -> tuple[tuple[Label, ...], tuple[Remark, ...]]:
    """One answer a question, annotator and feature: the latest by its time, or else the last one given.

    A question whose answer was taken back is open. Answers that settle a question are left out: they were not given blind.

    Returns:
        The labels in the order in which their questions were first answered, and a remark on every changed answer.
    """
    kept: dict[tuple[str, str | None, str, str], Label] = {}
    remarks, repeats = list[Remark](), 0
    blind = [label for label in labels if label.settles is None]
    for label in blind:
        before = kept.get(label.place)
        if before is not None and (before.value, before.withdrawn) == (label.value, label.withdrawn):
            repeats += 1
        elif before is not None:
            label, dropped = (before, label) if _is_later(before, label) else (label, before)
            if not (label.withdrawn or dropped.withdrawn):
                where = f"{label.source}: {label.annotator} on {label.item.key}, {label.question}"
                text = f"{label.value!r} is kept; {dropped.value!r} at {dropped.source}"
                remarks.append(Remark(where=where, text=text))
        kept[label.place] = label
    standing = tuple(label for label in kept.values() if not label.withdrawn)
    counted = (
        (repeats, "repeat an answer given before and count once"),
        (len(kept) - len(standing), "were taken back and are left out"),
        (len(labels) - len(blind), "settle a question knowing the machine's answer and are no blind labels"),
    )
    remarks += [Remark(where="labels", text=f"{n} {what}") for n, what in counted if n]
    return standing, tuple(remarks)


def _is_later(one: Label, other: Label) -> bool:
    if one.time is None or other.time is None:
        return False
    first, second = (datetime.fromisoformat(label.time or "") for label in (one, other))
    return first.replace(tzinfo=first.tzinfo or UTC) > second.replace(tzinfo=second.tzinfo or UTC)
