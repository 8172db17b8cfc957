"""Figures under names that a requirement can use: `kappa_low>=0.6` fails a build when agreement is not sure enough."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from tools.display.terminal import complain
from tools.errors import UnveilError

UNMET = 1
_FORM = re.compile(r"\s*(?P<name>[a-z][a-z0-9_]*)\s*(?P<sign>>=|<=|>|<)\s*(?P<bound>-?\d+(?:\.\d+)?(?:e-?\d+)?)\s*")
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


class Requirement(NamedTuple):
    """A figure and the bound it must keep."""

    text: str
    name: str
    sign: str
    bound: float

    def met(self, figures: Mapping[str, float | int]) -> bool:
        """Whether it holds; a figure that does not exist meets no bound."""
        return self.name in figures and _SIGNS[self.sign](figures[self.name], self.bound)


def read_requirement(text: str) -> Requirement:
    """`NAME>=NUMBER`, with any of >=, <=, > and <.

    Raises:
        UnveilError: it has another form.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise UnveilError(f"{text!r} is no requirement: write one like kappa_low>=0.6")
    return Requirement(text.strip(), found["name"], found["sign"], float(found["bound"]))


def unmet(requirements: Iterable[Requirement], figures: Mapping[str, float | int]) -> list[str]:
    """A line for every requirement that does not hold."""
    lines: list[str] = []
    for one in requirements:
        if not one.met(figures):
            found = f"{one.name} is {figures[one.name]:.4g}" if one.name in figures else _missing(one.name, figures)
            lines.append(f"{one.text}: {found}")
    return lines


def judge_figures(requirements: Iterable[Requirement], figures: Mapping[str, float | int]) -> int:
    """Say on stderr which requirements do not hold; the exit status that follows."""
    missed = unmet(requirements, figures)
    complain(*(f"not met: {line}" for line in missed))
    return UNMET if missed else 0


def _missing(name: str, figures: Mapping[str, float | int]) -> str:
    if name.rsplit("_", 1)[0] in figures:
        return "this figure has no interval here"
    return f"there is no such figure here; there are {', '.join(sorted(n for n in figures if '_' not in n))} and others"
