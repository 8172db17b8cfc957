"""The command line of a steering run, and the frozen config that it makes."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.beginning.flags import parse_known
from agent.llm.flags import KEY, add_llm_flags, make, named_address, read_budget, read_choice
from tools.display.flags import add_shared, number, whole
from tools.display.gates import read_requirement
from tools.display.terminal import Parser

if TYPE_CHECKING:
    from agent.folder.steered import SteerConfig
    from agent.llm.settings import LlmChoice
    from tools.study.definition import Study

SCHEMES = ("swap", "weight", "clamp", "add")
_AS_GIVEN = ("model", "hook", "topic", "scorer", "encoder", "samples", "seed", "device", "precision", "memory_gib")
"""Flags whose values are a config's fields of the same names."""
DESCRIPTION = """\
Find the features of a sparse autoencoder that stand for a text, steer generation toward it, and measure what that is worth.

python -m agent.steer --sae base --toward notes.txt             toward one text, from the study's prompts
python -m agent.steer --sae base --toward a.txt b.txt --prompts prompts.txt --require 'confidence>=0.5'
python -m agent.steer --resume runs/RUN                         go on with a run that was stopped

Exit status 1: a target does not meet a requirement; 2: bad input.
"""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line. Nothing heavy has been imported when this returns, so `--help` is instant."""
    parser = Parser(prog="python -m agent.steer", description=DESCRIPTION)
    _add_subject(parser)
    _add_manner(parser)
    judging = parser.add_argument_group(
        "who judges",
        "a model, where --llm-model names one: which of two texts is more like the target, never told which",
    )
    add_llm_flags(judging, "default: nobody judges")
    judging.add_argument(
        "--pairs", type=whole(1, 10**6), metavar="N", help="most comparisons of each target and arm (default: all)"
    )
    add_shared(
        judging,
        "--judge-repeats",
        help="2: show each pair in both orders, and take for won what both answers say (default: 1, in one drawn order)",
    )
    _add_running(parser)
    arguments = parse_known(parser, argv)
    if not (arguments.toward or arguments.resume):
        parser.error("name texts to steer toward with --toward, or a run with --resume")
    return arguments


def _add_subject(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to steer, and where to")
    add_shared(what, "--toward", "--away", "--study", "--sae", "--model", "--hook")
    what.add_argument(
        "--prompts",
        metavar="FILE",
        help="what is continued, a line each; - reads standard input (default: the study's prompts)",
    )
    what.add_argument(
        "--topic",
        metavar="WORDS",
        help="what the arm that simply asks asks for (default: the name of the target's file)",
    )
    what.add_argument(
        "--verdicts",
        type=Path,
        metavar="RUN",
        help="a finished investigation of this SAE, for labels of features and whether they can be interpreted",
    )


def _add_manner(parser: argparse.ArgumentParser) -> None:
    how = parser.add_argument_group("how")
    how.add_argument(
        "--schemes",
        nargs="+",
        choices=SCHEMES,
        default=("swap", "add"),
        metavar="SCHEME",
        help=f"what is done with the scores: {', '.join(SCHEMES)} (default: swap add)",
    )
    how.add_argument(
        "--scorer",
        choices=("contrast", "reference"),
        default="contrast",
        help="whose scores steer; both are measured (default: contrast)",
    )
    how.add_argument(
        "--encoder",
        metavar="NAME",
        help="of sentences, a folder or a name on the hub (default: the study's word vectors)",
    )
    how.add_argument(
        "--drop-error",
        action="store_true",
        help="leave what the SAE does not represent out of the residual stream (default: it stays)",
    )
    how.add_argument(
        "--samples", type=whole(1, 1000), default=2, metavar="N", help="texts of a prompt in each arm (default: 2)"
    )
    how.add_argument(
        "--length", type=whole(1, 10**5), default=30, metavar="N", help="tokens of each text (default: 30)"
    )
    how.add_argument(
        "--target-kl",
        type=number(1e-4, 20.0),
        default=None,
        metavar="X",
        help="nats that the scheme add may move the next token by (default: the study's)",
    )
    add_shared(
        how,
        "--require",
        type=read_requirement,
        help="exit with 1 unless it holds for every target, such as 'confidence>=0.5' or 'auroc_low>0.5'; may be given again",
    )
    add_shared(how, "--seed")


def _add_running(parser: argparse.ArgumentParser) -> None:
    how = parser.add_argument_group("running")
    add_shared(how, "--device", "--threads", "--precision", "--memory-gib", "--runs", "--resume", "--allow-unproved")
    how.add_argument(
        "--dry-run",
        action="store_true",
        help="do all that a run does before it has a folder: check, load, prove the bench; and stop",
    )


def configure(
    arguments: argparse.Namespace, environment: Mapping[str, str], study: Study, prompts: Sequence[str]
) -> SteerConfig:
    """The frozen config of a command line.

    Args:
        arguments: as parsed.
        environment: of which an endpoint's address and key are read.
        study: whose settings hold where no flag says otherwise.
        prompts: as they were read.

    Raises:
        RunError: flags contradict each other, or a value is out of its bounds.
    """
    from agent.errors import RunError
    from agent.folder.steered import SteerConfig

    if arguments.topic is not None and len(arguments.toward) > 1:
        raise RunError("--topic is what one target is asked for: leave it out, or give one --toward")
    settings = study.steering
    return make(
        SteerConfig,
        **{name: getattr(arguments, name) for name in _AS_GIVEN},
        study=arguments.study or "pocket",
        sae=arguments.sae or "base",
        toward=tuple(map(str, arguments.toward)),
        away=_text(arguments.away),
        prompts=tuple(prompts),
        schemes=tuple(dict.fromkeys(arguments.schemes)),
        keep_error=not arguments.drop_error,
        new_tokens=arguments.length,
        temperature=settings.temperature,
        top_k=settings.top_k,
        target_kl=settings.target_kl if arguments.target_kl is None else arguments.target_kl,
        labels=_text(arguments.verdicts),
        require=tuple(requirement.text for requirement in arguments.require),
        llm=_choose_llm(arguments, environment),
        limits=read_budget(arguments),
        pairs=arguments.pairs,
        judge_repeats=arguments.judge_repeats,
        allow_unproved=arguments.allow_unproved,
    )


def _choose_llm(arguments: argparse.Namespace, environment: Mapping[str, str]) -> LlmChoice | None:
    """Who judges texts: a model that the command line names, for nothing is paid that nobody asked for."""
    from agent.errors import RunError

    if arguments.llm_model is None:
        if arguments.pairs is not None:
            raise RunError("--pairs is about who judges: name a model with --llm-model")
        return None
    if not (named_address(arguments, environment) or environment.get(KEY)):
        raise RunError("no LLM is configured: set OPENAI_API_KEY or OPENAI_BASE_URL, or give --base-url")
    return read_choice(arguments, environment, arguments.llm_model, arguments.llm_model)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
