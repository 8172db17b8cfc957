"""The worlds there are, each imported when it is asked for."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from tools.errors import StudyError

if TYPE_CHECKING:  # a command line is read before anything heavy is imported
    from tools.worlds.world import World


class Listed(NamedTuple):
    """A world, before it is imported."""

    what: str
    """For people."""
    place: str
    """`package.module:Class`."""
    study: str
    """That its model is part of."""


WORLDS: dict[str, Listed] = {
    "othello": Listed("random legal games of Othello on 6 x 6 squares", "tools.worlds.othello:Othello", "othello"),
    "maze": Listed("walks in mazes of 4 x 4 cells", "tools.worlds.maze:Maze", "maze"),
    "text": Listed("English-like text of a few hundred words", "tools.worlds.text_world:TextWorld", "textworld"),
}
"""By the name that a command and a study's `[training.world]` give them."""
ALONE: dict[str, Listed] = {
    "synthetic": Listed(
        "sums of known directions, for SAEs alone", "tools.worlds.sums:Sums", "studies/synthetic/recipe.toml"
    ),
}
"""Those of activations without a model or transcripts; their recipe is no study."""
LISTED = WORLDS | ALONE


@cache
def load_world(name: str) -> World:
    """The world of that name, the same for all who ask.

    Raises:
        StudyError: there is none; the text lists those there are.
    """
    if name not in WORLDS:
        raise StudyError(f"no world {name!r}: use one of {', '.join(WORLDS)}")
    module, _, kind = WORLDS[name].place.partition(":")
    return getattr(import_module(module), kind)()
