"""A model and its SAE held against the world that the model reads.

Activations are made again for every measurement and never held, and the residual stream is kept only where it takes little
room, so memory does not grow with the number of transcripts. Detectors and assertions are chosen on training transcripts,
their threshold on development ones, and all is measured on test ones; the same is done with the truths of other transcripts,
and with linear probes on the residual stream. What comes of it is kept in the user's cache, under the weights and the
transcripts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import ValidationError
from rich.progress import Progress
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.border.cache import cache_folder
from tools.display.terminal import complain
from tools.errors import StudyError
from tools.truth.concepts import list_words
from tools.truth.counts import Counts, count, measure_maxima
from tools.truth.coverage import Coverage, measure_coverage
from tools.truth.examples import Stream
from tools.truth.floors import Shuffled
from tools.truth.reconstruction import find_assertions, reconstruct
from tools.truth.scores import Estimate, Scores, measure
from tools.truth.skyline import fit_ridge
from tools.truth.world_reading import Reading, Residuals, measure_code
from tools.truth.world_truth import Figure, Skyline, Told, TrueLabel, VariableRow, WorldTruth
from tools.whole_files import write_bytes
from tools.worlds.catalogue import load_world
from tools.worlds.world import Split, Transcripts, Variable

VERSION = 2
"""Of how it is measured: another one is another truth."""
LEAST_F1, MOST_SECOND = 0.9, 0.6
"""Of a feature with a true label: with the variable it means, and with any other."""
_PASSES = (5, 4, 8)
"""How often training, development and test transcripts are gone through."""


class Sizes(NamedTuple):
    """How many transcripts of each split."""

    train: int = 1000
    development: int = 300
    test: int = 1000

    @classmethod
    def of(cls, n: int) -> Sizes:
        """So many to choose by, as many to measure on, and three tenths as many to choose thresholds by."""
        return cls(n, max(1, 3 * n // 10), n)


SMALLEST = Sizes.of(60)
"""To see that it goes through."""


class _Told(NamedTuple):
    told: Told
    counts: Counts
    coverage: Coverage
    scores: Scores
    """Of the detectors that were chosen, on the test split."""


def hold_against_world(
    bench: Workbench,
    world: str,
    sizes: Sizes = Sizes(),  # noqa: B008 (a frozen tuple)
    seed: int = 0,
    progress: Progress | None = None,
    cache: Path | None = None,
) -> WorldTruth:
    """Measure, unless it was measured before.

    Args:
        bench: a model of the world, and its SAE.
        world: by its name.
        sizes: transcripts of each split.
        seed: of the transcripts, of the exchange and of resamples.
        progress: for the transcripts that are read.
        cache: folder in which it is kept; None for the user's.

    Raises:
        StudyError: there is no such world, the model does not read its tokens, or too few transcripts tell nothing.
    """
    known = load_world(world)
    if bench.n_tokens < len(known.vocabulary) or bench.context_size < known.context_size:
        raise StudyError(f"this model does not read the world {world}: it has other tokens, or shorter rows")
    splits: tuple[Split, ...] = ("train", "development", "test")
    drawn = [known.draw(split, n, seed) for split, n in zip(splits, sizes, strict=True)]
    file = (cache or cache_folder("worlds")) / f"{_name(bench, world, drawn, seed)}.json"
    found = _read(file)
    if found is None:
        try:
            found = _measure(bench, world, drawn, seed, progress)
        except ValueError as error:
            raise StudyError(f"{sum(sizes)} transcripts of {world} are too few: {error}") from error
        _keep(file, found)
    return found


def _measure(
    bench: Workbench, world: str, drawn: list[Transcripts], seed: int, progress: Progress | None
) -> WorldTruth:
    total = sum(passes * len(one.tokens) for passes, one in zip(_PASSES, drawn, strict=True))
    task = progress.add_task("hold         transcripts", total=total) if progress else None

    def advance(n: int) -> None:
        if progress and task is not None:
            progress.advance(task, n)

    sources = [Residuals(bench, one) for one in drawn]
    train, development, test = (Reading(one, bench.encode, advance) for one in sources)
    names = tuple(name for variable in drawn[0].variables for name in variable.truths)
    found = _tell(train, development, test, names, seed)
    mixed = [Shuffled(one, seed) for one in (train, development, test)]
    shuffled = _tell(mixed[0], mixed[1], mixed[2], names, seed, found.counts.maxima)
    skyline = _measure_skyline(*(Reading(one, _as_it_is, advance) for one in sources))
    code = measure_code(test)
    return WorldTruth(
        world=world,
        transcripts=(len(drawn[0].tokens), len(drawn[1].tokens), len(drawn[2].tokens)),
        seed=seed,
        model_sha256=bench.fingerprint,
        sae_sha256=bench.hashes.sae,
        hook_name=bench.hook_name,
        d_sae=bench.d_sae,
        active=int((found.counts.maxima > 0).sum()),
        l0=code.l0,
        explained_variance=code.explained_variance,
        features=found.told,
        shuffled=shuffled.told,
        skyline=Skyline(
            coverage=_figure(skyline.coverage(seed)),
            reconstruction=_figure(skyline.reconstruction(seed)),
            pooled=_figure(skyline.pooled(seed)),
        ),
        variables=tuple(_list_variables(found, skyline, drawn[0].variables)),
        left_out=found.coverage.left_out,
        labels=tuple(_list_labels(found.coverage, drawn[0], load_world(world).vocabulary)),
    )


def _tell(
    train: Stream,
    development: Stream,
    test: Stream,
    names: tuple[str, ...],
    seed: int,
    maxima: Float[np.ndarray, " d"] | None = None,
) -> _Told:
    """What features tell; their maxima are the same whatever truths stand beside them."""
    counts = count(train, measure_maxima(train) if maxima is None else maxima)
    coverage = measure_coverage(counts, names)
    scores = measure(test, [coverage.predictor(counts.maxima)])[0]
    read = reconstruct(find_assertions(counts), development, test, seed)
    told = Told(
        coverage=_figure(scores.coverage(seed)),
        chosen=coverage.best,
        one_threshold=coverage.one_threshold,
        threshold=coverage.threshold,
        reconstruction=_figure(read.f1),
        pooled=_figure(read.pooled),
        best_on_test=read.best_on_test,
        asserting=read.asserting,
    )
    return _Told(told, counts, coverage, scores)


def _measure_skyline(train: Stream, development: Stream, test: Stream) -> Scores:
    return measure(test, [fit_ridge(train, development).predict])[0]


def _list_variables(found: _Told, skyline: Scores, variables: tuple[Variable, ...]) -> Iterator[VariableRow]:
    names = found.coverage.names
    held_out, best = (
        dict(zip(names, map(float, scores.by_variable()), strict=True)) for scores in (found.scores, skyline)
    )
    of = {name: (variable, name.removeprefix(variable.name)) for variable in variables for name in variable.truths}
    for covered in found.coverage.variables:
        variable, said = of[covered.variable]
        # Of variables with a place, the last word of the name is the place, as in "disc c4".
        group = variable.name.rpartition(" ")[0] or variable.name if variable.place else variable.name
        yield VariableRow(
            name=covered.variable,
            group=f"{group}{said}",
            place=variable.place,
            prevalence=covered.prevalence,
            feature=covered.best.feature,
            threshold=covered.best.threshold,
            chosen=covered.best.f1,
            f1=_there(held_out[covered.variable]),
            skyline=_there(best[covered.variable]),
        )


def _list_labels(coverage: Coverage, drawn: Transcripts, vocabulary: Sequence[str]) -> Iterator[TrueLabel]:
    names, truths = drawn.truths()
    counted = drawn.counted()
    said = [vocabulary[int(token)].strip().lower() for token in drawn.tokens.ravel()[counted]]
    meanings = {
        name: meaning
        for variable in drawn.variables
        for name, meaning in zip(variable.truths, variable.meanings, strict=True)
    }
    near = coverage.nearest
    for feature, name in coverage.true_labels(LEAST_F1, MOST_SECOND).items():
        second = int(near.second[feature])
        yield TrueLabel(
            feature=feature,
            name=name,
            meaning=meanings[name],
            f1=float(near.f1[feature]),
            second=None if second < 0 else coverage.names[second],
            second_f1=float(near.second_f1[feature]),
            words=list_words(zip(said, map(bool, truths[counted, names.index(name)]), strict=True)),
        )


def _figure(estimate: Estimate) -> Figure:
    return Figure(value=estimate.value, low=estimate.interval.low, high=estimate.interval.high)


def _there(value: float) -> float | None:
    return None if np.isnan(value) else value


def _as_it_is(residuals: Tensor) -> Tensor:
    return residuals


def _name(bench: Workbench, world: str, drawn: list[Transcripts], seed: int) -> str:
    known = (VERSION, world, bench.fingerprint, bench.hashes.sae, str(bench.dtype), bench.hook_name, seed)
    digest = hashlib.sha256(repr(known).encode())
    for one in drawn:
        digest.update(one.tokens.tobytes() + repr(one.variables).encode())
    return digest.hexdigest()


def _read(file: Path) -> WorldTruth | None:
    """What was kept; None where there is none, or it does not read."""
    try:
        return WorldTruth.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None


def _keep(file: Path, found: WorldTruth) -> None:
    """What stands in the way of keeping it is said in a line, and costs time only."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, found.model_dump_json().encode())
    except OSError as error:
        complain(f"note: this is not kept in {file.parent} ({error.strerror}): the next time takes as long")
