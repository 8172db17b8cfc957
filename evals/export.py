"""A run in other tools' formats: `python -m evals.export RUN --to FORMAT`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.border.egress import guarded
from tools.display.flags import Choice, add_shared, list_choices, spell
from tools.display.terminal import Parser, door, say

FORMATS = {
    "neuronpedia": Choice(
        "a folder of explanations, features and activations, JSONL",
        "evals.exports.neuronpedia:export_neuronpedia",
        takes=("labels", "model_id", "source_id"),
        file="neuronpedia",
    ),
    "delphi": Choice(
        "a results folder: explanations, and scores if evals.score has been run",
        "evals.exports.delphi:export_delphi",
        file="delphi",
    ),
    "inspect": Choice(
        "a log for `inspect view`, one sample per feature: needs `pip install -e '.[inspect]'`",
        "evals.exports.inspect_log:export_inspect",
        takes=("labels",),
        file="{run}.eval",
    ),
}
"""Name -> what it is, and `(source, out, …) -> lines`, which raises RunError where it cannot be written."""
STEERED = {
    "neuronpedia": Choice(
        "a folder of requests to steer with a target's features, JSON",
        "evals.exports.steered:export_steered",
        takes=("model_id", "source_id"),
        file="neuronpedia",
    )
}
"""The same of a steering run, whose folder is handed over as it is."""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m evals.export",
        description="Write a finished run in another tool's format, from its folder alone. Exit status 2: bad input.",
        epilog=f"{list_choices('formats', FORMATS)}\n\n{list_choices('of a steering run', STEERED)}",
    )
    add_shared(parser, "run")
    parser.add_argument(
        "--to", required=True, choices=tuple(FORMATS), metavar="FORMAT", help="one of the formats below"
    )
    add_shared(parser, "--out", help="what to write, and new (default: in RUN/exports/)")
    add_shared(
        parser,
        "--labels",
        help="people's labels: the targets of an Inspect log, further explanations and notes for Neuronpedia",
    )
    add_shared(parser, "--programs")
    names = parser.add_argument_group("for Neuronpedia")
    names.add_argument("--model-id", metavar="ID", help="its name of the model, such as gpt2-small")
    names.add_argument("--source-id", metavar="ID", help="its name of the SAE, such as 8-res-jb")
    arguments = parser.parse_args(argv)
    for name in ("labels", "model_id", "source_id"):
        if getattr(arguments, name) and name not in FORMATS[arguments.to].takes:
            parser.error(f"--to {arguments.to} has no place for {spell([name])}: leave it out")
    if arguments.programs and not arguments.labels:
        parser.error("--programs is about labels: name their file with --labels")
    return arguments


@door("nothing was exported; the run is as it was")
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Export, and say where to and what was left out."""
    arguments = parse_arguments(argv)
    from agent.folder.steering_store import is_steered
    from agent.folder.store import RunFolder
    from evals.exports.source import open_source
    from evals.manual.files import read_label_files

    run: Path = arguments.run
    if is_steered(run):
        return _export_steered(run, arguments)
    RunFolder.open(run)  # before the labels: what is named first is missed first
    labels, _ = read_label_files(arguments.labels)
    source = open_source(run, labels, arguments.programs)
    chosen = FORMATS[arguments.to]
    out = arguments.out or run / "exports" / chosen.file.format(run=run.resolve().name)
    named = {name: getattr(arguments, name) for name in chosen.takes if name != "labels"}
    lines = chosen.load()(source, out, **named)
    say(str(out), *lines, *(floor.text for floor in source.floors))
    return 0


def _export_steered(run: Path, arguments: argparse.Namespace) -> int:
    from agent.errors import RunError
    from agent.folder.steering_store import SteeringFolder

    chosen = STEERED.get(arguments.to)
    if chosen is None or arguments.labels:
        what = f"--to {arguments.to}" if chosen is None else "--labels"
        raise RunError(f"{run} is a steering run, for which there is no {what}: it has {', '.join(STEERED)} alone")
    out = arguments.out or run / "exports" / chosen.file.format(run=run.resolve().name)
    named = {name: getattr(arguments, name) for name in chosen.takes}
    say(str(out), *chosen.load()(SteeringFolder.open(run), out, **named))
    return 0


if __name__ == "__main__":
    sys.exit(main())
