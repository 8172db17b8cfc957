"""What a direction does to the next token, beside what random directions do that change it by as much altogether.

Any direction raises some tokens, and the tokens that a lens reads off it nearly always rise beyond all others: a random
direction keeps the promise of its own list as well as a feature does, so that an order of tokens tells nothing. How far
they rise can tell: it stands beside the same of random directions, each with its own list, at the effect that the study
asks for.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.effects.continuations import Targets
from tools.effects.intervention import Addition, Readers
from tools.effects.steering import read_prompt
from tools.effects.strength import MakeChange, Strengths, choose_strengths, measure_changes
from tools.maths import seed_of
from tools.records import MovedToken, PromotionEvidence
from tools.study.definition import Study
from tools.survey.projection import project, random_directions

RANDOM_DIRECTIONS = 32
MOST_MOVED = 10


class Promoter:
    """Random directions that are measured once, and whatever direction is held against them.

    They are `targets`, and their strengths and effects `strengths`, for whoever wants more of them.

    Args:
        bench: model and SAE.
        study: for its prompts and the effect that it asks for.
        lens: what directions are read by.
        residual_norm: mean length of the residual stream.
        seed: of the run, which draws the random directions.
    """

    def __init__(
        self,
        bench: Workbench,
        study: Study,
        lens: Float[Tensor, "d_model d_vocab"],
        residual_norm: float,
        seed: int,
    ) -> None:
        self._bench, self._study, self._residual_norm = bench, study, residual_norm
        form = study.steering.prompt_form
        self._prompts = [read_prompt(bench, prompt, form) for prompt in study.steering.prompts]
        drawn = random_directions(RANDOM_DIRECTIONS, bench.directions.shape[1], seed_of(seed, "promotion") >> 8)
        directions = drawn.to(bench.directions)
        listed = project(directions.to(lens), lens, study.survey.top_k).top_ids.cpu().numpy()
        self.strengths = self.find_strengths(directions)
        unread = Readers(directions, torch.full((len(directions),), -1), torch.zeros(len(directions)).to(directions))
        keys = [f"promotion-{number}" for number in range(len(directions))]
        self.targets = Targets(keys, unread, torch.from_numpy(listed), torch.zeros(len(directions)))
        changes = list(self._changes(directions, self.strengths.norms))
        self._usual = np.mean(changes, axis=0)  # [d_vocab]
        self._own = np.array([change[ids].mean() for change, ids in zip(changes, listed, strict=True)])

    def find_strengths(self, directions: Float[Tensor, "n d_model"]) -> Strengths:
        """The lengths at which directions have the effect that the study asks for, `target_kl`."""
        settings = self._study.steering
        first = settings.first_strength or settings.max_strength
        return choose_strengths(
            self._bench,
            self._prompts,
            _adder(directions),
            len(directions),
            target_kl=settings.target_kl,
            max_norm=settings.max_strength * self._residual_norm,
            first_norm=first * self._residual_norm,
            tolerance=settings.kl_tolerance,
        )

    def describe(
        self,
        directions: Float[Tensor, "n d_model"],
        listed: Int64[np.ndarray, "n k"],
        norms: Float[Tensor, " n"],
        kl: Float[Tensor, " n"],
    ) -> list[PromotionEvidence]:
        """What directions do to the next token, and to the tokens that each is said to promote.

        Args:
            directions: unit vectors.
            listed: ids of these tokens.
            norms: lengths that are added.
            kl: what effect they have, in nats.
        """
        found = zip(self._changes(directions, norms), listed, kl.tolist(), strict=True)
        return [self._describe(change, ids, effect) for change, ids, effect in found]

    def _describe(
        self, change: Float[np.ndarray, " d_vocab"], listed: Int64[np.ndarray, " k"], kl: float
    ) -> PromotionEvidence:
        own = float(change[listed].mean())
        furthest = np.argsort(self._usual - change, kind="stable")
        return PromotionEvidence(
            kl=kl,
            n_random=RANDOM_DIRECTIONS,
            change=own,
            null_change=float(np.median(self._own)),
            null_share=float((self._own >= own).mean()),
            raised=self._moved(change, furthest[:MOST_MOVED]),
            lowered=self._moved(change, furthest[::-1][:MOST_MOVED]),
        )

    def _moved(self, change: Float[np.ndarray, " d_vocab"], ids: Int64[np.ndarray, " k"]) -> tuple[MovedToken, ...]:
        return tuple(
            MovedToken(
                token_id=int(i),
                token=self._bench.token_strings[i],
                change=round(float(change[i]), 4),
                random=round(float(self._usual[i]), 4),
            )
            for i in ids
        )

    def _changes(
        self, directions: Float[Tensor, "n d_model"], norms: Float[Tensor, " n"]
    ) -> Iterator[Float[np.ndarray, " d_vocab"]]:
        """Of the log-probability of every next token, in nats, one direction after the other."""
        for block in measure_changes(self._bench, self._prompts, _adder(directions), norms):
            yield from block.numpy()


def _adder(directions: Float[Tensor, "n d_model"]) -> MakeChange:
    def add(which: Int64[Tensor, " rows"], norms: Float[Tensor, " rows"]) -> Addition:
        part = directions[which.to(directions.device)]
        return Addition(part * norms.to(part)[:, None])

    return add
