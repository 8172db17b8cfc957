"""Two runs side by side: features are paired only where they are the same, or were found to belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.folder.config import RunConfig
from agent.folder.records import Decision, Provenance
from evals.review.reading import beside
from evals.review.reading.decisions import tabulate
from evals.review.runs import OpenRun
from tests.evals.review.folders import Page, few_decisions, open_desk, write_folder
from tests.evals.worlds import decide


def made_with(sae_sha256: str) -> Provenance:
    return Provenance(command=(), git_commit=None, git_dirty=None, python="3", packages={}, sha256={"sae": sae_sha256})


def write_pair(folder: Path, hashes: tuple[str, str], right: list[Decision], **changes: Any) -> tuple[Path, Path]:
    return (
        write_folder(folder / "left", few_decisions(), provenance=made_with(hashes[0])),
        write_folder(folder / "right", right, provenance=made_with(hashes[1]), **changes),
    )


def couple(paths: tuple[Path, Path]) -> beside.Coupled:
    runs = [OpenRun(path.name, path) for path in paths]
    tables = [tabulate(run.decisions, run.glances, lambda _: ()) for run in runs]
    return beside.couple(runs[0], runs[1], (tables[0], tables[1]))


def indices(coupled: beside.Coupled) -> list[tuple[int, int]]:
    pairs = [(pair.left, pair.right) for pair in coupled.couples]
    return [(a.decision.feature.index, b.decision.feature.index) for a, b in pairs if a and b]


def test_features_of_one_sae_are_paired_by_number_and_differences_come_first(tmp_path: Path) -> None:
    right = [decide(1, "yes"), decide(30, "no"), decide(7, "no"), decide(6, "no", stratum="random directions")]
    found = couple(write_pair(tmp_path, ("a" * 64, "a" * 64), right))
    assert found.means == "the same SAE"
    assert indices(found) == [(30, 30), (1, 1), (6, 6)]
    assert found.unpaired == (3, 1)
    assert beside.cross(found.couples) == {
        "yes": {"yes": 1, "no": 0},
        "no": {"yes": 0, "no": 1},
        "undecided": {"yes": 0, "no": 1},
    }


def test_random_directions_of_another_seed_are_not_the_same(tmp_path: Path) -> None:
    right = [decide(6, "no", stratum="random directions"), decide(1, "yes")]
    config = RunConfig(study="tiny", sae="base", seed=1)
    assert indices(couple(write_pair(tmp_path, ("a" * 64, "a" * 64), right, config=config))) == [(1, 1)]


def test_equal_numbers_in_two_dictionaries_mean_nothing(tmp_path: Path) -> None:
    found = couple(write_pair(tmp_path, ("a" * 64, "b" * 64), few_decisions()))
    assert (found.means, found.couples) == ("none", [])


@pytest.mark.parametrize("turned", [False, True])
def test_two_dictionaries_are_paired_as_a_comparison_found(tmp_path: Path, turned: bool) -> None:
    paths = write_pair(tmp_path, ("a" * 64, "b" * 64), [decide(9, "no"), decide(8, "yes")])
    base, finetuned = paths[::-1] if turned else paths
    table = ["base,finetuned,status,cosine,candidate_base,candidate_finetuned"]
    pairs = [(1, 9, 0.91), (2, 8, 0.5), (30, 77, 0.9)]
    table += [f"{other},{one},kept,{c},," if turned else f"{one},{other},kept,{c},," for one, other, c in pairs] + [
        "4,,lost,0.1,,"
    ]
    folder = base / f"compare-{finetuned.name}"
    folder.mkdir()
    (folder / "features_changed.csv").write_text("\n".join(table) + "\n")
    found = couple(paths)
    assert found.means == "decoder directions"
    assert indices(found) == [(1, 9), (2, 8)]  # the partner of 30 was not investigated
    assert [pair.cosine for pair in found.couples] == [0.91, 0.5]


def test_a_damaged_comparison_is_said(tmp_path: Path) -> None:
    paths = write_pair(tmp_path, ("a" * 64, "b" * 64), few_decisions())
    folder = paths[0] / "compare-right"
    folder.mkdir()
    (folder / "features_changed.csv").write_text("base,finetuned\n1,2\n")
    answer = open_desk(*paths).get("/compare?left=left&right=right")
    assert answer.status_code == 500 and "compare the runs anew" in Page(answer.text).text


def test_settings_that_differ_are_listed_and_no_others(tmp_path: Path) -> None:
    config = RunConfig(study="tiny", sae="base", seed=1, controls=2.0)
    paths = write_pair(tmp_path, ("a" * 64, "b" * 64), few_decisions(), config=config)
    runs = [OpenRun(path.name, path) for path in paths]
    assert beside.list_settings(runs[0], runs[1]) == [
        ("controls", "1.0", "2.0"),
        ("seed", "0", "1"),
        ("sha256 of sae", "a" * 12, "b" * 12),
    ]


def test_the_page_shows_both_runs_and_only_differences_when_asked(tmp_path: Path) -> None:
    right = [decide(1, "yes"), decide(2, "yes"), decide(30, "undecided")]
    desk = open_desk(*write_pair(tmp_path, ("a" * 64, "a" * 64), right))
    whole, parts = (Page(desk.get(f"/compare?left=left&right=right{more}").text) for more in ("", "&parts=1"))
    assert "3 features are decided in both, 3 only on the left, 0 only on the right. 1 verdicts differ." in whole.text
    assert len(whole.all("td", **{"data-name": "left"})) == 3
    assert len(parts.all("td", **{"data-name": "left"})) == 1
    assert "candidates left" in whole.text and "candidates right" in whole.text


def test_one_run_beside_itself_is_a_question_to_choose(tmp_path: Path) -> None:
    desk = open_desk(write_folder(tmp_path / "one", few_decisions()))
    assert "Choose two different runs" in Page(desk.get("/compare").text).text
    assert desk.get("/compare?left=nothing").status_code == 404
