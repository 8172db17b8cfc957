"""Flags that say which features are investigated, and what they come to together."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from agent.llm.flags import make
from agent.selection.strategy import STRATEGIES
from tools.display.flags import Takes, add_shared, number, spell, whole

_ABOUT_A_TEXT = ("away", "scorer", "encoder", "reference_prompts")
CHOOSING = frozenset({"choose", "features", "task", "toward", "limit", "controls", *_ABOUT_A_TEXT})
"""What they are called in what was parsed, and in a config."""


def add_choice_flags(to: Takes) -> None:
    """Add them to a group."""
    listed = "; ".join(f"{name}: {strategy.what}" for name, strategy in STRATEGIES.items())
    to.add_argument(
        "--choose",
        choices=tuple(STRATEGIES),
        help=f"{listed} (default: keywords, unless --task, --toward or --features says otherwise)",
    )
    add_shared(to, "--features")
    to.add_argument(
        "--task",
        metavar="TASK",
        help="a classification task, one of the study's tasks/ or a file (.toml, .jsonl, .csv, .parquet): the features that do "
        "most for a classifier of it are investigated, and rated by how much they have to do with its label and with what "
        "goes with it by accident, instead of by the study's question",
    )
    add_shared(
        to,
        "--toward",
        help="a text of several passages, .txt, .jsonl or .parquet: the features that score best for it are "
        "investigated; a quarter of the passages is held out",
    )
    add_shared(
        to,
        "--away",
        help="with --toward: other text, which the features' null is made of (default: the study's corpus)",
    )
    to.add_argument(
        "--scorer",
        choices=("contrast", "reference"),
        default="contrast",
        help="with --toward: what ranks; contrast: more active in the text than in other text, beyond a null of permuted "
        "documents; reference: active in prompts that are like the text, which the SAE never sees (default: contrast; both "
        "are run, and their agreement is told)",
    )
    to.add_argument(
        "--encoder",
        metavar="NAME",
        help="with --toward: a model of sentence-transformers, a folder or a name on the hub, by which prompts are like a "
        "text (default: the study's word vectors by tf-idf)",
    )
    to.add_argument(
        "--reference-prompts",
        type=Path,
        metavar="FILE",
        help="with --toward: prompts parted by blank lines (default: how documents of the study's corpus open)",
    )
    to.add_argument(
        "--limit", type=whole(1, 10**15), metavar="N", help="most candidates investigated (default: the study's)"
    )
    to.add_argument(
        "--controls",
        type=number(0.0, 100.0),
        default=1.0,
        metavar="X",
        help="multiplies the numbers of control features; 0 for none (default: 1)",
    )


def settle_choice(arguments: argparse.Namespace, sae: str) -> dict[str, Any]:
    """The fields of a config that say how features are chosen.

    Args:
        arguments: as parsed.
        sae: whose features are named.

    Raises:
        RunError: two flags choose, one is about a choice that was not made, or a feature is not this SAE's.
    """
    from agent.errors import RunError

    chosen = [name for name in ("task", "toward", "features", "choose") if name in arguments.given]
    if arguments.evidence and (others := [name for name in chosen if name != "features"]):
        raise RunError(f"--evidence brings its features along: leave out {spell(others)}")
    needed = {"effect": "task", "text": "toward", "listed": "features"}.get(arguments.choose)
    if needed and chosen == ["choose"]:
        raise RunError(f"--choose {arguments.choose} takes {spell([needed])}")
    if len(chosen) > 1 and not (needed and chosen == [needed, "choose"]):
        raise RunError(f"{spell(chosen)} each choose which features are investigated: give one of them")
    if not arguments.toward and (idle := sorted(arguments.given & {*_ABOUT_A_TEXT})):
        raise RunError(f"{spell(idle)} says something about a text: give it with --toward FILE")
    if arguments.choose == "all" and arguments.limit is not None:
        raise RunError("--choose all takes every feature: leave out --limit")
    if arguments.toward and len(arguments.toward) > 1:
        raise RunError("features are chosen by one text at a time: give --toward one file")
    return {
        "choose": arguments.choose,
        "features": arguments.features and tuple(dict.fromkeys(_number_of(one, sae) for one in arguments.features)),
        "task": arguments.task,
        "toward": str(arguments.toward[0]) if arguments.toward else None,
        "away": str(arguments.away) if arguments.away else None,
        "scorer": arguments.scorer,
        "encoder": arguments.encoder,
        "reference_prompts": str(arguments.reference_prompts) if arguments.reference_prompts else None,
    }


def _number_of(feature: str, sae: str) -> int:
    """The number of a feature that was named by it or by its key."""
    from agent.errors import RunError
    from tools.records import FeatureRef

    index = int(feature.rpartition("-")[2].removeprefix("r"))
    if not feature.isdecimal() and feature != make(FeatureRef, study="", sae=sae, index=index).key:
        raise RunError(f"--features {feature}: that is no feature of {sae}; give its number")
    return index
