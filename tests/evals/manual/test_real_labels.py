"""The importers on people's labels as published; run where UNVEIL_LABELS names a folder with them, else skipped.

The folder holds `study`, `two_raters` and `feature_circuits`, each in the layout of its public repository. It may hold a
part of each: counts of the whole are known for the study only, and a part may not exceed them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from evals.agreement.people import rows_among_people
from evals.manual.files import import_labels, settle
from evals.manual.records import Import

LABELS = Path(os.environ.get("UNVEIL_LABELS", ""))
pytestmark = pytest.mark.skipif("UNVEIL_LABELS" not in os.environ, reason="UNVEIL_LABELS names no folder of labels")

PUBLISHED = {"baseline": (101, 27), "finetuned": (111, 12)}
"""Features kept, and rejected by hand, in the whole of the study."""


@pytest.fixture(scope="module")
def study() -> Import:
    return import_labels("study", LABELS / "study")


@pytest.mark.parametrize("arm", ["baseline", "finetuned"])
def test_every_kept_feature_is_a_yes_and_no_more_are_rejected_than_there_were(study: Import, arm: str) -> None:
    kept = json.loads((LABELS / "study" / "features" / f"features_medical_{arm}.json").read_text("utf-8"))
    verdicts = {one.item.index: one.value for one in study.labels if one.item.sae == arm}
    assert {index for index, verdict in verdicts.items() if verdict == "yes"} == set(map(int, kept))
    most_kept, most_rejected = PUBLISHED[arm]
    assert len(kept) <= most_kept
    assert 0 < sum(verdict == "no" for verdict in verdicts.values()) <= most_rejected
    assert study.problems == ()


def test_the_papers_means_are_those_of_the_kept_features_and_not_of_all(study: Import) -> None:
    """The paper gives 0.5438 and 0.3511 as the entire feature set's; a part of the features comes near them."""
    lines = [line for line in study.findings if "mean" in line]
    for line, published in zip(lines, (0.5438, 0.3511), strict=True):
        kept, everything = (float(part.split()[0].rstrip(",.")) for part in line.split("mean ")[1:])
        assert kept == pytest.approx(published, abs=0.03)
        assert everything < published - 0.15


def test_two_people_agree_on_whether_there_is_a_relation_more_than_on_how_close_it_is() -> None:
    found = import_labels("raters", LABELS / "two_raters")
    labels, _ = settle(found.labels)
    row = rows_among_people(labels, ordinal=True)[0]
    assert row.n == 8 * row.features
    kappa, quadratic = row.statistics["kappa"].value, row.statistics["kappa_quadratic"].value
    assert kappa is not None and quadratic is not None
    assert 0.7 < (row.statistics["accuracy"].value or 0) < 0.9
    assert 0 < kappa < quadratic < 1


def test_annotations_read_without_a_bad_row() -> None:
    found = import_labels("circuits", LABELS / "feature_circuits")
    assert found.problems == ()
    assert len({one.item.key for one in found.labels}) > 400
