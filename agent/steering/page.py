"""`report.html` of a steering run, and the part of it that the desk serves too."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from agent.folder.steered import ChosenFeature
from agent.folder.steering_store import SteeringFolder
from agent.folder.store import write_whole
from agent.steering.shown import LEVELS, ShownRun, show_run
from tools.display.templates import load_template

STYLE = Path(__file__).with_name("steered.css")
FRONTIER = "frontier"
_INVESTIGATION = re.compile(r"(?P<run>.+?)[/#](?P<key>[\w.]+-r?[0-9]{6,12})")
Figure = tuple[str, str]
"""Name, and where its picture is."""


def write_report(folder: SteeringFolder) -> Path:
    """Draw the frontier and write the page, both from what the folder holds.

    Raises:
        RunError: something in it does not read.
        Unwritable: the page cannot be written.
    """
    from agent.steering.figures import draw_frontier  # with a library that who only shows a page need not load

    results = folder.results()
    figures: list[Figure] = []
    if results is not None:
        drawn = draw_frontier(folder.path / "figures" / f"{FRONTIER}.png", results)
        figures.append((FRONTIER, f"data:image/png;base64,{base64.b64encode(drawn.read_bytes()).decode()}"))
    shown = show_run(folder, lambda feature: _find_report(folder, feature))
    page = load_template(Path(__file__).with_name("report.html.j2"))
    html = page.render(run=shown, style=Markup(STYLE.read_text("utf-8")), body=write_body(shown, figures))
    write_whole(folder.path / "report.html", html)
    return folder.path / "report.html"


def write_body(shown: ShownRun, figures: Sequence[Figure]) -> Markup:
    """The page without its frame, as HTML; everything from outside is escaped."""
    template = load_template(Path(__file__).with_name("steered.html.j2"))
    return Markup(template.render(run=shown, figures=figures, levels=LEVELS))


def read_investigation(named: str | None) -> tuple[str, str] | None:
    """Run folder and feature's key of what `ChosenFeature.investigation` says; None where it says no such thing."""
    found = None if named is None else _INVESTIGATION.fullmatch(named)
    return None if found is None else (found["run"], found["key"])


def _find_report(folder: SteeringFolder, feature: ChosenFeature) -> str | None:
    """The report of an investigation that lies beside this run: one elsewhere may be gone, or anybody's."""
    named = read_investigation(feature.investigation)
    if named is None:
        return None
    beside = folder.path.parent / Path(named[0]).name
    return f"../{quote(beside.name)}/report.html" if (beside / "report.html").is_file() else None
