"""How the survey's time and memory grow with the number of features.

The baseline is the smallest number of features, in proportion: a ratio of 1 is growth along a line. The directions
themselves, which are inputs, are not counted as memory; the table that comes out is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from benchmarks.material.assets import SHAPES, make_directions, token_words, write_texts
from benchmarks.measure import Arm, race, row, small
from benchmarks.projection import make_unembedding
from benchmarks.records import Reach, Result, Setting
from tools.study.definition import Arm as StudyArm
from tools.study.definition import CorpusSource, Domain, SteeringDefaults, Study, VectorsSource
from tools.survey.features import DirectionTable, survey_directions
from tools.survey.lexicon import Lexicon, build_lexicon

SIZES = {"small": (64, 256, 1024), "full": (4_096, 16_384, 65_536, 262_144)}
TOP_K = 10
LINEAR = 0.8
SPACE_MB, BYTES = 500.0, 1000.0
"""Memory to work in, and for each feature: its row of the table takes a quarter of that."""


class Point(NamedTuple):
    """One number of features."""

    features: int
    seconds: float
    peak_mb: float | None


def measure(setting: Setting) -> list[Result]:
    """One row for each number of features but the smallest; the figure if it is asked for."""
    sizes = SIZES[setting.scale]
    judged = setting.scale == "full"
    shape = SHAPES[setting.scale]
    lexicon = make_lexicon(setting)
    lens = make_unembedding(shape.d_model, shape.d_vocab)
    directions = make_directions(sizes[-1], shape.d_model)

    def arm(name: str, n: int, share: float = 1.0) -> Arm[int]:
        return Arm(name, lambda: count_rows(survey(directions[:n], lens, lexicon)), share)

    results: list[Result] = []
    points: list[Point] = []
    for n in sizes[1:]:
        found = race(arm(f"{sizes[0]:,} features in proportion", sizes[0], sizes[0] / n), arm("", n), setting.rounds)
        reaches = [
            Reach(what="linear growth over its time", value=found.ratio, limit=LINEAR, sense="at least", judged=judged),
            *small(found, SPACE_MB + n * BYTES / 1e6, judged),
        ]
        results.append(row(f"survey: {n:,}", f"{n:,} features of {shape.d_model}", found, reaches))
        if not points:
            first = results[0]
            points.append(Point(sizes[0], first.baseline_s * sizes[0] / n, first.baseline_peak_mb))
        points.append(Point(n, results[-1].ours_s, results[-1].peak_mb))
    if setting.figure:
        draw_growth(points, Path(setting.figure))
    return results


def survey(
    directions: Float[Tensor, "n d_model"], lens: Float[Tensor, "d_model d_vocab"], lexicon: Lexicon
) -> DirectionTable:
    """What a survey does with its features."""
    with torch.no_grad():
        return survey_directions(directions, lens, lexicon, TOP_K)


def count_rows(table: DirectionTable) -> int:
    """Rows of a table that is not kept."""
    return len(table.hits)


def make_lexicon(setting: Setting) -> Lexicon:
    """Words and vectors for a vocabulary of the scale's size."""
    shape = SHAPES[setting.scale]
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_texts(folder, shape)
        study = Study(
            name="benchmark",
            title="Random weights",
            folder=folder,
            domain=Domain(name="-", definition="-", vocabulary="vocabulary.txt", guideline="guideline.md"),
            arms={"base": StudyArm(model="-", sae="-", hook_name="-")},
            vectors=VectorsSource(file="vectors.safetensors", words="words.txt"),
            corpus=CorpusSource(file="corpus.jsonl"),
            steering=SteeringDefaults(prompts=("-",)),
        )
        return build_lexicon(["", *(f" {word}" for word in token_words(shape))], study)


def draw_growth(points: Sequence[Point], file: Path) -> None:
    """Seconds and peak memory against the number of features, both axes logarithmic, with the line from the first point."""
    from tools.display.plots import save_figure

    numbers = [point.features for point in points]
    peaks = [point.peak_mb or 0.0 for point in points]

    def draw_seconds(axes: Axes) -> None:
        axes.loglog(numbers, [point.seconds for point in points], "o-", label="measured")
        axes.loglog(numbers, [points[0].seconds * n / numbers[0] for n in numbers], "--", color="grey", label="linear")
        axes.set(xlabel="features", ylabel="seconds")
        axes.legend()
        tick(axes)

    def draw_peaks(axes: Axes) -> None:
        axes.semilogx(numbers, peaks, "o-")
        axes.set(xlabel="features", ylabel="peak memory over the inputs, MB", ylim=(0, 1.2 * max(peaks) or 1))
        tick(axes)

    def tick(axes: Axes) -> None:
        axes.set_xticks(numbers, [f"{n:,}" for n in numbers])
        axes.minorticks_off()

    save_figure(file, (8.0, 3.5), ("", draw_seconds), ("", draw_peaks))
