"""How active every feature of an SAE is in a text: how often, how much at most, how many at once. One pass."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tools.bench.places import Place
from tools.bench.workbench import Workbench
from tools.errors import StudyError
from tools.study.corpus import TokenRows
from tools.toward.sites import open_site, read_text


class Activity(NamedTuple):
    """Of every feature, over the tokens of a text without BOS and attention sinks."""

    density: Float[Tensor, " d_sae"]
    """Share of the tokens at which it is active."""
    peaks: Float[Tensor, " d_sae"]
    """Largest activation by magnitude, in residual units."""
    l0: float
    """Mean number of active features a token."""
    n_tokens: int


def measure_activity(bench: Workbench, text: TokenRows, place: Place | None = None) -> Activity:
    """Encode a text with the SAE's own activation function.

    Raises:
        StudyError: as `open_site`; or the text has no token that counts.
    """
    site = open_site(bench, place)
    d_sae, device = len(site.autoencoder.directions), site.autoencoder.directions.device
    counts, peaks = torch.zeros(d_sae, dtype=torch.float64, device=device), torch.zeros(d_sae, device=device)
    n = 0
    for residuals in read_text(site, text):
        active = site.autoencoder.encode(residuals).abs()
        counts += (active > 0).sum(dim=0)
        peaks = torch.maximum(peaks, active.amax(dim=0)) if len(active) else peaks
        n += len(active)
    if not n:
        raise StudyError("the text has no token that a feature could be active at: give a longer one")
    return Activity((counts / n).float().cpu(), peaks.cpu(), float(counts.sum()) / n, n)
