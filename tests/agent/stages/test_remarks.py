"""What a run says of its survey and of the text that it left out."""

from __future__ import annotations

import numpy as np
import pytest

from agent.folder.records import Selection
from agent.stages.remarks import count_sinks, describe_hits, describe_selection
from tools.bench.workbench import Workbench
from tools.records import ActivationEvidence, Evidence, FeatureRef
from tools.study.definition import Study, SurveyDefaults
from tools.survey.features import Survey
from tools.survey.lens_report import LensReport

NULL_HITS = np.array([0] * 90 + [2] * 6 + [3] * 3 + [4])
REPORT = LensReport(name="effect", hook_name="h", rows=16, positions=900, width=64, skip=16, dtype="bfloat16")


def by_rule(study: Study, **settings: object) -> Study:
    return study.model_copy(update={"survey": SurveyDefaults.model_validate(settings)})


def test_rule_of_the_null_is_said_with_its_number(study: Study) -> None:
    chosen = Selection(items=(), sizes=(), rule="null", least_hits=4)
    said = describe_selection(chosen, NULL_HITS, by_rule(study, candidates="null", alpha=0.02))
    assert said.endswith(
        "; candidates have 4 hits or more, the fewest that at most 2.0% of random directions have (1.0% do)"
    )
    none = describe_selection(
        chosen.model_copy(update={"least_hits": None}), NULL_HITS, by_rule(study, candidates="null")
    )
    assert none.endswith("no number of hits is reached by 1.0% of random directions or fewer")


@pytest.mark.parametrize("rule", [None, "hits"])
def test_published_rule_is_said_as_it_always_was(study: Study, rule: str | None) -> None:
    chosen = Selection.model_validate({"items": (), "sizes": (), "rule": rule})
    assert describe_selection(chosen, NULL_HITS, study) == "0 features; 10.0% of random directions have as many hits"


def test_both_lenses_stand_side_by_side(survey: Survey, study: Study) -> None:
    assert describe_hits(survey, study) == [], "one lens, nothing to compare"
    many, few = np.array([0, 2, 3, 0]), np.array([0, 0, 2, 0])
    found = survey._replace(
        features=survey.features._replace(hits=many),
        null=survey.null._replace(hits=few),
        direct_hits=few,
        null_direct_hits=many,
        report=REPORT,
    )
    assert describe_hits(found, study) == [
        "2 hits or more by the effect lens: 50.0% of features, 25.0% of random directions",
        "2 hits or more by the direct lens: 25.0% of features, 50.0% of random directions",
    ]


def test_sinks_are_counted_over_the_text_that_was_observed(bench: Workbench, study: Study) -> None:
    real = int(bench.read_text(study, "train", bench.row_width).real.sum())
    ref = FeatureRef(study="tiny", sae="base", index=1)
    seen = Evidence(feature=ref, stratum="candidates", activations=ActivationEvidence(n_tokens=real - 7, top=()))
    found = count_sinks(bench, study, [seen])
    assert found is not None and (found.positions, found.of, found.multiple) == (7, real, 4.0)
    assert found.sentence.startswith(
        f"7 of {real:,} positions are attention sinks (residual stream over 4 times the usual 11)"
    )
    assert count_sinks(bench, study, [seen.model_copy(update={"activations": None})]) is None


def test_lens_says_whether_it_came_to_rest() -> None:
    assert REPORT.sentence == "effect lens over 16 rows, made in 0 s"
    rested = REPORT.model_copy(update={"curve": (0.2, 0.031), "converged": True, "remembered": True})
    assert rested.sentence == (
        "effect lens over 16 rows, the last moved the mean by 3.1% (at rest), kept from an earlier run"
    )
