"""The steered and unsteered continuations of many directions: strengths, four paired arms, perplexities.

Nothing about a direction depends on what else is steered beside it: random numbers and the control's random direction are
drawn by its key, and so are the texts of which the unsteered model's usual perplexity is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from rich.progress import Progress
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.effects.intervention import Addition, Change, HookCounter, Readers, make_change
from tools.effects.steering import (
    MOST_ROWS,
    Generated,
    generate,
    read_prompt,
    row_noise,
    rows_per_batch,
    score_perplexity,
    split_rows,
)
from tools.effects.strength import Strengths, TokenMoves, choose_strengths, measure_strengths
from tools.maths import seed_of
from tools.study.definition import Study
from tools.survey.projection import random_directions

ARMS = ("unsteered", "steered", "random", "flipped")
UNSTEERED, STEERED, RANDOM, FLIPPED = range(len(ARMS))
USUAL_TEXTS = 200
"""Unsteered texts, over all prompts, that tell how perplexing and repetitive the model's own texts are."""


class Targets(NamedTuple):
    """The directions to be steered."""

    keys: Sequence[str]
    readers: Readers
    token_ids: Int64[Tensor, "n k"]
    """The tokens that each is said to promote."""
    peaks: Float[Tensor, " n"]
    """Largest activation in the corpus; 0 for a direction that is never active."""

    def take(self, places: Int64[Tensor, " taken"]) -> Targets:
        """Some of them, in that order; one may be taken more than once."""
        keys = [self.keys[int(place)] for place in places]
        return Targets(keys, self.readers.take(places), self.token_ids[places], self.peaks[places])


class SteeredTexts(NamedTuple):
    """All continuations, and how likely each direction's tokens were while they were made."""

    texts: np.ndarray
    """Strings [n, pairs, arms]; pairs go through the prompts and, within each, the seeds."""
    log_mass: Float[np.ndarray, "n pairs arms"]
    perplexity: Float[np.ndarray, "n pairs 2"]
    """Of the unsteered and the steered text, under the unsteered model."""
    strengths: Float[np.ndarray, " n"]
    """In mean residual norms."""
    kl: Float[np.ndarray, " n"]
    moves: TokenMoves
    counter: HookCounter


class UsualTexts(NamedTuple):
    """Unsteered continuations that belong to no direction: as many of each prompt, prompt by prompt."""

    texts: list[str]
    perplexity: Float[np.ndarray, " texts"]
    log_mass: Float[np.ndarray, "texts n"] | None = None
    """How likely each direction's tokens were while they were made, where that was followed."""

    def take(self, places: Int64[Tensor, " taken"]) -> UsualTexts:
        """The same texts, as seen by some of the directions."""
        return self._replace(log_mass=None if self.log_mass is None else self.log_mass[:, places.numpy()])


def control_direction(seed: int, key: str, d_model: int) -> Float[Tensor, " d_model"]:
    """The random direction that a direction is held against: a function of its key."""
    return random_directions(1, d_model, seed_of(seed, key, "control") >> 8)[0]


def steer(
    bench: Workbench,
    study: Study,
    targets: Targets,
    residual_norm: float,
    seed: int,
    progress: Progress | None = None,
    *,
    strengths: Strengths | None = None,
    arms: int = len(ARMS),
    shared: UsualTexts | None = None,
    most_rows: int = MOST_ROWS,
) -> SteeredTexts:
    """Choose each direction's strength, then continue every prompt in all arms, at most so many rows at a time.

    Args:
        bench: model and SAE.
        study: for its prompts, seeds and settings.
        targets: the directions.
        residual_norm: mean length of the residual stream, the unit of strengths.
        seed: of the run.
        progress: where it is shown how far it is.
        strengths: where they are known already.
        arms: the first so many of `ARMS`.
        shared: where the unsteered text of each pair is drawn from, with its random numbers; without it they are written.
        most_rows: of one batch.
    """
    settings = study.steering
    prompts = [read_prompt(bench, prompt, settings.prompt_form) for prompt in settings.prompts]
    strengths = strengths or find_strengths(bench, study, targets, residual_norm)
    n, first = len(targets.keys), UNSTEERED if shared is None else STEERED
    writes = _writes(targets, seed)  # [n, arms, d_model]
    shape = (n, len(prompts), len(settings.seeds), arms)
    texts = np.empty(shape, dtype=object)
    log_mass = np.zeros(shape, dtype=np.float32)
    perplexity = np.zeros((*shape[:3], 2), dtype=np.float32)
    noise_keys = _own_keys(study, targets.keys, seed)
    if shared is not None:
        drawn = draw_shared(study, targets.keys, seed, shared)
        texts[..., UNSTEERED], perplexity[..., UNSTEERED] = (
            np.array(shared.texts, dtype=object)[drawn],
            shared.perplexity[drawn],
        )
        if shared.log_mass is not None:
            log_mass[..., UNSTEERED] = shared.log_mass[drawn, np.arange(n)[:, None, None]]
        noise_keys = np.array(_usual_keys(study, seed, len(shared.texts) // len(prompts)), dtype=object)[drawn]
    written = arms - first
    group = len(settings.seeds) * written
    task = progress.add_task("observe      steering", total=n * len(prompts)) if progress else None
    counter = HookCounter(0, 0)
    for place, prompt in enumerate(prompts):
        limit = min(most_rows, rows_per_batch(bench, 1 + len(prompt) + settings.new_tokens))
        for rows in split_rows(n * group, limit):
            which, sample, arm = np.unravel_index(rows.numpy(), (n, len(settings.seeds), written))
            arm, chosen = arm + first, torch.from_numpy(which)
            part = targets.take(chosen)
            norms = strengths.norms[chosen].to(writes)
            change = make_change(settings.kind, bench, part.readers, norms, writes[chosen, torch.from_numpy(arm)])
            keys = noise_keys[which, place, sample].tolist()
            made = _continue(bench, study, prompt, change, keys, part.token_ids, keep_below=True)
            counter = made.counter
            texts[which, place, sample, arm] = [bench.decode(row) for row in made.tokens.tolist()]
            log_mass[which, place, sample, arm] = made.log_mass
            own, steered = arm == UNSTEERED, arm == STEERED
            perplexity[which[own], place, sample[own], 0] = np.exp(-made.log_probs[own].mean(axis=1))
            if steered.any():
                below = None if made.below is None else made.below[torch.from_numpy(steered)]
                found = score_perplexity(bench, prompt, made.tokens[steered], below)
                perplexity[which[steered], place, sample[steered], 1] = found
            if progress and task is not None:
                progress.update(task, completed=n * place + (int(rows[-1]) + 1) // group)
    pairs = (n, -1)
    return SteeredTexts(
        texts=texts.reshape(*pairs, arms),
        log_mass=log_mass.reshape(*pairs, arms),
        perplexity=perplexity.reshape(*pairs, 2),
        strengths=(strengths.norms / residual_norm).numpy(),
        kl=strengths.kl.numpy(),
        moves=strengths.moves,
        counter=counter,
    )


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


def _own_keys(study: Study, keys: Sequence[str], seed: int) -> np.ndarray:
    """Of the random numbers of pairs that share nothing with another direction's, [n, prompts, seeds]."""
    settings = study.steering
    said = [[[f"{seed}|{key}|{prompt}|{s}" for s in settings.seeds] for prompt in settings.prompts] for key in keys]
    return np.array(said, dtype=object).reshape(len(keys), len(settings.prompts), len(settings.seeds))


def _usual_keys(study: Study, seed: int, size: int) -> list[str]:
    """Of the random numbers of so many unsteered texts a prompt that belong to no direction."""
    return [f"{seed}|usual|{prompt}|{i}" for prompt in study.steering.prompts for i in range(size)]


def _writes(targets: Targets, seed: int) -> Float[Tensor, "n arms d_model"]:
    """What each arm writes, as unit vectors; the first writes nothing."""
    directions = targets.readers.directions
    controls = [control_direction(seed, key, directions.shape[1]) for key in targets.keys]
    return torch.stack([torch.zeros_like(directions), directions, torch.stack(controls).to(directions), -directions], 1)


def _continue(
    bench: Workbench,
    study: Study,
    prompt: Sequence[int],
    change: Change,
    keys: Sequence[str],
    reference: Int64[Tensor, "rows ... k"] | None = None,
    keep_below: bool = False,
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
    )


def find_strengths(
    bench: Workbench, study: Study, targets: Targets, residual_norm: float, progress: Progress | None = None
) -> Strengths:
    """Each direction's strength, as the study asks for it, and its effect when all positions are steered.

    A policy that leaves positions alone uses the same strength, so that policies can be compared.
    """
    settings = study.steering
    prompts = [read_prompt(bench, prompt, settings.prompt_form) for prompt in settings.prompts]
    readers, n = targets.readers, len(targets.keys)

    def change(which: Int64[Tensor, " rows"], norms: Float[Tensor, " rows"]) -> Change:
        part = readers.take(which)
        return make_change(settings.kind, bench, part, norms.to(part.directions), part.directions)

    if settings.kind == "ablate":
        return measure_strengths(bench, prompts, change, torch.zeros(n), progress)
    if settings.strength is None:
        first = settings.first_strength or settings.max_strength
        return choose_strengths(
            bench,
            prompts,
            change,
            n,
            target_kl=settings.target_kl,
            max_norm=settings.max_strength * residual_norm,
            first_norm=first * residual_norm,
            tolerance=settings.kl_tolerance,
            progress=progress,
        )
    unit = targets.peaks if settings.unit == "max_activation" else torch.full((n,), residual_norm)
    return measure_strengths(bench, prompts, change, settings.strength * unit, progress)


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
    keys = _usual_keys(study, seed, n)
    task = progress.add_task("observe      unsteered texts", total=len(keys)) if progress else None
    for place, prompt in enumerate(settings.prompts):
        unchanged = Addition(torch.zeros(n, bench.W_U.shape[0]))
        reference = None if followed is None else followed.expand(n, *followed.shape)
        ids = read_prompt(bench, prompt, settings.prompt_form)
        made = _continue(bench, study, ids, unchanged, keys[n * place : n * (place + 1)], reference)
        texts += [bench.decode(row) for row in made.tokens.tolist()]
        perplexity.append(np.exp(-made.log_probs.mean(axis=1)))
        log_mass.append(made.log_mass)
        if progress and task is not None:
            progress.update(task, advance=n)
    return UsualTexts(texts, np.concatenate(perplexity), None if followed is None else np.concatenate(log_mass))
