"""Labels against what features are known to stand for."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.folder.records import Decision, JudgeRef
from agent.llm.records import Failure
from evals.reporting.page import as_lines
from evals.truths.labels import hold_labels, is_yes_worth_something, swap
from evals.truths.matching import Match, Pair, match_words
from evals.truths.naming import names_nothing
from evals.truths.report import lay_out, write_report
from evals.truths.results import LabelsHeld, MatcherRef, TruthReport
from tools.display.gates import read_requirement, unmet
from tools.records import FeatureRef
from tools.truth.known import KnownFeature

NUMBERS = KnownFeature(
    feature=0, kind="concept", name="numbers", meaning="numbers written out", words=("one", "two", "seven", "ten")
)
PERSON = KnownFeature(
    feature=1, kind="concept", name="first person", meaning="the speaker", words=("i", "me", "my", "we")
)
CAPITAL = KnownFeature(feature=2, kind="concept", name="capitals", meaning="words that begin with a capital")
SHUFFLED = KnownFeature(feature=3, kind="shuffled", name="numbers")
RANDOM = KnownFeature(feature=4, kind="random", name="seed 0")
KNOWN = {one.feature: one for one in (NUMBERS, PERSON, CAPITAL, SHUFFLED, RANDOM)}


def decide(feature: int, label: str | None, confidence: float = 0.9, interpretable: int | None = None) -> Decision:
    return Decision(
        run_id="r",
        feature=FeatureRef(study="toy", sae="planted", index=feature),
        stratum="candidates",
        status="decided",
        label=label,
        relevant="no",
        confidence=confidence,
        interpretable=interpretable,
        evidence_sha256="0" * 64,
        judge=JudgeRef(kind="rules"),
    )


def fail(feature: int) -> Decision:
    failure = Failure(type="refusal", message="I may not", attempts=1)
    bare = decide(feature, None).model_dump() | {"status": "failed", "relevant": None, "confidence": None}
    return Decision.model_validate(bare | {"failure": failure.model_dump()})


class Says:
    """A matcher that finds the names of concepts in labels; it says yes to everything if told to."""

    name = "says"

    def __init__(self, always: bool = False) -> None:
        self.always = always
        self.asked: list[Pair] = []

    async def match(self, pairs: Sequence[Pair]) -> list[Match]:
        self.asked += pairs
        return [Match(self.always or pair.concept.name in pair.label) for pair in pairs]


def hold(decisions: Sequence[Decision], matcher: Says | None = None) -> LabelsHeld:
    found = asyncio.run(hold_labels(decisions, KNOWN, matcher or Says(), MatcherRef(name="says")))
    assert found is not None
    return found


def test_right_wrong_nothing_and_failed_are_told_apart_and_add_up() -> None:
    found = hold(
        [
            decide(0, "numbers"),
            decide(1, "vegetables"),
            decide(2, "nothing that can be named"),
            fail(0),
            decide(3, "kitchens"),
            decide(4, "nothing"),
        ]
    )
    rows = {row.group: row for row in found.rows}
    assert rows["concept"].counts == {"right": 1, "wrong": 1, "not told": 0, "nothing nameable": 1, "failed": 1}
    assert rows["concept"].share.value == 0.25
    assert rows["placebos"].counts == {"named": 1, "nothing nameable": 1, "failed": 0}
    assert (rows["shuffled"].share.value, rows["random"].share.value) == (1.0, 0.0)
    assert [row.outcome for row in found.concepts if row.why] == ["failed"]


def test_a_failure_an_abstention_and_a_name_are_three_things_on_the_page_in_figures_and_in_the_file(
    tmp_path: Path,
) -> None:
    decisions = [fail(0), decide(1, "nothing that can be named"), decide(2, "capitals"), fail(3), decide(4, "noise")]
    report = TruthReport(run="r", judge="rules", labels=hold(decisions))
    assert {name: report.figures[name] for name in report.figures if not name.startswith(("swapped", "right"))} == {
        "concepts_unnamed": pytest.approx(1 / 3),
        "concepts_failed": pytest.approx(1 / 3),
        "placebos_named": 0,
        "placebos_named_low": pytest.approx(0, abs=1e-9),
        "placebos_named_high": pytest.approx(0.6576, abs=1e-4),
        "placebos_unnamed": 0.5,
        "placebos_failed": 0.5,
    }
    assert unmet([read_requirement("placebos_named<=0.02")], report.figures) == []
    assert len(unmet([read_requirement("placebos_failed<=0")], report.figures)) == 1, "a run that fails does not pass"
    write_report(tmp_path, report)
    stored = TruthReport.model_validate_json((tmp_path / "truth.json").read_bytes())
    assert stored.labels is not None
    assert [row.outcome for row in stored.labels.concepts] == [
        "failed", "nothing nameable", "right", "failed", "nothing nameable"
    ]  # fmt: skip
    (header, concept, *_, placebos) = csv.reader((tmp_path / "outcomes.csv").read_text().splitlines())
    assert dict(zip(header, concept, strict=True)) | {"failed": "1", "nothing nameable": "1", "right": "1"} == dict(
        zip(header, concept, strict=True)
    )
    assert dict(zip(header, placebos, strict=True)) | {"failed": "1", "nothing nameable": "1", "named": "0"} == dict(
        zip(header, placebos, strict=True)
    )
    said = " ".join(as_lines(lay_out(report)))
    assert "2 verdicts on features that are known could not be had" in said
    assert "could not be had" not in " ".join(
        as_lines(lay_out(report.model_copy(update={"labels": hold(decisions[1:3])})))
    )


def test_a_name_for_a_placebo_asks_nobody_and_a_failure_is_no_abstention() -> None:
    matcher = Says()
    hold([decide(3, "numbers"), fail(0), decide(1, "nothing")], matcher)
    assert matcher.asked == []


def test_other_features_of_the_run_are_passed_over() -> None:
    beyond = decide(9, "numbers")
    assert asyncio.run(hold_labels([beyond], KNOWN, Says(), MatcherRef(name="says"))) is None
    assert sum(row.features for row in hold([beyond, decide(0, "numbers")]).rows) == 1


def test_every_label_is_also_put_beside_a_meaning_that_is_not_its_own() -> None:
    pairs = [Pair("a", NUMBERS), Pair("b", PERSON), Pair("c", CAPITAL), Pair("d", NUMBERS)]
    swapped = swap(pairs, seed=3)
    assert [pair.label for pair in swapped] == ["a", "b", "c", "d"]
    assert all(one.concept.name != other.concept.name for one, other in zip(pairs, swapped, strict=True))
    assert swap([Pair("a", NUMBERS), Pair("d", NUMBERS)], seed=0) == []


def test_whoever_says_yes_to_everything_is_found_out_by_the_exchanged_pairs() -> None:
    decisions = [decide(0, "x"), decide(1, "y"), decide(2, "z")]
    found = hold(decisions, Says(always=True))
    assert found.rows[0].share.value == 1.0
    assert found.swapped.value == 1.0
    assert not is_yes_worth_something(found.swapped)
    assert is_yes_worth_something(hold([decide(0, "numbers"), decide(1, "first person")]).swapped)


@pytest.mark.parametrize(
    ("label", "nothing"),
    [
        ("nothing that can be named", True),
        ("Nothing nameable.", True),
        ("no clear theme", True),
        ("unclear", True),
        ("unnamed", True),
        ("never active", True),
        ("nothing, none, never", False),
        ("none of the above in forms", False),
        ("dead people in obituaries", False),
        ("no", False),
        ("noise in signals", False),
    ],
)
def test_a_label_that_names_nothing_is_told_from_one_about_nothing(label: str, nothing: bool) -> None:
    assert names_nothing(decide(0, label)) == nothing


def test_what_cannot_be_interpreted_at_all_names_nothing_whatever_its_label_says() -> None:
    assert names_nothing(decide(0, "kitchens", interpretable=0))
    assert not names_nothing(decide(0, "kitchens", interpretable=1))
    assert names_nothing(decide(0, None))


@pytest.mark.parametrize(
    ("label", "same"),
    [("two, seven", True), ("two, seven, boats, cars", True), ("two, boats, cars", False), ("Ten", True), ("…", False)],
)
def test_words_tell_labels_that_list_them(label: str, same: bool) -> None:
    assert match_words(Pair(label, NUMBERS)).same is same


@pytest.mark.parametrize(("label", "same"), [("Disc C4: mine", True), ("disc d4: mine", False), ("c4, d4", False)])
def test_a_label_that_is_the_name_of_what_is_known_is_the_same_and_a_like_name_is_not(label: str, same: bool) -> None:
    square = KnownFeature(
        feature=0, kind="concept", name="disc c4: mine", meaning="own disc on c4", words=("disc c4: mine",)
    )
    assert match_words(Pair(label, square)).same is same


@pytest.mark.parametrize(
    ("label", "same"),
    [
        ("ulated, ed, ored", True),
        ("ulated, wanted, boats, ing", True),
        ("ulated, boats, cars", False),
        ("ing, er", False),
    ],
)
def test_pieces_of_words_are_read_as_the_words_that_they_end(label: str, same: bool) -> None:
    past = KnownFeature(
        feature=0,
        kind="concept",
        name="past",
        meaning="words in -ed",
        words=("wanted",),
        pieces=("ulated", "ed", "ored"),
    )
    assert match_words(Pair(label, past)).same is same


def test_what_is_known_from_before_pieces_were_kept_has_the_hash_that_it_had() -> None:
    assert "pieces" not in NUMBERS.model_dump_json()


def test_words_cannot_tell_a_concept_that_none_stand_for() -> None:
    found = match_words(Pair("Words with a capital", CAPITAL))
    assert found.same is None and found.why


def test_confidence_is_held_against_being_right_and_a_named_placebo_is_wrong() -> None:
    decisions = [decide(0, "numbers", 0.9) for _ in range(8)] + [decide(3, "numbers", 0.6) for _ in range(4)]
    calibration = hold(decisions).calibration
    assert calibration is not None
    assert json.loads(calibration.model_dump_json())
    assert hold(decisions[:8]).calibration is None
