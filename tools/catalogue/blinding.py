"""Which instruments a blind judge may hear of: each declares it itself, and what declares nothing is taken to reveal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def keeps_blind(instrument: Function) -> Function:
    """Declare that no result of this instrument teaches which text of a pair is steered."""
    instrument.__dict__["keeps_blind"] = True
    return instrument


def names_of_blind(instruments: Iterable[Callable[..., Any]]) -> frozenset[str]:
    """The names of those that declare it."""
    return frozenset(i.__name__ for i in instruments if getattr(i, "keeps_blind", False) is True)
