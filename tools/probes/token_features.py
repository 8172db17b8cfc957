"""The cheapest dictionary there is: a feature for each token, at the embedding, before the model has done anything.

Where taking these out mends a classifier as well as an SAE's features do, what was wrong lay in single words. The feature
of a token is active where the token stands, and what it writes there is the mean of the stream at the token less the mean
over all positions: taken out, the token looks like any other one. The model then reads on from there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from rich.progress import Progress
from torch import Tensor

from tools.bench.hooks import Hook
from tools.bench.workbench import ResidualEdit, Workbench
from tools.probes.pooling import Batch, iterate_texts

FIRST = Hook("blocks.0.hook_resid_pre", 0)
"""What the first block reads."""


class TokenFeatures:
    """The tokens of some texts, as features at the embedding.

    Attributes:
        names: each token as it is spelt.
        shares: [texts, tokens], the share of a text's positions at which each stands: the feature's mean activation.
        directions: [tokens, d_model], what each writes.
        residual: [texts, d_model], the mean stream at the embedding.
    """

    def __init__(self, bench: Workbench, texts: Sequence[str], progress: Progress | None = None) -> None:
        """Read the texts.

        Args:
            bench: model and SAE.
            texts: those that are measured.
            progress: where it is shown how far it is.

        Raises:
            StudyError: a text has no token that counts.
        """
        self._bench, self._batches, self._n = bench, list[Batch](), len(texts)
        self._last: tuple[tuple[tuple[int, ...], bytes], np.ndarray] | None = None
        shape = (len(texts), bench.directions.shape[1])
        task = progress.add_task("pool         tokens", total=len(texts)) if progress else None
        positions: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for batch in iterate_texts(bench, texts):
            stream = bench.residuals(batch.tokens, FIRST)[batch.counted].double().cpu().numpy()
            owners = np.repeat(batch.texts, batch.counted.sum(dim=1).cpu().numpy())
            positions.append((batch.tokens.to(batch.counted.device)[batch.counted].cpu().numpy(), owners, stream))
            self._batches.append(batch._replace(residuals=batch.residuals[:0]))  # what is not needed again
            if progress and task is not None:
                progress.advance(task, len(set(batch.texts.tolist())))
        ids, owners, stream = (np.concatenate(parts) for parts in zip(*positions, strict=True))
        self.ids, places = np.unique(ids, return_inverse=True)
        self.names = tuple(bench.token_strings[token] for token in self.ids.tolist())
        counts = np.bincount(owners, minlength=len(texts))[:, None]
        self.shares: Float[np.ndarray, "texts tokens"] = np.zeros((len(texts), len(self.ids)), dtype=np.float32)
        np.add.at(self.shares, (owners, places), 1.0)
        self.shares /= counts
        sums, totals = np.zeros((len(self.ids), shape[1])), np.zeros(shape)
        np.add.at(sums, places, stream)
        np.add.at(totals, owners, stream)
        self.directions: Float[np.ndarray, "tokens d_model"] = (
            sums / np.bincount(places)[:, None] - stream.mean(axis=0)
        ).astype(np.float32)
        self.residual: Float[np.ndarray, "texts d_model"] = (totals / counts).astype(np.float32)

    def without(self, tokens: Sequence[int], wanted: Int64[np.ndarray, " n"]) -> Float[np.ndarray, "texts d_model"]:
        """Mean streams at the SAE's hook with some tokens taken out at the embedding.

        Args:
            tokens: by place in `names`.
            wanted: the texts that are read; the others have nan.
        """
        key = (tuple(sorted(tokens)), wanted.tobytes())
        if self._last is not None and self._last[0] == key:  # where there are no more tokens than were asked for
            return self._last[1]
        sums, counts = np.zeros((self._n, self.directions.shape[1])), np.zeros(self._n)
        for batch in self._batches:
            rows = np.flatnonzero(np.isin(batch.texts, wanted))
            if len(rows):
                part = Batch(batch.tokens[rows], batch.residuals, batch.counted[rows], batch.texts[rows])
                read = self._bench.residuals(part.tokens, edit=self._take_out(part, tokens))
                summed = read.masked_fill(~part.counted[..., None], 0.0).sum(dim=1)
                np.add.at(sums, part.texts, summed.double().cpu().numpy())
                np.add.at(counts, part.texts, part.counted.sum(dim=1).cpu().numpy())
        found = (sums / np.where(counts > 0, counts, np.nan)[:, None]).astype(np.float32)
        self._last = (key, found)
        return found

    def _take_out(self, batch: Batch, tokens: Sequence[int]) -> ResidualEdit:
        device = self._bench.directions.device
        written = torch.zeros((int(self.ids.max()) + 2, self.directions.shape[1]), device=device)
        chosen = np.asarray(tokens, dtype=np.int64)
        written[torch.from_numpy(self.ids[chosen]).to(device)] = torch.from_numpy(self.directions[chosen]).to(device)
        known = batch.tokens.to(device).clamp(max=len(written) - 1)  # those of no text are at positions not counted

        def edit(residual: Float[Tensor, "rows positions d_model"]) -> Float[Tensor, "rows positions d_model"]:
            return residual - written[known].masked_fill(~batch.counted[..., None], 0.0).to(residual)

        return edit if self._bench.hook_name == FIRST.name else _Elsewhere(edit)


class _Elsewhere:
    """An edit at the embedding, which leaves the SAE's hook as it is."""

    def __init__(self, edit: ResidualEdit) -> None:
        self.elsewhere = {FIRST.name: edit}

    def __call__(self, residual: Float[Tensor, "rows positions d_model"]) -> Float[Tensor, "rows positions d_model"]:
        return residual
