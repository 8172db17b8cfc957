"""No later command shows, compares or exports a figure whose floor is dead, of an old run neither."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.folder.store import RunFolder, sha256_of, write_whole
from evals.arms.results import Comparison
from evals.compare import main as compare
from evals.exports.source import open_source
from evals.exports.wording import word_evidence
from evals.run import main as examine
from tests.evals.arms.worlds import World, write_arm
from tests.evals.review.folders import few_decisions, open_desk, show_evidence, write_folder
from tests.evals.worlds import label
from tools.proof.floors import reasons_in
from tools.records import Evidence

SAID = "this instrument measured nothing here"
TUNED = World("tuned", seed=5, perplexity_bound=140.0)
NOTHING_WON = {"win_rate": 0.04, "null_win_rate": 0.04}


def refuse(evidence: Evidence) -> Evidence:
    """The same with every steered text refused."""
    assert evidence.steering
    pairs = tuple(pair.model_copy(update={"collapsed": True}) for pair in evidence.steering.pairs)
    return evidence.model_copy(
        update={"steering": evidence.steering.model_copy(update={"pairs": pairs, **NOTHING_WON})}
    )


def refuse_all(path: Path) -> Path:
    folder = RunFolder.open(path)
    evidence = [refuse(record) for record in folder.finished_evidence()]
    hashes = {record.feature.key: sha256_of(record) for record in evidence}
    judged = [d.model_copy(update={"evidence_sha256": hashes[d.feature.key]}) for d in folder.decisions()]
    folder.write_evidence(evidence)
    write_whole(folder.decisions_file, "".join(decision.model_dump_json() + "\n" for decision in judged))
    return path


# --- comparison -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, Path]:
    folder = tmp_path_factory.mktemp("compared")
    base, tuned = write_arm(folder / "base"), refuse_all(write_arm(folder / "tuned", TUNED))
    assert compare([str(base), str(tuned), "--no-weights", "--out", str(folder / "out")]) == 0
    return Comparison.model_validate_json((folder / "out" / "comparison.json").read_bytes()), folder


def test_measures_of_a_dead_instrument_are_left_out_with_a_sentence(compared: tuple[Comparison, Path]) -> None:
    found = {one.key: one for one in compared[0].measured}
    for key in ("won", "excess_all", "excess_random", "lift", "passes_all", "relevant", "excess_over_random_all"):
        assert found[key].lost is not None, key
        assert (found[key].finetuned.value, found[key].difference.value, found[key].p) == (None, None, None)
    for key in ("hits", "coherence_all", "coherence_over_random_all", "relevant_or_open"):
        assert found[key].lost is None, key
        assert found[key].difference.value is not None
    remarks = " ".join(compared[0].remarks)
    assert f"arm tuned: steering: {SAID}" in remarks
    assert "not compared, for an instrument measured nothing: judged relevant (all, corrected)" in remarks


def test_no_sentence_is_made_of_a_dead_figure(compared: tuple[Comparison, Path]) -> None:
    verdicts = {one.measure: one for one in compared[0].verdicts}
    for key in ("relevant", "excess_over_random", "excess_over_random_all"):
        assert verdicts[key].found == "not measured"
        assert SAID in verdicts[key].text
    assert verdicts["coherence_over_random_all"].found != "not measured"
    assert not any(name.startswith("excess_all_difference") for name in compared[0].figures)


def test_no_plot_is_drawn_of_it(compared: tuple[Comparison, Path]) -> None:
    out = compared[1] / "out"
    assert not (out / "steering.png").exists()
    assert (out / "coherence.png").exists()


# --- desk, examination and export -------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run made before anybody looked at floors: its stored figures stand, and steering was refused."""
    decisions = few_decisions()
    path = write_folder(tmp_path / "run", decisions, evidence=[refuse(show_evidence(d)) for d in decisions])
    (path / "figures").mkdir()
    for name in ("steering", "coherence"):
        (path / "figures" / f"{name}.png").write_bytes(b"\x89PNG")
    return path


def test_the_desk_shows_no_dead_figure_of_an_old_run(run: Path) -> None:
    desk = open_desk(run)
    page = desk.get("/run/run").text
    assert SAID in page
    assert "figures/coherence.png" in page
    assert "figures/steering.png" not in page
    feature = desk.get("/run/run/feature/base-000001").text
    assert "steering: measured nothing here" in feature
    assert "texts won" not in feature
    assert '<span class="yes">wins</span>' not in feature
    assert "to be read" in feature


def test_an_examination_says_which_verdicts_may_rest_on_it(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = run.parent / "labels.jsonl"
    write_whole(labels, "".join(label(i, "yes").model_dump_json() + "\n" for i in (1, 2, 4)))
    assert examine([str(run), "--labels", str(labels)]) == 0
    report = json.loads((run / "evals" / "agreement.json").read_text())
    assert any(SAID in remark and "nobody looked when it was judged" in remark for remark in report["remarks"])
    assert SAID in capsys.readouterr().out


def test_an_export_carries_the_reason_and_no_figure(run: Path) -> None:
    source = open_source(run)
    assert [floor.instrument for floor in source.floors] == ["steering"]
    assert all(decision.steering is None for decision in source.decisions)
    text = word_evidence(source.evidence["base-000001"], reasons_in(source.floors, "candidates"))
    assert "steering: measured nothing here" in text
    assert "texts won" not in text
