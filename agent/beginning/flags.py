"""The command line: its flags, and the frozen config they and the environment make."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.beginning.choosing import CHOOSING, add_choice_flags, settle_choice
from agent.llm.flags import KEY, add_llm_flags, make, named_address, read_budget, read_choice
from tools.display.flags import add_shared, spell
from tools.display.terminal import Parser

if TYPE_CHECKING:
    from agent.folder.config import RunConfig
    from agent.llm.settings import LlmChoice

SETTLED = CHOOSING | {"study", "sae", "model", "hook", "corpus", "evidence", "seed", "precision"}
"""What a run that is judged again has settled."""
_AS_GIVEN = SETTLED - CHOOSING - {"study", "sae", "evidence"} | {
    "limit",
    "controls",
    "device",
    "memory_gib",
    "allow_unproved",
}
"""Flags whose values are a config's fields of the same names."""
DESCRIPTION = """\
Survey every feature of a sparse autoencoder, investigate a few dozen, and record each decision with its evidence.

python -m agent.run --sae base               the base model of the embedded study
python -m agent.run --sae finetuned          the same model, fine-tuned on medical text
python -m agent.run --sae base --toward FILE the features that stand for a text, instead of the study's keywords
python -m agent.run --resume runs/RUN        go on with a run that was stopped
python -m agent.run --rejudge runs/RUN --llm-model M      let another model judge what it found
python -m agent.run --evidence FILE --study FILE          judge what another tool found
"""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line. Nothing heavy has been imported when this returns, so `--help` is instant."""
    parser = Parser(prog="python -m agent.run", description=DESCRIPTION)
    _add_subject(parser)
    add_choice_flags(parser.add_argument_group("which features to investigate"))
    _add_judge(parser)
    _add_manner(parser)
    arguments = parse_known(parser, argv)
    if arguments.allow_different and not arguments.rejudge:
        parser.error("--allow-different is about a run that is judged again: give it with --rejudge")
    if arguments.without and not arguments.rejudge:
        parser.error("--without keeps evidence from a judge that judges a run again: give it with --rejudge")
    return arguments


def parse_known(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments, with the names of those that were given in `given`: a default says nothing."""
    defaults = vars(parser.parse_args([]))
    unset = object()
    # A flag that may come again starts a list of its own; all others are marked, to be told from a default.
    again = {"header", *(name for name, value in defaults.items() if isinstance(value, list))}
    marked = argparse.Namespace(**dict.fromkeys(defaults.keys() - again, unset))
    found = vars(parser.parse_args(argv, marked))
    given = frozenset(name for name, value in found.items() if value is not unset and value not in (None, []))
    return argparse.Namespace(**{**defaults, **{name: found[name] for name in given}}, given=given)


def _add_subject(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to look at")
    add_shared(what, "--study", "--sae")
    what.add_argument(
        "--corpus",
        metavar="TEXTS",
        help="text to observe features on instead of the study's: a file (.jsonl, .parquet, "
        ".txt), a folder of such, or hub:NAME for a data set that is streamed",
    )
    add_shared(what, "--model", "--hook")
    what.add_argument(
        "--evidence",
        type=Path,
        metavar="FILE",
        help="judge evidence from elsewhere (JSONL, see docs/judging.md); no model",
    )
    what.add_argument(
        "--rejudge", type=Path, metavar="RUN", help="judge a finished run's evidence again, into a run of its own"
    )
    what.add_argument(
        "--without",
        nargs="+",
        choices=("contexts", "projection", "steering"),
        default=[],
        metavar="KIND",
        help="with --rejudge: keep contexts, projection (with keywords and coherence) or steering (with the causal check) from "
        "the judge, and what an earlier judge had tested: what is a kind of evidence worth to it?",
    )


def _add_judge(parser: argparse.ArgumentParser) -> None:
    llm = parser.add_argument_group(
        "who judges", "a model is configured by OPENAI_API_KEY, OPENAI_BASE_URL or --base-url"
    )
    llm.add_argument("--judge", choices=("rules", "llm"), help="default: llm if a model is configured, else rules")
    llm.add_argument("--judge-model", metavar="MODEL", help="the judge's model, if it is another")
    add_shared(llm, "--judge-repeats", help="judgements per feature (default: 1)")
    add_llm_flags(llm)


def _add_manner(parser: argparse.ArgumentParser) -> None:
    how = parser.add_argument_group("how")
    add_shared(how, "--seed", "--device", "--threads", "--precision", "--memory-gib", "--runs", "--resume")
    how.add_argument(
        "--retry-failed",
        action="store_true",
        help="with --resume: investigate again what failed; the failures are kept",
    )
    how.add_argument(
        "--replay", type=Path, metavar="RUN", help="make its decisions again without model and key, and compare"
    )
    add_shared(how, "--allow-unproved")
    add_shared(
        how,
        "--allow-different",
        help="with --rejudge: go on although a prompt or the study's text is not the run's; every later command says so",
    )
    how.add_argument(
        "--trace",
        action="store_true",
        help="send prompts, evidence, replies and decisions to LangSmith; key in LANGSMITH_API_KEY "
        "(default: nothing is sent there, whatever the environment says)",
    )
    how.add_argument(
        "--dry-run",
        action="store_true",
        help="do all that a run does before it has a folder: check, load, prove the bench; say what it may cost, and stop "
        "(no judge is asked, no folder made; with --evidence or --rejudge no model is loaded)",
    )


def configure(arguments: argparse.Namespace, environment: Mapping[str, str]) -> RunConfig:
    """The frozen config of a command line; flags come before the environment, of which nothing else is kept.

    Raises:
        RunError: an LLM is to judge but no model is named, or flags contradict each other.
    """
    from agent.errors import RunError
    from agent.folder.config import RunConfig

    if arguments.retry_failed:
        raise RunError("--retry-failed goes with --resume RUN")
    if arguments.evidence and (arguments.sae or arguments.model or arguments.hook):
        raise RunError("--evidence needs no model: leave out --sae, --model and --hook")
    choice = choose_llm(arguments, environment)
    if arguments.evidence and choice is None:
        raise RunError(
            "evidence from elsewhere has no nulls for the rules judge to hold it against: configure an LLM with "
            "OPENAI_API_KEY, OPENAI_BASE_URL or --base-url, and --llm-model"
        )
    sae: str = arguments.sae or ("imported" if arguments.evidence else "base")
    return make(
        RunConfig,
        **{name: getattr(arguments, name) for name in sorted(_AS_GIVEN)},
        **_judging(arguments, choice),
        study=arguments.study or "pocket",
        sae=sae,
        evidence=str(arguments.evidence) if arguments.evidence else None,
        **settle_choice(arguments, sae),
    )


def reconfigure(parent: RunConfig, arguments: argparse.Namespace, environment: Mapping[str, str]) -> RunConfig:
    """The config of a run that judges another's evidence again: the parent's, but for who judges.

    Raises:
        RunError: as `configure`; or a flag names what the parent has settled.
    """
    from agent.errors import RunError
    from agent.folder.withheld import KINDS

    if settled := sorted(arguments.given & SETTLED):
        raise RunError(f"--rejudge takes everything but the judge from its run: leave out {spell(settled)}")
    choice = choose_llm(arguments, environment)
    kept_back = tuple(kind for kind in KINDS if kind in {*parent.without, *arguments.without})
    if len(kept_back) == len(KINDS):
        raise RunError("without contexts, projection and steering there is nothing to judge: leave one of them")
    return parent.model_copy(update={**_judging(arguments, choice), "without": kept_back})


def _judging(arguments: argparse.Namespace, choice: LlmChoice | None) -> dict[str, Any]:
    """The fields of a config that say who judges, and within what."""
    from agent.folder.config import NEWEST, Limits

    return {
        "generation": NEWEST,
        "judge_repeats": arguments.judge_repeats,
        "llm": choice,
        "limits": Limits(**read_budget(arguments).model_dump()),
        "traced": arguments.trace,
    }


def choose_llm(arguments: argparse.Namespace, environment: Mapping[str, str]) -> LlmChoice | None:
    """The models that investigate and judge; None to let the rules judge.

    Raises:
        RunError: an LLM is to judge but no model is named.
    """
    from agent.errors import RunError

    if arguments.judge == "rules":
        return None
    configured = bool(named_address(arguments, environment) or environment.get(KEY))
    judge = arguments.judge or ("llm" if configured else "rules")
    model: str | None = arguments.llm_model or environment.get("OPENAI_MODEL") or None
    if judge == "llm" and not configured:
        raise RunError("no LLM is configured: set OPENAI_API_KEY or OPENAI_BASE_URL, or give --base-url")
    if judge == "llm" and model is None:
        raise RunError("name the model with --llm-model or OPENAI_MODEL, or let the rules judge with --judge rules")
    if judge == "rules" or model is None:
        return None
    return read_choice(arguments, environment, model, arguments.judge_model or model)
