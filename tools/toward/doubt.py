"""How far a text is from what the SAE has to say: what was moved for each token.

Of each generated token stands what was moved at the position that it was sampled from, as the rewriting itself found it:
no position is looked at twice for it.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tools.toward.rewriting import Rewrite, Rewritten


class Ledger:
    """What a rewriting moved while a batch was written, token by token."""

    def __init__(self, rewrite: Rewrite, apart: Bool[Tensor, " d_sae"] | None = None) -> None:
        """`apart` names features whose share in all that is moved is kept for every row."""
        self.kinds: Int64[Tensor, " rows"] = rewrite.rows
        self.hook_name = rewrite.site.hook.name
        self.displaced: list[Float[Tensor, " rows"]] = []
        self.moved: list[Float[Tensor, " rows"]] = []
        self.masses: Float[Tensor, " d_sae"] = torch.zeros(rewrite.scores.shape[1], device=rewrite.scores.device)
        """Over all tokens, of each feature, in residual units."""
        self.apart = None if apart is None else apart.to(self.masses.device)
        self.sums: Float[Tensor, "rows 2"] = torch.zeros(len(self.kinds), 2, device=self.masses.device)
        """Of each row: what was moved of the features kept apart, and of all."""

    def note(self, kinds: Int64[Tensor, " part"], found: Rewritten) -> None:
        """A call: of all rows, or of one of each kind where they are still alike."""
        last = [field[:, -1] for field in (found.displaced, found.moved, found.features, found.masses)]
        if len(kinds) < len(self.kinds):
            rows = (self.kinds[:, None] == kinds[None]).int().argmax(dim=1).to(found.displaced.device)
            last = [field[rows] for field in last]
        displaced, moved, features, masses = last
        self.displaced.append(displaced)
        self.moved.append(moved)
        self.masses.index_add_(0, features.flatten(), masses.flatten())
        if self.apart is not None:
            self.sums += torch.stack([(masses * self.apart[features]).sum(dim=1), masses.sum(dim=1)], dim=1)

    def close(self, tokens: int) -> None:
        """So many tokens are written: nothing was moved for those for which there was no call, as a policy may have it."""
        for column in (self.displaced, self.moved):
            column += [torch.zeros(len(self.kinds), device=self.masses.device)] * (tokens - len(column))


class Watched:
    """A rewriting that writes into a ledger what it moves. Rows must be those of the ledger, or one of each kind."""

    def __init__(self, rewrite: Rewrite, ledger: Ledger) -> None:
        self.rewrite = rewrite
        self.ledger = ledger

    def __call__(self, residual: Float[Tensor, "rows positions d_model"]) -> Float[Tensor, "rows _ d_model"]:
        """What the rewriting adds."""
        found = self.rewrite.compare(residual)
        self.ledger.note(self.rewrite.rows, found)
        return found.added

    def take(self, rows: Int64[Tensor, " taken"]) -> Watched:
        """The same of some rows, into the same ledger."""
        return Watched(self.rewrite.take(rows), self.ledger)

    def signature(self) -> Float[Tensor, "rows n"]:
        """The rewriting's."""
        return self.rewrite.signature()
