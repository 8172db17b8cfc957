"""A clone of the published study's repository, whole or in part. What is missing is None."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from evals.audit.claims import ARMS, D_SAE, Claims
from evals.audit.parts import Cell, Kept, Scored, read_cells, read_kept, read_note, read_scored, read_steering
from evals.audit.published import RecordedRun, Report, own_tokens
from evals.audit.records import Holding
from evals.errors import LabelError

FIRST_PASS = "features/old/parsed_features.json"
EXPERIMENTS = "experiments/README.md"
EXTRACTION, INTERPRETATION = "scripts/0_extract_features.py", "scripts/1_interpret_features.py"
SAE_CONFIG = "models/sae/gpt2-small-fine-tuned-layer-8/cfg.json"
NOTES = (
    "README.md",
    "features/README.md",
    EXPERIMENTS,
    EXTRACTION,
    INTERPRETATION,
    "scripts/2_apply_vector_steering.py",
    SAE_CONFIG,
)
STEERING_NOTEBOOK = "notebooks/regress_coherence_scores_on_steered_output_cosine_similarities.ipynb"
KEYWORD_NOTEBOOK = "notebooks/eda.ipynb"
COHERENCE_NOTEBOOK = "notebooks/coherence_score_analysis.ipynb"
T = TypeVar("T")


class MissingPart(Exception):
    """A part of the repository that is needed is not here; the text names it."""


class Arm(NamedTuple):
    """What is recorded of one arm."""

    claims: Claims
    kept: dict[int, Kept] | None
    scored: dict[int, Scored] | None
    """All features."""
    scored_kept: dict[int, Scored] | None
    first_pass: dict[int, frozenset[str]] | None
    run: RecordedRun | None

    def reports(self) -> list[Report]:
        """Of its recorded run. Raises MissingPart."""
        return need(self.run, f"{self.run_folder}/*/feature_*.txt").reports

    def own(self) -> dict[int, frozenset[str]]:
        """The first pass. Raises MissingPart."""
        return fill(self.first_pass, FIRST_PASS)

    def kept_features(self) -> dict[int, Kept]:
        """Those a person kept. Raises MissingPart."""
        return fill(self.kept, self.kept_file)

    def all_scored(self) -> dict[int, Scored]:
        """Coherence of all features. Raises MissingPart."""
        return fill(self.scored, self.scored_file)

    @property
    def kept_file(self) -> str:
        """Where the kept features are."""
        return f"features/features_medical_{self.claims.arm}.json"

    @property
    def scored_file(self) -> str:
        """Where all features' coherence is."""
        return f"features/coherence_scores_{self.claims.arm}_features_all.csv"

    @property
    def scored_kept_file(self) -> str:
        """Where the kept features' coherence is."""
        return f"features/coherence_scores_medical_features_{self.claims.arm}.csv"

    @property
    def run_folder(self) -> str:
        """Where the recorded run is."""
        return f"experiments/{self.claims.folder}"


class Clone(NamedTuple):
    """Everything that an audit looks at."""

    baseline: Arm
    finetuned: Arm
    texts: Mapping[str, str]
    """Scripts, notes and settings that are here, by path."""
    notebooks: Mapping[str, tuple[Cell, ...]]

    @property
    def arms(self) -> tuple[Arm, Arm]:
        """Both."""
        return self.baseline, self.finetuned

    def text(self, name: str) -> str:
        """A script, note or settings file. Raises MissingPart."""
        return need(self.texts.get(name), name)

    def cells(self, name: str) -> tuple[Cell, ...]:
        """A notebook. Raises MissingPart."""
        return need(self.notebooks.get(name), name)


def need(part: T | None, name: str) -> T:
    """The part, if it is here.

    Raises:
        MissingPart: it is not.
    """
    if part is None:
        raise MissingPart(name)
    return part


def fill(part: dict[int, T] | None, name: str) -> dict[int, T]:
    """The same, and not empty.

    Raises:
        MissingPart: it is not here, or empty.
    """
    found = need(part, name)
    if not found:
        raise MissingPart(f"the rows of {name}")
    return found


def read_clone(root: Path) -> Clone:
    """Read what is there.

    Raises:
        LabelError: this is no clone of the study's repository, or one of its files does not read.
        RunError: a recorded run, or the list of the first pass, does not read.
    """
    if not root.is_dir():
        raise LabelError(f"{root} is not a folder: give a clone of the published study's repository")
    texts = {name: text for name in NOTES if (text := read_note(root / name)) is not None}
    notebooks = {str(file.relative_to(root)): read_cells(file) for file in sorted(root.glob("notebooks/**/*.ipynb"))}
    baseline, finetuned = (_read_arm(root, claims) for claims in ARMS)
    clone = Clone(baseline, finetuned, texts, {name: cells for name, cells in notebooks.items() if cells is not None})
    if not any(part for arm in clone.arms for part in arm[1:]):
        raise LabelError(f"{root} holds neither features/ nor experiments/ of the published study")
    return clone


def list_holdings(clone: Clone) -> list[Holding]:
    """How much of each part is here; scripts and notebooks come last."""
    found: list[Holding] = []
    for arm in clone.arms:
        claims, reports = arm.claims, arm.run.reports if arm.run else ()
        found += [
            Holding(part=arm.kept_file, present=len(arm.kept or ()), whole=claims.kept, unit="kept features"),
            Holding(part=arm.scored_file, present=len(arm.scored or ()), whole=D_SAE, unit="features"),
            Holding(part=arm.scored_kept_file, present=len(arm.scored_kept or ()), whole=claims.kept, unit="features"),
            Holding(
                part=f"{FIRST_PASS}: {claims.arm}",
                present=len(arm.first_pass or ()),
                whole=claims.reports,
                unit="features",
            ),
            Holding(part=arm.run_folder, present=len(reports), whole=claims.reports, unit="reports"),
        ]
    notes = Holding(part="notes, scripts, settings", present=len(clone.texts), whole=len(NOTES), unit="files")
    return [*found, notes, Holding(part="notebooks", present=len(clone.notebooks), whole=None, unit="notebooks")]


def _read_arm(root: Path, claims: Claims) -> Arm:
    empty = Arm(claims, None, None, None, None, None)
    first_pass = root / FIRST_PASS
    return empty._replace(
        kept=read_kept(root / empty.kept_file),
        scored=read_scored(root / empty.scored_file),
        scored_kept=read_scored(root / empty.scored_kept_file),
        first_pass=own_tokens(first_pass, claims.arm) if first_pass.is_file() else None,
        run=read_steering(root / empty.run_folder),
    )
