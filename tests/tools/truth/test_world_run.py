"""A model and its SAE held against a world: exact detectors, features that say nothing, and what is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tools.bench.arms import ArmHashes
from tools.bench.workbench import Workbench
from tools.display.console import LineConsole
from tools.display.progress import Bars
from tools.errors import LoadError, StudyError
from tools.truth.known import read_known
from tools.truth.world_reading import Reading, Residuals, measure_code
from tools.truth.world_run import Sizes, hold_against_world
from tools.truth.world_truth import HeldSae, WorldTruth, read_held, write_held
from tools.worlds.catalogue import load_world
from tools.worlds.world import Transcripts, World

SIZES = Sizes(150, 40, 100)


class MadeUp(Workbench):
    """A bench whose residual stream is a function of the transcripts, and whose SAE has a feature for each of its axes."""

    def __init__(self, world: World, stream: Callable[[np.ndarray], np.ndarray], d: int, name: str) -> None:
        self.world, self.stream = world, stream
        self.directions = torch.eye(d)
        self.hashes = ArmHashes(model=name, sae=name)
        self.hook_name, self.layer, self.dtype, self.budget = "made up", 0, torch.float32, 2**30
        self.n_tokens, self.reads = len(world.vocabulary), 0

    @property
    def context_size(self) -> int:
        return self.world.context_size

    @property
    def fingerprint(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.hashes.model

    def residuals(self, tokens: Tensor, hook: object = None, edit: object = None) -> Tensor:
        self.reads += len(tokens)
        return torch.from_numpy(self.stream(tokens.numpy().astype(np.int16)))

    def encode(self, residuals: Tensor, features: Tensor | None = None) -> Tensor:
        return residuals.clamp_min(0)

    def decode_activations(self, activations: Tensor, residuals: Tensor | None = None) -> Tensor:
        return activations


def names_of(world: World) -> list[str]:
    return [name for variable in world.variables for name in variable.truths]


def exact(world: World) -> MadeUp:
    """A feature for each variable, active where it is true and nowhere else."""

    def stream(tokens: np.ndarray) -> np.ndarray:
        return (
            Transcripts(tokens, world.read(tokens), world.variables)
            .truths()[1]
            .reshape(*tokens.shape, -1)
            .astype(np.float32)
        )

    return MadeUp(world, stream, len(names_of(world)), f"exact {world.name}")


def noise(world: World) -> MadeUp:
    """Features active at a tenth of positions, whatever is so there."""
    rng = np.random.default_rng(0)

    def stream(tokens: np.ndarray) -> np.ndarray:
        return (rng.random((*tokens.shape, 30)) - 0.9).astype(np.float32)

    return MadeUp(world, stream, 30, f"noise {world.name}")


@pytest.fixture(scope="module")
def found() -> WorldTruth:
    return hold_against_world(exact(load_world("text")), "text", SIZES)


@pytest.fixture(scope="module")
def board() -> WorldTruth:
    return hold_against_world(exact(load_world("othello")), "othello", Sizes(60, 20, 40))


@pytest.fixture(scope="module")
def maze() -> WorldTruth:
    return hold_against_world(exact(load_world("maze")), "maze", Sizes(60, 20, 40))


@pytest.mark.parametrize("name", ["found", "board", "maze"])
def test_one_exact_detector_for_each_variable_is_coverage_1_and_reconstruction_1(
    name: str, request: pytest.FixtureRequest
) -> None:
    found: WorldTruth = request.getfixturevalue(name)
    told, names = found.features, names_of(load_world(found.world))
    assert (told.coverage.value, told.chosen, told.one_threshold) == (1.0, 1.0, 1.0)
    assert told.coverage.low == told.coverage.high == 1.0
    assert told.reconstruction.value > 0.99  # what is so fewer than ten times may not be asserted
    assert found.shuffled.coverage.high < 0.7 and found.shuffled.reconstruction.high < 0.9
    assert all(row.f1 in (1.0, None) for row in found.variables)
    assert found.labels and all(names[label.feature] == label.name for label in found.labels)
    assert set(names) == {row.name for row in found.variables} | set(found.left_out)


def test_features_that_say_nothing_score_what_they_score_on_exchanged_truths() -> None:
    found = hold_against_world(noise(load_world("text")), "text", SIZES)
    assert found.features.coverage.value == pytest.approx(found.shuffled.coverage.value, abs=0.03)
    assert found.features.reconstruction.value < 0.05
    assert found.labels == ()


def test_probes_on_a_stream_that_holds_the_truth_read_nearly_all_of_it(found: WorldTruth) -> None:
    assert found.skyline.coverage.value > 0.99
    assert found.skyline.reconstruction.value > 0.99


def test_variables_on_a_board_have_a_place_and_share_a_group(board: WorldTruth) -> None:
    rows = {row.name: row for row in board.variables}
    assert (rows["disc c4: mine"].group, rows["disc c4: mine"].place) == ("disc: mine", (3, 2))
    assert (rows["legal f1"].group, rows["dark to move"].group) == ("legal", "dark to move")
    assert rows["phase: opening"].place is None


def test_what_lies_between_two_cells_has_its_place_there(maze: WorldTruth) -> None:
    rows = {row.name: row for row in maze.variables}
    assert (rows["at c3"].group, rows["at c3"].place) == ("at", (2, 2))
    assert (rows["wall b2-c2"].group, rows["wall b2-c2"].place) == ("wall", (1, 1.5))
    assert (rows["open a3-a4"].group, rows["open a3-a4"].place) == ("open", (2.5, 0))
    assert [type(one) for one in rows["at c3"].place or ()] == [int, int]  # as in what was stored of boards before


def test_labels_list_the_tokens_after_which_they_are_so(maze: WorldTruth, board: WorldTruth) -> None:
    in_c3 = next(one for one in maze.labels if one.name == "at c3")
    assert "c3" in in_c3.words and "c2" not in in_c3.words
    assert in_c3.known.words[:1] == ("at c3",)
    may_play = [one for one in board.labels if one.name.startswith("legal")]
    assert all(
        one.name.removeprefix("legal ") not in one.words for one in may_play
    )  # what was played may not be played


def test_labels_say_in_words_what_their_variable_means(found: WorldTruth) -> None:
    meanings = {
        name: meaning
        for variable in load_world("text").variables
        for name, meaning in zip(variable.truths, variable.meanings, strict=True)
    }
    assert all(label.meaning == meanings[label.name] for label in found.labels)
    assert all(label.second_f1 < 0.6 <= 0.9 <= label.f1 for label in found.labels)
    known = found.labels[0].known
    assert (known.kind, known.name, known.words[0]) == ("concept", found.labels[0].name, known.name.lower())


def test_what_an_sae_writes_and_how_many_features_are_active() -> None:
    world = load_world("text")
    bench, drawn = exact(world), world.draw("test", 20, 3)
    code = measure_code(Reading(Residuals(bench, drawn), bench.encode, lambda n: None))
    assert code.explained_variance == pytest.approx(1.0)
    assert code.l0 == pytest.approx(drawn.truths()[1][drawn.counted()].sum(axis=1).mean())


def test_little_memory_changes_nothing_but_how_much_is_read_at_once() -> None:
    world = load_world("text")
    bench, drawn, told = exact(world), world.draw("test", 10, 3), list[int]()
    large = list(Reading(Residuals(bench, drawn), bench.encode, lambda n: None))
    bench.budget = 1
    small = list(Reading(Residuals(bench, drawn), bench.encode, told.append))
    assert (len(large), len(small), told) == (1, 10, [1] * 10)
    for field in ("activations", "truths", "games", "positions", "counted"):
        whole = np.concatenate([getattr(chunk, field) for chunk in small])
        assert np.array_equal(whole, getattr(large[0], field))


def test_what_was_measured_is_kept_and_something_else_is_measured_anew(tmp_path: Path) -> None:
    world, sizes = load_world("text"), Sizes(30, 10, 30)
    bench = exact(world)
    first = hold_against_world(bench, "text", sizes, cache=tmp_path)
    read = bench.reads
    assert hold_against_world(bench, "text", sizes, cache=tmp_path) == first
    assert bench.reads == read
    hold_against_world(bench, "text", sizes, seed=1, cache=tmp_path)
    assert bench.reads == 2 * read
    for file in tmp_path.iterdir():
        file.write_text("{}")
    assert hold_against_world(bench, "text", sizes, cache=tmp_path) == first
    bench.hashes = ArmHashes(model="exact text", sae="another")
    assert hold_against_world(bench, "text", sizes, cache=tmp_path).sae_sha256 == "another"


@pytest.mark.parametrize("kept", [True, False])
def test_the_bar_counts_every_transcript_and_a_model_reads_it_once_where_it_can_be_kept(
    kept: bool, tmp_path: Path
) -> None:
    bench, sizes = exact(load_world("text")), Sizes(30, 10, 30)
    bench.budget = bench.budget if kept else 2**18
    with Bars(LineConsole(stderr=True)) as progress:
        hold_against_world(bench, "text", sizes, 7, progress, tmp_path)
        (task,) = progress.tasks
        assert task.completed == task.total
        assert bench.reads == (sum(sizes) if kept else task.total)


def test_a_model_of_another_world_and_too_few_transcripts_are_refused() -> None:
    bench = exact(load_world("othello"))
    with pytest.raises(StudyError, match="does not read the world text"):
        hold_against_world(bench, "text", SIZES)
    with pytest.raises(StudyError, match="too few"):
        hold_against_world(exact(load_world("text")), "text", Sizes(1, 1, 1))


def test_what_an_sae_is_worth_is_written_beside_it_and_read_again(found: WorldTruth, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"W_dec": np.zeros((2, 2), dtype=np.float32)}, tmp_path / "sae_weights.safetensors")
    held = HeldSae(architecture="topk", sparsity=4, seed=1, command="made up", truth=found)
    write_held(tmp_path, held)
    assert read_held(tmp_path) == read_held(tmp_path / "truth.json") == held
    known = read_known(tmp_path)
    assert known is not None and [one.feature for one in known.features] == [one.feature for one in found.labels]
    known.check(tmp_path)
    with pytest.raises(LoadError, match="is missing"):
        read_held(tmp_path / "nothing")
    with pytest.raises(LoadError, match="leave it out"):
        read_held(tmp_path / "sae_weights.safetensors")
    (tmp_path / "truth.json").write_text("{}")
    with pytest.raises(LoadError, match=r"truth\.json"):
        read_held(tmp_path)
