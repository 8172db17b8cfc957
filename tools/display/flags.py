"""Flags of commands: what several take is said once, and each number has bounds, so that no library meets what it cannot use."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

MOST_SEED = 2**31 - 1
"""Servers and libraries take no larger one alike."""
_SHOWN = 80
"""Characters of a word that a complaint shows."""
_FEATURE = re.compile(r"\d{1,11}|.+-r?[0-9]{6,12}")


@runtime_checkable
class Takes(Protocol):
    """A parser, or a group of its flags."""

    def add_argument(self, *names: str, **settings: Any) -> argparse.Action:
        """As argparse's."""
        ...


class Choice(NamedTuple):
    """One thing that a word on a command line chooses, imported when it is used."""

    what: str
    """For people."""
    place: str
    """`package.module:function`."""
    takes: tuple[str, ...] = ()
    """Flags that say something about it, of those that not every choice takes."""
    file: str = ""
    """What a file that it writes is called, unless a flag says; `{run}` is the run's name."""

    def load(self) -> Callable[..., Any]:
        """The function."""
        module, _, name = self.place.partition(":")
        return getattr(import_module(module), name)


def list_choices(title: str, choices: Mapping[str, Choice | str]) -> str:
    """What there is to choose from, as the end of a help."""
    width = max(map(len, choices))
    told = ((name, one if isinstance(one, str) else one.what) for name, one in choices.items())
    return "\n".join([f"{title}:", *(f"  {name:<{width}}  {what}" for name, what in told)])


def spell(names: Iterable[str]) -> str:
    """Flags as they are given, of their names in what was parsed."""
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def whole(least: int, most: int) -> Callable[[str], int]:
    """A type for argparse: whole numbers from the one to the other."""

    def read(text: str) -> int:
        digits = text.removeprefix("-")
        if not (digits.isdecimal() and len(digits) <= len(str(most)) and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text[:_SHOWN]!r} is not a whole number from {least} to {most}")
        return int(text)

    return read


def number(least: float, most: float) -> Callable[[str], float]:
    """A type for argparse: numbers from the one to the other; NaN is none."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text[:_SHOWN]!r} is not a number from {least:g} to {most:g}")
        return value

    return read


def features(text: str) -> tuple[str, ...]:
    """A type for argparse: features, each by its number or its key, and each once."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(map(_FEATURE.fullmatch, words)):
        raise argparse.ArgumentTypeError(f"{text[:_SHOWN]!r} is not a list of features such as 12,base-000700")
    return tuple(dict.fromkeys(str(int(word)) if word.isdecimal() else word for word in words))


def reason(text: str) -> str:
    """A type for argparse: why something is done all the same."""
    if not text.strip():
        raise argparse.ArgumentTypeError("say why: the reason is kept, and shown")
    if not is_text(text):
        raise argparse.ArgumentTypeError("it is no UTF-8 text, and could not be kept")
    return " ".join(text.split())


def is_text(given: str) -> bool:
    """Whether what the system handed over is UTF-8: other bytes come as halves of surrogate pairs, which no file holds."""
    try:
        given.encode()
    except UnicodeEncodeError:
        return False
    return True


SHARED: dict[str, dict[str, Any]] = {
    "run": {"type": Path, "metavar": "RUN", "help": "a run folder"},
    "runs": {"type": Path, "nargs": "+", "metavar": "RUN", "help": "run folders"},
    "--labels": {"type": Path, "nargs": "+", "default": (), "metavar": "FILE"}
    | {"help": "labels files; python -m evals.labels makes them"},
    "--programs": {"action": "store_true"}
    | {"help": "let labels that a program made stand for people's; what is shown says so"},
    "--annotator": {"metavar": "NAME", "help": "who labelled"},
    "--study": {"metavar": "STUDY", "help": "a study under studies/, or a study.toml or its folder (default: pocket)"},
    "--toward": {"type": Path, "nargs": "+", "metavar": "FILE"}
    | {"help": "texts, a target each: .txt, .jsonl or .parquet of several passages"},
    "--away": {"type": Path, "metavar": "FILE"}
    | {"help": "text that targets are held against (default: the study's corpus)"},
    "--features": {"type": features, "metavar": "FEATURES"}
    | {"help": "just these: numbers, or keys as in transcripts/, parted by commas"},
    "--judge-repeats": {"type": whole(1, 10**15), "default": 1, "metavar": "N"},
    "--seed": {"type": whole(0, MOST_SEED), "default": 0, "metavar": "N"}
    | {"help": "decides all that is drawn at random (default: 0)"},
    "--require": {"action": "append", "default": [], "metavar": "BOUND"},
    "--port": {"type": whole(0, 65535), "default": 8000, "metavar": "N"}
    | {"help": "on this machine; 0 takes a free one (default: %(default)s)"},
    "--out": {"type": Path, "metavar": "PATH", "help": "what to write"},
    "--json": {"type": Path, "metavar": "FILE", "help": "write everything as JSON as well"},
    "--device": {"default": "auto", "metavar": "DEVICE", "help": "auto, cpu, cuda, cuda:N or mps (default: auto)"},
    "--threads": {"type": whole(1, os.cpu_count() or 1), "metavar": "N"}
    | {"help": "to compute on (default: OMP_NUM_THREADS, or as many as this machine has cores)"},
    "--sae": {"metavar": "SAE"}
    | {"help": "an arm of the study, or with --model a folder saved by SAELens or RELEASE/SAE_ID (default: base)"},
    "--model": {"metavar": "NAME"}
    | {"help": "for an SAE that is no arm: a Hugging Face model folder or name, or a .gguf file"},
    "--hook": {"metavar": "NAME"}
    | {
        "help": "where the SAE is read and written, if it does not say or says wrongly: blocks.N.hook_resid_pre or _post"
    },
    "--precision": {"choices": ["auto", "float32", "bfloat16"], "default": "auto"}
    | {
        "help": "of the model; auto: the study's, or else float32 unless its weights would take more than half of the memory"
    },
    "--runs": {"type": Path, "default": Path("runs"), "metavar": "FOLDER"}
    | {"help": "where run folders are made (default: %(default)s)"},
    "--resume": {"type": Path, "metavar": "RUN"}
    | {
        "help": "finish a run that was stopped; its own settings hold, but for endpoint, time-out, concurrency and budget"
    },
    "--memory-gib": {"type": number(0.01, 10_000.0), "default": 1.0, "metavar": "X"}
    | {"help": "what one step may take, weights aside (default: 1)"},
    "--allow-unproved": {"type": reason, "metavar": "REASON"}
    | {"help": "go on although the bench fails its proof on this machine's libraries; all that rests on it says so"},
    "--allow-different": {"type": reason, "metavar": "REASON"}
    | {"help": "go on although something is not the same that must be; all that rests on it says so"},
}
"""What several commands take, as argparse's `add_argument` is told."""


def add_shared(to: Takes, *names: str, **more: Any) -> None:
    """Add flags that several commands take.

    Args:
        to: a parser or a group.
        names: of `SHARED`.
        more: what is said differently here: a help, a default, or that it is required.
    """
    for name in names:
        to.add_argument(name, **SHARED[name] | more)
