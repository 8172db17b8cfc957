"""The direct scorer: features that are more active in a target than in other text, beyond what chance gives.

For each feature the mean activation a token of every document; the difference of the two groups' means in standard
deviations over all documents; and how often as large a difference comes up when the documents' labels are permuted.
Documents are the unit, for tokens of one document are not independent. Other documents are cut to lengths that the target's
have, so that the two groups differ in nothing but what they say: under the null they are exchangeable.

    d_j = (mean over target documents of m_dj - mean over others of m_dj) / sd over all documents of m_dj
    score_j = min(max(d_j, 0) / FULL_SCORE, 1)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from rich.progress import Progress
from torch import Tensor

from tools.alignment.documents import sum_documents, tokenize
from tools.alignment.scores import FeatureScores
from tools.bench.workbench import Workbench
from tools.errors import UnveilError
from tools.maths import seed_of

PERMUTATIONS = 40_000
"""So many that among two thousand features a single one can be found at q <= 0.05: p goes down to 1 / 40,001."""
SCREEN = 2_000
HOPELESS = 0.1
"""A feature with a larger p after `SCREEN` permutations is given no more: its q is larger still, whatever follows."""
FULL_SCORE = 3.0
"""Standard deviations that score 1: a fixed scale, so that no single feature sets it for all others."""
LEAST_DOCUMENTS = 2
_ROUNDING = 1e-5
"""Of a feature's summed activation: sums in another order differ by less, and such ties count against it."""


def score_by_contrast(
    bench: Workbench,
    target: Sequence[str],
    background: Sequence[str],
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    progress: Progress | None = None,
) -> FeatureScores:
    """Score every feature by how much more active it is in the target's documents than in others.

    Args:
        bench: model and SAE.
        target: documents.
        background: other documents, more than a few; read no further than the target's are long.
        permutations: that p is counted over.
        seed: of the permutations, and of which document is cut to which length.
        progress: where it is shown how far it is.

    Raises:
        UnveilError: a group has fewer than two documents with text, or an activation is no number.
    """
    own = tokenize(bench, target)
    others = cut_alike(tokenize(bench, background), [len(ids) for ids in own if len(ids)], seed)
    found = sum_documents(bench, [*own, *others], progress)
    is_target = np.arange(len(own) + len(others)) < len(own)
    labels = is_target[found.n_tokens > 0]
    for name, n in (("target", int(labels.sum())), ("text that it is held against", int((~labels).sum()))):
        if n < LEAST_DOCUMENTS:
            raise UnveilError(f"the {name} has {n} documents with any text: a contrast takes {LEAST_DOCUMENTS} or more")
    means = found.means
    alive = bench.alive.cpu().numpy() & ((means != 0).any(axis=0))
    return score_groups(means, labels, alive, permutations=permutations, seed=seed, progress=progress)


def score_groups(
    means: Float[np.ndarray, "documents d_sae"],
    is_target: Bool[np.ndarray, " documents"],
    alive: Bool[np.ndarray, " d_sae"],
    *,
    permutations: int,
    seed: int,
    progress: Progress | None = None,
) -> FeatureScores:
    """The same from activations by document; `alive` are the features that are active somewhere.

    Raises:
        UnveilError: an activation is no number.
    """
    from scipy.stats import false_discovery_control  # its library takes a second to import

    d_sae, n_target = len(alive), int(is_target.sum())
    values = means if alive.all() else np.ascontiguousarray(means[:, alive])
    with np.errstate(invalid="ignore"):  # what is no number is refused below, with the feature's own
        difference = values[is_target].mean(axis=0, dtype=np.float64) - values[~is_target].mean(
            axis=0, dtype=np.float64
        )
        deviation = values.std(axis=0, dtype=np.float64)
        effect = np.divide(difference, deviation, out=np.zeros_like(difference), where=deviation != 0)
    p, q = np.ones(d_sae), np.ones(d_sae)
    if alive.any():
        p[alive] = permuted_share(values, is_target, permutations, seed, progress)
        q[alive] = false_discovery_control(p[alive])
    statistic = np.zeros(d_sae)
    statistic[alive] = effect
    return FeatureScores(
        scorer="contrast",
        score=np.clip(statistic / FULL_SCORE, 0, 1),
        scored=alive,
        statistic=statistic,
        p=p,
        q=q,
        resolution=finest(len(is_target), n_target, permutations),
    )


def permuted_share(
    values: Float[np.ndarray, "documents n"],
    is_target: Bool[np.ndarray, " documents"],
    permutations: int,
    seed: int,
    progress: Progress | None = None,
) -> Float[np.ndarray, " n"]:
    """One-sided p of each feature: (1 + permutations with as large a target sum) / (1 + permutations).

    With the documents' values fixed, the sum over the target's orders permutations as the difference of means does. Ties
    count against a feature.
    """
    rng = np.random.default_rng(seed)
    documents = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
    observed = documents[torch.from_numpy(is_target)].double().sum(dim=0)
    bound = (observed - _ROUNDING * documents.abs().double().sum(dim=0)).float()
    task = progress.add_task("score        permutations", total=permutations) if progress else None

    def advance(n: int) -> None:
        if progress and task is not None:
            progress.advance(task, n)

    first = min(SCREEN, permutations)
    reached = _count_reached(documents, bound, is_target, first, rng, advance)
    p = (1 + reached) / (1 + first)
    hopeful = reached <= HOPELESS * first
    if first < permutations and hopeful.any():
        kept = torch.from_numpy(hopeful)
        more = _count_reached(documents[:, kept], bound[kept], is_target, permutations - first, rng, advance)
        p[hopeful] = (1 + reached[hopeful] + more) / (1 + permutations)
    return p


def _count_reached(
    documents: Float[Tensor, "documents n"],
    bound: Float[Tensor, " n"],
    is_target: Bool[np.ndarray, " documents"],
    permutations: int,
    rng: np.random.Generator,
    advance: Callable[[int], None],
) -> Int64[np.ndarray, " n"]:
    """Permutations in which a feature's sum over the documents that are called the target's reaches its bound."""
    reached = np.zeros(documents.shape[1], dtype=np.int64)
    block = max(1, min(permutations, 2**24 // documents.shape[1]))  # 64 MiB of sums
    for start in range(0, permutations, block):
        size = min(block, permutations - start)
        labels = rng.permuted(np.tile(is_target, (size, 1)), axis=1)
        sums = torch.from_numpy(labels.astype(np.float32)) @ documents  # [size, n]
        reached += (sums >= bound).sum(dim=0).numpy()
        advance(size)
    return reached


def finest(n: int, n_target: int, permutations: int) -> float:
    """The smallest p there can be: of so many permutations, or of all there are where those are fewer."""
    from math import comb

    return max(1 / (1 + permutations), 1 / comb(n, n_target))


def cut_alike(
    documents: Sequence[Int64[np.ndarray, " _"]], lengths: Sequence[int], seed: int
) -> list[Int64[np.ndarray, " _"]]:
    """Each document's beginning, no longer than one of the lengths, all of which come up equally often."""
    if not lengths:
        return list(documents)
    rng = np.random.default_rng(seed_of("lengths", seed))
    turns = [rng.permutation(np.asarray(lengths)) for _ in range(-(-len(documents) // len(lengths)))]
    most = np.concatenate(turns) if turns else np.empty(0, dtype=np.int64)
    return [ids[:length] for ids, length in zip(documents, most.tolist(), strict=False)]
