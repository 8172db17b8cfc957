"""Whether the features that were chosen for a text tell more of it from other text: the first doubt of any steering.

Every held-out document has one number, its activation a token weighted by the scores; how often a document of the target
has a larger one than other text is the area under the ROC curve. 0.5 is chance: what was chosen stands for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from rich.progress import Progress

from tools.alignment.contrast import cut_alike
from tools.alignment.documents import sum_documents, tokenize
from tools.bench.workbench import Workbench
from tools.maths import Interval

Z = 1.959964
"""Of 95 %, two-sided."""
_INSIDE = 1e-12
"""From 0 and 1, where no area has an error."""


class Separation(NamedTuple):
    """An area under the ROC curve with its 95 % interval."""

    auroc: float
    interval: Interval


def separate(
    bench: Workbench,
    scores: Float[np.ndarray, " d_sae"],
    target: Sequence[str],
    reference: Sequence[str],
    seed: int,
    progress: Progress | None = None,
) -> Separation | None:
    """Hold documents of a target against other ones, which are read no further than the target's are long.

    Args:
        bench: model and SAE.
        scores: of features; nothing of these documents went into them.
        target: its documents.
        reference: others.
        seed: of which is cut to which length.
        progress: where it is shown how far it is.

    Returns:
        None where either side has no document with text.
    """
    own = tokenize(bench, target)
    others = cut_alike(tokenize(bench, reference), [len(ids) for ids in own if len(ids)], seed)
    found = sum_documents(bench, [*own, *others], progress, "score        held-out text")
    is_target = (np.arange(len(own) + len(others)) < len(own))[found.n_tokens > 0]
    weighted = found.means @ scores.astype(np.float32)
    return measure_separation(weighted[is_target], weighted[~is_target])


def measure_separation(target: Float[np.ndarray, " n"], reference: Float[np.ndarray, " m"]) -> Separation | None:
    """The area from both groups' numbers, ties counting half; None where one is empty."""
    if not (len(target) and len(reference)):
        return None
    apart = target[:, None] - reference[None]
    auroc = float(((apart > 0) + 0.5 * (apart == 0)).mean())
    return Separation(auroc, auroc_interval(auroc, len(target), len(reference)))


def auroc_interval(auroc: float, n: int, m: int) -> Interval:
    """Newcombe's interval for two groups of n and m (2006, method 5): it stays apart from 1 where all are told apart.

    All areas t with |auroc - t| no larger than z times the error that such an area has by Hanley and McNeil.
    """
    from scipy.optimize import brentq  # its library takes a second to import

    half = (n + m) / 2 - 1

    def error(t: float) -> float:
        return math.sqrt(t * (1 - t) * (1 + half * (1 - t) / (2 - t) + half * t / (1 + t)) / (n * m))

    def end(side: int) -> float:
        def margin(t: float) -> float:
            return side * (t - auroc) - Z * error(t)

        beyond = 1.0 if side > 0 else 0.0
        if auroc == beyond:
            return beyond
        found: Any = brentq(margin, min(max(auroc, _INSIDE), 1 - _INSIDE), beyond)
        return float(found)

    return Interval(end(-1), end(1))
