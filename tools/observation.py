"""The observation of selected directions: contexts, steered text and causal effect, in large batches.

What is observed of a direction does not depend on what else is selected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from rich.progress import Progress
from torch import Tensor

from tools.activity.activations import Recording, record_activations
from tools.activity.densities import describe_densities
from tools.activity.description import describe_activations, domain_nearby
from tools.activity.recurrence import RecurrenceNull, draw_readings
from tools.bench.workbench import Workbench
from tools.effects.causal import Place, measure_effects
from tools.effects.continuations import STEERED, UNSTEERED, Targets, steer
from tools.effects.contrast import draw_panel
from tools.effects.fluency import draw_bounds
from tools.effects.intervention import Readers
from tools.effects.promise import FrequencyOrder, describe_effect, order_by_frequency
from tools.effects.promotion import Promoter
from tools.effects.rising import Chances, describe_words, measure_chances
from tools.effects.rounds import Referee, most_seeds, steer_in_rounds
from tools.effects.steerability import own_tokens, score_input, score_output
from tools.effects.steering import check_room
from tools.effects.stock import write_usual_texts
from tools.records import (
    CausalEvidence,
    DensityNull,
    Evidence,
    FeatureRef,
    PromotionEvidence,
    SteeringEvidence,
    Stratum,
)
from tools.study.definition import Study
from tools.survey.features import (
    DirectionTable,
    Survey,
    describe_coherence,
    describe_keywords,
    describe_projection,
    survey_directions,
)
from tools.survey.projection import draw_random_stratum

CAUSAL_ROWS = 2
STEERED_AT_RANDOM = 16
"""Random directions along which texts are written, to see how far words rise along them."""


@runtime_checkable
class Selected(Protocol):
    """One direction chosen for investigation."""

    @property
    def feature(self) -> FeatureRef:
        """Which direction."""
        ...

    @property
    def stratum(self) -> Stratum:
        """Why it was chosen."""
        ...


class Chosen(NamedTuple):
    """The selected directions, in order."""

    keys: tuple[str, ...]
    features: tuple[int, ...]
    """Row of the SAE; -1 for a random direction."""
    columns: Int64[np.ndarray, " n"]
    """Of the recording, which holds features first."""
    directions: Float[Tensor, "n d_model"]
    table: DirectionTable

    @property
    def top_ids(self) -> Int64[np.ndarray, "n k"]:
        """The tokens that each is said to promote."""
        return self.table.projection.top_ids.cpu().numpy()


def observe(
    bench: Workbench,
    study: Study,
    survey: Survey,
    selected: Sequence[Selected],
    seed: int,
    progress: Progress | None = None,
    note: Callable[[DensityNull], None] | None = None,
) -> list[Evidence]:
    """Everything a judge may look at, for each selected direction, in order; `note` is told how often they are active.

    Raises:
        StudyError: a steering prompt and its continuation do not fit into the model's context.
    """
    if not selected:
        return []
    check_room(bench, study.steering.prompts, study.steering.new_tokens, study.steering.prompt_form)
    chosen = prepare(bench, study, survey, selected, seed)
    real = torch.tensor(chosen.features) >= 0
    numbers = [item.feature.index for item in selected if item.feature.kind != "feature"]
    rows = bench.read_text(study, "train", bench.row_width)
    features, readings = [i for i in chosen.features if i >= 0], draw_readings(bench, rows)
    recording = record_activations(
        bench, rows, features, chosen.directions[~real], progress, numbers=numbers, readings=readings
    )
    null = RecurrenceNull.of(recording)
    recording = recording._replace(components=None)  # which are as large as all the rest
    if note:
        note(describe_densities(recording.density, recording.drawn[np.argsort(numbers)]))
    near = domain_nearby(rows, survey.lexicon.words, survey.lexicon.vocabulary)
    order = order_by_frequency(recording.rows.tokens, recording.rows.real, bench.W_U.shape[1], seed)
    promoter = Promoter(bench, study, survey.lens, recording.residual_norm, seed)
    steering = observe_steering(bench, study, survey, chosen, recording, promoter, seed, progress)
    promotion = observe_promotion(study, chosen, steering, promoter, recording.residual_norm)
    causal = observe_effects(bench, study, survey, chosen, recording, order, progress)
    return [
        Evidence(
            feature=item.feature,
            stratum=item.stratum,
            projection=describe_projection(chosen.table, place, survey.lexicon),
            keywords=describe_keywords(chosen.table, place, survey),
            coherence=describe_coherence(chosen.table, place, survey),
            activations=describe_activations(
                recording,
                int(chosen.columns[place]),
                near,
                survey.lexicon.tokens,
                context_tokens=study.observation.context_tokens,
                n_top=study.observation.top_contexts,
                n_quantiles=study.observation.quantile_contexts,
                null=null,
            ),
            steering=steering[place],
            causal=causal[place],
            promotion=promotion[place],
        )
        for place, item in enumerate(selected)
    ]


def prepare(bench: Workbench, study: Study, survey: Survey, selected: Sequence[Selected], seed: int) -> Chosen:
    """The selected directions with their projections, and where a recording of them will hold each."""
    features = tuple(item.feature.index if item.feature.kind == "feature" else -1 for item in selected)
    randoms = [item.feature.index for item in selected if item.feature.kind != "feature"]
    drawn = draw_random_stratum(bench, seed, 1 + max(randoms, default=-1)).to(bench.directions)
    both = torch.cat([bench.directions[[i for i in features if i >= 0]], drawn[randoms]])
    columns = np.argsort(np.argsort([i < 0 for i in features], kind="stable"))
    directions = both[columns]  # [n, d_model], as selected
    table = survey_directions(directions, survey.lens, survey.lexicon, study.survey.top_k)
    return Chosen(tuple(item.feature.key for item in selected), features, columns, directions, table)


def observe_steering(
    bench: Workbench,
    study: Study,
    survey: Survey,
    chosen: Chosen,
    recording: Recording,
    promoter: Promoter,
    seed: int,
    progress: Progress | None = None,
) -> list[SteeringEvidence | None]:
    """Steer every direction and judge its texts; None where its strength is a multiple of an activation it never has."""
    peaks = recording.activations.max(axis=(0, 1))[chosen.columns]  # [n]
    levels = torch.zeros(len(peaks)) if study.steering.kind == "add" else read_levels(bench, chosen, recording)
    readers = Readers(chosen.directions, torch.tensor(chosen.features), levels.to(chosen.directions))
    targets = Targets(chosen.keys, readers, torch.from_numpy(chosen.top_ids), torch.from_numpy(peaks))
    is_shared = study.steering.unsteered == "shared"
    followed = targets.token_ids if is_shared else None
    usual = write_usual_texts(bench, study, seed, progress, followed=followed, least=most_seeds(study))
    bounds = draw_bounds(usual, study.steering.fluency_factor)
    referee = Referee(survey.lexicon, draw_panel(survey, seed), bounds)
    shared = usual if is_shared else None
    scored = steer_in_rounds(bench, study, targets, recording.residual_norm, seed, referee, progress, shared)
    listed = own_tokens(bench, chosen.directions)
    outputs = score_output(bench, chosen.directions, listed).tolist()
    chances = draw_chances(bench, study, promoter, usual.texts, recording.residual_norm, seed, progress)
    evidence: list[SteeringEvidence | None] = []
    for i, record in enumerate(scored):
        never = peaks[i] <= 0
        update = {
            "activation_ratio": None if never else record.strength * recording.residual_norm / float(peaks[i]),
            "input_score": score_input(recording, int(chosen.columns[i]), listed[i]),
            "output_score": outputs[i],
            "words": None if chances is None else describe_words(record.opening, chances),
        }
        impossible = never and study.steering.unit == "max_activation"
        evidence.append(None if impossible else record.model_copy(update=update))
    return evidence


def draw_chances(
    bench: Workbench,
    study: Study,
    promoter: Promoter,
    usual: Sequence[str],
    residual_norm: float,
    seed: int,
    progress: Progress | None = None,
) -> Chances | None:
    """How far words rise along random directions that are steered as others are.

    None where that cannot be: a random direction has no activation that could be held, or be a unit of strength.
    """
    settings = study.steering
    if settings.kind != "add" or settings.unit == "max_activation":
        return None
    some = promoter.targets.take(torch.arange(STEERED_AT_RANDOM))
    strengths = promoter.strengths.take(torch.arange(STEERED_AT_RANDOM)) if settings.unit == "kl" else None
    made = steer(
        bench,
        study,
        some,
        residual_norm,
        seed,
        progress,
        strengths=strengths,
        arms=STEERED + 1,
        shown_as="random texts",
    )
    steered, unsteered = made.texts[..., STEERED].tolist(), made.texts[..., UNSTEERED].tolist()
    return measure_chances(
        usual, steered, unsteered, lambda text: [bench.token_strings[i] for i in bench.tokenize(text)]
    )


def observe_promotion(
    study: Study,
    chosen: Chosen,
    steering: Sequence[SteeringEvidence | None],
    promoter: Promoter,
    residual_norm: float,
) -> list[PromotionEvidence]:
    """What every direction does to the next token, at the effect that the study asks for, beside random directions."""
    if study.steering.kind == "add" and study.steering.unit == "kl":
        found = [
            one for one in steering if one is not None
        ]  # all of them: steered at the very strengths that are wanted
        norms, kl = (
            torch.tensor([one.strength * residual_norm for one in found]),
            torch.tensor([one.kl for one in found]),
        )
    else:
        norms, kl, _ = promoter.find_strengths(chosen.directions)
    return promoter.describe(chosen.directions, chosen.top_ids, norms, kl)


def read_levels(bench: Workbench, chosen: Chosen, recording: Recording) -> Float[Tensor, " n"]:
    """The component above which each random direction was counted as active; 0 for features, which have encoders."""
    levels = torch.zeros(len(chosen.keys))
    for place in (place for place, feature in enumerate(chosen.features) if feature < 0):
        values = recording.activations[..., chosen.columns[place]]
        row, position = np.unravel_index(values.argmax(), values.shape)
        tokens = torch.from_numpy(recording.rows.tokens[row : row + 1, : position + 1])
        component = bench.residuals(tokens)[0, -1] @ chosen.directions[place]
        levels[place] = float(component) - float(values[row, position])
    return levels


def observe_effects(
    bench: Workbench,
    study: Study,
    survey: Survey,
    chosen: Chosen,
    recording: Recording,
    order: FrequencyOrder,
    progress: Progress | None = None,
) -> list[CausalEvidence | None]:
    """Zero and double every direction in the rows where it is most active; None for one that is never active."""
    top_ids = chosen.top_ids
    places: list[Place] = []
    active: list[int] = []
    for i, column in enumerate(chosen.columns):
        values = recording.activations[..., column]
        best = np.argsort(-values.max(axis=1), kind="stable")[:CAUSAL_ROWS]
        best = best[values[best].max(axis=1) > 0]
        if len(best):
            tokens, found = torch.from_numpy(recording.rows.tokens[best]), torch.from_numpy(values[best].copy())
            places.append(Place(tokens, found, chosen.directions[i]))
            active.append(i)
    evidence: list[CausalEvidence | None] = [None] * len(chosen.keys)
    task = progress.add_task("observe      causal effect", total=len(places)) if progress else None
    for number, effect in measure_effects(bench, places):
        i = active[number]
        evidence[i] = describe_effect(
            bench, effect, chosen.directions[i], survey.lens, study.survey.lens, top_ids[i], order
        )
        if progress and task is not None:
            progress.update(task, advance=1)
    return evidence
