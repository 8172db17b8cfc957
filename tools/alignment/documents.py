"""What every feature does in a few hundred documents: its activations summed over each, in one pass over the text.

BOS, padding and attention sinks count as no text. Of an SAE whose features write both ways, negative activations count as
none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from rich.progress import Progress

from tools.activity.activations import TOKENS_PER_BATCH, batches_by_length
from tools.bench.workbench import Workbench
from tools.errors import UnveilError
from tools.study.corpus import cut_rows

_COPIES = 4
"""Arrays of a batch's activations that encoding holds at one time, or fewer."""


class DocumentSums(NamedTuple):
    """Activations of all features in some documents."""

    sums: Float[np.ndarray, "documents d_sae"]
    n_tokens: Int64[np.ndarray, " documents"]
    """Of text; a document may have none."""

    @property
    def means(self) -> Float[np.ndarray, "documents d_sae"]:
        """A token, for documents that have one."""
        has = self.n_tokens > 0
        return self.sums[has] / self.n_tokens[has, None].astype(np.float32)


def tokenize(bench: Workbench, documents: Sequence[str]) -> list[Int64[np.ndarray, " _"]]:
    """Ids of each document, without BOS."""
    return [np.array(bench.tokenize(text), dtype=np.int64) for text in documents]


def describe_long(bench: Workbench, documents: Sequence[str]) -> str:
    """One line on documents that are longer than a row of text; empty without any."""
    width = bench.row_width
    long = sum(len(ids) > width - 1 for ids in tokenize(bench, documents))
    if not long:
        return ""
    return f"{long} of {len(documents)} documents are longer than the {width} positions of a row: they go on in further rows"


def check_room(bench: Workbench, n: int) -> None:
    """See that the sums of so many documents can be held.

    Raises:
        UnveilError: they take more than the bench's budget.
    """
    takes = 4 * n * bench.d_sae
    if takes > bench.budget:
        raise UnveilError(
            f"{n:,} documents by {bench.d_sae:,} features take {takes / 2**30:.1f} GiB: give fewer, or a larger --memory-gib"
        )


def sum_documents(
    bench: Workbench,
    documents: Sequence[Int64[np.ndarray, " _"]],
    progress: Progress | None = None,
    description: str = "score        documents",
) -> DocumentSums:
    """Run the model over the documents once.

    Args:
        bench: model and SAE.
        documents: as ids; long ones are cut into rows.
        progress: where it is shown how far it is.
        description: of the task there.

    Raises:
        UnveilError: the sums of so many features over so many documents do not fit the bench's budget.
    """
    n, d_sae = len(documents), bench.d_sae
    check_room(bench, n)
    rows = cut_rows(documents, [str(i) for i in range(n)], bench.row_width, bench.bos)
    owner = np.array([int(name) for name in rows.documents], dtype=np.int64)
    sums, counts = np.zeros((n, d_sae), dtype=np.float32), np.zeros(n, dtype=np.int64)
    most = max(1, min(TOKENS_PER_BATCH, bench.budget // (_COPIES * 4 * d_sae)))
    task = progress.add_task(description, total=len(rows.tokens)) if progress else None
    for taken, tokens, real in batches_by_length(rows, most) if len(rows.tokens) else ():
        residuals = bench.residuals(tokens)
        text = bench.is_text(residuals, real)
        with torch.no_grad():
            active = bench.encode(residuals).clamp_(min=0).masked_fill_(~text[..., None], 0.0)
            added = active.sum(dim=1).cpu().numpy()
        for document, of_row, tokens_of_row in zip(owner[taken], added, text.sum(dim=1).tolist(), strict=True):
            sums[document] += of_row  # two rows of a batch may be of one document
            counts[document] += tokens_of_row
        if progress and task is not None:
            progress.advance(task, len(taken))
    return DocumentSums(sums, counts)
