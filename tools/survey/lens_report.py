"""What is kept of a lens beside its matrix: what it is the mean of, and how that came to rest."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

from tools.records import Record

if TYPE_CHECKING:
    from torch import Tensor


class LensReport(Record):
    """A lens that is the mean of Jacobians over text (`tools.survey.lens`)."""

    name: Literal["effect", "jacobian"]
    hook_name: str
    rows: int
    """Rows of text, or prompts, that the mean is over."""
    positions: int | None
    """Positions that the mean is over; None for a lens out of a file of others, which does not say."""
    width: int | None
    """Positions of a row, BOS included; None as for `positions`."""
    skip: int | None
    """Positions left out at the beginning of each row, BOS among them; None as for `positions`."""
    dtype: str
    """That the model was computed in."""
    curve: tuple[float, ...] = ()
    """By which share of its length the mean moved with each row after the first."""
    tolerance: float | None = None
    """The stop rule: none of the last eight rows moves it by more; None: a number of rows was asked for."""
    agreements: tuple[float, ...] = ()
    """Share of the top tokens of features that the lenses of either half of the rows had in common, every eight rows."""
    agreement: float | None = None
    """The stop rule: so large a share has to be in common; None as for `tolerance`."""
    converged: bool | None = None
    """Whether it came to rest before the text ended; None without a stop rule."""
    text_sha256: str | None = None
    """Of the rows' tokens."""
    sha256: str = ""
    """Of the mean Jacobian, in float32."""
    seconds: float = 0.0
    """That making it took, of all sittings."""
    remembered: bool = False
    """It was made by an earlier run and read from its file."""
    shipped: bool = False
    """It came with the study."""
    note: str | None = None
    """What became of its file, where that was not as usual."""

    @property
    def sentence(self) -> str:
        """For the console: what it is, and whether it came to rest."""
        moved = f", the last moved the mean by {self.curve[-1]:.1%}" if self.curve else ""
        if self.agreements:
            moved = f", whose halves list {self.agreements[-1]:.0%} of the same top tokens"
        rest = "" if self.converged is None else " (at rest)" if self.converged else " (NOT at rest)"
        kept = "from the study's folder" if self.shipped else "kept from an earlier run"
        made = kept if self.remembered else f"made in {self.seconds:.0f} s"
        return f"{self.name} lens over {self.rows:,} rows{moved}{rest}, {made}"


def hash_matrix(matrix: Tensor) -> str:
    """sha256 of a matrix, in float32."""
    return hashlib.sha256(matrix.float().contiguous().numpy().tobytes()).hexdigest()
