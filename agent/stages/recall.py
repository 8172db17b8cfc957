"""Finished investigations, taken up again for another judge: what the parent run proposed and measured, feature by feature.

A run that judges again keeps them as `cases.jsonl` in its own folder, so that it can be resumed, replayed and judged again
without its parent.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.briefing.generations import Briefing, briefing_of
from agent.briefing.hypotheses import Hypothesis, name_hypotheses, names_of
from agent.folder.measurements import Observed
from agent.folder.records import SelectedFeature, TranscriptStep
from agent.folder.store import RunFolder, write_whole
from agent.investigation.state import FeatureState
from agent.lines import read_lines
from tools.records import FeatureRef, Record

FILE = "cases.jsonl"


class Case(Record):
    """One feature as it was last put to a judge. A run by rules leaves a case of evidence alone."""

    feature: FeatureRef
    round: int
    """From 1; the round whose tests the judge is shown."""
    hypotheses: tuple[Hypothesis, ...] = ()
    observed: tuple[Observed, ...] = ()

    def bare(self) -> Case:
        """Without what was proposed and tested: tests rest on kinds of evidence of their own."""
        return Case(feature=self.feature, round=1)

    def state(self, item: SelectedFeature) -> FeatureState:
        """Where the graph goes on: straight to the judge."""
        return FeatureState(item=item, round=self.round, hypotheses=self.hypotheses, observed=list(self.observed))


def recall_case(feature: FeatureRef, steps: Sequence[TranscriptStep], briefing: Briefing) -> Case:
    """The case that a transcript ends with: the last hypotheses and everything measured.

    Args:
        feature: whose it is.
        steps: of the transcript.
        briefing: of the run, which says how its hypotheses read.

    Raises:
        ValidationError: the transcript was written by another version.
    """
    proposed = [content["parsed"] for step in steps if (content := _parsed_reply(step)) is not None]
    hypotheses, names = tuple[Hypothesis, ...](), dict[str, str]()
    for round, filled in enumerate(proposed, 1):
        hypotheses = briefing.read_proposals(briefing.proposals.model_validate(filled), names, feature.key, round)
        names |= names_of(hypotheses)
    return Case(
        feature=feature,
        round=max(1, len(proposed)),
        hypotheses=hypotheses,
        observed=tuple(Observed.model_validate(step.content) for step in steps if step.kind == "tool"),
    )


def recall_cases(parent: RunFolder, items: Sequence[SelectedFeature]) -> list[Case]:
    """The cases of a finished run, in order. Those of a run that itself judged again are its parent's.

    Raises:
        RunError: a transcript is missing or damaged.
    """
    stored, briefing = read_cases(parent.path), briefing_of(parent.manifest().config.generation)
    cases = [
        stored.get(item.feature.key) or recall_case(item.feature, parent.transcript(item.feature), briefing)
        for item in items
    ]
    return list(map(_named, cases))


def write_cases(folder: Path, cases: Sequence[Case]) -> None:
    """Write all cases as a whole."""
    write_whole(folder / FILE, "".join(case.model_dump_json() + "\n" for case in cases))


def read_cases(folder: Path) -> dict[str, Case]:
    """Cases by the feature's key; none for a run that investigates by itself.

    Raises:
        RunError: the file is damaged.
    """
    file = folder / FILE
    return {case.feature.key: case for case in read_lines(file, Case)} if file.is_file() else {}


def _named(case: Case) -> Case:
    """With names for hypotheses that have none, as the first generation's have."""
    if all(one.name for one in case.hypotheses):
        return case
    return case.model_copy(update={"hypotheses": name_hypotheses(case.hypotheses, {}, case.feature.key, case.round)})


def _parsed_reply(step: TranscriptStep) -> dict[str, Any] | None:
    if step.node != "hypothesize" or step.kind != "reply" or not isinstance(step.content, dict):
        return None
    return dict(step.content) if "parsed" in step.content else None
