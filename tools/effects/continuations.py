"""The steered and unsteered continuations of many directions: strengths, four paired arms, perplexities.

Nothing about a direction depends on what else is steered beside it: random numbers and the control's random direction are
drawn by its key, and so are the texts of which the unsteered model's usual perplexity is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from rich.progress import Progress
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.effects.intervention import Change, HookCounter, Readers, make_change
from tools.effects.steering import (
    MOST_ROWS,
    Generated,
    read_prompt,
    rows_per_batch,
    score_perplexity,
    split_rows,
)
from tools.effects.stock import UsualTexts, continue_prompt, draw_shared, show_tokens, usual_keys
from tools.effects.strength import Strengths, TokenMoves, choose_strengths, measure_strengths
from tools.maths import seed_of
from tools.study.definition import Study
from tools.survey.projection import random_directions

ARMS = ("unsteered", "steered", "random", "flipped")
UNSTEERED, STEERED, RANDOM, FLIPPED = range(len(ARMS))
WRITING_SHARE = 0.6
"""Of the time that a batch of steered texts takes; the rest scores them."""


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
    shown_as: str = "steering",
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
        shown_as: what the progress is called.
    """
    settings = study.steering
    prompts = [read_prompt(bench, prompt, settings.prompt_form) for prompt in settings.prompts]
    strengths = strengths or find_strengths(bench, study, targets, residual_norm)
    n, n_seeds, first = len(targets.keys), len(settings.seeds), UNSTEERED if shared is None else STEERED
    writes = _writes(targets, seed)  # [n, arms, d_model]
    written = _Written(n, len(prompts), n_seeds, arms)
    noise_keys = _own_keys(study, targets.keys, seed)
    if shared is not None:
        drawn = draw_shared(study, targets.keys, seed, shared)
        written.share(shared, drawn)
        noise_keys = np.array(usual_keys(study, seed, len(shared.texts) // len(prompts)), dtype=object)[drawn]
    group = n_seeds * (arms - first)
    task = progress.add_task(f"observe      {shown_as}", total=n * len(prompts)) if progress else None
    counter = HookCounter(0, 0)
    for place, prompt in enumerate(prompts):
        limit = min(most_rows, rows_per_batch(bench, 1 + len(prompt) + settings.new_tokens))
        for rows in split_rows(n * group, limit):
            which, sample, arm = np.unravel_index(rows.numpy(), (n, n_seeds, arms - first))
            arm, chosen = arm + first, torch.from_numpy(which)
            part = targets.take(chosen)
            norms = strengths.norms[chosen].to(writes)
            change = make_change(settings.kind, bench, part.readers, norms, writes[chosen, torch.from_numpy(arm)])
            keys = noise_keys[which, place, sample].tolist()
            begun, share = float(n * place + int(rows[0]) // group), WRITING_SHARE * len(rows) / group
            advance = partial(show_tokens, progress, task, begun, share / settings.new_tokens)
            made = continue_prompt(bench, study, prompt, change, keys, part.token_ids, True, advance)
            counter = made.counter
            written.take_in(bench, prompt, made, (which, place, sample, arm))
            if progress and task is not None:
                progress.update(task, completed=n * place + (int(rows[-1]) + 1) // group)
    pairs = (n, -1)
    return SteeredTexts(
        texts=written.texts.reshape(*pairs, arms),
        log_mass=written.log_mass.reshape(*pairs, arms),
        perplexity=written.perplexity.reshape(*pairs, 2),
        strengths=(strengths.norms / residual_norm).numpy(),
        kl=strengths.kl.numpy(),
        moves=strengths.moves,
        counter=counter,
    )


class _Written:
    """What has been written and measured so far: texts and log-masses [n, prompts, seeds, arms]."""

    def __init__(self, *shape: int) -> None:
        self.texts = np.empty(shape, dtype=object)
        self.log_mass = np.zeros(shape, dtype=np.float32)
        self.perplexity = np.zeros((*shape[:3], 2), dtype=np.float32)

    def share(self, shared: UsualTexts, drawn: Int64[np.ndarray, "n prompts seeds"]) -> None:
        """Every pair's unsteered text is one of these."""
        self.texts[..., UNSTEERED] = np.array(shared.texts, dtype=object)[drawn]
        self.perplexity[..., UNSTEERED] = shared.perplexity[drawn]
        if shared.log_mass is not None:
            self.log_mass[..., UNSTEERED] = shared.log_mass[drawn, np.arange(len(drawn))[:, None, None]]

    def take_in(
        self,
        bench: Workbench,
        prompt: Sequence[int],
        made: Generated,
        at: tuple[Int64[np.ndarray, " rows"], int, Int64[np.ndarray, " rows"], Int64[np.ndarray, " rows"]],
    ) -> None:
        """A batch, and how the unsteered model likes its unsteered and steered texts."""
        which, place, sample, arm = at
        self.texts[at] = [bench.decode(row) for row in made.tokens.tolist()]
        self.log_mass[at] = made.log_mass
        own, steered = arm == UNSTEERED, arm == STEERED
        self.perplexity[which[own], place, sample[own], 0] = np.exp(-made.log_probs[own].mean(axis=1))
        if steered.any():
            below = None if made.below is None else made.below[torch.from_numpy(steered)]
            found = score_perplexity(bench, prompt, made.tokens[steered], below)
            self.perplexity[which[steered], place, sample[steered], 1] = found


def _own_keys(study: Study, keys: Sequence[str], seed: int) -> np.ndarray:
    """Of the random numbers of pairs that share nothing with another direction's, [n, prompts, seeds]."""
    settings = study.steering
    said = [[[f"{seed}|{key}|{prompt}|{s}" for s in settings.seeds] for prompt in settings.prompts] for key in keys]
    return np.array(said, dtype=object).reshape(len(keys), len(settings.prompts), len(settings.seeds))


def _writes(targets: Targets, seed: int) -> Float[Tensor, "n arms d_model"]:
    """What each arm writes, as unit vectors; the first writes nothing."""
    directions = targets.readers.directions
    controls = [control_direction(seed, key, directions.shape[1]) for key in targets.keys]
    return torch.stack([torch.zeros_like(directions), directions, torch.stack(controls).to(directions), -directions], 1)


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
