"""The consoles of commands that draw with Rich: `tools.display.terminal` for progress bars and tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from tools.display.terminal import hush
from tools.display.unseen import spell_out

_NARROWEST = 20
"""Columns: of fewer, as `COLUMNS=0` has them, Rich would show nothing at all."""


_MOST_DIGITS = 5
"""Of a number of columns or lines; Rich takes a word such as `²` for one, and stumbles."""


class PatientConsole(Console):
    """One whose reader may leave early: the work goes on in silence, for it was not done for the reader alone."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, _environ=_readable(os.environ))
        if self.width < _NARROWEST:
            self.width = _NARROWEST

    def on_broken_pipe(self) -> None:
        """Write nothing any more."""
        self.quiet = True
        hush(sys.stderr if self.stderr else sys.stdout)


class LineConsole(PatientConsole):
    """Prints lines as they are, each spelt out, with nothing read into them."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; a text is one line."""
        super().print(*(spell_out(one) if isinstance(one, str) else one for one in objects), **options)


def _readable(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without sizes of the terminal that are no numbers."""
    sizes = ("COLUMNS", "LINES", "JUPYTER_COLUMNS", "JUPYTER_LINES")
    return {
        name: value
        for name, value in environment.items()
        if name not in sizes or (value.isdecimal() and len(value) <= _MOST_DIGITS)
    }
