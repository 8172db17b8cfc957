"""A place where text is rewritten: an SAE, its hook, and which positions of the residual stream there are text.

BOS and attention sinks are left as they are. SAEs are seldom trained on them, and their residual streams are so long that
whatever is changed there is a change of the model rather than of the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tools.bench.autoencoder import Autoencoder
from tools.bench.hooks import Hook
from tools.bench.places import Place
from tools.bench.workbench import Workbench
from tools.errors import StudyError
from tools.study.corpus import TokenRows

_TOKENS = 1024
"""Of a batch of text: as many as fit the processor's cache."""
_SAME = 0.05
"""Difference, as a share of its length, within which a residual stream is that of BOS."""


class Site(NamedTuple):
    """A place, with what has to be known of the residual stream there."""

    bench: Workbench
    autoencoder: Autoencoder
    hook: Hook
    usual_norm: float
    """Median length of the residual stream."""
    bos: Float[Tensor, " d_model"]

    def is_text(self, residuals: Float[Tensor, "*batch d_model"]) -> Bool[Tensor, "*batch"]:
        """False at BOS and at attention sinks."""
        bos = self.bos.to(residuals)
        is_bos = (residuals - bos).norm(dim=-1) < _SAME * bos.norm()
        return ~is_bos & ~(residuals.norm(dim=-1) > self.bench.sink_multiple * self.usual_norm)


def open_site(bench: Workbench, place: Place | None = None) -> Site:
    """The place of an arm's own SAE, or another of `bench.places`.

    Raises:
        StudyError: the SAE has no pre-activations, so that nothing could be weighed.
    """
    autoencoder, hook = place or bench.places[0]
    if not autoencoder.has_preactivations:
        raise StudyError(
            f"steering toward a text weighs what each feature reads, and the SAE of arm {bench.arm_name} at {hook.name} is of "
            f"a kind ({type(autoencoder.sae).__name__}) whose features are not read one by one: use another SAE"
        )
    norm = bench.usual_norm if hook.name == bench.hook_name else bench.measure_norm(hook)
    bos = bench.residuals(torch.tensor([[bench.bos]]), hook)[0, 0]
    return Site(bench, autoencoder, hook, norm, bos)


def read_text(site: Site, text: TokenRows) -> Iterator[Float[Tensor, "n d_model"]]:
    """The residual stream of a text at a place, BOS, padding and sinks left out, a batch of rows at a time."""
    size = max(1, _TOKENS // text.tokens.shape[1])
    for start in range(0, len(text.tokens), size):
        residuals = site.bench.residuals(torch.from_numpy(text.tokens[start : start + size]), site.hook)
        real = torch.from_numpy(text.real[start : start + size]).to(residuals.device)
        yield residuals[real & site.is_text(residuals)]
