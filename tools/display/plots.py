"""How every figure of the project looks."""

from __future__ import annotations

from typing import Any

from matplotlib.typing import RcKeyType

STYLE: dict[RcKeyType, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "figure.dpi": 140,
    "text.parse_math": False,  # names are no formulas: a dollar sign in one would be an error
}
