"""The step that plants features of known meaning: from a study's arm to an SAE in a folder, with what is known beside it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from tools.bench.arms import hash_weights
from tools.bench.compute import Compute, settle_precision
from tools.bench.loading import load_arm
from tools.study.corpus import Corpus
from tools.study.definition import Study
from tools.truth.appending import append_to, match_threshold
from tools.truth.known import KnownFeatures, write_known
from tools.truth.planting import Planted, plant

if TYPE_CHECKING:
    from rich.progress import Progress


def plant_features(
    study: Study, arm: str, folder: Path, seed: int, device: str, progress: Progress | None = None
) -> Planted:
    """Write an SAE with an arm's features and planted ones behind them, and what is known of these.

    Args:
        study: whose corpus holds the concepts.
        arm: whose model and SAE.
        folder: of the new SAE.
        seed: of the placebos.
        device: to compute on.
        progress: for reading the text.

    Raises:
        UnveilError: the arm does not load, its SAE is of an architecture that nothing can be appended to, or no concept can
            be planted.
    """
    bench = load_arm(study, arm, Compute(device, settle_precision("auto", study.precision)))
    corpus = Corpus(study)
    bench.take_up(corpus)
    planted = plant(bench, corpus, seed, progress)
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's advice on how to load a model, which is not asked for here
        made = append_to(bench.autoencoder.sae, match_threshold(bench, corpus), planted.directions)
    made.save_model(str(folder))
    known = [one.known.model_copy(update={"feature": bench.d_sae + one.known.feature}) for one in planted.directions]
    command = f"python -m tools.training plant --study {study.name} --arm {arm} --seed {seed}"
    write_known(folder, KnownFeatures(sae_sha256=hash_weights(folder), made_by=command, features=tuple(known)))
    return planted
