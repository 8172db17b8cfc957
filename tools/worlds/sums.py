"""Activations that are sums of known directions, by SAELens' generator: a world for SAEs alone, without a model.

Each direction is absent or present with a strength; an activation is the sum of those present, plus a constant. Which occur
together, how often, how strongly, and how far directions overlap is what the generator's settings say (SynthSAEBench,
arXiv 2602.14687).

The generator draws from torch's global random state. Here that is set for each draw and restored behind it, so draws depend on
their own seed alone, and nothing else on them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tools.errors import StudyError
from tools.worlds.world import SPLITS, Split

ROWS = 4096
"""Examples that are drawn at a time."""
MOST = 2**15
"""Directions, and dimensions: SAEs are matched to them by a table of all pairs."""


class Drawn(NamedTuple):
    """Some examples."""

    activations: Float[Tensor, "n d_in"]
    """What an SAE reads."""
    strengths: Float[Tensor, "n directions"]
    """How much of each direction is in it; 0 where it is absent."""


class Sums:
    """The directions, and examples of them. All of it is made on the CPU, so that a seed means the same on every device."""

    def __init__(self, generator: Mapping[str, Any]) -> None:
        """Make the directions.

        Args:
            generator: settings of SAELens' `SyntheticModelConfig`, as its `from_dict` takes them; `seed` is 0 unless given.

        Raises:
            StudyError: they do not fit.
        """
        self.generator: dict[str, Any] = {"seed": 0, **generator}
        try:
            self.model = _make(self.generator)
        except (TypeError, ValueError, KeyError, AttributeError, RuntimeError, OverflowError) as error:
            # What a setting that does not fit runs into, by its name, its kind or its size, wherever the library uses it.
            said = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
            raise StudyError(f"training.world.generator: {' '.join(said.split())[:200]}") from error

    @property
    def directions(self) -> Float[Tensor, "directions d_in"]:
        """Of unit length each."""
        return self.model.feature_dict.feature_vectors.detach()

    @property
    def usual_strengths(self) -> Float[Tensor, " directions"]:
        """The mean of each direction's strength where it is present."""
        return self.model.activation_generator.mean_firing_magnitudes

    def draw(self, split: Split, seed: int, rows: int = ROWS, total: int | None = None) -> Iterator[Drawn]:
        """Examples, `rows` at a time, without end unless `total` is given; each split and seed has draws of its own.

        Nothing of the global random state is changed, neither while examples are made nor between them.
        """
        own = np.random.SeedSequence([SPLITS.index(split), seed]).generate_state(1, np.uint64)
        state, done = torch.Generator().manual_seed(int(own[0] >> 1)).get_state(), 0
        while total is None or done < total:
            with torch.random.fork_rng(devices=()):
                torch.set_rng_state(state)
                drawn = Drawn(*self.model.sample_with_features(rows if total is None else min(rows, total - done)))
                state = torch.get_rng_state()
            yield drawn
            done += rows


def _make(generator: dict[str, Any]) -> Any:
    """Raises whatever the library raises at settings that do not fit."""
    from sae_lens.synthetic import SyntheticModel, SyntheticModelConfig

    json.dumps(generator, allow_nan=False)  # as it is kept beside an SAE: `nan` is no setting, though TOML has it
    config = SyntheticModelConfig.from_dict(generator)
    if not isinstance(config.seed, int):
        raise ValueError("seed has to be a whole number: without one there would be other directions each time")
    if max(config.num_features, config.hidden_dim) > MOST or config.num_features < 2:
        raise ValueError(f"num_features is from 2 to {MOST}, and hidden_dim at most that")
    if config.dtype != "float32":
        raise ValueError("dtype is float32, in which SAEs are trained")
    with torch.random.fork_rng(devices=()):
        model = SyntheticModel(config)
        model.sample(2)  # settings that only a draw runs into are found now
    return model
