"""Whether a text is outside what an SAE can describe: how much the SAE leaves unexplained in it, beside other documents.

The features of a text tell it from other text wherever it is unlike that, random characters best of all, so that being told
apart says nothing about being described. What is left unexplained does. Every document has one number, squared error over
squared distance from the mean residual stream of the reference: one mean for all, or a text that is alike throughout would
look badly described for having little to explain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from rich.progress import Progress

from tools.bench.places import Place
from tools.bench.workbench import Workbench
from tools.study.corpus import cut_rows
from tools.toward.sites import Site, open_site

_TOKENS = 1024
"""Of a batch: as many as fit the processor's cache."""


class Misfit(NamedTuple):
    """How badly the SAE describes a text."""

    ratio: float
    """Unexplained variance of its median document over that of the reference's."""
    share: float
    """Of the reference's documents and the median one itself, the share in which as much is left unexplained: a p-value."""


class _Sums(NamedTuple):
    """Of each document, over its tokens, BOS and attention sinks left out."""

    error: Float[np.ndarray, " documents"]
    squares: Float[np.ndarray, " documents"]
    summed: Float[np.ndarray, "documents d_model"]
    n: Int64[np.ndarray, " documents"]

    def unexplained(self, mean: Float[np.ndarray, " d_model"]) -> Float[np.ndarray, " some"]:
        """Squared error over squared distance from a mean, of the documents that have text."""
        distance = self.squares - 2 * self.summed @ mean + self.n * (mean @ mean)
        return (self.error / np.where(distance > 0, distance, np.inf))[self.n > 0]


def measure_misfit(
    bench: Workbench,
    target: Sequence[str],
    reference: Sequence[str],
    place: Place | None = None,
    progress: Progress | None = None,
) -> Misfit | None:
    """Hold a text's documents against others by what the SAE leaves unexplained.

    Args:
        bench: model and SAE.
        target: documents of the text.
        reference: documents that the SAE is taken to describe as it should.
        place: the SAE, where it is not the arm's own.
        progress: where it is shown how far it is.

    Returns:
        None where either side has no document with text.

    Raises:
        StudyError: as `tools.toward.sites.open_site`.
    """
    site = open_site(bench, place)
    others = _sum_documents(site, reference, progress)
    own = _sum_documents(site, target, progress)
    if not (own.n.any() and others.n.any()):
        return None
    mean = others.summed.sum(axis=0) / others.n.sum()
    found, usual = float(np.median(own.unexplained(mean))), others.unexplained(mean)
    return Misfit(found / float(np.median(usual)), float(1 + (usual >= found).sum()) / (1 + len(usual)))


def _sum_documents(site: Site, documents: Sequence[str], progress: Progress | None) -> _Sums:
    bench = site.bench
    ids = [np.array(bench.tokenize(text), dtype=np.int64) for text in documents]
    rows = cut_rows(ids, [str(number) for number in range(len(documents))], bench.row_width, bench.bos)
    n_documents, d_model = len(documents), site.autoencoder.directions.shape[1]
    sums = _Sums(
        np.zeros(n_documents), np.zeros(n_documents), np.zeros((n_documents, d_model)), np.zeros(n_documents, np.int64)
    )
    numbers = np.array([int(document) for document in rows.documents], dtype=np.int64)
    size = max(1, _TOKENS // rows.tokens.shape[1])
    task = progress.add_task("score        what is unexplained", total=len(rows.tokens)) if progress else None
    for start in range(0, len(rows.tokens), size):
        part = slice(start, start + size)
        residuals = bench.residuals(torch.from_numpy(rows.tokens[part]), site.hook)
        counted = torch.from_numpy(rows.real[part]).to(residuals.device) & site.is_text(residuals)
        rebuilt = site.autoencoder.decode(site.autoencoder.encode(residuals), residuals)
        kept = residuals.double() * counted[..., None]
        error = ((residuals - rebuilt).double().pow(2).sum(dim=-1) * counted).sum(dim=1)
        for total, of_rows in zip(
            sums, (error, kept.pow(2).sum(dim=(1, 2)), kept.sum(dim=1), counted.sum(dim=1)), strict=True
        ):
            np.add.at(total, numbers[part], of_rows.cpu().numpy())
        if progress and task is not None:
            progress.advance(task, len(residuals))
    return sums
