"""Which positions of a text count: how long a row of it may be, and which positions are attention sinks.

Many models park attention on a few positions, whose residual stream grows a hundred times as long as any other: the first
one, delimiters, sometimes a text's first word. A mean length, a variance or a largest activation that holds them says
nothing about text, and an SAE that was trained with them spends features on nothing else. So they count as no text.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tools.errors import LoadError

SINK_MULTIPLE = 4.0
"""Median lengths of the residual stream beyond which a position is a sink, unless a study says otherwise."""
LONGEST_ROW = 1024
"""Tokens of a row where an SAE does not say what it was trained on: what a model was made for may be a hundred times that,
and most of such rows would be padding."""


def choose_row_width(context_size: int, trained_on: object) -> int:
    """Positions of a row of text, BOS included: as many as the SAE was trained on, if the model takes them.

    Args:
        context_size: most positions the model was made for.
        trained_on: `context_size` in the SAE's metadata; None where it says nothing.

    Raises:
        LoadError: that is no number of positions.
    """
    if trained_on is None:
        return min(context_size, LONGEST_ROW)
    if not isinstance(trained_on, int) or isinstance(trained_on, bool) or trained_on < 2:
        raise LoadError(
            f"the SAE's metadata give a context_size of {str(trained_on)[:40]!r}, which is no number of tokens"
        )
    return min(context_size, trained_on)


def without_sinks(
    residuals: Float[Tensor, "*batch d_model"], real: Bool[Tensor, "*batch"], bound: float | None = None
) -> Bool[Tensor, "*batch"]:
    """The real positions whose residual stream is not longer than a bound.

    Args:
        residuals: at one place of the model.
        real: text.
        bound: a length; None: `SINK_MULTIPLE` times the median over the text given.
    """
    lengths, text = residuals.norm(dim=-1), real.to(residuals.device)
    if bound is None:
        bound = SINK_MULTIPLE * float(lengths[text].median()) if bool(text.any()) else torch.inf
    return text & ~(lengths > bound)
