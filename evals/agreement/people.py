"""What a set of labels holds, in lines: who said what, and how far the people agree among themselves."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from evals.agreement.pairing import ABSENT, POOLED, code
from evals.agreement.results import Row
from evals.agreement.rows import people_rows
from evals.manual.records import ANNOTATION, INTERPRETABLE, ON_VERDICTS, Label, Remark, is_concept
from evals.statistics.estimate import format_estimate

_SHOWN = {"accuracy": "same answer", "kappa": "kappa", "ac1": "AC1", "alpha": "alpha"}
_SHOWN_RATINGS = {
    "accuracy": "same rating",
    "kappa": "kappa",
    "kappa_quadratic": "quadratic kappa",
    "alpha": "ordinal alpha",
    "accuracy_any": "same on any relation",
    "kappa_any": "kappa on any relation",
    "ac1_any": "AC1 on any relation",
}


def describe_labels(labels: Sequence[Label]) -> list[str]:
    """A line for each annotator and question: how many features, and which answers."""
    by_place: defaultdict[tuple[str, str, bool], list[Label]] = defaultdict(list)
    for label in labels:
        question = POOLED if is_concept(label) else label.question
        by_place[label.annotator, question, label.machine].append(label)
    return [_describe(annotator, question, machine, own) for (annotator, question, machine), own in by_place.items()]


def describe_people(labels: Sequence[Label]) -> list[str]:
    """Agreement of every pair of annotators who answered the same question about the same features."""
    lines: list[str] = []
    for question in (*ON_VERDICTS, INTERPRETABLE, POOLED):
        asked = [one for one in labels if not one.machine and _asks(one, question)]
        for row in rows_among_people(asked, ordinal=question not in ON_VERDICTS):
            shown = _SHOWN if question in ON_VERDICTS else _SHOWN_RATINGS
            parts = [
                f"{name} {format_estimate(row.statistics[key])}" for key, name in shown.items() if key in row.statistics
            ]
            lines.append(f"{row.name}, {question}: {row.n} answers on {row.features} features; {', '.join(parts)}")
    return lines


def rows_among_people(labels: Sequence[Label], ordinal: bool) -> list[Row]:
    """The agreement table's rows for people alone: labels that answer verdict questions, or ratings."""
    names = sorted({label.annotator for label in labels})
    places = list(dict.fromkeys((label.item.study, label.item.key, label.question) for label in labels))
    if len(names) < 2:
        return []
    people = np.full((len(places), len(names)), ABSENT)
    row_of, column_of = {place: n for n, place in enumerate(places)}, {name: n for n, name in enumerate(names)}
    for label in labels:
        place = (label.item.study, label.item.key, label.question)
        people[row_of[place], column_of[label.annotator]] = code(label.value, ordinal)
    features = {key: n for n, key in enumerate(dict.fromkeys((study, key) for study, key, _ in places))}
    owner = np.array([features[study, key] for study, key, _ in places])
    return people_rows(names, people, owner, 5 if ordinal else 2, ordinal)


def list_remarks(title: str, remarks: Sequence[Remark], most: int | None) -> list[str]:
    """A heading with the count, and a line each; at most `most` of them."""
    if not remarks:
        return []
    lines = [f"{title}: {len(remarks)}", *(f"  {remark.where}: {remark.text}" for remark in remarks[:most])]
    if most is not None and len(remarks) > most:
        lines.append(f"  and {len(remarks) - most} more: --all lists them")
    return lines


def _describe(annotator: str, question: str, machine: bool, labels: Sequence[Label]) -> str:
    features = len({(label.item.study, label.item.key) for label in labels})
    who = f"{annotator} (a program)" if machine else annotator
    head = f"{who}: {question}, {len(labels):,} labels on {features:,} features"
    if question == ANNOTATION:
        texts = Counter(str(label.value).strip().lower() for label in labels)
        shared = sum(count for count in texts.values() if count > 1)
        return f"{head}; {len(texts):,} different, {shared / len(labels):.0%} of features share theirs with another"
    if any(isinstance(label.value, float) for label in labels):
        values = [float(label.value) for label in labels if isinstance(label.value, int | float)]
        return f"{head}; mean {np.mean(values):.3f}, median {np.median(values):.3f}"
    counts = Counter(str(label.value) for label in labels)
    return f"{head}; " + ", ".join(f"{value} {count:,}" for value, count in sorted(counts.items()))


def _asks(label: Label, question: str) -> bool:
    return is_concept(label) if question == POOLED else label.question == question
