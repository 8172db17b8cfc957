"""SAEs side by side, of made-up figures: what is said of p-annealing, and of too little."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from matplotlib.figure import Figure as Figure_

from agent.errors import RunError
from evals.truth import main
from evals.truths.frontier import Frontier, Point, compare_saes, contrast, say_verdict
from evals.truths.frontier_report import _draw, lay_out, write_report
from tools.truth.sums_truth import Recovered, SumsTruth
from tools.truth.world_truth import Figure, HeldSae, Skyline, Told, WorldTruth

LEVELS = (4.0, 8.0, 16.0, 32.0)


def sure(value: float) -> Figure:
    return Figure(value=value, low=value, high=value)


def told(coverage: float, reconstruction: float) -> Told:
    return Told(
        coverage=sure(coverage),
        chosen=coverage,
        one_threshold=coverage,
        threshold=0.0,
        reconstruction=sure(reconstruction),
        pooled=sure(reconstruction),
        best_on_test=reconstruction,
        asserting=3,
    )


def hold(architecture: str, sparsity: float, seed: int, l0: float, coverage: float, **changes: object) -> HeldSae:
    settings: dict[str, object] = {
        "world": "othello",
        "transcripts": (10, 3, 10),
        "seed": 0,
        "model_sha256": "m",
        "sae_sha256": f"{architecture} {sparsity} {seed}",
        "hook_name": "blocks.4.hook_resid_pre",
        "d_sae": 64,
        "active": 60,
        "l0": l0,
        "explained_variance": 0.9,
        "features": told(coverage, coverage / 2),
        "shuffled": told(0.2, 0.1),
        "skyline": Skyline(coverage=sure(0.95), reconstruction=sure(0.9), pooled=sure(0.9)),
        "variables": (),
        "left_out": (),
        "labels": (),
    }
    truth = WorldTruth.model_validate(settings | changes)
    command = f"python -m tools.training sae --world othello --architecture {architecture} --sparsity {sparsity} --seed {seed}"
    return HeldSae(architecture=architecture, sparsity=sparsity, seed=seed, command=command, truth=truth)


def standards(seeds: Sequence[int]) -> list[HeldSae]:
    """Coverage rises by 0.1 with every doubling of L0; a seed shifts all of it."""
    return [hold("standard", l0, seed, l0, 0.1 * math.log2(l0) + seed / 50) for l0 in LEVELS for seed in seeds]


def annealed(gains: Sequence[float], at: Sequence[float] = (6.0, 11.0)) -> list[HeldSae]:
    """Of each seed, so much above the standard line, between its SAEs."""
    return [
        hold("p-annealing", l0, seed, l0, 0.1 * math.log2(l0) + seed / 50 + gain)
        for seed, gain in enumerate(gains)
        for l0 in at
    ]


def test_the_difference_is_at_the_same_l0_and_within_a_seed_however_far_seeds_lie_apart() -> None:
    found = compare_saes([*standards((0, 1, 2)), *annealed((0.04, 0.05, 0.06))])
    coverage, reconstruction, *_ = found.contrasts
    assert coverage.difference.value == pytest.approx(0.05)
    assert (coverage.seeds, coverage.saes) == (3, 6)
    assert coverage.difference.low == pytest.approx(0.05 - 4.3027 * 0.01 / math.sqrt(3), abs=1e-4)
    assert reconstruction.difference.value == pytest.approx(0.025)
    assert found.figures["coverage_difference_low"] == coverage.difference.low
    verdict = say_verdict(found)
    assert "+0.050 [+0.025, +0.075] in coverage" in verdict and "it helps coverage" in verdict
    assert "3 seeds, 6 SAEs" in verdict


def test_a_gain_in_what_the_floor_has_as_well_is_none_beyond_it() -> None:
    """All that these SAEs gain they tell of exchanged truths too."""
    gained = [
        hold("p-annealing", 8, seed, 8, 0.5 + seed / 50, shuffled=told(0.4, 0.2 + seed / 100)) for seed in (0, 1, 2)
    ]
    found = {one.measure: one.difference for one in compare_saes([*standards((0, 1, 2)), *gained]).contrasts}
    assert found["coverage"].value == pytest.approx(0.2)
    assert found["coverage_beyond"].value == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        ((-0.05, -0.06, -0.04), "it harms coverage; it harms reconstruction"),
        ((0.05, -0.06, 0.01), "of coverage no difference is shown; of reconstruction no difference is shown"),
        ((0.3,), "of coverage nothing is shown, for there is no interval"),
    ],
)
def test_a_harm_is_told_as_one_a_null_as_a_null_and_one_seed_as_nothing(gains: Sequence[float], said: str) -> None:
    assert said in say_verdict(compare_saes([*standards(range(len(gains))), *annealed(gains)]))


def test_saes_beyond_the_standard_ones_in_l0_are_left_out() -> None:
    outside = annealed((0.5, 0.5), at=(2.0, 50.0))
    found = compare_saes([*standards((0, 1)), *outside])
    assert found.contrasts[0].saes == 0 and found.contrasts[0].difference.value is None
    assert "no SAE of it lies between two standard ones" in say_verdict(found)
    assert contrast(compare_saes([*standards((0, 1)), *outside, *annealed((0.1, 0.1))]).points, "coverage").saes == 4


def test_without_one_of_the_two_there_is_no_verdict() -> None:
    assert "it takes SAEs of p-annealing and standard ones" in say_verdict(compare_saes(standards((0, 1))))


def test_an_sae_of_one_seed_is_never_held_against_another_seeds() -> None:
    points = compare_saes([*standards((0,)), *annealed((0.1, 0.1))]).points
    assert contrast(points, "coverage").seeds == 1


def test_an_sae_with_nothing_active_is_no_point_of_the_line() -> None:
    dead = hold("p-annealing", 9, 0, 0.0, 0.0)
    found = compare_saes([*standards((0, 1)), *annealed((0.1, 0.2)), dead])
    assert found.contrasts[0].difference.value == pytest.approx(0.15)


@pytest.mark.parametrize(
    "changes",
    [{"world": "text"}, {"transcripts": (9, 3, 10)}, {"model_sha256": "n"}, {"hook_name": "blocks.1.hook_resid_pre"}],
)
def test_saes_of_other_models_worlds_or_transcripts_are_not_held_against_each_other(changes: dict[str, object]) -> None:
    with pytest.raises(RunError, match="not of one model"):
        compare_saes([hold("topk", 4, 0, 4, 0.5), hold("topk", 8, 0, 8, 0.5, **changes)])


def test_one_sae_named_twice_is_refused() -> None:
    with pytest.raises(RunError, match="two SAEs are topk, sparsity 4, seed 0"):
        compare_saes([hold("topk", 4, 0, 4, 0.5)] * 2)


def test_the_report_has_the_picture_every_point_and_the_command_that_makes_it(tmp_path: Path) -> None:
    found = compare_saes([*standards((0, 1)), *annealed((0.04, 0.05)), hold("topk", 8, 0, 8, 0.5)])
    files = write_report(tmp_path, found)
    assert files[0].name == "report.html" and all(file.is_file() for file in files)
    drawn = (tmp_path / "frontier.png").read_bytes()
    assert drawn.startswith(b"\x89PNG") and len(drawn) > 10_000
    write_report(tmp_path / "again", found)
    assert (tmp_path / "again" / "frontier.png").read_bytes() == drawn
    assert Frontier.model_validate_json((tmp_path / "frontier.json").read_bytes()) == found
    table = (tmp_path / "points.csv").read_text()
    assert all(one.command in table for one in found.points)
    assert len(lay_out(found).sections[2].table) == 1 + len(found.points)


def test_the_command_reads_folders_of_saes_and_can_require(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places: list[str] = []
    for number, held in enumerate([*standards((0, 1, 2)), *annealed((0.04, 0.05, 0.06))]):
        folder = tmp_path / f"sae {number}"
        folder.mkdir()
        (folder / "truth.json").write_text(held.model_dump_json())
        places.append(str(folder))
    out = ["--out", str(tmp_path / "out")]
    assert main(["--frontier", *places, *out, "--require", "coverage_difference_low>0"]) == 0
    assert "it helps coverage" in " ".join(capsys.readouterr().out.split())
    assert main(["--frontier", *places, *out, "--require", "coverage_difference_low>0.04"]) == 1
    assert main(["--frontier", str(tmp_path), *out]) == 2
    error = capsys.readouterr().err
    assert "truth.json is missing" in error


@pytest.mark.parametrize("line", [["--frontier", "sae"], ["run", "--frontier", "sae", "--out", "x"], []])
def test_a_line_that_names_neither_runs_nor_saes_and_a_folder_is_refused(
    line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(line)
    assert left.value.code == 2
    assert "--frontier" in capsys.readouterr().err


def test_points_are_in_order_of_architecture_and_l0() -> None:
    points = compare_saes([*annealed((0.1,)), *standards((0,))]).points
    assert [(one.architecture, one.l0) for one in points] == sorted((one.architecture, one.l0) for one in points)
    assert isinstance(points[0], Point)


def recover(mcc: float, l0: float) -> Recovered:
    return Recovered(
        mcc=mcc,
        mcc_active=mcc,
        uniqueness=mcc / 2,
        uniqueness_active=mcc / 2,
        f1=mcc / 4,
        precision=0.5,
        recall=0.5,
        exchanged_f1=mcc / 40,
        l0=l0,
        explained_variance=0.9,
        dead=7,
    )


def hold_sums(architecture: str, sparsity: float, number: int, l0: float, mcc: float, **changes: object) -> HeldSae:
    settings: dict[str, object] = {
        "generator": {"num_features": 32, "seed": 0},
        "library": "6",
        "examples": 100,
        "seed": 0,
        "sae_sha256": "s",
        "d_sae": 32,
        "directions": 32,
        "presences": 3.0,
        "found": recover(mcc, l0),
        "untrained": recover(0.3 + number / 10, 4.0),
        "true": recover(1.0, 3.0),
    }
    truth = SumsTruth.model_validate(settings | changes)
    command = f"python -m tools.training sae --world synthetic --architecture {architecture} --sparsity {sparsity} --seed {number}"
    return HeldSae(architecture=architecture, sparsity=sparsity, seed=number, command=command, truth=truth)


def sums_frontier(gains: Sequence[float]) -> list[HeldSae]:
    seeds = range(len(gains))
    usual = [hold_sums("standard", l0, seed, l0, 0.1 * math.log2(l0)) for l0 in LEVELS for seed in seeds]
    new = [
        hold_sums("p-annealing", l0, seed, l0, 0.1 * math.log2(l0) + gain)
        for seed, gain in enumerate(gains)
        for l0 in (6.0, 11.0)
    ]
    return [*usual, *new]


def test_saes_of_sums_are_compared_by_how_well_they_find_the_directions() -> None:
    found = compare_saes(sums_frontier((0.04, 0.05, 0.06)))
    assert found.measures == ("mcc", "uniqueness", "f1")
    assert [one.difference.value for one in found.contrasts] == pytest.approx([0.05, 0.025, 0.0125])
    assert found.figures["mcc_difference_low"] > 0
    verdict = say_verdict(found)
    assert "+0.050 [+0.025, +0.075] in MCC" in verdict
    assert "it helps MCC; it helps uniqueness; it helps F1" in verdict


def test_references_are_means_and_of_exchanged_truths_the_highest() -> None:
    sums = compare_saes(sums_frontier((0.1, 0.1)))
    assert sums.references["the directions themselves"]["mcc"] == 1
    assert sums.references["before training"]["mcc"] == pytest.approx(0.35)
    assert sums.references["exchanged truths"] == pytest.approx({"f1": 0.5 / 40})
    worlds = compare_saes([*standards((0,)), hold("topk", 8, 0, 8, 0.5, shuffled=told(0.3, 0.1))])
    assert worlds.references["linear probes"] == pytest.approx({"coverage": 0.95, "reconstruction": 0.9})
    assert worlds.references["exchanged truths"] == {"coverage": 0.3, "reconstruction": 0.1}


@pytest.mark.parametrize(
    "changes",
    [{"generator": {"num_features": 32, "seed": 1}}, {"library": "7"}, {"examples": 99}, {"seed": 1}, {"d_sae": 64}],
    ids=lambda changes: next(iter(changes)),
)
def test_saes_of_other_directions_examples_or_sizes_are_not_held_against_each_other(changes: dict[str, object]) -> None:
    with pytest.raises(RunError, match="held against the same directions"):
        compare_saes([hold_sums("topk", 4, 0, 4, 0.5), hold_sums("topk", 8, 0, 8, 0.5, **changes)])


def test_saes_of_transcripts_and_of_sums_are_not_held_against_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places: list[str] = []
    for name, held in (("a", hold("topk", 4, 0, 4, 0.5)), ("b", hold_sums("topk", 8, 0, 8, 0.5))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "truth.json").write_text(held.model_dump_json())
        places.append(str(tmp_path / name))
    for order in (places, places[::-1]):
        assert main(["--frontier", *order, "--out", str(tmp_path / "out")]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: these SAEs are not of one model") and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_report_on_sums_has_a_picture_for_each_measure_and_says_what_uniqueness_is_worth(tmp_path: Path) -> None:
    found = compare_saes(sums_frontier((0.04, 0.05)))
    files = write_report(tmp_path, found)
    page = files[0].read_text()
    assert "uniqueness" in page and "dead features" in page and "before training" in page
    assert "random directions" in page
    assert (tmp_path / "frontier.png").read_bytes().startswith(b"\x89PNG")
    assert Frontier.model_validate_json((tmp_path / "frontier.json").read_bytes()) == found
    table = (tmp_path / "points.csv").read_text()
    assert all(one.command in table for one in found.points)
    references = (tmp_path / "references.csv").read_text().splitlines()
    assert references[0] == ",MCC,uniqueness,F1" and any(
        line.startswith("exchanged truths,-,-,0") for line in references
    )


def test_a_damaged_file_is_told_by_the_place_that_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for held, field in ((hold("topk", 4, 0, 4, 0.5), "active"), (hold_sums("topk", 4, 0, 4, 0.5), "presences")):
        (tmp_path / "truth.json").write_text(held.model_dump_json().replace(f'"{field}":', '"nosuch":'))
        assert main(["--frontier", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
        said = capsys.readouterr().err
        assert f"{field}: Field required" in said and said.count("\n") == 1


@pytest.mark.parametrize("levels", [(2.0, 5.5), (2.0, 64.0), (0.5, 900.0)])
def test_levels_of_l0_are_plain_numbers(levels: tuple[float, float]) -> None:
    frontier = compare_saes([hold("topk", l0, 0, l0, 0.5) for l0 in levels])
    figure = Figure_(figsize=(4.5, 3.6))
    axes = figure.subplots()
    _draw(frontier, "coverage", axes)
    figure.draw_without_rendering()
    told = [label.get_text() for which in ("major", "minor") for label in axes.get_xticklabels(which=which)]
    assert any(told) and all(re.fullmatch("[0-9.e+\N{MINUS SIGN}-]*", text) for text in told), told
