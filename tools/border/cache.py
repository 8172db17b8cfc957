"""Where this user's cache is: what can be made again at any time, and is only kept because making it takes long."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """A folder of ours in it, `$XDG_CACHE_HOME/unveil/NAME`, by default under `~/.cache`; nothing is made."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unveil" / name
