"""What features are chosen, taken out and measured on, as arrays: a task's texts read by one bench."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Int64
from rich.progress import Progress

from tools.bench.workbench import Workbench
from tools.probes.cues import find_cues, read_cues, without_cues
from tools.probes.definition import TaskDefinition
from tools.probes.pooling import Pooled, pool_texts
from tools.probes.task import Task
from tools.probes.token_features import TokenFeatures

FOUND = 100
"""Words that are deleted of a task that comes with no list of its own."""


class Tokens(Protocol):
    """As `TokenFeatures` is read."""

    names: tuple[str, ...]
    shares: Float[np.ndarray, "texts tokens"]
    directions: Float[np.ndarray, "tokens d_model"]
    residual: Float[np.ndarray, "texts d_model"]

    def without(self, tokens: Sequence[int], wanted: Int64[np.ndarray, " n"]) -> Float[np.ndarray, "texts d_model"]:
        """Mean streams at the SAE's hook with some tokens taken out at the embedding."""
        ...


class Ground(NamedTuple):
    """A task and what a bench reads of it."""

    task: Task
    pooled: Pooled
    """At the SAE's hook."""
    directions: Float[np.ndarray, "d_sae d_model"]
    """Unit decoder rows."""
    cues: tuple[str, ...] = ()
    """Words that give the attribute away."""
    bare: Float[np.ndarray, "texts d_model"] | None = None
    """The texts without these words; None where nobody looked."""
    tokens: Tokens | None = None
    """None where nobody looked."""


def read_ground(
    bench: Workbench,
    task: Task,
    definition: TaskDefinition | None = None,
    progress: Progress | None = None,
) -> Ground:
    """Read a task's texts; what was read before is taken from the user's cache.

    Args:
        bench: model and SAE.
        task: its texts.
        definition: where its cue words stand; None where the model is to run over the texts once and no more: then they
            are read neither without cue words nor token by token.
        progress: where it is shown how far it is.

    Raises:
        StudyError: a text has no token that counts, or the cue words do not read.
    """
    texts = [text.text for text in task.texts]
    ground = Ground(task, pool_texts(bench, texts, progress), bench.directions.float().cpu().numpy())
    if definition is None:
        return ground
    cues = read_cues(definition.folder / definition.cues) if definition.cues else tuple(find_cues(task, FOUND))
    bare = pool_texts(bench, [text.text for text in without_cues(task, cues).texts], progress)
    return ground._replace(cues=cues, bare=bare.residual, tokens=TokenFeatures(bench, texts, progress))
