"""What features of an SAE stand for, where that is known because somebody put it there."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from tools.bench.arms import hash_weights
from tools.border.text_files import read_text
from tools.errors import LoadError, first_problem
from tools.records import LARGEST_INDEX, SCHEMA_VERSION, Record
from tools.whole_files import write_named

FILE = "known.json"
"""In the SAE's folder."""
Kind = Literal["concept", "shuffled", "random"]
"""A concept's own direction; what the same recipe makes of the concept's labels in another order; a random direction."""
Phrase = Annotated[str, Field(min_length=1, max_length=400)]


class KnownFeature(Record):
    """One feature whose meaning, or lack of one, is known."""

    feature: int = Field(ge=0, le=LARGEST_INDEX)
    kind: Kind
    name: Phrase
    """Of the concept; of a placebo the concept whose labels were shuffled, or what it was drawn by."""
    meaning: Phrase | None = None
    """In words that a reader of labels would use; None for placebos, which have none."""
    words: tuple[str, ...] = ()
    """Lower-case words that are the concept wherever they stand, if there are such, the most frequent first."""
    pieces: tuple[str, ...] = Field(default=(), exclude_if=lambda pieces: not pieces)
    """Pieces of words, lower-case, that nearly always end one that is the concept, or are within one that is."""

    @model_validator(mode="after")
    def _concepts_mean_something(self) -> KnownFeature:
        if (self.kind == "concept") != (self.meaning is not None):
            raise ValueError("a concept has a meaning, and a placebo has none")
        return self


class KnownFeatures(Record):
    """All of an SAE's features that are known."""

    schema_version: Literal[1] = SCHEMA_VERSION
    sae_sha256: str
    """Of the weights that they are features of."""
    made_by: str
    """The command that put them there."""
    features: tuple[KnownFeature, ...] = Field(min_length=1)

    @property
    def sha256(self) -> str:
        """Of all that it says."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def sentence(self) -> str:
        """How many features of each kind there are."""
        kinds = Counter(one.kind for one in self.features)
        placebos = kinds["shuffled"] + kinds["random"]
        return (
            f"{len(self.features)} features are known: {kinds['concept']} stand for a concept each, {placebos} are placebos "
            f"({kinds['shuffled']} of shuffled labels, {kinds['random']} random)"
        )

    def check(self, folder: Path) -> None:
        """See that the weights in a folder are those that this is about.

        Raises:
            LoadError: they are others, or there are none.
        """
        if hash_weights(folder) != self.sae_sha256:
            raise LoadError(f"{folder / FILE} is about other weights than those beside it: make both anew")

    @model_validator(mode="after")
    def _each_once(self) -> KnownFeatures:
        numbers = [one.feature for one in self.features]
        if len(set(numbers)) < len(numbers):
            raise ValueError("a feature is there twice")
        return self


def write_known(folder: Path, known: KnownFeatures) -> Path:
    """Write it beside the SAE."""
    write_named(folder / FILE, known.model_dump_json(indent=1) + "\n")
    return folder / FILE


def read_known(folder: Path) -> KnownFeatures | None:
    """What is known of an SAE's features; None where nobody wrote it down.

    Raises:
        LoadError: the file does not read.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        return KnownFeatures.model_validate_json(read_text(file, LoadError))
    except ValidationError as error:
        raise LoadError(f"{file}: {first_problem(error)}") from None


def by_feature(known: Iterable[KnownFeature]) -> dict[int, KnownFeature]:
    """By their numbers."""
    return {one.feature: one for one in known}
