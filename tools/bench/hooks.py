"""Names of the places in a model that SAEs are trained at, in every spelling that their makers use.

Only the residual stream between blocks can be studied: what stands there goes on to every later layer, so that a
direction added to it is a direction of the whole model. TransformerLens calls these places `blocks.N.hook_resid_pre` (what
block N reads) and `blocks.N.hook_resid_post` (what it leaves).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from tools.errors import LoadError, StudyError

_BRIDGE_NAMES = {"hook_in": "hook_resid_pre", "hook_out": "hook_resid_post"}
_OWN = re.compile(r"blocks\.(\d+)\.(hook_resid_pre|hook_resid_post|hook_in|hook_out)")
_LIBRARY = re.compile(
    r"(?:(?:model|base_model|transformer|gpt_neox|decoder|language_model|backbone)\.)*(?:h|layers|blocks|layer)\.(\d+)(\.input|\.output)?"
)
"""A whole block by its path in Hugging Face's modules: `transformer.h.7`, `model.layers.7`, `gpt_neox.layers.7`."""
_STREAM = re.compile(r"resid(?:_|-)?(pre|post)[_.-](?:layer[_.-])?(\d+)")
"""As SAEs of dictionary_learning are named."""


class Hook(NamedTuple):
    """A place on the residual stream."""

    name: str
    """In TransformerLens' spelling."""
    layer: int

    @property
    def depth(self) -> int:
        """Blocks that come before it: what one block leaves is what the next one reads."""
        return self.layer + self.name.endswith("resid_post")


def read_hook(name: str) -> Hook:
    """A place from any spelling of its name.

    Raises:
        StudyError: the name is of no known form, or names a place that is not on the residual stream between blocks.
    """
    text = name.strip()
    if found := _OWN.fullmatch(text):
        return Hook(f"blocks.{int(found[1])}.{_BRIDGE_NAMES.get(found[2], found[2])}", int(found[1]))
    if found := _LIBRARY.fullmatch(text):
        side = "pre" if found[2] == ".input" else "post"
        return Hook(f"blocks.{int(found[1])}.hook_resid_{side}", int(found[1]))
    if found := _STREAM.fullmatch(text):
        return Hook(f"blocks.{int(found[2])}.hook_resid_{found[1]}", int(found[2]))
    if re.search(r"\d", text) and "." in text:
        raise StudyError(
            f"hook name {name!r} is not on the residual stream between blocks, which alone can be studied: "
            "that is blocks.N.hook_resid_pre or blocks.N.hook_resid_post"
        )
    raise StudyError(f"hook name {name!r} is not of the form blocks.N.hook_resid_pre or blocks.N.hook_resid_post")


def hook_of(configuration: Mapping[str, Any]) -> str | None:
    """The place that an SAE's own configuration names, as it is spelt there; None if it names none.

    Args:
        configuration: as it was saved, by any version of SAELens: flat, or with its `metadata` apart.
    """
    metadata = configuration.get("metadata")
    for table in (metadata if isinstance(metadata, Mapping) else {}, configuration):
        for field in ("hook_name", "hook_point", "hf_hook_name"):
            name = table.get(field)
            if isinstance(name, str) and name.strip() and name != "None":
                layer = table.get("hook_layer", table.get("hook_point_layer"))
                return name if layer is None else name.replace("{layer}", str(layer))
    return None


def same_place(one: str, other: str) -> bool:
    """Two names are of one place, however either is spelt; names that cannot be read are compared as they are."""
    try:
        return read_hook(one).depth == read_hook(other).depth
    except StudyError:
        return one == other


def choose_hook(asked: str, trained_at: str | None, overrides: bool = False) -> Hook:
    """Where the SAE is read and written.

    Args:
        asked: by the arm; empty for where the SAE was trained.
        trained_at: as the SAE's configuration spells it, if it says.
        overrides: what is asked for stands against what the SAE says.

    Raises:
        StudyError: neither names a place, or the name is none that can be studied.
        LoadError: they are different places.
    """
    if not asked and not trained_at:
        raise StudyError(
            "the SAE does not say where in the model it was trained: name it with --hook blocks.N.hook_resid_pre "
            "(or hook_resid_post), or as hook_name in a study.toml"
        )
    if trained_at and not overrides:
        try:
            trained = read_hook(trained_at)
        except StudyError as error:
            raise StudyError(f"{error}; if the SAE was trained there after all, name it with --hook") from None
        hook = read_hook(asked) if asked else trained
        if hook.depth != trained.depth:
            raise LoadError(
                f"the SAE was trained at {trained_at}, but the arm names {asked}: --hook {hook.name} insists on it"
            )
        return hook
    return read_hook(asked or trained_at or "")
