"""Sums of known directions: what is drawn, by which seed, and how settings that do not fit are told."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from tools.errors import StudyError
from tools.worlds.catalogue import ALONE, WORLDS
from tools.worlds.sums import Sums
from tools.worlds.world import Split

RECIPE = Path(ALONE["synthetic"].study)
SMALL: dict[str, Any] = {
    "num_features": 12,
    "hidden_dim": 8,
    "firing_probability": {"generator_name": "constant", "probability": 0.25},
}


def rows(sums: Sums, split: Split = "train", seed: int = 0, total: int = 60, at_a_time: int = 20) -> torch.Tensor:
    return torch.cat([drawn.activations for drawn in sums.draw(split, seed, at_a_time, total)])


def test_an_activation_is_the_sum_of_the_directions_that_are_present_and_the_constant() -> None:
    sums = Sums({**SMALL, "bias": 3.0})
    drawn = next(sums.draw("test", 0, 50))
    torch.testing.assert_close(drawn.activations, drawn.strengths @ sums.directions + sums.model.feature_dict.bias)
    torch.testing.assert_close(sums.directions.norm(dim=1), torch.ones(12))
    assert float(sums.model.feature_dict.bias.detach().norm()) == pytest.approx(3)
    assert set(drawn.strengths.unique().tolist()) == {0.0, 1.0}
    assert float((drawn.strengths > 0).float().mean()) == pytest.approx(0.25, abs=0.05)


def test_a_seed_gives_the_same_examples_however_often_and_whatever_was_drawn_before() -> None:
    sums = Sums(SMALL)
    first = rows(sums)
    torch.manual_seed(99)
    list(islice(sums.draw("train", 5, 7), 3))
    assert torch.equal(rows(sums), first)
    assert torch.equal(rows(Sums(SMALL)), first)
    assert not torch.equal(rows(Sums({**SMALL, "seed": 1})), first)


def test_two_streams_that_are_read_by_turns_do_not_touch_each_other() -> None:
    sums = Sums(SMALL)
    one, other = sums.draw("train", 0, 20, 60), sums.draw("train", 1, 20, 60)
    by_turns = [(a.activations, b.activations) for a, b in zip(one, other, strict=True)]
    assert torch.equal(torch.cat([a for a, _ in by_turns]), rows(sums, seed=0))
    assert torch.equal(torch.cat([b for _, b in by_turns]), rows(sums, seed=1))


def test_splits_and_seeds_share_no_example() -> None:
    sums = Sums({**SMALL, "std_firing_magnitudes": 0.3})
    drawn = [rows(sums, split, seed) for split in ("train", "development", "test") for seed in (0, 1)]
    present = torch.cat([some[(some != sums.model.feature_dict.bias).any(1)] for some in drawn])
    assert len(present.unique(dim=0)) == len(present) > 250


def test_the_last_draw_is_as_long_as_is_left() -> None:
    assert [len(some.activations) for some in Sums(SMALL).draw("test", 0, 20, 50)] == [20, 20, 10]


@pytest.mark.parametrize("act", [lambda: Sums(SMALL), lambda: rows(Sums(SMALL))], ids=["made", "drawn"])
def test_the_global_random_state_stays_as_it_was(act: Callable[[], object]) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    act()
    assert torch.equal(torch.rand(4), expected)


def test_nothing_is_touched_between_two_draws_either() -> None:
    stream = Sums(SMALL).draw("train", 0, 5)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    next(stream)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_feature": 3}, "num_feature"),
        ({"num_features": "many"}, "generator"),
        ({"num_features": 10**12}, "num_features is from 2 to"),
        ({"num_features": 1}, "num_features is from 2 to"),
        ({"hidden_dim": 0}, "hidden_dim must be at least 1"),
        ({"hidden_dim": 10**12}, "num_features is from 2 to"),
        ({"hidden_dim": 4.5}, "generator"),
        ({"firing_probability": {"generator_name": "nosuch"}}, "nosuch"),
        ({"firing_probability": {}}, "generator_name required"),
        ({"firing_probability": 3}, "generator"),
        ({"firing_probability": {"generator_name": "constant", "probability": 2.0}}, "generator"),
        ({"hierarchy": {"total_root_nodes": 2, "branching_factor": 1}}, "branching_factor must be at least 2"),
        ({"hierarchy": 3}, "generator"),
        ({"correlation": {"rank": -1}}, "generator"),
        ({"mean_firing_magnitudes": {"generator_name": "linear", "start": -1, "end": 1}}, "must be positive"),
        ({"dtype": "float16"}, "dtype is float32"),
        ({"dtype": "nosuch"}, "generator"),
        ({"seed": None}, "seed has to be a whole number"),
        ({"seed": "x"}, "seed has to be a whole number"),
        ({"seed": 2**80}, "generator"),
        ({"bias": "x"}, "generator"),
        ({"bias": float("nan")}, "Out of range float"),
        ({"std_firing_magnitudes": float("inf")}, "Out of range float"),
    ],
    ids=str,
)
def test_a_setting_that_does_not_fit_is_told_in_a_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyError, match=said) as told:
        Sums({**SMALL, **changes})
    assert str(told.value).startswith("training.world.generator: ") and "\n" not in str(told.value)


def test_a_setting_that_is_missing_is_named() -> None:
    with pytest.raises(StudyError, match="firing_probability is missing"):
        Sums({"num_features": 3, "hidden_dim": 2})


def test_the_shipped_settings_make_the_world_that_their_comments_describe(caplog: pytest.LogCaptureFixture) -> None:
    sums = Sums(tomllib.loads(RECIPE.read_text("utf-8"))["training"]["world"]["generator"])
    assert not caplog.records  # no probability had to be cut
    strengths = next(sums.draw("test", 0, 4000)).strengths
    often = (strengths > 0).float().mean(0)
    assert float(often[0]) == pytest.approx(0.2, abs=0.03) and 0.001 < float(often.min()) < 0.01
    hierarchy = sums.model.hierarchy
    assert len(hierarchy.roots) == 16 and len(hierarchy.feature_indices_used) < len(often) + 1
    for root in hierarchy.roots:
        under = [child.feature_index for child in root.children]
        present = strengths[:, under] > 0
        assert not (present.any(1) & (strengths[:, root.feature_index] == 0)).any()
        assert int(present.sum(1).max()) <= 1


def test_worlds_of_transcripts_and_those_without_have_names_of_their_own() -> None:
    assert not WORLDS.keys() & ALONE.keys()
