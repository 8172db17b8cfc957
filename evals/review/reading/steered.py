"""Steering runs on the desk: the run's own page, and every text toward one target."""

from __future__ import annotations

from pathlib import Path

from fastapi import HTTPException, Request
from fastapi.templating import Jinja2Templates
from starlette.responses import FileResponse, Response

from agent.folder.steered import ChosenFeature
from agent.steering.page import FRONTIER, STYLE, read_investigation, write_body
from agent.steering.shown import show_run
from evals.review.desk import Desk
from evals.review.links import feature_page
from evals.review.runs import OpenSteered


class SteeredPages:
    """The pages of steering runs."""

    def __init__(self, desk: Desk, templates: Jinja2Templates) -> None:
        self.desk, self.templates = desk, templates

    def show_run(self, request: Request, run: str, target: str | None = None) -> Response:
        """A run as its report has it; with a target, every text toward that one."""
        opened = self._find(run)
        if target is not None and all(one.name != target for one in opened.targets):
            raise HTTPException(404, "This run has no target of that name.")
        shown = show_run(opened.folder, self._find_feature, target, *([None] if target is not None else []))
        drawn = [(FRONTIER, f"{request.url.path}/{FRONTIER}.png")] if _frontier(opened).is_file() else []
        names = [one.name for one in opened.targets]
        body = write_body(shown, drawn if target is None else [])
        return self.templates.TemplateResponse(
            request, "steered.html.j2", {"run": opened, "body": body, "names": names, "target": target}
        )

    def show_frontier(self, run: str) -> Response:
        """The figure that the run drew."""
        file = _frontier(self._find(run))
        if file.is_symlink() or not file.is_file():
            raise HTTPException(404, "This run has drawn no frontier.")
        return FileResponse(file, media_type="image/png")

    def show_style(self) -> Response:
        """How the body of such a page looks, the same as in its report."""
        return FileResponse(STYLE, media_type="text/css")

    def _find(self, run: str) -> OpenSteered:
        if run not in self.desk.steered:
            raise HTTPException(404, "No steering run of that name is open.")
        return self.desk.steered[run]

    def _find_feature(self, feature: ChosenFeature) -> str | None:
        """The page of its investigation, if that is open here and decided on it."""
        named = read_investigation(feature.investigation)
        run = None if named is None else self.desk.runs.get(Path(named[0]).name)
        return (
            None if named is None or run is None or named[1] not in run.decisions else feature_page(run.name, named[1])
        )


def _frontier(run: OpenSteered) -> Path:
    return run.folder.path / "figures" / f"{FRONTIER}.png"
