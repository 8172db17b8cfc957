"""Steered pairs in rounds: every direction is given the first, and further ones only while its pairs do not decide.

What a direction is given does not depend on the others: its own pairs decide, and their random numbers are its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from rich.progress import Progress

from tools.bench.workbench import Workbench
from tools.effects.continuations import ARMS, STEERED, SteeredTexts, Targets, find_strengths, steer
from tools.effects.contrast import Contest, Panel, describe_steering, score_pairs
from tools.effects.fluency import Bounds
from tools.effects.sequence import further_seeds, is_open, plan_sequence
from tools.effects.stock import UsualTexts
from tools.records import SteeringEvidence
from tools.study.definition import SteeringSequence, Study
from tools.survey.lexicon import Lexicon


class Referee(NamedTuple):
    """What decides who wins a pair."""

    lexicon: Lexicon
    panel: Panel
    bounds: Bounds


def steer_in_rounds(
    bench: Workbench,
    study: Study,
    targets: Targets,
    residual_norm: float,
    seed: int,
    referee: Referee,
    progress: Progress | None = None,
    shared: UsualTexts | None = None,
) -> list[SteeringEvidence]:
    """The pairs of every direction, written, scored and described.

    Args:
        bench: model and SAE.
        study: for its prompts, seeds and settings.
        targets: the directions.
        residual_norm: mean length of the residual stream, the unit of strengths.
        seed: of the run.
        referee: what scores the texts.
        progress: where it is shown how far it is.
        shared: the unsteered texts of all; without them each direction has its own.
    """
    strengths = find_strengths(bench, study, targets, residual_norm, progress)

    def write(asked: Study, places: Sequence[int], arms: int) -> tuple[SteeredTexts, list[Contest]]:
        rows = torch.tensor(places, dtype=torch.int64)
        part = targets.take(rows)
        given = shared.take(rows) if shared else None
        made = steer(
            bench, asked, part, residual_norm, seed, progress, strengths=strengths.take(rows), arms=arms, shared=given
        )
        owners = part.readers.features.tolist()
        return made, score_pairs(
            asked, made, referee.lexicon, part.token_ids.numpy(), owners, referee.panel, referee.bounds
        )

    opening, contests = write(study, range(len(targets.keys)), len(ARMS) if study.steering.controls else STEERED + 1)
    rounds = [[contest] for contest in contests]
    sequence = study.steering.sequence
    if sequence is not None:
        go_on(study, sequence, rounds, lambda asked, places: write(asked, places, STEERED + 1)[1])
    return [
        describe_steering(study, opening, place, own, referee.bounds, referee.lexicon)
        for place, own in enumerate(rounds)
    ]


def most_seeds(study: Study) -> int:
    """Seeds that a prompt is continued with at most, all rounds together; 0 where no stock of texts has to hold them."""
    settings = study.steering
    if settings.unsteered == "own":
        return 0
    size = len(settings.prompts) * len(settings.seeds)
    rounds = plan_sequence(settings.sequence, size).most // size if settings.sequence else 1
    return rounds * len(settings.seeds)


def go_on(
    study: Study,
    sequence: SteeringSequence,
    rounds: Sequence[list[Contest]],
    write: Callable[[Study, Sequence[int]], list[Contest]],
) -> None:
    """Give directions further rounds, with seeds of their own, until each is decided or has had what the power needs."""
    settings = study.steering
    size = len(settings.prompts) * len(settings.seeds)
    most = plan_sequence(sequence, size).most
    for number in range(1, most // size):
        going = [place for place, own in enumerate(rounds) if _is_open(sequence, own)]
        if not going:
            return
        seeds = further_seeds(settings.seeds, number)
        asked = study.model_copy(update={"steering": settings.model_copy(update={"seeds": seeds})})
        for place, contest in zip(going, write(asked, going), strict=True):
            rounds[place].append(contest)


def _is_open(sequence: SteeringSequence, own: Sequence[Contest]) -> bool:
    wins = np.concatenate([contest.wins for contest in own])
    chance = np.concatenate([contest.chance for contest in own])
    return own[0].measurable and is_open(sequence, wins, chance)
