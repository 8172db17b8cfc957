"""What a command line asks of this machine and this SAE, checked before a run folder is made; a dry run checks it too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import RunError

if TYPE_CHECKING:
    from agent.config import RunConfig
    from tools.studies import Study


def check_settings(study: Study, config: RunConfig, runs: Path) -> None:
    """See that the device is there, run folders can be made, and the features named are the SAE's, as its header has it.

    Raises:
        UnveilError: one is not.
    """
    from tools.arms import count_directions

    check_runs_folder(runs)
    if config.device not in ("auto", "cpu"):  # the library that knows the others takes a while to load
        from tools.compute import choose_device

        choose_device(config.device)
    if config.features is not None:
        check_features(config.features, count_directions(study, config.sae))


def check_features(features: tuple[int, ...], d_sae: int | None) -> None:
    """See that features named are the SAE's.

    Args:
        features: their numbers.
        d_sae: how many there are; None where that is not known yet.

    Raises:
        RunError: one is not.
    """
    unknown = [index for index in features if index < 0 or (d_sae is not None and index >= d_sae)]
    if unknown:
        there = "numbers from 0" if d_sae is None else f"features 0 to {d_sae - 1}"
        raise RunError(f"the SAE has {there}, not {unknown[0]}")


def check_runs_folder(runs: Path) -> None:
    """See that a folder can be made in the place for runs, without making one.

    Raises:
        RunError: it is a file, lies in one, or may not be written to.
    """
    try:
        there = next(place for place in (runs, *runs.absolute().parents) if place.exists())
    except OSError as error:
        raise RunError(f"--runs {str(runs)[:200]}: {error.strerror}") from None
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        what = "cannot be written to" if there.is_dir() else "is a file"
        raise RunError(f"--runs {runs}: {there} {what}, so that no run folder can be made there")
