"""What follows from a dead floor: no rule uses it, no judge reads its numbers, no table shows them; old runs stay as they are."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from agent.briefing.first.evidence import brief_investigator, brief_judge, brief_rater
from agent.folder.config import RunConfig
from agent.folder.floors import find_floors, floors_of, read_living
from agent.folder.records import Decision, Manifest, Provenance, SelectedFeature, Selection, Summary
from agent.folder.store import RunFolder
from agent.judges.blind import blind, conclude
from agent.judges.judge import Case
from agent.judges.rules import judge_by_rules
from agent.report.summary import summarise
from agent.report.tables import format_summary, strata_csv
from agent.run import main
from agent.stages.gather import Stopwatch, investigate
from agent.stages.gather import conclude as write_all
from agent.stages.replay import replay
from tests.agent.cases import make_evidence, make_judgement, make_pairs
from tools.proof.floors import INSTRUMENTS, DeadFloor, Instrument, reasons_for
from tools.records import Evidence, FeatureRef, Stratum
from tools.study.definition import SurveyDefaults
from tools.study.reading import load_question

WHY = "of 100 steered texts only 9 can win or lose: 91 refused as not fluent"
WHOLE = make_evidence()


def refused(index: int, stratum: Stratum = "candidates") -> Evidence:
    """Three of ten texts are fluent and win: against a null of 15 % that looks like a pass."""
    pairs = tuple(pair.model_copy(update={"collapsed": place >= 3}) for place, pair in enumerate(make_pairs(10)))
    steering, projection = WHOLE.steering, WHOLE.projection
    assert steering and projection
    own = projection.top[0].model_copy(update={"token": f" unit{index}"})
    return make_evidence(
        feature=FeatureRef(study="pocket", sae="base", index=index),
        stratum=stratum,
        projection=projection.model_copy(update={"top": (own, *projection.top[1:])}),
        steering=steering.model_copy(update={"pairs": pairs, "win_rate": 0.3, "null_win_rate": 0.15}),
    )


def begin(path: Path, evidence: list[Evidence], floors: tuple[DeadFloor, ...] | None) -> RunFolder:
    manifest = Manifest(
        run_id=path.name,
        started="2026-01-01T00:00:00+00:00",
        config=RunConfig(study="pocket", sae="base"),
        study_title="Medicine",
        domain="medicine",
        provenance=Provenance(command=(), git_commit=None, git_dirty=None, python="3", packages={}, sha256={}),
        selection=Selection(
            items=tuple(SelectedFeature(feature=e.feature, stratum=e.stratum) for e in evidence), sizes=()
        ),
        floors=floors,
    )
    return RunFolder.create(path, manifest, lambda folder: folder.write_evidence(evidence))


def judge(folder: RunFolder) -> list[Decision]:
    manifest, evidence = folder.manifest(), folder.evidence() or []
    quiet = Console(file=io.StringIO())
    return investigate(folder, load_question("pocket"), manifest.config, evidence, None, quiet, Stopwatch())


# --- the rules --------------------------------------------------------------------------------------------------------


def test_the_same_evidence_is_relevant_while_its_floors_are_alive() -> None:
    assert judge_by_rules(WHOLE, SurveyDefaults()).relevant == "yes"
    assert judge_by_rules(WHOLE, SurveyDefaults(), {}) == judge_by_rules(WHOLE, SurveyDefaults())


@pytest.mark.parametrize("instrument", ["keywords", "contexts", "coherence", "steering"])
def test_no_yes_rests_on_an_instrument_that_measured_nothing(instrument: Instrument) -> None:
    judgement = judge_by_rules(WHOLE, SurveyDefaults(), {instrument: WHY})
    assert judgement.relevant == "undecided"
    assert f"{instrument}: measured nothing here ({WHY})" in judgement.reasons
    assert (judgement.steering is None) == (instrument == "steering")


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 10), st.integers(0, 20), st.floats(0.0001, 1), st.floats(0.0001, 1), st.sampled_from(INSTRUMENTS[:4])
)
def test_a_yes_never_comes_of_a_dead_floor(
    wins: int, peaks: int, keywords: float, coherence: float, instrument: Instrument
) -> None:
    assert WHOLE.steering and WHOLE.activations and WHOLE.keywords and WHOLE.coherence
    evidence = make_evidence(
        steering=WHOLE.steering.model_copy(update={"win_rate": wins / 10}),
        activations=WHOLE.activations.model_copy(update={"domain_peaks": peaks}),
        keywords=WHOLE.keywords.model_copy(update={"null_share": keywords}),
        coherence=WHOLE.coherence.model_copy(update={"null_share": coherence}),
    )
    assert judge_by_rules(evidence, SurveyDefaults(), {instrument: WHY}).relevant != "yes"


def test_failing_the_keywords_is_a_no_if_they_are_alive_and_undecided_if_they_are_not() -> None:
    assert WHOLE.keywords
    few = make_evidence(keywords=WHOLE.keywords.model_copy(update={"hits": ()}))
    assert judge_by_rules(few, SurveyDefaults(), {"steering": WHY, "contexts": WHY}).relevant == "no"
    assert judge_by_rules(few, SurveyDefaults(), {"keywords": WHY}).relevant == "undecided"


def test_a_single_win_against_a_null_of_refused_texts_is_no_pass() -> None:
    lucky = refused(1)
    assert judge_by_rules(lucky, SurveyDefaults()).relevant == "yes"  # as it was judged before anybody looked
    assert judge_by_rules(lucky, SurveyDefaults(), reasons_for((), lucky)).relevant == "undecided"


# --- what a language model reads --------------------------------------------------------------------------------------


@pytest.mark.parametrize("brief", [brief_investigator, brief_judge, brief_rater])
def test_a_brief_says_of_a_dead_instrument_that_it_measured_nothing_and_no_number(brief: object) -> None:
    assert callable(brief)
    assert brief(WHOLE, {}) == brief(WHOLE)
    text = brief(WHOLE, {"steering": WHY, "coherence": "few vectors", "contexts": "no word"})
    for line in (f"steering: measured nothing here ({WHY})", "coherence: measured nothing here (few vectors)"):
        assert line in text
    for number in ("mean cosine", "8.2 times", "steered texts are more like", "log-probability"):
        assert number not in text
    assert "heart" in text  # contexts stay to be read


def test_a_judge_is_shown_no_pair_whose_texts_measured_nothing_and_gives_no_verdict_on_them() -> None:
    assert len(blind(Case(WHOLE), 0).pairs) > 0
    case = Case(WHOLE, floors=(DeadFloor(instrument="steering", why=WHY),))
    assert blind(case, 0).pairs == ()
    found = conclude(case, [make_judgement()], [()], 1).judgement
    assert found.steering is None
    assert f"steering: measured nothing here ({WHY})" in found.reasons


# --- what people read -------------------------------------------------------------------------------------------------

BROKEN = [refused(i) for i in range(6)] + [refused(10 + i, "near controls") for i in range(6)]
HALF = BROKEN[:6] + [make_evidence(feature=e.feature, stratum=e.stratum) for e in BROKEN[6:]]


def summary_of(tmp_path: Path, evidence: list[Evidence]) -> tuple[RunFolder, Summary]:
    floors = find_floors(tmp_path, evidence)
    folder = begin(tmp_path / "run", evidence, floors)
    found = write_all(folder, load_question("pocket"), evidence, judge(folder), None, Stopwatch())
    return folder, found


def test_the_table_shows_no_dead_figure_and_says_why(tmp_path: Path) -> None:
    _, summary = summary_of(tmp_path, HALF)
    lines = format_summary(summary)
    assert lines[1].split()[-2:] == ["dead", "dead"]  # candidates
    assert lines[2].split()[-1] == "50%"  # near controls are well
    assert any("steering (candidates): this instrument measured nothing here: of 60 steered texts" in x for x in lines)
    assert summary.strata[0].steering_n == 0
    rows = list(csv.DictReader(io.StringIO(strata_csv(summary))))
    assert [row["dead"] for row in rows] == ["steering", "", ""]  # the last are the accepted, of the living stratum
    assert {rows[0][name] for name in ("steering_wins", "steering_n", "null_win_rate", "win_rate_low")} == {""}


def test_the_report_says_so_and_draws_no_bar(tmp_path: Path) -> None:
    folder, summary = summary_of(tmp_path, BROKEN)
    html = (folder.path / "report.html").read_text("utf-8")
    assert "this instrument measured nothing here" in html
    assert "<td>dead</td>" in html
    assert "30%" not in html
    assert ", wins<" not in html
    assert "wins are not counted" in html  # the texts stay to be read
    assert not (folder.path / "figures" / "steering.png").exists()
    assert (folder.path / "figures" / "coherence.png").exists()
    table = (folder.path / "tables" / "decisions.csv").read_text("utf-8")
    assert {row["win_rate"] for row in csv.DictReader(io.StringIO(table))} == {""}
    assert Summary.model_validate_json((folder.path / "summary.json").read_bytes()).floors == summary.floors


def test_accepted_features_whose_texts_are_refused_have_no_win_rate() -> None:
    accepted = refused(1)
    verdict = Decision.model_validate(
        {
            "run_id": "r",
            "feature": accepted.feature,
            "stratum": "candidates",
            "status": "decided",
            "relevant": "yes",
            "confidence": 0.9,
            "evidence_sha256": "0",
            "judge": {"kind": "llm"},
        }
    )
    found = summarise("r", [verdict], [accepted], None, None, usage=verdict.usage)
    assert found.accepted is not None
    assert found.accepted.steering_n == 0
    assert [floor.stratum for floor in found.floors] == ["accepted features"]


# --- old runs ---------------------------------------------------------------------------------------------------------


def test_a_manifest_of_before_says_that_nobody_looked(tmp_path: Path) -> None:
    manifest = begin(tmp_path / "old", BROKEN, None).manifest()
    assert Manifest.model_validate(manifest.model_dump(exclude={"floors"})).floors is None


def test_an_old_run_is_replayed_as_it_was_judged_and_shown_as_it_is(tmp_path: Path) -> None:
    old = begin(tmp_path / "old", BROKEN, None)
    decisions = judge(old)
    assert {decision.relevant for decision in decisions} == {"yes"}  # nobody looked
    found = replay(old, load_question("pocket"), Console(file=io.StringIO()))
    assert (found.same, found.total) == (12, 12)
    assert [floor.instrument for floor in floors_of(old.path, old.manifest(), BROKEN)] == ["steering"]
    shown = write_all(old, load_question("pocket"), BROKEN, decisions, None, Stopwatch())
    assert shown.strata[0].steering_n == 0
    assert old.manifest().floors is None  # found, and not stored back
    assert any("3 of 10 texts won" in reason for reason in decisions[0].reasons)
    for decision in read_living(old).decisions:
        assert decision.steering is None
        assert not any("texts won" in reason for reason in decision.reasons)
        assert any(reason.startswith("steering: measured nothing here") for reason in decision.reasons)
    assert "texts won" not in (old.path / "report.html").read_text("utf-8")


def test_judging_again_looks_and_is_replayed_with_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = begin(tmp_path / "old", BROKEN, None)
    for decision, evidence in zip(judge(old), BROKEN, strict=True):
        old.write_transcript(evidence.feature, ())
        assert decision.relevant == "yes"
    assert main(["--rejudge", str(old.path), "--judge", "rules", "--runs", str(tmp_path / "again")]) == 0
    again = RunFolder.open(next((tmp_path / "again").iterdir()))
    floors = again.manifest().floors
    assert floors is not None
    assert [(floor.instrument, floor.stratum) for floor in floors] == [("steering", None)]
    assert {decision.relevant for decision in again.decisions()} == {"undecided"}
    assert "this instrument measured nothing here" in capsys.readouterr().out
    assert main(["--replay", str(again.path)]) == 0
    assert "12 of 12 decisions reproduced byte for byte" in capsys.readouterr().out
