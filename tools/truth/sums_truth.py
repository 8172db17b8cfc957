"""What an SAE of sums of known directions is worth, as it is stored."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from tools.records import SCHEMA_VERSION, Record
from tools.truth.known import KnownFeature


class Recovered(Record):
    """How well a dictionary finds the directions that activations are sums of, and tells when each is present.

    As SAELens computes them. Features that are never active count in `mcc` and `uniqueness` by where their decoder rows
    happen to point; the two figures beside them take such features to point nowhere.
    """

    mcc: float
    """Mean absolute cosine of decoder rows and directions, matched one to one for the highest sum."""
    mcc_active: float
    uniqueness: float
    """How many directions are nearest to some decoder row, as a share of the SAE's features."""
    uniqueness_active: float
    f1: float
    """Mean over features of the F1 with which being active tells that the nearest direction is present; 0 of a dead one."""
    precision: float
    recall: float
    exchanged_f1: float
    """The same on the presences of other examples: what is there without there being anything to be found."""
    l0: float
    explained_variance: float
    dead: int
    """Features that are active on none of the examples."""

    @property
    def measures(self) -> dict[str, float]:
        """What SAEs are compared by."""
        return {"mcc": self.mcc, "uniqueness": self.uniqueness, "f1": self.f1}


class SumsTruth(Record):
    """An SAE against the directions of its world."""

    schema_version: Literal[1] = SCHEMA_VERSION
    world: Literal["synthetic"] = "synthetic"
    generator: dict[str, JsonValue]
    """Settings that the directions and the examples come from."""
    library: str
    """Version of SAELens, whose generator it is."""
    examples: int
    """That everything is measured on."""
    seed: int
    """Of these."""
    sae_sha256: str
    d_sae: int
    directions: int
    presences: float
    """Directions in an example, on average: the L0 of the truth."""
    found: Recovered
    untrained: Recovered
    """The same SAE before its training: the floor."""
    true: Recovered
    """The directions themselves as an SAE, with one threshold for all that tells presences best on other examples."""

    @property
    def l0(self) -> float:
        """Features active at an example, on average."""
        return self.found.l0

    @property
    def explained_variance(self) -> float:
        """Of the activations."""
        return self.found.explained_variance

    @property
    def measures(self) -> dict[str, float]:
        """What SAEs are compared by."""
        return self.found.measures

    @property
    def references(self) -> dict[str, dict[str, float]]:
        """What the same measures come to where everything, and where nothing, was found."""
        return {
            "the directions themselves": self.true.measures,
            "before training": self.untrained.measures,
            "exchanged truths": {"f1": self.found.exchanged_f1},
        }

    @property
    def counts(self) -> dict[str, int]:
        """What is listed beside the measures."""
        return {"dead features": self.found.dead}

    @property
    def conditions(self) -> tuple[object, ...]:
        """What two SAEs have to have in common for their figures to be compared; their number of features bounds both shares."""
        return (self.world, self.generator, self.library, self.examples, self.seed, self.d_sae)

    @property
    def known(self) -> tuple[KnownFeature, ...]:
        """No direction has a name."""
        return ()

    @property
    def sentence(self) -> str:
        """In a line."""
        told, floor, best = self.found, self.untrained, self.true
        return (
            f"MCC {told.mcc:.3f} (before training {floor.mcc:.3f}), uniqueness {told.uniqueness:.3f} "
            f"({floor.uniqueness:.3f}), F1 {told.f1:.3f} ({floor.f1:.3f}, exchanged {told.exchanged_f1:.3f}, the directions "
            f"themselves {best.f1:.3f}), L0 {told.l0:.1f} where {self.presences:.1f} are present, explained variance "
            f"{told.explained_variance:.3f} (themselves {best.explained_variance:.3f}), {told.dead} of {self.d_sae} features "
            "never active"
        )
