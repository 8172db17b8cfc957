"""Numbers on command lines: each flag says between which it takes one, so that no library meets what it cannot use."""

from __future__ import annotations

import argparse
from collections.abc import Callable

MOST_SEED = 2**31 - 1
"""Servers and libraries take no larger one alike."""
_SHOWN = 80
"""Characters of a word that a complaint shows."""


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
