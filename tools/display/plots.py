"""How every figure of the project looks, and how it becomes a file."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

from tools.whole_files import write_bytes

INK, FLOOR = "#0b6e4f", "#a23b4a"
STYLE: dict[RcKeyType, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "figure.dpi": 140,
    "text.parse_math": False,  # names are no formulas: a dollar sign in one would be an error
}
Draw = Callable[[Axes], object]


def save_figure(file: Path, size: tuple[float, float], *panels: tuple[str, Draw]) -> Path:
    """Draw panels beside each other, each under its title, as PNG; the same drawing gives the same bytes.

    Args:
        file: to write.
        size: width and height in inches.
        panels: title, which may be empty, and what draws.

    Raises:
        OSError: it cannot be written; the old one stays.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for place, (title, draw) in zip(axes, panels, strict=True):
            draw(place)
            if title:
                place.set_title(title)
        drawn = BytesIO()
        FigureCanvasAgg(figure).print_png(drawn, metadata={"Software": None})  # `savefig` draws twice, once for nothing
    write_bytes(file, drawn.getvalue(), flush=False)
    return file
