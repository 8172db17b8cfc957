"""Words that give an attribute away: whether the attribute is there to be read at all, and how far deleting them goes.

A bag of words is the cheapest classifier there is. If it cannot tell the attribute, the task has no spurious cue; if it
cannot once a few words are deleted, so could anybody have mended the classifier, with no look inside the model.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from tools.border.text_files import read_text
from tools.errors import StudyError
from tools.maths import Interval, wilson_interval
from tools.probes.draws import draw_balanced, take_balanced
from tools.probes.task import Task

_WORD = r"[^\W_]+(?:['’][^\W_]+)*"
_FOUND = re.compile(_WORD)
_ITERATIONS = 2000
_FEWEST_TEXTS = 2
"""That a word stands in to be counted."""


class Telling(NamedTuple):
    """How well a bag of words tells two classes apart on balanced test texts."""

    accuracy: float
    interval: Interval
    texts: int


class CueCheck(NamedTuple):
    """The attribute, and the label, by a bag of words: as texts are, and without their cue words."""

    attribute: Telling
    label: Telling
    attribute_without: Telling
    label_without: Telling
    deleted: float
    """Share of all words that were deleted."""


def read_cues(file: Path) -> tuple[str, ...]:
    """Cue words, one a line, in lower case; lines that begin with # are comments.

    Raises:
        StudyError: the file is missing, or no text, or a line holds more than a word.
    """
    cues = [line.strip() for line in read_text(file).splitlines() if line.strip() and not line.startswith("#")]
    for cue in cues:
        if not _FOUND.fullmatch(cue) or cue != cue.lower():
            raise StudyError(f"{file}: {cue[:40]!r} is not one word in lower case")
    return tuple(cues)


def find_words(text: str) -> list[tuple[int, int, str]]:
    """Where each word of a text begins and ends, and the word; of `mother's` all is one word."""
    return [(*found.span(), found[0]) for found in _FOUND.finditer(text)]


def delete_cues(text: str, cues: Collection[str]) -> str:
    """The text without these words, wherever they stand by themselves; what stood around them closes up."""
    known = set(cues)
    kept = _FOUND.sub(lambda found: "" if found[0].lower() in known else found[0], text)
    return re.sub(r"\s+(?=[,.;:!?])", "", re.sub(r"\s+", " ", kept)).strip()


def without_cues(task: Task, cues: Collection[str]) -> Task:
    """The task with these words deleted; a text that was nothing else stays as it was."""
    texts = tuple(
        text.model_copy(update={"text": delete_cues(text.text, cues) or text.text.strip()}) for text in task.texts
    )
    return task.model_copy(update={"texts": texts, "name": f"{task.name} without cues"})


def check_cues(task: Task, cues: Collection[str], seed: int = 0) -> CueCheck:
    """Whether the attribute can be read off single words, and whether it still can without the cues.

    Args:
        task: with an attribute.
        cues: words in lower case.
        seed: which balanced training texts are drawn.
    """
    bare = without_cues(task, cues)
    before, after = (sum(len(_FOUND.findall(text.text)) for text in given.texts) for given in (task, bare))
    return CueCheck(
        attribute=_tell(task, task.attributes, seed),
        label=_tell(task, task.labels, seed),
        attribute_without=_tell(bare, task.attributes, seed),
        label_without=_tell(bare, task.labels, seed),
        deleted=1 - after / max(1, before),
    )


def find_cues(task: Task, n: int, seed: int = 0) -> list[str]:
    """The n words that tell most of the attribute, for a task that comes with no list of its own."""
    words, weights, _ = _fit(task, task.attributes, draw_balanced(task, "train", seed))
    return [words[place] for place in np.argsort(-np.abs(weights), kind="stable")[:n].tolist()]


def _tell(task: Task, classes: Int64[np.ndarray, " texts"], seed: int) -> Telling:
    test = take_balanced(task, "test")
    _, _, predict = _fit(task, classes, draw_balanced(task, "train", seed))
    correct = int((predict(_texts(task, test)) == classes[test]).sum())
    return Telling(correct / len(test), wilson_interval(correct, len(test)), len(test))


def _texts(task: Task, places: Int64[np.ndarray, " n"]) -> list[str]:
    return [task.texts[place].text for place in places.tolist()]


def _fit(task: Task, classes: Int64[np.ndarray, " texts"], train: Int64[np.ndarray, " n"]) -> tuple[Any, Any, Any]:
    """Words, their weights, and a function from texts to classes."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    bag = CountVectorizer(token_pattern=_WORD, binary=True, min_df=_FEWEST_TEXTS)
    counted = bag.fit_transform(_texts(task, train))
    fitted = LogisticRegression(max_iter=_ITERATIONS).fit(counted, classes[train])
    return (
        bag.get_feature_names_out().tolist(),
        fitted.coef_[0],
        lambda texts: fitted.predict(bag.transform(texts)),
    )
