"""One model's SAE run on another model: how far its features still describe what the other has become.

A cheap screen for what fine-tuning changed. A foreign SAE that does nearly as well as the model's own says that the
residual stream is still written along much the same directions; not that the features mean the same.
"""

from __future__ import annotations

from tools.bench.autoencoder import Autoencoder
from tools.bench.workbench import Workbench
from tools.dictionaries.reconstruction import Reconstruction, measure_side_by_side
from tools.errors import LoadError
from tools.records import Record
from tools.study.corpus import TokenRows


class Transfer(Record):
    """Two SAEs on one model's residual stream, on the same text."""

    own: Reconstruction
    """The SAE on the bench with the model."""
    transferred: Reconstruction
    """The SAE of the other model."""

    @property
    def fvu_ratio(self) -> float:
        """How many times as much variance the foreign SAE leaves unexplained as the model's own."""
        return self.transferred.fvu / self.own.fvu

    @property
    def ce_cost(self) -> float:
        """Nats a token that the foreign reconstruction costs more than the own one."""
        return self.transferred.ce_spliced - self.own.ce_spliced


def measure_transfer(bench: Workbench, sae: Autoencoder, rows: TokenRows) -> Transfer:
    """Run another model's SAE at the hook of this one, beside this one's own.

    Args:
        bench: such as the tuned model with the SAE trained on it.
        sae: such as the base model's (`Workbench.autoencoder`).
        rows: text that neither SAE was trained on.

    Raises:
        LoadError: the SAE reads another number of dimensions than this model's residual stream has.
    """
    d_model, d_in = bench.directions.shape[1], sae.directions.shape[1]
    if d_in != d_model:
        raise LoadError(f"the other SAE reads {d_in} dimensions but this model's residual stream has {d_model}")
    own, transferred = measure_side_by_side(bench, rows, [bench.autoencoder, sae])
    return Transfer(own=own.figures, transferred=transferred.figures)
