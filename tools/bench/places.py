"""The SAEs of an arm, and where in the model each reads and writes: its own, and those that it names beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tools.bench.autoencoder import Autoencoder
from tools.bench.hooks import Hook, choose_hook, hook_of
from tools.errors import LoadError, StudyError
from tools.study.definition import Arm


class Place(NamedTuple):
    """An SAE, and where in the model it reads and writes."""

    autoencoder: Autoencoder
    hook: Hook


def place_further(arm: Arm, saes: Sequence[Any]) -> list[Place]:
    """The SAEs of `arm.also`, in order, each placed as the arm's own is.

    Raises:
        StudyError, LoadError: as `choose_hook`.
    """
    trained_at = [hook_of({"metadata": vars(sae.cfg.metadata)}) for sae in saes]
    hooks = [choose_hook(named.hook_name, at) for named, at in zip(arm.also, trained_at, strict=True)]
    return [Place(Autoencoder(sae), hook) for sae, hook in zip(saes, hooks, strict=True)]


def check_places(places: Sequence[Place], bridge: Any, d_model: int, arm_name: str) -> None:
    """See that every place is in the model, once, and that its SAE fits there.

    Raises:
        StudyError: the model has no such hook, or two SAEs are at one.
        LoadError: an SAE writes nothing, or reads another number of dimensions.
    """
    for number, (autoencoder, hook) in enumerate(places):
        if hook.name not in bridge.hook_dict:  # the library would ignore it without a word
            raise StudyError(f"the model has no hook {hook.name}: its layers are 0 to {bridge.cfg.n_layers - 1}")
        if any(hook.depth == other.hook.depth for other in places[:number]):
            raise StudyError(f"arm {arm_name} has two SAEs at {hook.name}: name each place once")
        if bool(autoencoder.empty.all()):
            raise LoadError(
                f"the SAE of arm {arm_name}: no row of its weight W_dec has a length that can be told from 0"
            )
        d_in = autoencoder.directions.shape[1]
        if d_in != d_model:
            raise LoadError(f"the SAE reads {d_in} dimensions but the model's residual stream has {d_model}")
