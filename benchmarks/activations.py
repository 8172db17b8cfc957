"""Activations of 300 features over text, against encoding every feature, and against a forward pass that does nothing else.

A standard SAE's features do not depend on each other, so those that are wanted can be encoded alone; and nothing after the
hook need be run.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from benchmarks.material.assets import make_bench
from benchmarks.measure import Arm, equal, faster, race, row
from benchmarks.records import Result, Setting
from tools.activity.activations import Recording, record_activations
from tools.bench.workbench import Workbench
from tools.study.corpus import TokenRows


class Size(NamedTuple):
    """How much is read."""

    features: int
    rows: int
    width: int
    batch: int
    """Rows at a time, for the baselines."""


SIZES = {
    "small": Size(features=20, rows=8, width=24, batch=4),
    "full": Size(features=300, rows=16, width=128, batch=8),
}
TIMES, OF_FORWARD, TOLERANCE = 2.0, 0.9, 1e-5
STEERING = 'prompts = [" aaaa"]\nnew_tokens = 1'


def measure(setting: Setting) -> list[Result]:
    """The recording of some features, beside three baselines."""
    size = SIZES[setting.scale]
    judged = setting.scale == "full"
    with TemporaryDirectory() as folder:
        bench, study = make_bench(Path(folder), setting.scale, STEERING)
        rows = take_rows(bench.read_text(study, "train", size.width), size.rows)
        features = np.linspace(0, bench.d_sae - 1, size.features).astype(int).tolist()
        batches = torch.from_numpy(rows.tokens).split(size.batch)
        ours: Arm[Recording] = Arm(
            "", lambda: record_activations(bench, rows, features, torch.zeros(0, bench.W_U.shape[0]))
        )
        whole = race(
            Arm("whole forward pass, every feature encoded", lambda: encode_all(bench, batches, features, None)),
            ours,
            setting.rounds,
        )
        stopped = race(
            Arm(
                "forward pass to the hook, every feature encoded",
                lambda: encode_all(bench, batches, features, bench.layer),
            ),
            ours,
            setting.rounds,
        )
        bare = race(
            Arm("forward pass to the hook, nothing else", lambda: run_forward(bench, batches)), ours, setting.rounds
        )
    n_tokens = int(rows.tokens.size)
    what = f"{size.features} of {bench.d_sae:,} features, {size.rows} x {size.width} tokens"
    real = rows.real[..., None]
    off = float(np.abs(np.where(real, whole.baseline_result - whole.ours_result.activations, 0.0)).max())
    speed = [f"{n_tokens / seconds:,.0f} tokens/s" for seconds in (min(bare.baseline_s), min(bare.ours_s))]
    return [
        row(
            "activations",
            what,
            whole,
            reaches=[faster(whole, TIMES, judged), equal("largest difference of an activation", off, TOLERANCE)],
        ),
        row("activations: encode", what, stopped),
        row(
            "activations: forward",
            what,
            bare,
            reaches=[faster(bare, OF_FORWARD, judged, "of a bare forward pass's tokens a second")],
            notes=[f"best round: bare {speed[0]}, ours {speed[1]}"],
        ),
    ]


def take_rows(rows: TokenRows, n: int) -> TokenRows:
    """The first n rows.

    Raises:
        ValueError: there are fewer.
    """
    if len(rows.tokens) < n:
        raise ValueError(f"the corpus has {len(rows.tokens)} rows and {n} are to be read")
    return TokenRows(rows.tokens[:n], rows.real[:n], rows.documents[:n])


@torch.no_grad()
def encode_all(
    bench: Workbench, batches: tuple[Int64[Tensor, "batch width"], ...], features: list[int], stop_at: int | None
) -> Float[np.ndarray, "rows width n"]:
    """Every feature of every token, of which the listed ones are kept; through the whole model or up to a layer."""
    kept: list[Tensor] = []
    for tokens in batches:
        if stop_at is None:
            cache: Any = bench.bridge.run_with_cache(tokens, names_filter=[bench.hook_name])[1]
            residuals = cache[bench.hook_name]
        else:
            residuals = bench.bridge(tokens, stop_at_layer=stop_at)
        kept.append(bench.encode(residuals)[..., features])
    return torch.cat(kept).numpy()


@torch.no_grad()
def run_forward(bench: Workbench, batches: tuple[Int64[Tensor, "batch width"], ...]) -> None:
    """The blocks before the hook, and nothing else."""
    for tokens in batches:
        bench.bridge(tokens, stop_at_layer=bench.layer)
