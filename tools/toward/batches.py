"""Several arms in one batch: each row is changed as its own arm has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.effects.intervention import Addition, Change, Stacked
from tools.toward.doubt import Ledger, Watched
from tools.toward.rewriting import Rewrite


@dataclass(frozen=True, eq=False)
class SideBySide:
    """The rows of several changes, in any order."""

    parts: Sequence[Change]
    part: Int64[Tensor, " rows"]
    row: Int64[Tensor, " rows"]
    """Within its part."""

    def __call__(self, residual: Float[Tensor, "rows positions d_model"]) -> Float[Tensor, "rows positions d_model"]:
        """What each part adds to its own rows."""
        added = torch.zeros_like(residual)
        for rows, change in self._shares:
            at = rows.to(residual.device)
            added[at] = change(residual[at]).expand(-1, residual.shape[1], -1)
        return added

    @cached_property
    def _shares(self) -> list[tuple[Int64[Tensor, " own"], Change]]:
        """The rows of each part that has any, and what is done to them."""
        owned = [torch.nonzero(self.part == number)[:, 0] for number in range(len(self.parts))]
        return [(own, part.take(self.row[own])) for own, part in zip(owned, self.parts, strict=True) if len(own)]

    def take(self, rows: Int64[Tensor, " taken"]) -> SideBySide:
        """Some rows."""
        return SideBySide(self.parts, self.part[rows.cpu()], self.row[rows.cpu()])

    def signature(self) -> Float[Tensor, "rows n"]:
        """The part, and its own signature of the row."""
        own = [change.signature().cpu() for change in self.parts]
        width = max(part.shape[1] for part in own)
        padded = [torch.nn.functional.pad(part, (0, width - part.shape[1])) for part in own]
        rows = torch.stack([padded[p][r] for p, r in zip(self.part.tolist(), self.row.tolist(), strict=True)])
        return torch.cat([self.part[:, None].float(), rows.float()], dim=1)


def join(bench: Workbench, changes: Sequence[Change | None], n: Int64[Tensor, " arms"]) -> Change:
    """Arms of one row each, so many times over, one arm after the other; None changes nothing.

    Where an arm changes further places (`Stacked`), the others leave those alone.
    """
    nothing = Addition(torch.zeros(1, bench.W_U.shape[0]))
    part = torch.repeat_interleave(torch.arange(len(changes)), n)
    row = torch.cat([torch.arange(int(count)) for count in n])

    def side_by_side(own: Sequence[Change]) -> SideBySide:
        many = [change.take(torch.zeros(int(count), dtype=torch.int64)) for change, count in zip(own, n, strict=True)]
        return SideBySide(many, part, row)

    own = [(change.change if isinstance(change, Stacked) else change) or nothing for change in changes]
    stacked = [change.elsewhere if isinstance(change, Stacked) else {} for change in changes]
    names = sorted({name for further in stacked for name in further})
    if not names:
        return side_by_side(own)
    return Stacked(
        side_by_side(own), {name: side_by_side([further.get(name, nothing) for further in stacked]) for name in names}
    )


def watch(
    change: Change, bench: Workbench, apart: Bool[Tensor, " d_sae"] | None = None
) -> tuple[Change, list[list[Ledger]]]:
    """The same change, every rewriting in it with a ledger; of each part of it those at its places, the bench's own first.

    `apart` are features of the bench's own SAE, whose share is kept (`Ledger`).
    """
    places = [change.change, *change.elsewhere.values()] if isinstance(change, Stacked) else [change]
    watched: list[SideBySide] = []
    ledgers: list[list[Ledger]] = []
    for place in places:
        assert isinstance(place, SideBySide)
        ledgers = ledgers or [[] for _ in place.parts]
        parts: list[Change] = []
        for number, part in enumerate(place.parts):
            if isinstance(part, Rewrite):
                is_own = part.site.hook.name == bench.hook_name
                ledger = Ledger(part, apart if is_own else None)
                ledgers[number].append(ledger)
                part = Watched(part, ledger)
            parts.append(part)
        watched.append(SideBySide(parts, place.part, place.row))
    if not isinstance(change, Stacked):
        return watched[0], ledgers
    return Stacked(watched[0], dict(zip(change.elsewhere, watched[1:], strict=True))), ledgers
