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
from tools.catalogue.subject import Subject
from tools.effects.intervention import Addition, Intervention
from tools.effects.steering import prompt_rows
from tools.maths import seed_of
from tools.survey.projection import random_directions

RANDOM_DIRECTIONS = 8


def beside_random(subject: Subject, vector: Float[Tensor, " d_model"]) -> Float[Tensor, "written d_model"]:
    """What is written in each row: nothing, the vector, and random ones as long."""
    drawn = random_directions(RANDOM_DIRECTIONS, len(vector), seed_of(subject.laboratory.seed, "standing") >> 8)
    return torch.cat([torch.zeros_like(vector)[None], vector[None], drawn.to(vector) * vector.norm()])


def shift(
    subject: Subject, written: Float[Tensor, "written d_model"], ids: Sequence[int]
) -> Float[np.ndarray, "directions d_vocab"]:
    """What each vector but the first, which is nothing, adds to the log-probability of every next token, in nats."""
    rows = prompt_rows(subject.bench, ids, len(written))
    logits = subject.bench.step(rows, None, Intervention(Addition(written))).logits.cpu()
    unsteered, *steered = torch.log_softmax(logits, dim=-1)
    return (torch.stack(steered) - unsteered).numpy()


def rank_of(change: Float[np.ndarray, " d_vocab"], token: int, words: CommonWords) -> tuple[int, int]:
    """Place of a token's change among those of words about as frequent, 1 for the largest; and how many these are."""
    others = words.like(token)
    return 1 + int((change[others] > change[token]).sum()), len(others)
