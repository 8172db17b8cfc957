"""How a word's rise under steering stands among other words and other directions: alone, the rise says nothing.

Steering moves all words, and nearly every whole word that a hypothesis names by several nats more than the usual token. So
the rise of each is given its rank among common words that are about as frequent, and beside it what random directions, as
strong, do to the very same word.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tools.catalogue.common_words import CommonWords
from tools.catalogue.findings import WordChange
from tools.catalogue.subject import Subject
from tools.effects.intervention import Addition, Intervention
from tools.effects.steering import prompt_rows
from tools.maths import seed_of
from tools.survey.projection import random_directions

RANDOM_DIRECTIONS = 8


def measure_changes(subject: Subject, vector: Float[Tensor, " d_model"]) -> Float[np.ndarray, "directions d_vocab"]:
    """Change of every token's log-probability by a vector, then by random ones as long; mean over the study's prompts."""
    bench, prompts = subject.bench, subject.study.steering.prompts
    drawn = random_directions(RANDOM_DIRECTIONS, len(vector), seed_of(subject.laboratory.seed, "standing") >> 8)
    written = torch.cat([torch.zeros_like(vector)[None], vector[None], drawn.to(vector) * vector.norm()])
    change = torch.zeros(len(written) - 1, bench.W_U.shape[1])
    for prompt in prompts:
        rows = prompt_rows(bench, subject.tokenize(prompt), len(written))
        logits = bench.step(rows, None, Intervention(Addition(written))).logits.cpu()
        unsteered, *steered = torch.log_softmax(logits, dim=-1)
        change += (torch.stack(steered) - unsteered) / len(prompts)
    return change.numpy()


def rank_of(change: Float[np.ndarray, " d_vocab"], token: int, words: CommonWords) -> tuple[int, int]:
    """Place of a token's change among those of words about as frequent, 1 for the largest; and how many these are."""
    others = words.like(token)
    return 1 + int((change[others] > change[token]).sum()), len(others)


def place_word(
    word: WordChange,
    token: int,
    change: Float[np.ndarray, " d_vocab"],
    random: Sequence[Float[np.ndarray, " d_vocab"]],
    words: CommonWords,
) -> WordChange:
    """A word of one token with its rank among common words and its mean change under random directions."""
    rank, of = rank_of(change, token, words)
    usual = float(f"{np.mean([other[token] for other in random]):.3g}")
    return word.model_copy(update={"rank": rank, "of": of, "random": usual})
