"""How every figure of the project looks."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

from tools.whole_files import write_bytes

STYLE: dict[RcKeyType, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "figure.dpi": 140,
    "text.parse_math": False,  # names are no formulas: a dollar sign in one would be an error
}


def save_figure(figure: Figure, file: Path, dpi: float | str = "figure") -> None:
    """Write a figure as PNG, as a whole, with nothing in it that changes from one machine to the next.

    Raises:
        OSError: it cannot be; the old one stays.
    """
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi, metadata={"Software": None})
    write_bytes(file, drawn.getvalue(), flush=False)
