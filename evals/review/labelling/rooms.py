"""A run that is being labelled: its labels, and what is asked of its features."""

from __future__ import annotations

from markupsafe import Markup

from evals.review.labelling.guideline import render_guideline
from evals.review.labelling.passes import Asked, BlindPass, ask
from evals.review.labelling.store import LabelStore
from evals.review.runs import OpenRun


class Room:
    """A run with its labels and what is asked of its features."""

    def __init__(self, run: OpenRun) -> None:
        """Read the study's question and guideline."""
        self.run = run
        self.store = LabelStore(run.folder.path / "labels")
        self.asked: Asked = ask(run)
        self.guideline: Markup = render_guideline(self.asked.guideline)

    def pass_of(self, annotator: str) -> BlindPass:
        """An annotator's blind pass as it stands now."""
        return BlindPass(self.run, self.store, self.asked, annotator)
