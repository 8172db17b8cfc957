"""The observation of selected directions: contexts, steered text and causal effect, in large batches.

Word-vector likeness decides who wins a steered pair. Its chance level is not assumed to be one half: the same texts are
scored against the reference words of all the other directions, and the share of wins under those is the null.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from rich.progress import Progress
from torch import Tensor

from tools.activations import Recording, describe_activations, domain_nearby, record_activations, tokenize_passages
from tools.causal import ablate_feature, survival_ratio
from tools.corpus import load_passages
from tools.keywords import words_of
from tools.projection import random_directions
from tools.records import CausalEvidence, Evidence, FeatureRef, SteeredPair, SteeringEvidence, Stratum
from tools.steering import HookCounter, choose_strengths, generate, row_noise
from tools.studies import Study
from tools.survey import (
    CONTENT_RANK,
    Lexicon,
    Survey,
    describe_coherence,
    describe_keywords,
    describe_projection,
    survey_directions,
)
from tools.workbench import Workbench

ARMS = ("unsteered", "steered", "random", "flipped")
METRIC = "mean over content words of the largest cosine with a reference word"
MIN_DISTINCT = 0.5
"""A text with a smaller share of distinct word pairs than this has collapsed into repetition."""
CAUSAL_ROWS = 2
DIRECTIONS_PER_BATCH = 32


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


class SteeredTexts(NamedTuple):
    """All continuations of the selected directions, and how likely every reference list was while they were made."""

    texts: list[str]
    """Flat, in the order direction, prompt, seed, arm."""
    log_mass: Float[np.ndarray, "texts n"]
    strengths: Float[np.ndarray, " n"]
    """In mean residual norms."""
    kl: Float[np.ndarray, " n"]
    counter: HookCounter


def observe(
    bench: Workbench,
    study: Study,
    survey: Survey,
    selected: Sequence[Selected],
    seed: int,
    progress: Progress | None = None,
) -> list[Evidence]:
    """Everything a judge may look at, for each selected direction, in order."""
    if not selected:
        return []
    lexicon = survey.lexicon
    is_feature = [item.feature.kind == "feature" for item in selected]
    features = [item.feature.index for item, real in zip(selected, is_feature, strict=True) if real]
    drawn = draw_random_stratum(
        bench, seed, max([0, *(s.feature.index + 1 for s, real in zip(selected, is_feature, strict=True) if not real)])
    )
    randoms = drawn[[s.feature.index for s, real in zip(selected, is_feature, strict=True) if not real]]
    order = np.argsort(np.argsort([not real for real in is_feature], kind="stable"))  # features first, then randoms
    directions = torch.cat([bench.directions[features], randoms])[order]  # [n, d_model], as selected
    table = survey_directions(directions, survey.lens, lexicon, study.survey.top_k)

    passages = load_passages(study, "train")
    rows = tokenize_passages(bench, passages, bench.context_size)
    recording = record_activations(bench, rows, features, randoms, progress)
    near = domain_nearby(rows, lexicon.words, lexicon.vocabulary)
    top_ids = table.projection.top_ids.numpy()
    steered = steer_directions(
        bench, study, directions, top_ids, [s.feature.key for s in selected], recording.residual_norm, seed, progress
    )
    steering = score_steering(study, steered, lexicon, top_ids)
    task = progress.add_task("observe      causal effect", total=len(selected)) if progress else None
    evidence: list[Evidence] = []
    for place, item in enumerate(selected):
        column = int(order[place])
        evidence.append(
            Evidence(
                feature=item.feature,
                stratum=item.stratum,
                projection=describe_projection(table, place, lexicon),
                keywords=describe_keywords(table, place, survey),
                coherence=describe_coherence(table, place, survey),
                activations=describe_activations(
                    recording,
                    column,
                    near,
                    lexicon.tokens,
                    context_tokens=study.observation.context_tokens,
                    n_top=study.observation.top_contexts,
                    n_quantiles=study.observation.quantile_contexts,
                ),
                steering=steering[place],
                causal=measure_causal_effect(
                    bench, recording, column, directions[place], torch.from_numpy(top_ids[place])
                ),
            )
        )
        if progress and task is not None:
            progress.update(task, advance=1)
    return evidence


def draw_random_stratum(bench: Workbench, seed: int, n: int) -> Float[Tensor, "n d_model"]:
    """The random directions of the control stratum: never those of the survey's null."""
    return random_directions(n, bench.directions.shape[1], seed + 1_000_003)


def steer_directions(
    bench: Workbench,
    study: Study,
    directions: Float[Tensor, "n d_model"],
    top_ids: Int64[np.ndarray, "n k"],
    keys: Sequence[str],
    residual_norm: float,
    seed: int,
    progress: Progress | None = None,
) -> SteeredTexts:
    """Choose each direction's strength by its effect, then continue every prompt in all four arms."""
    settings = study.steering
    prompts = [bench.tokenize(prompt) for prompt in settings.prompts]
    strengths = choose_strengths(
        bench, prompts, directions, target_kl=settings.target_kl, max_norm=settings.max_strength * residual_norm
    )
    vectors = directions * strengths.norms[:, None]
    controls = random_directions(len(directions), directions.shape[1], seed + 2_000_003) * strengths.norms[:, None]
    arms = torch.stack([torch.zeros_like(vectors), vectors, controls, -vectors], dim=1)  # [n, 4, d_model]
    reference = torch.zeros(len(directions), bench.W_U.shape[1])
    reference.scatter_(1, torch.from_numpy(top_ids), 1.0)

    n, n_seeds = len(directions), len(settings.seeds)
    texts = np.empty((n, len(prompts), n_seeds, len(ARMS)), dtype=object)
    log_mass = np.zeros((*texts.shape, n), dtype=np.float32)
    task = progress.add_task("observe      steering", total=n * len(prompts)) if progress else None
    counter = HookCounter(0, 0)
    for place, prompt in enumerate(prompts):
        for start in range(0, n, DIRECTIONS_PER_BATCH):
            stop = min(start + DIRECTIONS_PER_BATCH, n)
            rows = arms[start:stop, None].expand(-1, n_seeds, -1, -1).reshape(-1, directions.shape[1])
            noise = np.stack(
                [
                    row_noise(f"{seed}|{keys[i]}|{settings.prompts[place]}|{sample}", settings.new_tokens)
                    for i in range(start, stop)
                    for sample in settings.seeds
                    for _ in ARMS
                ]
            )
            made = generate(
                bench, prompt, rows, noise, temperature=settings.temperature, top_k=settings.top_k, reference=reference
            )
            counter = made.counter
            shape = (stop - start, n_seeds, len(ARMS))
            texts[start:stop, place] = np.array(
                [bench.decode(row) for row in made.tokens.tolist()], dtype=object
            ).reshape(shape)
            log_mass[start:stop, place] = made.log_mass.reshape(*shape, n)
            if progress and task is not None:
                progress.update(task, advance=stop - start)
    flat = [str(text) for text in texts.ravel()]
    return SteeredTexts(
        flat, log_mass.reshape(-1, n), (strengths.norms / residual_norm).numpy(), strengths.kl.numpy(), counter
    )


def score_steering(
    study: Study, steered: SteeredTexts, lexicon: Lexicon, top_ids: Int64[np.ndarray, "n k"]
) -> list[SteeringEvidence]:
    """Scores, wins and the swapped-reference null of every direction."""
    n, n_prompts, n_seeds = len(top_ids), len(study.steering.prompts), len(study.steering.seeds)
    references = [list(dict.fromkeys(row for row in lexicon.word_rows[ids].tolist() if row >= 0)) for ids in top_ids]
    shape = (n, n_prompts * n_seeds, len(ARMS))
    scores = score_texts(steered.texts, references, lexicon).reshape(*shape, n)
    collapsed = np.array([distinct_share(text) < MIN_DISTINCT for text in steered.texts]).reshape(shape)
    wins = (scores[:, :, 1] > scores[:, :, 0]) & ~collapsed[:, :, 1, None]  # [n, pairs, lists]
    log_mass = steered.log_mass.reshape(*shape, n)
    texts = np.array(steered.texts, dtype=object).reshape(shape)
    evidence: list[SteeringEvidence] = []
    for i in range(n):
        others = np.arange(n) != i
        lift = log_mass[i, :, 1, i] - log_mass[i, :, 0, i]
        evidence.append(
            SteeringEvidence(
                metric=METRIC,
                policy="all",
                unit="residual_norm",
                strength=float(steered.strengths[i]),
                kl=float(steered.kl[i]),
                hook_calls=steered.counter.calls,
                positions_steered=steered.counter.positions,
                pairs=_pairs(study, texts[i], scores[i, :, :, i], collapsed[i, :, 1]),
                win_rate=float(wins[i, :, i].mean()),
                n=wins.shape[1],
                null_win_rate=float(wins[i][:, others].mean()) if n > 1 else 0.5,
                log_probability_lift=float(lift.mean()),
            )
        )
    return evidence


def _pairs(
    study: Study,
    texts: np.ndarray,
    scores: Float[np.ndarray, "pairs arms"],
    collapsed: Bool[np.ndarray, " pairs"],
) -> tuple[SteeredPair, ...]:
    keys = [(prompt, seed) for prompt in study.steering.prompts for seed in study.steering.seeds]
    return tuple(
        SteeredPair(
            prompt=prompt,
            seed=seed,
            unsteered=text[0],
            steered=text[1],
            random=text[2],
            flipped=text[3],
            score_unsteered=score[0],
            score_steered=score[1],
            score_random=score[2],
            score_flipped=score[3],
            collapsed=bool(collapsed[row]),
        )
        for row, ((prompt, seed), text, score) in enumerate(
            zip(keys, texts.tolist(), scores.astype(float).round(6).tolist(), strict=True)
        )
    )


def score_texts(
    texts: Sequence[str], references: Sequence[Sequence[int]], lexicon: Lexicon
) -> Float[np.ndarray, "texts lists"]:
    """Likeness of each text to each list of reference words; 0 for a text without content words or an empty list."""
    vectors = lexicon.vectors
    rows = [[r for word in words_of(text) if (r := vectors.row.get(word, -1)) >= CONTENT_RANK] for text in texts]
    used = sorted({row for text in rows for row in text})
    place = {row: i for i, row in enumerate(used)}
    likeness = np.zeros((len(used), len(references)), dtype=np.float32)
    for column, reference in enumerate(references):
        if reference and used:
            likeness[:, column] = (vectors.matrix[used] @ vectors.matrix[list(reference)].T).max(axis=1)
    return np.stack(
        [
            likeness[[place[r] for r in text]].mean(axis=0) if text else np.zeros(len(references), np.float32)
            for text in rows
        ]
    )


def distinct_share(text: str) -> float:
    """Share of distinct pairs among a text's consecutive words; 1 for fewer than two words."""
    words = words_of(text)
    pairs = list(zip(words, words[1:], strict=False))
    return len(set(pairs)) / len(pairs) if pairs else 1.0


def measure_causal_effect(
    bench: Workbench,
    recording: Recording,
    column: int,
    direction: Float[Tensor, " d_model"],
    token_ids: Int64[Tensor, " k"],
) -> CausalEvidence | None:
    """Ablate a direction in the rows where it is most active; None if it is never active."""
    values = recording.activations[..., column]
    best = np.argsort(-values.max(axis=1), kind="stable")[:CAUSAL_ROWS]
    best = best[values[best].max(axis=1) > 0]
    if not len(best):
        return None
    effect = ablate_feature(
        bench, torch.from_numpy(recording.rows.tokens[best]), torch.from_numpy(values[best].copy()), direction
    )
    return CausalEvidence(
        n_contexts=effect.n_positions,
        ablation_effect=float(effect.logits[token_ids].mean()),
        survival_ratio=survival_ratio(effect, token_ids),
    )
