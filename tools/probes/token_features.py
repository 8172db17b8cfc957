"""The cheapest dictionary there is: a feature for each token, at the embedding, before the model has done anything.

Where taking these out mends a classifier as well as an SAE's features do, what was wrong lay in single words. The feature
of a token is active where the token stands, and what it writes there is the mean of the stream at the token less the mean
over all positions: taken out, the token looks like any other one. The model then reads on from there; what it reads is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int64
from rich.progress import Progress
from torch import Tensor

from tools.bench.hooks import Hook
from tools.bench.workbench import ResidualEdit, Workbench
from tools.probes.kept import file_of, keep_arrays, name_reading, read_arrays
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
        """Read the texts, or take what was read of them before.

        Args:
            bench: model and SAE.
            texts: those that are measured.
            progress: where it is shown how far it is.

        Raises:
            StudyError: a text has no token that counts.
        """
        self._bench, self._texts, self._progress = bench, tuple(texts), progress
        self._name, d = name_reading(bench, texts), bench.directions.shape[1]
        lengths = {"ids": (None,), "shares": (len(texts), None), "directions": (None, d), "residual": (len(texts), d)}
        file = file_of(f"{self._name}-tokens")
        kept = read_arrays(file, lengths)
        if kept is None:
            kept = self._read()
            keep_arrays(file, kept)
        self.ids: Int64[np.ndarray, " tokens"] = kept["ids"]
        self.names = tuple(bench.token_strings[token] for token in self.ids.tolist())
        self.shares: Float[np.ndarray, "texts tokens"] = kept["shares"]
        self.directions: Float[np.ndarray, "tokens d_model"] = kept["directions"]
        self.residual: Float[np.ndarray, "texts d_model"] = kept["residual"]

    @cached_property
    def _batches(self) -> list[Batch]:
        """All rows with the positions that count; the streams are not needed again."""
        found: list[Batch] = []
        task = self._progress.add_task("pool         tokens", total=len(self._texts)) if self._progress else None
        for batch in iterate_texts(self._bench, self._texts):
            found.append(batch._replace(residuals=batch.residuals[:0]))
            if self._progress and task is not None:
                self._progress.advance(task, len(set(batch.texts.tolist())))
        return found

    def _read(self) -> dict[str, np.ndarray]:
        n, d = len(self._texts), self._bench.directions.shape[1]
        positions: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for batch in self._batches:
            stream = self._bench.residuals(batch.tokens, FIRST)[batch.counted].double().cpu().numpy()
            ids = batch.tokens.to(batch.counted.device)[batch.counted].cpu().numpy()
            positions.append((ids, np.repeat(batch.texts, batch.counted.sum(dim=1).cpu().numpy()), stream))
        found, owners, stream = (np.concatenate(parts) for parts in zip(*positions, strict=True))
        ids, places = np.unique(found, return_inverse=True)
        counts = np.bincount(owners, minlength=n)[:, None]
        shares, sums, totals = np.zeros((n, len(ids))), np.zeros((len(ids), d)), np.zeros((n, d))
        for total, at, values in ((shares, (owners, places), 1.0), (sums, places, stream), (totals, owners, stream)):
            np.add.at(total, at, values)
        directions = sums / np.bincount(places)[:, None] - stream.mean(axis=0)
        arrays = {"shares": shares / counts, "directions": directions, "residual": totals / counts}
        return {"ids": ids.astype(np.int64)} | {name: array.astype(np.float32) for name, array in arrays.items()}

    def without(self, tokens: Sequence[int], wanted: Int64[np.ndarray, " n"]) -> Float[np.ndarray, "texts d_model"]:
        """Mean streams at the SAE's hook with some tokens taken out at the embedding.

        Args:
            tokens: by place in `names`.
            wanted: the texts that are read; the others have nan.
        """
        chosen = np.unique(np.asarray(tokens, dtype=np.int64))
        digest = hashlib.sha256(self.ids[chosen].tobytes() + b"|" + np.asarray(wanted, dtype=np.int64).tobytes())
        file, d = file_of(f"{self._name}-{digest.hexdigest()[:16]}"), self.directions.shape[1]
        kept = read_arrays(file, {"residual": (len(wanted), d)})
        if kept is None:
            kept = {"residual": self._pool_without(chosen, wanted)}
            keep_arrays(file, kept)
        found = np.full((len(self._texts), d), np.nan, dtype=np.float32)
        found[wanted] = kept["residual"]
        return found

    def _pool_without(
        self, chosen: Int64[np.ndarray, " m"], wanted: Int64[np.ndarray, " n"]
    ) -> Float[np.ndarray, "n d_model"]:
        sums, counts = np.zeros((len(self._texts), self.directions.shape[1])), np.zeros(len(self._texts))
        for batch in self._batches:
            rows = np.flatnonzero(np.isin(batch.texts, wanted))
            if len(rows):
                part = Batch(batch.tokens[rows], batch.residuals, batch.counted[rows], batch.texts[rows])
                read = self._bench.residuals(part.tokens, edit=self._take_out(part, chosen))
                summed = read.masked_fill(~part.counted[..., None], 0.0).sum(dim=1)
                np.add.at(sums, part.texts, summed.double().cpu().numpy())
                np.add.at(counts, part.texts, part.counted.sum(dim=1).cpu().numpy())
        return (sums[wanted] / counts[wanted, None]).astype(np.float32)

    def _take_out(self, batch: Batch, chosen: Int64[np.ndarray, " m"]) -> ResidualEdit:
        device = self._bench.directions.device
        written = torch.zeros((int(self.ids.max()) + 2, self.directions.shape[1]), device=device)
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
