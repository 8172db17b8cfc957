"""What is done to the residual stream at the hook, at which positions, and the proof that it was done.

A change is a function of the residual stream, row by row: `Addition` adds a vector, `Clamp` holds one activation at a value
(0 ablates it) and keeps everything else, the SAE's error included. An `Intervention` applies a change by a policy on
positions and counts.

The published study's hook (`policy="published"`) adds to all positions but the last, and to nothing when the input is
one token long: under the study's key-value cache no generated token is ever steered. The policy means just that, with our
cache and without, and is kept to be compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.errors import StudyError
from tools.records import InterventionKind, Policy

ENCODED_BYTES = 128 * 2**20
"""Memory that the activations of all features take while one of each row is read."""


class HookCounter(NamedTuple):
    """How often an intervention ran, and what it changed, for one row."""

    calls: int
    positions: int


@runtime_checkable
class Change(Protocol):
    """What is added to the residual stream, as a function of it. Rows do not touch each other."""

    def __call__(self, residual: Float[Tensor, "rows positions d_model"]) -> Float[Tensor, "rows _ d_model"]:
        """What to add; one position where it is the same at all."""
        ...

    def take(self, rows: Int64[Tensor, " taken"]) -> Change:
        """The change of some rows, in that order; a row may be taken more than once."""
        ...

    def signature(self) -> Float[Tensor, "rows n"]:
        """Rows with equal numbers change equal residual streams alike."""
        ...


@dataclass(frozen=True, eq=False)
class Addition:
    """Adds one vector a row, or one a row and position."""

    vectors: Float[Tensor, "rows *positions d_model"]

    def __call__(self, residual: Float[Tensor, "rows positions d_model"]) -> Float[Tensor, "rows _ d_model"]:
        """The vectors, whatever the residual stream is."""
        return (self.vectors if self.vectors.ndim == 3 else self.vectors[:, None]).to(residual)

    def take(self, rows: Int64[Tensor, " taken"]) -> Addition:
        """The vectors of some rows."""
        return Addition(self.vectors[rows])

    def signature(self) -> Float[Tensor, "rows n"]:
        """The vectors."""
        return self.vectors.flatten(1)


class Readers(NamedTuple):
    """How the activations of n directions are read from the residual stream."""

    directions: Float[Tensor, "n d_model"]
    features: Int64[Tensor, " n"]
    """Row of the SAE; -1 for a random direction, which has no encoder."""
    levels: Float[Tensor, " n"]
    """Component above which a random direction counts as active (`tools.activity.activations`)."""

    def take(self, rows: Int64[Tensor, " taken"]) -> Readers:
        """The readers of some directions."""
        return Readers(self.directions[rows], self.features[rows], self.levels[rows])

    def read(
        self, bench: Workbench, residual: Float[Tensor, "n positions d_model"], most_bytes: int = ENCODED_BYTES
    ) -> Float[Tensor, "n positions"]:
        """Each direction's activation in the row of its own, in blocks: many SAEs encode all features at once."""
        active = torch.einsum("npd,nd->np", residual, self.directions.to(residual)) - self.levels.to(residual)[:, None]
        active = active.clamp_min(0)
        real = torch.nonzero(self.features >= 0)[:, 0]
        block = max(1, min(most_bytes, bench.budget) // (4 * bench.d_sae * residual.shape[1]))
        for rows in real.split(block):
            features, places = torch.unique(self.features[rows], return_inverse=True)
            encoded = bench.encode(residual[rows], features.to(residual.device))  # [rows, positions, features]
            own = places.to(encoded.device)[:, None, None].expand(-1, residual.shape[1], 1)
            active[rows] = encoded.gather(2, own)[..., 0].to(active)
        return active


@dataclass(frozen=True, eq=False)
class Clamp:
    """Holds each row's activation at a value: the difference from what is read is written along a vector of the row."""

    bench: Workbench
    readers: Readers
    values: Float[Tensor, " rows"]
    writes: Float[Tensor, "rows d_model"]
    """The direction itself; another unit vector or its opposite for a control; zeros for a row left alone."""

    def __call__(self, residual: Float[Tensor, "rows positions d_model"]) -> Float[Tensor, "rows _ d_model"]:
        """Value minus activation, along the vector."""
        missing = self.values.to(residual)[:, None] - self.readers.read(self.bench, residual)
        return missing[..., None] * self.writes.to(residual)[:, None]

    def take(self, rows: Int64[Tensor, " taken"]) -> Clamp:
        """The clamps of some rows."""
        return Clamp(self.bench, self.readers.take(rows), self.values[rows], self.writes[rows])

    def signature(self) -> Float[Tensor, "rows n"]:
        """What is read, where it is held and what is written; nothing of it matters where nothing is written."""
        read = torch.stack([self.readers.features.float(), self.readers.levels.cpu(), self.values.cpu()], dim=1)
        everything = torch.cat([read, self.readers.directions.cpu(), self.writes.cpu()], dim=1)
        return torch.where(self.writes.cpu().any(dim=1, keepdim=True), everything, 0.0)


@dataclass(frozen=True, eq=False)
class Stacked:
    """A change at the bench's hook with further ones at other places, all made in one pass."""

    change: Change
    elsewhere: Mapping[str, Change]
    """Name of a hook, and what is done there to the same rows."""

    def __call__(self, residual: Float[Tensor, "rows positions d_model"]) -> Float[Tensor, "rows _ d_model"]:
        """What is added at the bench's own hook."""
        return self.change(residual)

    def take(self, rows: Int64[Tensor, " taken"]) -> Stacked:
        """The changes of some rows, at every place."""
        return Stacked(self.change.take(rows), {name: change.take(rows) for name, change in self.elsewhere.items()})

    def signature(self) -> Float[Tensor, "rows n"]:
        """Those of all places, side by side."""
        parts = [self.change, *(self.elsewhere[name] for name in sorted(self.elsewhere))]
        return torch.cat([part.signature().cpu() for part in parts], dim=1)


def make_change(
    kind: InterventionKind,
    bench: Workbench,
    readers: Readers,
    strengths: Float[Tensor, " rows"],
    writes: Float[Tensor, "rows d_model"],
) -> Change:
    """The change of a kind: strengths are lengths added, or the values that activations are held at.

    Args:
        kind: `add`, `clamp` or `ablate`, which is a clamp at 0 whatever the strengths.
        bench: model and SAE.
        readers: whose activation a clamp reads, a row each.
        strengths: one a row.
        writes: the unit vector that each row writes along; zeros for a row left alone.

    Raises:
        StudyError: an activation is to be held of an SAE that reads earlier positions: a generated token is seen alone.
    """
    if kind == "add":
        return Addition(writes * strengths[:, None])
    if bench.autoencoder.reads_context:
        raise StudyError(
            f"steering.kind = {kind!r} needs an SAE that reads one position at a time, and {bench.arm_name}'s reads "
            'those before it too: use kind = "add"'
        )
    return Clamp(bench, readers, strengths if kind == "clamp" else torch.zeros_like(strengths), writes)


@dataclass
class _Record:
    calls: int = 0
    positions: int = 0
    prompt_done: bool = False


class Intervention:
    """Makes a change at the hook, by a policy on positions, and counts what it did."""

    def __init__(self, change: Change, policy: Policy = "all", prompt_positions: int | None = None) -> None:
        """Give `prompt_positions` (with BOS) where each call sees prompt and continuation, as there is without a cache."""
        self.change = change
        self.policy: Policy = policy
        self.seen: list[Float[Tensor, "rows positions d_model"]] | None = None
        """What each call was given, where a list is put here; not of calls of a part (`take`)."""
        self._prompt_positions = prompt_positions
        self._record = _Record()
        further = change.elsewhere if isinstance(change, Stacked) else {}
        self.elsewhere = {name: Intervention(one, policy, prompt_positions) for name, one in further.items()}
        """What is done at other places in the same pass (`ResidualEdit`), each with a counter of its own."""

    def __call__(self, residual: Float[Tensor, "rows positions d_model"]) -> Float[Tensor, "rows positions d_model"]:
        """The residual stream, changed where the policy says."""
        first, last = self._span(residual.shape[1])
        self._record.prompt_done = True
        self._record.calls += 1
        if self.seen is not None:
            self.seen.append(residual)
        self._record.positions += max(0, last - first)
        if last <= first:
            return residual
        changed = residual[:, first:last] + self.change(residual[:, first:last])
        return torch.cat([residual[:, :first], changed, residual[:, last:]], dim=1)

    def take(self, rows: Int64[Tensor, " taken"]) -> Intervention:
        """The intervention on some rows; both count together, and what one has seen of the text the other has."""
        part = Intervention(self.change.take(rows), self.policy, self._prompt_positions)
        part._record = self._record
        for name, one in part.elsewhere.items():
            one._record = self.elsewhere[name]._record
        return part

    def distinct_rows(self) -> tuple[Int64[Tensor, " distinct"], Int64[Tensor, " rows"]]:
        """One row of each kind, and for every row the place of its kind among them."""
        kinds: dict[bytes, int] = {}
        chosen: list[int] = []
        places: list[int] = []
        for row, numbers in enumerate(self.change.signature().cpu().numpy()):
            place = kinds.setdefault(numbers.tobytes(), len(kinds))
            if place == len(chosen):
                chosen.append(row)
            places.append(place)
        return torch.tensor(chosen), torch.tensor(places)

    def _span(self, n_positions: int) -> tuple[int, int]:
        """Positions changed in this call: [first, last)."""
        if self.policy == "all":
            return 0, n_positions
        if self.policy in ("prompt", "generated"):
            prompt_end = self._prompt_positions or (0 if self._record.prompt_done else n_positions)
            return (0, prompt_end) if self.policy == "prompt" else (prompt_end, n_positions)
        prompt_end = self._prompt_positions or n_positions
        return (0, prompt_end - 1) if prompt_end > 1 else (0, 0)

    @property
    def counter(self) -> HookCounter:
        """The proof that it acted."""
        return HookCounter(self._record.calls, self._record.positions)
