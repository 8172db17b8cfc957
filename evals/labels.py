"""Manual labels: read from our own files and other projects' into one schema, and settled to one answer a question.

python -m evals.labels study  CLONE --labels labels.csv --evidence evidence.jsonl
python -m evals.labels raters FOLDER
python -m evals.labels own    labels.csv
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tools.border.egress import guarded
from tools.display.terminal import Parser, door, say

if TYPE_CHECKING:
    from evals.manual.records import Import, Label, Remark

SOURCES = {
    "own": "our CSV, TSV or JSONL",
    "study": "a clone of the published study's repository",
    "raters": "ratings of concepts by several people (sae_eval's manual_labels_*.json)",
    "circuits": "feature-circuits' annotations, a JSONL file or a folder of them",
    "inspect": "Inspect's precomputed_scores, JSONL or JSON",
    "scout": "an Inspect Scout validation set, CSV",
    "delphi": "delphi's results folder",
    "neuronpedia": "Neuronpedia's explanations, JSONL or a folder of them",
}
_NAMED = 20
"""Remarks and problems printed; the rest are counted, or all with --all."""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    lines = "\n".join(f"  {name:13s}{what}" for name, what in SOURCES.items())
    parser = Parser(
        prog="python -m evals.labels",
        description="Read labels that people made, report every row that does not read, and write them in one form.",
        epilog=f"sources:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", choices=tuple(SOURCES), help="where the labels come from")
    parser.add_argument("path", type=Path, help="a file or folder of that source")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="write the labels: CSV or JSONL by its name")
    parser.add_argument(
        "--evidence", type=Path, metavar="FILE", help="write what people saw, for python -m agent.run --evidence"
    )
    parser.add_argument("--annotator", help="who labelled, where the source does not say")
    parser.add_argument("--question", default="relevant", help="what plain values answer (default: %(default)s)")
    parser.add_argument("--sae", help="the SAE's name in the run, or SOURCE=NAME to take one of several")
    parser.add_argument("--study", help="the study of that run; left out, labels fit any study")
    parser.add_argument("--all", action="store_true", help="print every remark")
    return parser.parse_args(argv)


@door()
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Import, report and write; 1 if a row was refused, 2 if nothing could be read."""
    arguments = parse_arguments(argv)
    from evals.errors import LabelError
    from evals.manual.own import write_own
    from evals.manual.reading import Options

    options = Options(arguments.annotator, arguments.question, arguments.sae, arguments.study)
    found = import_labels(arguments.source, arguments.path, options)
    labels, settled = settle(found.labels)
    if arguments.evidence and not found.evidence:
        raise LabelError("this source shows nothing of what people saw: leave out --evidence")
    if arguments.labels:
        write_own(arguments.labels, labels)
    if arguments.evidence:
        _write_evidence(arguments.evidence, found)
    say(*_report(labels, found, settled, None if arguments.all else _NAMED))
    return 1 if found.problems else 0


def import_labels(source: str, path: Path, options: object = None) -> Import:
    """Everything one source holds.

    Args:
        source: one of `SOURCES`.
        path: a file or folder of it.
        options: what the source leaves open; `evals.manual.reading.Options`.

    Raises:
        LabelError: the source cannot be read, or holds no label.
    """
    from evals.errors import LabelError
    from evals.manual import circuits, delphi, neuronpedia, own, precomputed, raters, scout, study
    from evals.manual.reading import Options
    from evals.manual.renaming import rename_sae

    readers = {
        "own": own.read_own,
        "study": study.read_study,
        "raters": raters.read_raters,
        "circuits": circuits.read_circuits,
        "inspect": precomputed.read_precomputed,
        "scout": scout.read_scout,
        "delphi": delphi.read_delphi,
        "neuronpedia": neuronpedia.read_neuronpedia,
    }
    asked = options if isinstance(options, Options) else Options()
    found = readers[source](path, asked)
    if found.labels:
        found = rename_sae(found, asked)
    else:
        first = f": {found.problems[0].where}: {found.problems[0].text}" if found.problems else ""
        raise LabelError(f"{path} holds no label that could be read{first}")
    return found


def read_label_files(files: Sequence[Path]) -> tuple[tuple[Label, ...], tuple[Remark, ...]]:
    """Settled labels of our own files, and everything worth saying about them.

    Raises:
        LabelError: a file cannot be read, or has a row that does not read: what is left out must be left out by hand.
    """
    from evals.errors import LabelError

    labels: list[Label] = []
    for file in files:
        found = import_labels("own", file)
        if found.problems:
            first, more = found.problems[0], len(found.problems) - 1
            also = f" (and {more} more bad rows)" if more else ""
            raise LabelError(f"{first.where}: {first.text}{also}; python -m evals.labels own {file} lists them")
        labels += found.labels
    return settle(labels)


def settle(labels: Sequence[Label]) -> tuple[tuple[Label, ...], tuple[Remark, ...]]:
    """One answer a question, annotator and feature: the latest by its time, or else the last one given.

    A question whose answer was taken back is open. Answers that settle a question are left out: they were not given blind.

    Returns:
        The labels in the order in which their questions were first answered, and a remark on every changed answer.
    """
    from evals.manual.records import Remark

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
        (len(labels) - len(blind), "settle a question knowing the machine's answer and are left out"),
    )
    remarks += [Remark(where="labels", text=f"{n} {what}") for n, what in counted if n]
    return standing, tuple(remarks)


def _is_later(one: Label, other: Label) -> bool:
    from datetime import UTC, datetime

    if one.time is None or other.time is None:
        return False
    first, second = (datetime.fromisoformat(label.time or "") for label in (one, other))
    return first.replace(tzinfo=first.tzinfo or UTC) > second.replace(tzinfo=second.tzinfo or UTC)


def _write_evidence(file: Path, found: Import) -> None:
    from tools.whole_files import write_named

    write_named(file, "".join(shown.model_dump_json(exclude_defaults=True) + "\n" for shown in found.evidence))


def _report(labels: Sequence[Label], found: Import, settled: Sequence[Remark], most: int | None) -> list[str]:
    from evals.agreement.people import describe_labels, describe_people, list_remarks

    lines = [*describe_labels(labels), *describe_people(labels), *found.findings]
    if found.evidence:
        lines.append(f"evidence on {len(found.evidence):,} features")
    lines += list_remarks("remarks", (*found.remarks, *settled), most)
    return lines + list_remarks("rows refused", found.problems, most)


if __name__ == "__main__":
    sys.exit(main())
