"""The desk: the runs that were opened, and the labels that people gave on their features."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from agent.errors import RunError
from agent.folder.steering_store import is_steered
from evals.agreement.pairing import choose_question
from evals.agreement.people import list_remarks
from evals.agreement.results import Agreement
from evals.manual.files import read_label_files
from evals.manual.records import Item, Label
from evals.review.runs import OpenRun, OpenSteered
from tools.records import FeatureRef


class Desk:
    """What every page is made of. Nothing in it changes while it is served; labels written at the desk are not here."""

    def __init__(
        self,
        runs: Sequence[OpenRun],
        labels: Sequence[Label] = (),
        annotator: str | None = None,
        programs: bool = False,
        remarks: Sequence[str] = (),
        steered: Sequence[OpenSteered] = (),
    ) -> None:
        """Hold runs and labels.

        Args:
            runs: opened, each under its own name.
            labels: settled: at most one a question, annotator and feature.
            annotator: who labels here, unless a page is told otherwise.
            programs: labels that programs made count like people's.
            remarks: on the labels, for the terminal.
            steered: steering runs, each under its own name.
        """
        self.runs = {run.name: run for run in runs}
        self.steered = {run.name: run for run in steered}
        self.labels = tuple(labels)
        self.annotator = annotator
        self.programs = programs
        self.remarks = tuple(remarks)
        self._agreements: dict[str, Agreement] = {}
        self._one_at_a_time = Lock()
        self._by_item: defaultdict[str, list[Label]] = defaultdict(list)
        for label in self.labels:
            self._by_item[label.item.key].append(label)

    @classmethod
    def open(
        cls,
        paths: Sequence[Path],
        labels: Sequence[Path] = (),
        annotator: str | None = None,
        programs: bool = False,
    ) -> Desk:
        """Open run folders and labels files.

        Raises:
            RunError: a folder is no run, is named twice, or does not read.
            LabelError: a labels file does not read.
        """
        named = _name_runs(paths)
        runs = [OpenRun(name, path) for name, path in named if not is_steered(path)]
        steered = [OpenSteered(name, path) for name, path in named if is_steered(path)]
        given, remarks = read_label_files(labels)
        told = list_remarks("labels given more than once", remarks, most=20)
        return cls(runs, given, annotator, programs, told, steered)

    def labels_on(self, feature: FeatureRef) -> list[Label]:
        """Every label given on a feature, those of programs last."""
        own = Item(sae=feature.sae, index=feature.index, kind=feature.kind).key
        keys = dict.fromkeys((own, feature.key))
        found = [label for key in keys for label in self._by_item.get(key, ()) if label.item.fits(feature)]
        return sorted(found, key=lambda label: label.machine)

    def agreement(self, run: OpenRun) -> Agreement:
        """What the labels given to this desk say of a run; worked out once, in seconds.

        Raises:
            LabelError: no label fits the run.
        """
        from evals.agreement.examination import examine

        question = choose_question(list(run.decisions.values()), self.labels)
        with self._one_at_a_time:
            if run.name not in self._agreements:
                decisions = list(run.decisions.values())
                self._agreements[run.name] = examine(
                    run.manifest, decisions, self.labels, question, programs=self.programs, floors=run.floors
                )
            return self._agreements[run.name]


def _name_runs(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """Each run under its folder's name; two folders of one name are told apart by a number."""
    named: dict[str, Path] = {}
    for path in dict.fromkeys(path.resolve() for path in paths):
        if not path.is_dir():
            raise RunError(f"{path} is no folder")
        name, number = path.name, 2
        while name in named:
            name, number = f"{path.name}~{number}", number + 1
        named[name] = path
    return list(named.items())
