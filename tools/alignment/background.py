"""Text that is not the target's: what a target is held against, and the reference prompts that features are active in.

Without a file of the user's it is the train split of the study's corpus. Documents of it that are copies of the target's
are left out then, so that a target may be taken from the corpus; a file that the user gives is refused for that.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tools.alignment.targets import LEAST_DOCUMENTS, Target, hash_text, join_passages, part, read_documents
from tools.errors import StudyError
from tools.study.corpus import COPIED_SHARE, Corpus, leave_out_copies, share_of_runs
from tools.study.texts import Passage

MOST_DOCUMENTS = 400
"""Drawn of what there is: the null of a few target documents gets no finer by more."""


MOST_OF_CORPUS = 0.25
"""What is left of the corpus without a larger share of it is another text than the corpus."""
PROMPT_CHARACTERS = 200
"""Of each document of the corpus that is a prompt; whole ones tell features apart no better."""
LEAST_PROMPTS = 2


class Background(NamedTuple):
    """Text in documents, none of which is the target's."""

    name: str
    sha256: str | None
    """Of a file's bytes; None for the study's corpus, whose hash the run knows."""
    documents: tuple[str, ...]
    left_out: int = 0
    """Documents that are copies of the target's."""

    @property
    def sentence(self) -> str:
        """For the console."""
        own = f"; {self.left_out} that are the target's own are left out" if self.left_out else ""
        return f"held against {len(self.documents)} documents of {self.name}{own}"


def find_background(corpus: Corpus, target: Target, file: str | Path | None = None, seed: int = 0) -> Background:
    """Documents to hold a target against, at most `MOST_DOCUMENTS`, drawn by the seed and kept in order.

    Args:
        corpus: of the study.
        target: what is held against them.
        file: of the user's, instead of the corpus.
        seed: decides which documents.

    Raises:
        StudyError, LoadError: the text cannot be read, is too little, or is the target itself: more than half of the runs
            of `RUN_WORDS` words of the one are in the other.
    """
    if file is not None:
        documents, _ = part(read_documents(Path(file), "what a target is held against"))
        _check_apart(target, documents, f"{file}")
        return Background(Path(file).name, hash_text(Path(file)), _draw(documents, seed, f"{file}"))
    called = f"the corpus of study {corpus.study.name}"
    others, left_out = others_in(corpus, target)
    if left_out > MOST_OF_CORPUS * (len(others) + left_out):
        raise StudyError(
            f"{left_out} of the {len(others) + left_out} documents of {called} are {target.name}'s own: give other text to "
            "hold it against with --away"
        )
    _check_apart(target, others, called)
    return Background(called, None, _draw(others, seed, called), left_out)


def others_in(corpus: Corpus, target: Target) -> tuple[list[str], int]:
    """Documents of the corpus' train split that are not the target's own, and how many of it are."""
    everything = join_passages(corpus.passages("train"))
    others = [passage.text for passage in leave_out_copies(everything, _as_one([*target.documents, *target.held_out]))]
    return others, len(everything) - len(others)


def find_prompts(corpus: Corpus, target: Target, file: str | Path | None = None, seed: int = 0) -> tuple[str, ...]:
    """Reference prompts: how documents of the study's corpus open, the target's own left out; or a user's own.

    Args:
        corpus: of the study.
        target: whose copies are left out.
        file: of the user's, a prompt a paragraph or a line of .jsonl.
        seed: decides which documents, where there are more than `MOST_DOCUMENTS`.

    Raises:
        StudyError, LoadError: they cannot be read, or are fewer than two.
    """
    if file is not None:
        prompts, where = read_documents(Path(file), "a file of reference prompts"), str(file)
    else:
        others, _ = others_in(corpus, target)
        drawn = np.random.default_rng(seed).permutation(len(others))[:MOST_DOCUMENTS]
        prompts = [shorten(others[i], PROMPT_CHARACTERS) for i in sorted(drawn.tolist())]
        where = f"the corpus of study {corpus.study.name}, without the target,"
    if len(prompts) < LEAST_PROMPTS:
        raise StudyError(
            f"{where} holds fewer than {LEAST_PROMPTS} reference prompts: give some, parted by blank lines"
        )
    return tuple(prompts)


def shorten(text: str, most: int) -> str:
    """The beginning of a text, up to the last word that ends within so many characters."""
    if len(text) <= most:
        return text
    whole = re.match(rf"(?s).{{1,{most}}}(?=\s)", text)
    return whole[0].rstrip() if whole else text[:most]


def _check_apart(target: Target, documents: list[str], called: str) -> None:
    own = [*target.documents, *target.held_out]
    shared = max(share_of_runs(_each(one), _as_one(other)) for one, other in ((own, documents), (documents, own)))
    if shared > COPIED_SHARE:
        raise StudyError(
            f"{target.name} and {called} are the same text ({shared:.0%} of the one is in the other): a target is held "
            "against other text; give some with --away"
        )


def _each(documents: list[str]) -> list[Passage]:
    return [Passage("", None, text) for text in documents]


def _as_one(documents: list[str]) -> list[Passage]:
    """One passage: however it is parted, a text shares the runs of words that it shares."""
    return [Passage("", None, " ".join(documents))]


def _draw(documents: list[str], seed: int, called: str) -> tuple[str, ...]:
    if len(documents) < LEAST_DOCUMENTS:
        raise StudyError(f"{called} is too little to hold a target against: give {LEAST_DOCUMENTS} passages or more")
    drawn = np.random.default_rng(seed).permutation(len(documents))[:MOST_DOCUMENTS]
    return tuple(documents[i] for i in sorted(drawn.tolist()))
