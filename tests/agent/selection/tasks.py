"""A classification task on the tiny study's words: medicine or not, which goes with where it happens by accident."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.conftest import EVERYDAY, MEDICAL

INDOORS, OUTDOORS = ("bread", "music", "winter", "hearth"), ("river", "garden", "bridge", "train")
GUIDELINE = "4 is all of it, 0 is nothing of it.\n"
TASK = """name = "places"
title = "Trades and places"
texts = "places.jsonl"
[label]
name = "trade"
classes = { plain = "plain", healing = "healing" }
[attribute]
name = "place"
classes = { indoors = "indoors", outdoors = "outdoors" }
[rating]
guideline = "places.md"
[rating.concepts.trade]
means = "Healing, or not."
words = "trade.txt"
[rating.concepts.place]
words = "place.txt"
"""


def write_texts(file: Path, each: int = 90) -> None:
    """So many texts of every quadrant, no two alike."""
    rng, lines = np.random.default_rng(3), dict[str, dict[str, str]]()
    for label, words in (("plain", EVERYDAY[-4:]), ("healing", MEDICAL)):
        for attribute, places in (("indoors", INDOORS), ("outdoors", OUTDOORS)):
            made = 0
            while made < each:
                one, two, place, other = *rng.choice(words, 2), *rng.choice(places, 2)
                text = f"The {one} of the {place} was with a {two} in the {other} and the {rng.choice(words)}."
                made += text not in lines
                lines[text] = {"text": text, "label": label, "attribute": attribute}
    file.write_text("".join(json.dumps(line) + "\n" for line in lines.values()), "utf-8")


def write_task(folder: Path, each: int = 90) -> Path:
    """The definition, with its texts, guideline and word lists beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_texts(folder / "places.jsonl", each)
    (folder / "places.md").write_text(GUIDELINE, "utf-8")
    (folder / "trade.txt").write_text("\n".join(MEDICAL) + "\n", "utf-8")
    (folder / "place.txt").write_text("\n".join((*INDOORS, *OUTDOORS)) + "\n", "utf-8")
    file = folder / "places.toml"
    file.write_text(TASK, "utf-8")
    return file
