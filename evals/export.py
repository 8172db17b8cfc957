"""A run in other tools' formats: `python -m evals.export RUN --to FORMAT`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evals.exports.source import Source

from tools.border.egress import guarded
from tools.display.terminal import Parser, door, say

FORMATS = {
    "neuronpedia": "a folder of explanations, features and activations, JSONL",
    "delphi": "a results folder: explanations, and scores if evals.score has been run",
    "inspect": "a log for `inspect view`, one sample per feature: needs `pip install -e '.[inspect]'`",
}


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    lines = "\n".join(f"  {name:14s}{what}" for name, what in FORMATS.items())
    parser = Parser(
        prog="python -m evals.export",
        description="Write a finished run in another tool's format, from its folder alone. Exit status 2: bad input.",
        epilog=f"formats:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--to", required=True, metavar="FORMAT", help="one of the formats below")
    parser.add_argument("--out", type=Path, metavar="PATH", help="what to write, and new (default: in RUN/exports/)")
    parser.add_argument(
        "--labels",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="people's labels: the targets of an Inspect log, further explanations and notes for Neuronpedia",
    )
    parser.add_argument("--programs", action="store_true", help="labels that programs made count like people's")
    names = parser.add_argument_group("for Neuronpedia")
    names.add_argument("--model-id", metavar="ID", help="its name of the model, such as gpt2-small")
    names.add_argument("--source-id", metavar="ID", help="its name of the SAE, such as 8-res-jb")
    return parser.parse_args(argv)


@door()
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Export, and say where to and what was left out."""
    arguments = parse_arguments(argv)
    out, lines = export_run(arguments)
    say(str(out), *lines)
    return 0


def export_run(arguments: argparse.Namespace) -> tuple[Path, list[str]]:
    """The export that a command line asks for: its path, and what is to be said of it.

    Raises:
        UnveilError: there is no such format, the run or the labels cannot be read, or the output exists.
        OSError: it cannot be written.
    """
    from agent.errors import RunError
    from evals.exports.source import open_source
    from evals.labels import read_label_files

    kind: str = arguments.to
    if kind not in FORMATS:
        raise RunError(f"there is no format {kind!r}: the formats are {', '.join(FORMATS)}")
    if kind == "delphi" and arguments.labels:
        raise RunError("delphi's folder has no place for labels: leave out --labels")
    if kind != "neuronpedia" and (arguments.model_id or arguments.source_id):
        raise RunError("--model-id and --source-id are names on Neuronpedia: leave them out")
    if arguments.programs and not arguments.labels:
        raise RunError("--programs is about labels: name their file with --labels")
    labels, _ = read_label_files(arguments.labels)
    source = open_source(arguments.run, labels, arguments.programs)
    out, lines = _write(source, kind, arguments)
    return out, [*lines, *(floor.text for floor in source.floors)]


def _write(source: Source, kind: str, arguments: argparse.Namespace) -> tuple[Path, list[str]]:
    out: Path = arguments.out or arguments.run / "exports" / _name(kind, arguments.run)
    if kind == "inspect":
        from evals.exports.inspect_log import export_inspect

        return out, [*export_inspect(source, out), *source.caveats]
    if kind == "delphi":
        from evals.exports.delphi import export_delphi

        return out, export_delphi(source, out)
    from evals.exports.neuronpedia import export_neuronpedia

    return out, export_neuronpedia(source, out, arguments.model_id, arguments.source_id)


def _name(kind: str, run: Path) -> str:
    return f"{run.resolve().name}.eval" if kind == "inspect" else kind


if __name__ == "__main__":
    sys.exit(main())
