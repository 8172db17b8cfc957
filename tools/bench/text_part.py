"""The text part of a model that reads images or sound as well: the only one that is given anything here."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

PARTS = ("vision", "audio", "speech")
"""Whose settings stand in a model's configuration as `<part>_config`."""
_UNREAD = ("vision", "visual", "image", "audio", "speech", "multi_modal", "multimodal")
"""In the names of weights that only images or sound reach."""
PROCESSORS = ("AutoProcessor", "AutoFeatureExtractor", "AutoImageProcessor")


@contextmanager
def without_processors() -> Generator[None]:
    """Within it no model gets a processor of images or sound.

    TransformerLens looks for one on the hub, also for a model that lies in a folder, and where that fails it installs
    packages into the environment of its user. Tokens alone are given to a model here.
    """
    import transformers

    classes = [getattr(transformers, name) for name in PROCESSORS]
    before = [vars(one)["from_pretrained"] for one in classes]
    try:
        for one in classes:
            one.from_pretrained = staticmethod(_none)
        yield
    finally:
        for one, method in zip(classes, before, strict=True):
            one.from_pretrained = method


def describe_unread(model: Any) -> str | None:
    """What of a model nothing is given to, in words; None for a model of text alone.

    Args:
        model: of transformers.
    """
    found = [part for part in PARTS if getattr(model.config, f"{part}_config", None) is not None]
    if not found:
        return None
    parts = f"{' and '.join(found)} part{'s' if len(found) > 1 else ''}"
    return f"the model is read without its {parts}: only text is given to it"


def is_unread(weight: str) -> bool:
    """A weight that text never reaches, told by its name: nothing that is measured depends on it."""
    return any(part in weight for part in _UNREAD)


def _none(*_: object, **__: object) -> None:
    """In the place of `from_pretrained`."""
