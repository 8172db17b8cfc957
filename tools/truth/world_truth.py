"""What an SAE of a world's model is worth where everything is known, as it is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, ValidationError

from tools.bench.arms import hash_weights
from tools.border.text_files import read_text
from tools.errors import LoadError, first_problem
from tools.records import SCHEMA_VERSION, Record
from tools.truth.known import KnownFeature, KnownFeatures, write_known
from tools.truth.sums_truth import SumsTruth
from tools.whole_files import write_named

FILE = "truth.json"
"""In the SAE's folder."""


class Figure(Record):
    """A figure with its 95 % interval over transcripts."""

    value: float
    low: float
    high: float


class Told(Record):
    """What features tell of the variables."""

    coverage: Figure
    """Mean over variables of the F1 on test transcripts, of the detector that was best on training transcripts."""
    chosen: float
    """The same where the detectors were chosen, which is the published figure."""
    one_threshold: float
    """That with one threshold for all, the one that does best."""
    threshold: float
    reconstruction: Figure
    """F1 of what high-precision features assert of a test position, averaged; the threshold is chosen on development ones."""
    pooled: Figure
    """F1 of the same over all positions together."""
    best_on_test: float
    """`reconstruction` at the threshold that does best on the test transcripts themselves, as published."""
    asserting: int
    """Features that assert anything."""


class Skyline(Record):
    """What linear probes on the same residual stream tell of the variables."""

    coverage: Figure
    reconstruction: Figure
    pooled: Figure


class VariableRow(Record):
    """One thing that may be true, and the feature that tells it best."""

    name: str
    group: str
    """Of those that differ in their place alone."""
    place: tuple[int | float, int | float] | None
    """Row and column on the board; a half is between two squares."""
    prevalence: float
    feature: int
    threshold: float
    """Share of the feature's largest activation."""
    chosen: float
    """F1 on the training transcripts."""
    f1: float | None
    """On the test transcripts; None where it is true of all of their positions or of none."""
    skyline: float | None
    """Of a linear probe, on the same."""


class TrueLabel(Record):
    """A feature that means one variable and no other, on the training transcripts."""

    feature: int
    name: str
    meaning: str
    """In words, as a label would say it."""
    f1: float
    second: str | None
    """The variable that it tells second best."""
    second_f1: float
    words: tuple[str, ...] = ()
    """Tokens, lower-case, after which it is so nearly always: a list of these is a right label as well."""

    @property
    def known(self) -> KnownFeature:
        """As labels are held against it."""
        words = (self.name.lower(), *self.words)
        return KnownFeature(feature=self.feature, kind="concept", name=self.name, meaning=self.meaning, words=words)


class WorldTruth(Record):
    """An SAE against the world that its model reads."""

    schema_version: Literal[1] = SCHEMA_VERSION
    world: str
    transcripts: tuple[int, int, int]
    """For training, development and test: how many."""
    seed: int
    model_sha256: str
    """Of the model's weights as they were loaded."""
    sae_sha256: str
    hook_name: str
    d_sae: int
    active: int
    """Features that are ever active on the training transcripts."""
    l0: float
    """Features active at a test position, on average."""
    explained_variance: float
    """Of the residual stream at test positions."""
    features: Told
    shuffled: Told
    """The same on the truths of other transcripts: what is there without there being anything to be found."""
    skyline: Skyline
    variables: tuple[VariableRow, ...]
    left_out: tuple[str, ...]
    """Variables that are true of every position or of none."""
    labels: tuple[TrueLabel, ...]

    @property
    def measures(self) -> dict[str, float]:
        """What SAEs are compared by; `beyond` is what each has more than on exchanged truths.

        SAEs differ in that floor as well: what is told of exchanged truths is told by the place in the transcript alone.
        """
        own, floor = _measures(self.features), _measures(self.shuffled)
        return own | {f"{name}_beyond": own[name] - floor[name] for name in own}

    @property
    def references(self) -> dict[str, dict[str, float]]:
        """What the same measures come to for linear probes, and where there is nothing to be found."""
        return {"linear probes": _measures(self.skyline), "exchanged truths": _measures(self.shuffled)}

    @property
    def counts(self) -> dict[str, int]:
        """What is listed beside the measures."""
        return {"true labels": len(self.labels)}

    @property
    def conditions(self) -> tuple[object, ...]:
        """What two SAEs have to have in common for their figures to be compared."""
        return (self.world, self.transcripts, self.seed, self.model_sha256, self.hook_name)

    @property
    def known(self) -> tuple[KnownFeature, ...]:
        """Its features with a true label."""
        return tuple(label.known for label in self.labels)

    @property
    def sentence(self) -> str:
        """In a line."""
        told, floor, best = self.features, self.shuffled, self.skyline
        return (
            f"coverage {told.coverage.value:.3f} (shuffled {floor.coverage.value:.3f}, probes {best.coverage.value:.3f}), "
            f"reconstruction {told.reconstruction.value:.3f} (shuffled {floor.reconstruction.value:.3f}, probes "
            f"{best.reconstruction.value:.3f}), L0 {self.l0:.1f}, explained variance {self.explained_variance:.3f}, "
            f"{len(self.labels)} features with a true label"
        )


def _measures(told: Told | Skyline) -> dict[str, float]:
    return {"coverage": told.coverage.value, "reconstruction": told.reconstruction.value}


def _kind_of(truth: object) -> str:
    """Of what is read from a file, or of a record: sums of directions say how they are generated."""
    is_sums = "generator" in truth if isinstance(truth, dict) else isinstance(truth, SumsTruth)
    return "sums" if is_sums else "transcripts"


class HeldSae(Record):
    """An SAE as it was trained, and what it is worth: a point among others."""

    schema_version: Literal[1] = SCHEMA_VERSION
    architecture: str
    sparsity: float
    """The setting that says how sparse the architecture is (`tools.training.recipe.SPARSITY`)."""
    seed: int
    arm: str = "base"
    command: str
    """That makes it again."""
    truth: Annotated[
        Annotated[WorldTruth, Tag("transcripts")] | Annotated[SumsTruth, Tag("sums")], Discriminator(_kind_of)
    ] = Field(repr=False)


def write_held(folder: Path, held: HeldSae) -> None:
    """Write it beside the SAE, and beside that what its features are known to stand for, if there are such."""
    write_named(folder / FILE, held.model_dump_json(indent=1) + "\n")
    if held.truth.known:
        known = KnownFeatures(sae_sha256=hash_weights(folder), made_by=held.command, features=held.truth.known)
        write_known(folder, known)


def read_held(place: Path) -> HeldSae:
    """Read it from its file, or from the SAE's folder.

    Raises:
        LoadError: it is not there, or does not read.
    """
    file = place / FILE if place.is_dir() else place
    if file.is_file() and file.suffix != ".json":
        raise LoadError(f"{file} is neither an SAE's folder nor its {FILE}: leave it out")
    if not file.is_file():
        raise LoadError(f"{file} is missing: python -m tools.training sae --world NAME trains an SAE and writes it")
    try:
        return HeldSae.model_validate_json(read_text(file, LoadError))
    except ValidationError as error:
        raise LoadError(f"{file}: {first_problem(error)}") from None
