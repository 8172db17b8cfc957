"""python -m evals.compare: from two run folders to verdicts, tables, plots, a page and an exit status."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from evals.arms.results import Comparison
from evals.compare import main
from tests.evals.arms.worlds import World, write_arm
from tools.bench.arms import check_arm_files
from tools.study.reading import load_study

ROOT = Path(__file__).parents[3]
TUNED = World("tuned", seed=5, relevant=4, perplexity_bound=140.0)
Folders = tuple[Path, Path, Path]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Folders, Comparison]:
    """Two arms compared, with two further SAEs of each model given as runs."""
    folder = tmp_path_factory.mktemp("compared")
    base, tuned, out = write_arm(folder / "base"), write_arm(folder / "tuned", TUNED), folder / "out"
    seeds = [write_arm(folder / f"{world.name}-{n}", _another(world, n)) for world in (World(), TUNED) for n in (1, 2)]
    command = [str(base), str(tuned), "--no-weights", "--out", str(out), "--replicates", *map(str, seeds)]
    assert main(command) == 0
    return (base, tuned, out), Comparison.model_validate_json((out / "comparison.json").read_bytes())


def _another(world: World, n: int) -> World:
    """The same model with the SAE of another seed."""
    name = f"{world.name}-{n}"
    return world._replace(
        name=name, seed=10 * n + world.seed, relevant=world.relevant + n, hashes={"model": f"model of {world.name}"}
    )


def test_everything_is_written(compared: tuple[Folders, Comparison]) -> None:
    files = {file.name for file in compared[0][2].iterdir()}
    assert {"report.html", "comparison.md", "comparison.json"} <= files
    tables = {f"{name}.csv" for name in ("relevance", "steering", "spread", "coherence", "strata", "seeds", "settings")}
    assert tables <= files
    plots = {file for file in files if file.endswith(".png")}
    assert plots == {"hits.png", "hits_direct.png", "coherence.png", "steering.png", "seeds.png"}
    assert all((compared[0][2] / name).read_bytes()[:4] == b"\x89PNG" for name in plots)


def test_the_verdicts_rest_on_seeds_and_every_figure_has_a_name(compared: tuple[Folders, Comparison]) -> None:
    found = compared[1]
    assert {verdict.unit for verdict in found.verdicts} == {"SAE seeds"}
    assert [verdict.claim for verdict in found.verdicts].count("relevant") == 1
    assert found.figures["relevant_base"] == pytest.approx(8 / 60)
    assert found.figures["relevant_finetuned"] == pytest.approx(4 / 60)
    test = next(one.seeds for one in found.measured if one.key == "relevant")
    assert test is not None
    assert test.base == pytest.approx((8 / 60, 9 / 60, 10 / 60))
    assert found.figures["relevant_seeds_difference"] == pytest.approx(-4 / 60)


def test_tables_say_what_the_records_say(compared: tuple[Folders, Comparison]) -> None:
    with (compared[0][2] / "relevance.csv").open(encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    judged = next(row for row in rows if row[""] == "judged relevant *" and row["over"] == "all, corrected")
    assert judged["base"].startswith("13.33% [") and judged["tuned"].startswith("6.67% [")
    with (compared[0][2] / "spread.csv").open(encoding="utf-8") as opened:
        second = next(row for row in csv.DictReader(opened) if row["over"] == "relevant" and row["arm"] == "tuned")
    spread = next(one for one in compared[1].spreads if one.over == "relevant")
    assert second["normalised difference"] == f"{spread.normalised:.3f}"
    ranges = [high - low for high, low in zip(spread.highest, spread.lowest, strict=True)]
    assert spread.normalised == pytest.approx(abs(spread.difference) / (sum(ranges) / 2))


def test_the_same_seed_gives_the_same_bytes(compared: tuple[Folders, Comparison], tmp_path: Path) -> None:
    (base, tuned, out), _ = compared
    seeds = [str(base.parent / f"{name}-{n}") for name in ("base", "tuned") for n in (1, 2)]
    assert main([str(base), str(tuned), "--no-weights", "--out", str(tmp_path), "--replicates", *seeds]) == 0
    for name in ("comparison.json", "report.html", "hits.png"):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def test_one_sae_an_arm_is_said_to_be_one_and_requirements_decide_the_exit_status(
    compared: tuple[Folders, Comparison], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (base, tuned, _), _ = compared
    bounds = ["--require", "relevant_difference<0", "--require", "relevant_difference>0"]
    assert main([str(base), str(tuned), "--no-weights", "--out", str(tmp_path), *bounds]) == 1
    shown = capsys.readouterr()
    assert "unit: features of one SAE an arm" in shown.out
    assert "note: 1 SAE of the base model and 1 of the fine-tuned one" in shown.out
    assert shown.out.rstrip().endswith("report.html")
    assert [line for line in shown.err.splitlines() if line.startswith("not met")] == [
        "not met: relevant_difference>0: relevant_difference is -0.06667"
    ]


def test_a_requirement_of_another_form_is_bad_input(compared: tuple[Folders, Comparison]) -> None:
    (base, tuned, _), _ = compared
    assert main([str(base), str(tuned), "--no-weights", "--require", "charming"]) == 2


def test_the_same_arm_twice_is_refused_in_one_line(
    compared: tuple[Folders, Comparison], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (base, _, _), _ = compared
    assert main([str(base), str(base), "--no-weights", "--out", str(tmp_path / "out")]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert "both arms ran the same model weights" in lines[0] and "--allow-different" in lines[0]
    assert not (tmp_path / "out").exists()


def test_a_reason_is_recorded_and_shown_as_text(
    compared: tuple[Folders, Comparison], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (base, _, _), _ = compared
    reason = "<script>alert(1)</script> only a trial"
    assert main([str(base), str(base), "--no-weights", "--out", str(tmp_path), "--allow-different", reason]) == 0
    found = Comparison.model_validate_json((tmp_path / "comparison.json").read_bytes())
    assert found.allowed == reason and len(found.faults) == 2
    assert "compared although both arms ran the same model weights" in capsys.readouterr().out
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "<script>" not in page and "&lt;script&gt;alert(1)" in page
    assert "<script>" not in (tmp_path / "comparison.md").read_text("utf-8")


def test_summaries_do_instead_of_runs(compared: tuple[Folders, Comparison], tmp_path: Path) -> None:
    (base, tuned, _), found = compared
    others = [base.parent / name for name in ("base-1", "base-2", "tuned-1", "tuned-2")]
    file = tmp_path / "arms.jsonl"
    assert main(["--summarise", *map(str, others), "--out", str(file), "--no-weights"]) == 0
    assert len(file.read_text().splitlines()) == 4
    assert main([str(base), str(tuned), "--no-weights", "--out", str(tmp_path / "o"), "--replicates", str(file)]) == 0
    again = json.loads((tmp_path / "o" / "comparison.json").read_text())
    assert again["measured"] == json.loads(found.model_dump_json())["measured"]


def test_what_is_no_run_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), str(tmp_path), "--no-weights"]) == 2
    assert "is no run folder" in capsys.readouterr().err


def test_help_is_instant() -> None:
    code = "import sys, evals.compare; print(sorted(set(sys.modules) & {'torch', 'pandas', 'scipy', 'statsmodels'}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_saes_that_do_not_belong_to_their_models_stop_a_comparison_that_loads_them(
    study_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of the tiny study are random numbers: they reconstruct nothing."""
    runs = [str(_run_of(study_folder, tmp_path, name, seed)) for seed, name in enumerate(("base", "finetuned"))]
    assert main([*runs, "--device", "cpu", "--out", str(tmp_path / "out")]) == 2
    assert "is the least of one that belongs there" in capsys.readouterr().err
    assert main([*runs, "--device", "cpu", "--out", str(tmp_path / "out"), "--allow-different", "a trial"]) == 0
    with (tmp_path / "out" / "features_changed.csv").open(encoding="utf-8") as opened:
        assert {row["status"] for row in csv.DictReader(opened)} <= {"kept", "shifted", "new", "lost"}
    assert {"changes.csv", "transfer.csv", "coverage.csv"} <= {file.name for file in (tmp_path / "out").iterdir()}


def _run_of(study_folder: Path, folder: Path, name: str, seed: int) -> Path:
    """A run that says it ran an arm of a real study."""
    hashes = check_arm_files(load_study(str(study_folder)), name).by_role()
    return write_arm(
        folder / name,
        World(name, seed=seed, study=str(study_folder), hashes=hashes, perplexity_bound=100.0 + 40 * seed),
    )
