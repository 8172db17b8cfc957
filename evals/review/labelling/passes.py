"""The blind pass of one annotator over one run: which feature comes next, and how far it has come."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import NamedTuple

from pydantic import ValidationError

from agent.folder.entrusted import open_question
from evals.agreement.results import Plan
from evals.manual.records import INPUT, INTERPRETABLE, OUTPUT, RELEVANT, Item
from evals.review.labelling.blind import order_features, read_addresses
from evals.review.labelling.store import LabelStore
from evals.review.runs import OpenRun
from tools.errors import UnveilError
from tools.records import FeatureRef


class Asked(NamedTuple):
    """What an annotator is asked of every feature."""

    topic: str
    """The domain; empty where concepts are rated."""
    concepts: Mapping[str, str]
    """Name -> what is meant; empty where a domain is asked about."""
    guideline: str
    """Empty where the study is not at hand."""

    @property
    def needed(self) -> tuple[str, ...]:
        """Questions that must be answered."""
        return tuple(self.concepts) or (RELEVANT,)

    @property
    def all(self) -> tuple[str, ...]:
        """Everything that may be answered."""
        return self.needed if self.concepts else (RELEVANT, INTERPRETABLE, INPUT, OUTPUT)

    @property
    def settled(self) -> tuple[str, ...]:
        """What is settled where people differ: the needed questions and, where a domain is asked about, either side."""
        return self.needed if self.concepts else (RELEVANT, INPUT, OUTPUT)


class Progress(NamedTuple):
    """How far a pass has come."""

    done: int
    total: int
    seconds: float | None
    """Median for one feature; None before anything was timed."""


class BlindPass:
    """One annotator, one run. Made anew for every page: what stands in the files counts, not what was remembered."""

    def __init__(self, run: OpenRun, store: LabelStore, asked: Asked, annotator: str) -> None:
        """Read what the annotator has answered.

        Raises:
            LabelError: the annotator's file cannot be read.
        """
        self.asked = asked
        self.answers = store.standing(annotator)
        settled = store.settled()
        seen = {key for (key, _), labels in settled.items() if any(label.annotator == annotator for label in labels)}
        self.features = {item_of(d.feature).key: d.feature for d in run.decisions.values()}
        """By the key that labels have."""
        self._open = [key for key in self.features if key not in seen or self.is_done(key)]
        self._planned = read_plan(run.folder.path / "evals" / "agreement.json", run.manifest.run_id)
        self._seed = f"{run.manifest.run_id}|{annotator}"
        self._addresses = read_addresses(store.secret(), annotator, self._open)

    def is_done(self, key: str) -> bool:
        """Whether every question that must be answered has an answer."""
        return all((key, question) in self.answers for question in self.asked.needed)

    def find(self, address: str) -> FeatureRef | None:
        """The feature that an address of this annotator's pages means."""
        key = self._addresses.get(address)
        return None if key is None else self.features[key]

    def address(self, key: str) -> str | None:
        """The address of a feature; None if it is not part of this pass."""
        return self._addresses_of.get(key)

    def next_address(self) -> str | None:
        """Where the next feature without an answer is; None when all have one."""
        key = next((key for key in self.order if not self.is_done(key)), None)
        return None if key is None else self.address(key)

    def last_address(self) -> str | None:
        """Where the newest answer that stands was given; None if there is none."""
        last = max(self.answers.values(), key=lambda label: label.time or "", default=None)
        return None if last is None else self.address(last.item.key)

    @property
    def progress(self) -> Progress:
        """How many features are done, and what one takes."""
        done = [key for key in self._open if self.is_done(key)]
        times = [label.seconds for label in self.answers.values() if label.seconds is not None]
        return Progress(len(done), len(self._open), median(times) if times else None)

    @cached_property
    def order(self) -> list[str]:
        """Keys in this annotator's order."""
        decoys = [key for key in self._open if self.features[key].kind == "random_direction"]
        return order_features(self._open, self._planned, decoys, self._seed)

    @cached_property
    def _addresses_of(self) -> Mapping[str, str]:
        return {key: address for address, key in self._addresses.items()}


def item_of(feature: FeatureRef) -> Item:
    """A run's feature as labels name it."""
    return Item(study=feature.study, sae=feature.sae, index=feature.index, kind=feature.kind)


def ask(run: OpenRun) -> Asked:
    """What the run's study asks; concepts are the run's own where the study is not at hand."""
    rated = (r.concept for d in run.decisions.values() for r in d.ratings or ())
    try:
        question = open_question(run.manifest)
        guideline = question.read_guideline()
    except UnveilError:
        concepts = dict.fromkeys(sorted(set(rated)), "")
        return Asked("" if concepts else run.manifest.domain, concepts, "")
    concepts = question.rating.concepts if question.rating else {}
    return Asked(question.domain.name if question.domain else "", concepts, guideline)


def read_plan(file: Path, run_id: str) -> Sequence[str]:
    """Keys of the features that the examiner proposes to label next; none where it examined another run, or none."""
    try:
        report = json.loads(file.read_text("utf-8"))
        if report["run_id"] != run_id or report["plan"] is None:
            return ()
        plan = Plan.model_validate(report["plan"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return ()
    return [item_of(proposal.feature).key for proposal in plan.proposals]
