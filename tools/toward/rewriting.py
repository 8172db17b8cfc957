"""The residual stream rewritten by an SAE whose features are weighed: those of a text stand in for those of the moment.

Every feature has a score in [0, 1], how much it has to do with the text aimed at. At each position of text the k features
with the largest product of pre-activation and score, of those where it is positive, take the place of the k with the largest
pre-activation (the original support, which in a top-k SAE is what it encodes). What changes is written; all else, the
SAE's error included, stays, unless it is to be dropped. The schemes:

- `swap` writes the original pre-activations of the features chosen: nothing is set, and no strength is searched for;
- `weight` writes the products;
- `clamp` leaves the support and raises the few best features by a share of their largest activation in a text;
- `reconstruction` changes nothing, and drops the SAE's error: what steering without the error costs by itself.

Swap and weight follow IBM's sae-steering, which always drops the error, and whose clamp raises by 10 whatever the units are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tools.bench.places import Place
from tools.bench.preactivations import Preactivations
from tools.bench.workbench import Workbench
from tools.effects.intervention import ENCODED_BYTES
from tools.toward.sites import Site, open_site
from tools.toward.support import Support

Scheme = Literal["reconstruction", "swap", "weight", "clamp"]
BEST = 5
"""Features that a clamp raises, as in the published one."""
RAISED_BY = 0.5
"""Of each one's largest activation."""
_BYTES_A_FEATURE = 16
"""Of each position while its features are ranked: pre-activations, products, their ranking, and who is in."""


class Moves(NamedTuple):
    """The features of n positions that are active before or after, each listed with a value other than 0 once at most."""

    features: Int64[Tensor, "n m"]
    before: Float[Tensor, "n m"]
    after: Float[Tensor, "n m"]


class Rewritten(NamedTuple):
    """What is added to the residual stream, and what of the SAE's description of it was moved."""

    added: Float[Tensor, "rows positions d_model"]
    displaced: Float[Tensor, "rows positions"]
    """Share of the original support that is no longer in it."""
    moved: Float[Tensor, "rows positions"]
    """Sum of what activations change by, over the sum of the original ones."""
    features: Int64[Tensor, "rows positions m"]
    masses: Float[Tensor, "rows positions m"]
    """What each listed feature's activation changes by."""


class Raised(NamedTuple):
    """What a clamp adds to activations, for each distinct vector of scores."""

    features: Int64[Tensor, "distinct best"]
    by: Float[Tensor, "distinct best"]


@dataclass(frozen=True, eq=False)
class Rewrite:
    """A change of the residual stream (`tools.effects.intervention.Change`); made by `rewrite`."""

    site: Site
    scores: Float[Tensor, "distinct d_sae"]
    """Kept once for each distinct vector, however many rows have it."""
    rows: Int64[Tensor, " rows"]
    """Which scores each row has."""
    scheme: Scheme
    support: Support
    keep_error: bool = True
    raised: Raised | None = None

    def __post_init__(self) -> None:
        """Refuse scores that would rank features by accident: a NaN comes first in torch's top k.

        Raises:
            ValueError: a score is NaN or outside [0, 1], or shapes do not fit.
        """
        if self.scores.ndim != 2 or self.scores.shape[1] != len(self.site.autoencoder.directions):
            raise ValueError(f"scores of shape {tuple(self.scores.shape)} do not fit the SAE's features")
        if bool(self.scores.isnan().any()):
            raise ValueError(f"{int(self.scores.isnan().sum())} scores are NaN: a feature that has none is given 0")
        if not bool(((self.scores >= 0) & (self.scores <= 1)).all()):
            raise ValueError("scores lie outside [0, 1]")
        if self.support.k > self.scores.shape[1]:
            raise ValueError(f"{self.support.k} features cannot be chosen of {self.scores.shape[1]}")
        if (self.scheme == "clamp") != (self.raised is not None):
            raise ValueError("a clamp, and nothing else, is told what it raises")

    def __call__(self, residual: Float[Tensor, "rows positions d_model"]) -> Float[Tensor, "rows _ d_model"]:
        """What to add."""
        return self.compare(residual).added

    def take(self, rows: Int64[Tensor, " taken"]) -> Rewrite:
        """The rewriting of some rows."""
        return replace(self, rows=self.rows[rows.to(self.rows.device)])

    def signature(self) -> Float[Tensor, "rows n"]:
        """Which scores a row has."""
        return self.rows[:, None].float()

    @torch.no_grad()
    def compare(self, residual: Float[Tensor, "rows positions d_model"]) -> Rewritten:
        """What to add, and what that moves."""
        n_rows, positions, d_model = residual.shape
        flat = residual.reshape(-1, d_model)
        which = self.rows.to(residual.device).repeat_interleave(positions)
        room = min(ENCODED_BYTES, self.site.bench.budget) // (_BYTES_A_FEATURE * self.scores.shape[1])
        parts = [self._compare(*part) for part in zip(flat.split(max(1, room)), which.split(max(1, room)), strict=True)]
        found = parts[0] if len(parts) == 1 else [torch.cat(field) for field in zip(*parts, strict=True)]
        return Rewritten(*(field.reshape(n_rows, positions, *field.shape[1:]) for field in found))

    def _compare(self, rows: Float[Tensor, "n d_model"], which: Int64[Tensor, " n"]) -> tuple[Tensor, ...]:
        """The fields of `Rewritten` for positions in a row; 0 everywhere where there is no text."""
        autoencoder, text = self.site.autoencoder, self.site.is_text(rows)
        if self.scheme == "reconstruction" and autoencoder.k is None:  # its own activation function, not a support
            added = autoencoder.decode(autoencoder.encode(rows), rows) - rows
            nothing = rows.new_zeros(len(rows), 0)
            moves = Moves(nothing.long(), nothing, nothing)
        else:
            moves = self.move(autoencoder.read_preactivations(rows), which)
            kept = self.keep_error and self.scheme != "reconstruction"
            written = moves.after - moves.before if kept else moves.after
            added = autoencoder.write_some(moves.features, written)
            added = added if kept else added + autoencoder.bias(rows) - rows
        masses = (moves.after - moves.before).abs() * text[:, None]
        was = moves.before != 0
        stayed = (was & (moves.after != 0)).sum(dim=1) / was.sum(dim=1).clamp_min(1)
        displaced = torch.where(text & was.any(dim=1), 1 - stayed, 0.0)
        moved = masses.sum(dim=1) / moves.before.abs().sum(dim=1).clamp_min(1e-12)
        return added * text[:, None], displaced, moved, moves.features, masses

    def move(self, read: Preactivations, which: Int64[Tensor, " n"]) -> Moves:
        """The original support and the new one, side by side."""
        ranks = read.own.abs() if self.site.autoencoder.signed else read.own
        old = self._choose(read, ranks)
        before = self._values(read, old)
        if self.scheme == "reconstruction":
            return Moves(old.features, before, before)
        if self.raised is not None:
            features = torch.cat([old.features, self.raised.features[which]], dim=1)
            by = self.raised.by[which]
            before = torch.cat([before, torch.zeros_like(by)], dim=1)
            return Moves(features, before, before + torch.nn.functional.pad(by, (old.features.shape[1], 0)))
        scores = self.scores if len(self.scores) == 1 else self.scores[which]
        new = self._choose(read, ranks * scores)
        after = self._values(read, new)
        common_old, common_new = _common(old, new, ranks.shape[1])
        own = torch.where(common_new, after, 0.0)
        if self.scheme == "weight":
            after = after * (scores.expand_as(ranks).gather(1, new.features))
        features = torch.cat([old.features, new.features], dim=1)
        gone = before.masked_fill(common_old, 0.0)
        return Moves(features, torch.cat([gone, own], dim=1), torch.cat([torch.zeros_like(gone), after], dim=1))

    def _choose(self, read: Preactivations, ranks: Float[Tensor, "n d_sae"]) -> _Chosen:
        best = ranks.topk(self.support.k, dim=1, sorted=False)
        return _Chosen(best.indices, best.values > 0)

    def _values(self, read: Preactivations, chosen: _Chosen) -> Float[Tensor, "n k"]:
        """Original activations in residual units; 0 where nothing positive was left to be chosen."""
        values = read.own.gather(1, chosen.features) * self.site.autoencoder.written_norms[chosen.features]
        values = values if read.scale is None else values * read.scale
        return torch.where(chosen.positive, values, 0.0)


class _Chosen(NamedTuple):
    features: Int64[Tensor, "n k"]
    positive: Bool[Tensor, "n k"]


def _common(old: _Chosen, new: _Chosen, d_sae: int) -> tuple[Bool[Tensor, "n k"], Bool[Tensor, "n k"]]:
    """Which of either support are in the other."""
    is_old = torch.zeros(len(old.features), d_sae, dtype=torch.bool, device=old.features.device)
    is_new = torch.zeros_like(is_old)
    is_old.scatter_(1, old.features, old.positive)
    is_new.scatter_(1, new.features, new.positive)
    return is_new.gather(1, old.features) & old.positive, is_old.gather(1, new.features) & new.positive


def rewrite(
    bench: Workbench,
    scores: Float[Tensor, "distinct d_sae"],
    scheme: Scheme,
    support: Support,
    *,
    rows: Int64[Tensor, " rows"] | None = None,
    keep_error: bool = True,
    place: Place | None = None,
    peaks: Float[Tensor, " d_sae"] | None = None,
    raised_by: float = RAISED_BY,
) -> Rewrite:
    """Rewrite the residual stream by scores.

    Args:
        bench: model and SAE.
        scores: of every feature, in [0, 1], a row for each vector of them that there is.
        scheme: what is written on the features chosen.
        support: how many they are (`choose_support`).
        rows: which of the scores each row of a batch has; without it there is one row for each.
        keep_error: what the SAE does not describe stays in the residual stream; `reconstruction` always drops it.
        place: the SAE, where it is not the arm's own.
        peaks: largest activation of every feature in some text, which `clamp` raises by a share of.
        raised_by: that share.

    Raises:
        StudyError: the SAE has no pre-activations.
        ValueError: a score is NaN or outside [0, 1], shapes do not fit, or a clamp has no peaks.
    """
    site = open_site(bench, place)
    device = site.autoencoder.directions.device
    raised = None
    if scheme == "clamp" and peaks is not None:
        best = torch.nan_to_num(scores).topk(min(BEST, scores.shape[1]), dim=1).indices
        raised = Raised(best.to(device), (raised_by * peaks[best]).to(device))
    which = torch.arange(len(scores)) if rows is None else rows
    return Rewrite(site, scores.float().to(device), which, scheme, support, keep_error, raised)
