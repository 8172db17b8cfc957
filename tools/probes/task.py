"""A classification task in memory: texts with their class and attribute, in three splits.

A document's split follows from the hash of its name alone, so that it stays there whatever else the task holds, and by
the hash that parts a study's corpus: what a study holds out is test here too.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int64

from tools.maths import seed_of
from tools.records import Record

Split = Literal["train", "development", "test"]
SPLITS: tuple[Split, ...] = ("train", "development", "test")
PAIRS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Label and attribute of each quadrant, in the order that they are counted in."""


class TaskText(Record):
    """One text."""

    document: str
    text: str
    label: int
    """Place among the label's classes."""
    attribute: int = 0
    split: Split


class Task(Record):
    """Texts to be told apart."""

    name: str
    label: str
    classes: tuple[str, ...]
    attribute: str = ""
    """Empty: there is none, and no quadrants."""
    attribute_classes: tuple[str, ...] = ()
    texts: tuple[TaskText, ...]
    notes: tuple[str, ...] = ()
    """What was left out and why, a line each."""

    @cached_property
    def labels(self) -> Int64[np.ndarray, " texts"]:
        """The class of each text."""
        return np.array([text.label for text in self.texts], dtype=np.int64)

    @cached_property
    def attributes(self) -> Int64[np.ndarray, " texts"]:
        """The attribute of each text."""
        return np.array([text.attribute for text in self.texts], dtype=np.int64)

    @cached_property
    def quadrants(self) -> Int64[np.ndarray, " texts"]:
        """Place of each text's label and attribute in `PAIRS`."""
        return 2 * self.labels + self.attributes

    def within(self, split: Split) -> Bool[np.ndarray, " texts"]:
        """Which texts are in a split."""
        return np.array([text.split == split for text in self.texts], dtype=bool)

    def name_quadrant(self, quadrant: int) -> str:
        """As people read it."""
        label, attribute = PAIRS[quadrant]
        return f"{self.classes[label]} and {self.attribute_classes[attribute]}"

    @cached_property
    def texts_sha256(self) -> str:
        """Of the texts in order, whatever they are taken for: what is read of them depends on nothing else."""
        digest = hashlib.sha256()
        for text in self.texts:
            digest.update(text.text.encode("utf-8", "surrogatepass") + b"\0")
        return digest.hexdigest()

    @cached_property
    def sha256(self) -> str:
        """Of everything but the notes."""
        return hashlib.sha256(self.model_dump_json(exclude={"notes"}).encode()).hexdigest()


def split_of(document: str, test_share: float, development_share: float) -> Split:
    """The split of a document, by the hash of its name."""
    place = seed_of(document) / 2**64
    if place < test_share:
        return "test"
    return "development" if place < test_share + development_share else "train"
