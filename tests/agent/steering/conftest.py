"""The tiny study with a longer context, so that a request fits before a prompt, and texts to steer toward."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agent.folder.steering_store import SteeringFolder
from agent.steer import main
from tests.conftest import CONTEXT, EVERYDAY, MEDICAL, TEMPLATES

LONGER = 4
"""Times the context that the tiny model was made for."""
SMALL = ("--samples", "1", "--length", "4", "--schemes", "swap", "add")


@pytest.fixture(scope="session")
def long_study(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Positions beyond the tiny model's are embedded as those before them: text reads alike wherever it stands."""
    from transformers import GPT2LMHeadModel

    folder = Path(shutil.copytree(study_folder, tmp_path_factory.mktemp("long") / "tiny"))
    for arm in ("base", "finetuned"):
        short: Any = GPT2LMHeadModel.from_pretrained(folder / arm / "model")
        shape = short.config
        shape.n_positions = LONGER * CONTEXT
        weights = short.state_dict()
        weights["transformer.wpe.weight"] = weights["transformer.wpe.weight"].repeat(LONGER, 1)
        model = GPT2LMHeadModel(shape)
        model.load_state_dict(weights)
        with torch.no_grad():
            model.save_pretrained(folder / arm / "model")
    return folder


def write_target(file: Path, words: tuple[str, ...], passages: int = 8, seed: int = 5) -> Path:
    """Passages of the tiny language with those words."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(template.format(*rng.choice(words, 5)) for template in TEMPLATES) for _ in range(passages)]
    file.write_text("\n\n".join(texts) + "\n", "utf-8")
    return file


@pytest.fixture(scope="session")
def targets(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two files."""
    folder = tmp_path_factory.mktemp("targets")
    words = {"clinic": MEDICAL, "village": EVERYDAY}
    made = (write_target(folder / f"{name}.txt", some, seed=place) for place, (name, some) in enumerate(words.items()))
    one, other = map(str, made)
    return one, other


def only_run(runs: Path) -> SteeringFolder:
    """The run there is."""
    (path,) = [path for path in runs.iterdir() if path.is_dir()]
    return SteeringFolder(path)


Steer = Callable[..., int]


@pytest.fixture(scope="session")
def finished(long_study: Path, targets: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> SteeringFolder:
    """A run toward both, to its end."""
    runs = tmp_path_factory.mktemp("runs")
    assert main(["--study", str(long_study), "--toward", *targets, "--runs", str(runs), *SMALL]) == 0
    return only_run(runs)
