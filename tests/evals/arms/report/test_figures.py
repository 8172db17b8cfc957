"""Figure 2 shows the words that the run counted as hits, or nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evals.arms.report.figures import collect_weights
from evals.arms.runs import Arm
from evals.arms.summary import read_run
from tests.evals.arms.worlds import N_CANDIDATES, N_FEATURES, write_arm
from tools.study.definition import Study


@pytest.fixture
def arm(tmp_path: Path) -> Arm:
    """Lists with a domain word in the second place of the candidates' lists, and in no other."""
    found = read_run(write_arm(tmp_path / "b")).arm
    tokens = [[" river", " doctor" if i < N_CANDIDATES else " bread", " train"] for i in range(N_FEATURES)]
    hits = np.where(np.arange(N_FEATURES) < N_CANDIDATES, 1, 0)
    survey = found.survey.assign(top_tokens=pd.Series(tokens))
    thresholds = found.thresholds._replace(hits=1)
    return found._replace(survey=survey, table=found.table.assign(hits=hits), thresholds=thresholds)


def test_weights_are_those_of_domain_words_in_units_of_their_row(arm: Arm, study: Study) -> None:
    found = collect_weights(arm, study, ("doctor", "river", "bread", "train"))
    assert found is not None
    assert len(found.keyword) == N_CANDIDATES and len(found.relevant) == 8
    row = arm.survey.iloc[0]
    assert found.keyword[0] == pytest.approx(float(row["top_weights"][1]) / float(row["std"]))


def test_another_vocabulary_than_the_runs_shows_nothing(arm: Arm, study: Study) -> None:
    counted = arm._replace(table=arm.table.assign(hits=arm.table["hits"] + 1))
    assert collect_weights(counted, study, ("doctor", "river")) is None
