"""The stock of unsteered texts: what is usual of the model's own, and what directions that share texts draw from.

No text of it belongs to a direction. Directions that share draw from it by their keys, so that what one is given does not
depend on the others; the steered twin of a text is written from the text's own random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from rich.progress import Progress, TaskID
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.effects.intervention import Addition, Change
from tools.effects.steering import Generated, generate, read_prompt, row_noise
from tools.maths import seed_of
from tools.study.definition import Study

USUAL_TEXTS = 200
"""Unsteered texts, over all prompts, that tell how perplexing and repetitive the model's own texts are."""


class UsualTexts(NamedTuple):
    """Unsteered continuations that belong to no direction: as many of each prompt, prompt by prompt."""

    texts: list[str]
    perplexity: Float[np.ndarray, " texts"]
    log_mass: Float[np.ndarray, "texts n"] | None = None
    """How likely each direction's tokens were while they were made, where that was followed."""

    def take(self, places: Int64[Tensor, " taken"]) -> UsualTexts:
        """The same texts, as seen by some of the directions."""
        return self._replace(log_mass=None if self.log_mass is None else self.log_mass[:, places.numpy()])


def write_usual_texts(
    bench: Workbench,
    study: Study,
    seed: int,
    progress: Progress | None = None,
    *,
    followed: Int64[Tensor, "n k"] | None = None,
    least: int = 0,
) -> UsualTexts:
    """Unsteered continuations of the study's prompts, the same whatever is steered beside them.

    Args:
        bench: model and SAE.
        study: for its prompts and settings.
        seed: of the run.
        progress: where it is shown how far it is.
        followed: the tokens of n directions, whose probability is noted.
        least: texts of a prompt.
    """
    settings = study.steering
    texts: list[str] = []
    perplexity: list[np.ndarray] = []
    log_mass: list[np.ndarray] = []
    n = max(least, math.ceil(USUAL_TEXTS / len(settings.prompts)))
    keys = usual_keys(study, seed, n)
    task = progress.add_task("observe      unsteered texts", total=len(keys)) if progress else None
    for place, prompt in enumerate(settings.prompts):
        unchanged = Addition(torch.zeros(n, bench.W_U.shape[0]))
        reference = None if followed is None else followed.expand(n, *followed.shape)
        ids = read_prompt(bench, prompt, settings.prompt_form)
        advance = partial(show_tokens, progress, task, float(n * place), n / settings.new_tokens)
        made = continue_prompt(
            bench, study, ids, unchanged, keys[n * place : n * (place + 1)], reference, on_token=advance
        )
        texts += [bench.decode(row) for row in made.tokens.tolist()]
        perplexity.append(np.exp(-made.log_probs.mean(axis=1)))
        log_mass.append(made.log_mass)
        if progress and task is not None:
            progress.update(task, completed=n * (place + 1))
    return UsualTexts(texts, np.concatenate(perplexity), None if followed is None else np.concatenate(log_mass))


def draw_shared(
    study: Study, keys: Sequence[str], seed: int, shared: UsualTexts
) -> Int64[np.ndarray, "n prompts seeds"]:
    """Which of the shared texts each pair has: drawn by the direction's key, none twice.

    Raises:
        ValueError: there are fewer than are asked for.
    """
    settings = study.steering
    size = len(shared.texts) // len(settings.prompts)
    if max(settings.seeds) >= size:
        raise ValueError(f"{size} shared texts a prompt are too few for seed {max(settings.seeds)}")
    drawn = np.empty((len(keys), len(settings.prompts), len(settings.seeds)), dtype=np.int64)
    for row, key in enumerate(keys):
        for place, prompt in enumerate(settings.prompts):
            order = np.random.default_rng(seed_of(f"{seed}|{key}|{prompt}|shared")).permutation(size)
            drawn[row, place] = size * place + order[list(settings.seeds)]
    return drawn


def usual_keys(study: Study, seed: int, size: int) -> list[str]:
    """Of the random numbers of so many unsteered texts a prompt that belong to no direction."""
    return [f"{seed}|usual|{prompt}|{i}" for prompt in study.steering.prompts for i in range(size)]


def continue_prompt(
    bench: Workbench,
    study: Study,
    prompt: Sequence[int],
    change: Change,
    keys: Sequence[str],
    reference: Int64[Tensor, "rows ... k"] | None = None,
    keep_below: bool = False,
    on_token: Callable[[int], object] | None = None,
) -> Generated:
    """One prompt continued as the study's settings say; each row's random numbers are those of its key."""
    settings = study.steering
    return generate(
        bench,
        prompt,
        change,
        np.stack([row_noise(key, settings.new_tokens) for key in keys]),
        temperature=settings.temperature,
        top_k=settings.top_k,
        policy=settings.policy,
        reference=reference,
        keep_below=keep_below,
        on_token=on_token,
    )


def show_tokens(progress: Progress | None, task: TaskID | None, begun: float, each: float, tokens: int) -> None:
    """That a batch, which began there, has so many tokens a row, each of which is so much of the task."""
    if progress and task is not None:
        progress.update(task, completed=begun + each * tokens)
