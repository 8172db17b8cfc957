"""Which settings of steering write texts that read as language and follow a feature: `python -m evals.sweep`.

What a study's `[steering]` table is chosen by. Features are drawn at random from all that are alive, and random directions
beside them; no judge takes part.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from tools.border.egress import guarded
from tools.display.flags import add_shared, number, whole
from tools.display.terminal import Parser, door, say
from tools.machine import settle_threads

if TYPE_CHECKING:
    from evals.sweeping.sweep import Setting
    from tools.records import Policy, PromptForm
    from tools.study.definition import Study


T = TypeVar("T")


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m evals.sweep",
        description="Steer some features and random directions under several settings, and say of each how often texts are "
        "won, how probable they are to the unsteered model, and how many collapse. Lists are parted by commas.",
    )
    add_shared(parser, "--study")
    parser.add_argument("--sae", metavar="SAE", help="an arm of the study (default: its first)")
    swept = parser.add_argument_group("what is tried; every combination (default: the study's own)")
    swept.add_argument("--kl", type=listed(number(0.001, 100.0)), metavar="LIST", help="nats on the next token")
    swept.add_argument("--forms", type=listed(among("plain", "chat")), metavar="LIST", help="plain, chat")
    swept.add_argument(
        "--policies",
        type=listed(among("all", "prompt", "generated")),
        metavar="LIST",
        help="positions: all, prompt, generated",
    )
    swept.add_argument("--new-tokens", type=listed(whole(1, 1000)), metavar="LIST", help="lengths of the continuations")
    how = parser.add_argument_group("how")
    how.add_argument("--directions", type=whole(1, 10_000), default=16, metavar="N", help="of each kind (default: 16)")
    how.add_argument("--texts", type=whole(1, 1000), default=2, metavar="N", help="texts per prompt (default: 2)")
    how.add_argument("--show", type=whole(0, 100), default=2, metavar="N", help="pairs shown per setting (default: 2)")
    how.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="of the model")
    add_shared(how, "--seed", "--device", "--threads")
    return parser.parse_args(argv)


def listed(read: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """A type for argparse: several values, parted by commas."""
    return lambda text: tuple(read(part.strip()) for part in text.split(","))


def among(*words: str) -> Callable[[str], str]:
    """A type for argparse: one of some words."""

    def read(text: str) -> str:
        if text not in words:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is none of {', '.join(words)}")
        return text

    return read


@door("nothing is kept of a sweep that was stopped")
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Sweep and print, a setting as soon as it is measured; always 0."""
    arguments = parse_arguments(argv)
    settle_threads(arguments.threads)  # before numpy and torch are loaded
    from evals.sweeping.sweep import HEADER, open_stage, read_cells, sweep
    from tools.display.tables import as_text
    from tools.study.reading import load_study

    study = load_study(arguments.study or "pocket")
    arm = arguments.sae or next(iter(study.arms))
    stage = open_stage(study, arm, arguments.precision, arguments.device, arguments.directions, arguments.seed)
    rows: list[tuple[str, ...]] = [HEADER]
    for setting in list_settings(study, arguments):
        for one in sweep(stage, setting, arguments.texts, arguments.show):
            rows.append(read_cells(one))
            say(" ".join(rows[-1]), *one.shown)
    say("", *as_text(rows))
    return 0


def list_settings(study: Study, arguments: argparse.Namespace) -> list[Setting]:
    """Every combination of what is to be tried."""
    from itertools import product

    from evals.sweeping.sweep import Setting

    own = study.steering
    forms: Sequence[PromptForm] = arguments.forms or (own.prompt_form,)
    policies: Sequence[Policy] = arguments.policies or (own.policy,)
    kls: Sequence[float] = arguments.kl or (own.target_kl,)
    lengths: Sequence[int] = arguments.new_tokens or (own.new_tokens,)
    return [Setting(*values) for values in product(forms, policies, kls, lengths)]


if __name__ == "__main__":
    sys.exit(main())
