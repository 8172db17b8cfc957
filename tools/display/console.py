"""The consoles of commands that draw with Rich: `tools.display.terminal` for progress bars and tables."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console

from tools.display.terminal import hush
from tools.display.unseen import spell_out

_NARROWEST = 20
"""Columns: of fewer, as `COLUMNS=0` has them, Rich would show nothing at all."""


class PatientConsole(Console):
    """One whose reader may leave early: the work goes on in silence, for it was not done for the reader alone."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
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
