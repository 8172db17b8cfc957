"""What a run says of its survey, its selection and the text that it left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from agent.folder.records import Selection, SinkCount
from tools.records import Evidence
from tools.study.definition import Study

if TYPE_CHECKING:
    from tools.bench.workbench import Workbench
    from tools.survey.features import Survey


def describe_selection(selection: Selection, null_hits: np.ndarray, study: Study) -> str:
    """One line: how many of what, and what the survey's null says about keyword hits."""
    parts = [
        f"{size.drawn} {size.stratum}" + (f" of {size.population:,}" if size.population else "")
        for size in selection.sizes
    ]
    drawn = ", ".join(parts or [f"{len(selection.items)} features"])
    if selection.rule is None and selection.sizes:
        return drawn  # by no keywords
    if study.survey.candidates == "null" and selection.rule is not None and selection.least_hits is None:
        return f"{drawn}; no number of hits is reached by {study.survey.alpha:.1%} of random directions or fewer"
    least = selection.least_hits or study.survey.candidate_hits
    chance = f"{(null_hits >= least).mean():.1%}"
    if selection.rule == "null":
        most = f"at most {study.survey.alpha:.1%} of random directions have ({chance} do)"
        return f"{drawn}; candidates have {least} hits or more, the fewest that {most}"
    return f"{drawn}; {chance} of random directions have as many hits"


def describe_hits(survey: Survey, study: Study) -> list[str]:
    """How many features, and random directions, have keyword hits under the study's lens and under the direct one."""
    if survey.report is None:
        return []
    least = study.survey.candidate_hits
    lenses = {
        survey.report.name: (survey.features.hits, survey.null.hits),
        "direct": (survey.direct_hits, survey.null_direct_hits),
    }
    return [
        f"{least} hits or more by the {name} lens: {(hits >= least).mean():.1%} of features, "
        f"{(null >= least).mean():.1%} of random directions"
        for name, (hits, null) in lenses.items()
    ]


def count_sinks(bench: Workbench, study: Study, evidence: Sequence[Evidence]) -> SinkCount | None:
    """How many positions of the observed text counted as none; None where nothing was observed."""
    counted = next((e.activations.n_tokens for e in evidence if e.activations and e.activations.n_tokens), None)
    if counted is None:
        return None
    real = int(bench.read_text(study, "train", bench.row_width).real.sum())
    return SinkCount(positions=real - counted, of=real, usual_norm=bench.usual_norm, multiple=bench.sink_multiple)
