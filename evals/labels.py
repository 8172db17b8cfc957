"""Manual labels: read from our own files and other projects' into one schema, and settled to one answer per question.

python -m evals.labels study  CLONE --out labels.csv --out-evidence evidence.jsonl
python -m evals.labels raters FOLDER
python -m evals.labels own    labels.csv
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evals.manual.sources import SOURCES
from tools.border.egress import guarded
from tools.display.flags import add_shared, list_choices
from tools.display.terminal import Parser, door, say

if TYPE_CHECKING:
    from evals.manual.records import Import, Label, Remark

_NAMED = 20
"""Remarks and problems printed; the rest are counted, or all with --all."""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m evals.labels",
        description="Read labels that people made, report every row that does not read, and write them in one form.",
        epilog=list_choices("sources", SOURCES),
        former={"--labels": "--out", "--evidence": "--out-evidence"},
    )
    parser.add_argument("source", choices=tuple(SOURCES), metavar="SOURCE", help="where the labels come from")
    parser.add_argument("path", type=Path, metavar="PATH", help="a file or folder of that source")
    add_shared(parser, "--out", help="write the labels: CSV or JSONL by its name")
    parser.add_argument(
        "--out-evidence", type=Path, metavar="PATH", help="write what people saw, for python -m agent.run --evidence"
    )
    add_shared(parser, "--annotator", help="who labelled, where the source does not say")
    parser.add_argument(
        "--question", metavar="WORD", default="relevant", help="what plain values answer (default: %(default)s)"
    )
    parser.add_argument("--sae", metavar="SAE", help="its name in the run, or SOURCE=NAME to take one of several")
    add_shared(parser, "--study", help="the study of that run; left out, labels fit any study")
    parser.add_argument("--all", action="store_true", help="print every remark")
    return parser.parse_args(argv)


@door("what was to be written is there as a whole, or as it was")
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Import, report and write; 1 if a row was refused, 2 if nothing could be read."""
    arguments = parse_arguments(argv)
    from evals.errors import LabelError
    from evals.manual.files import import_labels, settle
    from evals.manual.own import write_own
    from evals.manual.reading import Options

    options = Options(arguments.annotator, arguments.question, arguments.sae, _name_study(arguments.study))
    found = import_labels(arguments.source, arguments.path, options)
    labels, settled = settle(found.labels)
    if arguments.out_evidence and not found.evidence:
        raise LabelError("this source shows nothing of what people saw: leave out --out-evidence")
    if arguments.out:
        write_own(arguments.out, labels)
    if arguments.out_evidence:
        _write_evidence(arguments.out_evidence, found)
    say(*_report(labels, found, settled, None if arguments.all else _NAMED))
    return 1 if found.problems else 0


def _name_study(given: str | None) -> str | None:
    """A study's name: of its file or folder, or of one that need not be here."""
    from tools.study.reading import load_question

    return load_question(given).name if given and Path(given).exists() else given


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
