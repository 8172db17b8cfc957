"""What directions do to the next token, against random directions, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tools.bench.workbench import Workbench
from tools.effects.intervention import Addition, Intervention
from tools.effects.promotion import RANDOM_DIRECTIONS, Promoter
from tools.effects.steering import prompt_rows
from tools.maths import seed_of
from tools.records import PromotionEvidence
from tools.study.definition import Study
from tools.survey.features import Survey
from tools.survey.projection import project, random_directions

SEED, NORM, FEATURES = 4, 3.0, [0, 3, 20]


@pytest.fixture(scope="module")
def promoter(bench: Workbench, study: Study, survey: Survey) -> Promoter:
    return Promoter(bench, study, survey.lens, NORM, SEED)


@pytest.fixture(scope="module")
def found(bench: Workbench, survey: Survey, promoter: Promoter) -> list[PromotionEvidence]:
    directions = bench.directions[FEATURES]
    ids = project(directions, survey.lens, 10).top_ids.numpy()
    strengths = promoter.find_strengths(directions)
    return promoter.describe(directions, ids, strengths.norms, strengths.kl)


def changes_of(bench: Workbench, study: Study, direction: torch.Tensor, norm: float) -> np.ndarray:
    """Mean over the prompts, one at a time."""
    parts = []
    for prompt in study.steering.prompts:
        rows = prompt_rows(bench, bench.tokenize(prompt), 1)
        plain = torch.log_softmax(bench.step(rows, None, None).logits, -1)
        edit = Intervention(Addition(norm * direction[None]))
        parts.append((torch.log_softmax(bench.step(rows, None, edit).logits, -1) - plain)[0])
    return torch.stack(parts).mean(0).numpy()


def test_every_figure_is_that_of_one_direction_at_a_time(
    bench: Workbench,
    study: Study,
    survey: Survey,
    promoter: Promoter,
    found: list[PromotionEvidence],
) -> None:
    drawn = random_directions(RANDOM_DIRECTIONS, bench.directions.shape[1], seed_of(SEED, "promotion") >> 8)
    norms = promoter.find_strengths(drawn).norms.tolist()
    ids = project(drawn, survey.lens, study.survey.top_k).top_ids.numpy()
    randoms = [changes_of(bench, study, direction, norm) for direction, norm in zip(drawn, norms, strict=True)]
    theirs = [change[i].mean() for change, i in zip(randoms, ids, strict=True)]
    usual = np.mean(randoms, axis=0)
    listed = project(bench.directions[FEATURES], survey.lens, 10).top_ids.numpy()
    own = promoter.find_strengths(bench.directions[FEATURES]).norms.tolist()
    for place, record in enumerate(found):
        change = changes_of(bench, study, bench.directions[FEATURES[place]], own[place])
        assert record.change == pytest.approx(change[listed[place]].mean(), abs=1e-4)
        assert record.null_change == pytest.approx(np.median(theirs), abs=1e-4)
        assert record.null_share == pytest.approx(np.mean(np.array(theirs) >= record.change), abs=1 / 32)
        for moved in (*record.raised, *record.lowered):
            assert moved.change == pytest.approx(change[moved.token_id], abs=1e-3)
            assert moved.random == pytest.approx(usual[moved.token_id], abs=1e-3)
        beyond = np.sort(change - usual)
        assert [m.change - m.random for m in record.raised] == pytest.approx(
            beyond[::-1][: len(record.raised)], abs=1e-3
        )
        assert [m.change - m.random for m in record.lowered] == pytest.approx(beyond[: len(record.lowered)], abs=1e-3)


def test_random_directions_reach_what_random_directions_reach(
    bench: Workbench, study: Study, survey: Survey, promoter: Promoter
) -> None:
    """The statement can be false: of directions that mean nothing, as many stand beyond the null as chance says."""
    drawn = random_directions(40, bench.directions.shape[1], 77)
    ids = project(drawn, survey.lens, study.survey.top_k).top_ids.numpy()
    strengths = promoter.find_strengths(drawn)
    shares = [record.null_share for record in promoter.describe(drawn, ids, strengths.norms, strengths.kl)]
    assert 0.3 < np.mean(shares) < 0.7


def test_the_null_is_the_same_whatever_is_described(
    bench: Workbench, survey: Survey, promoter: Promoter, found: list[PromotionEvidence]
) -> None:
    directions = bench.directions[[FEATURES[1]]]
    ids = project(directions, survey.lens, 10).top_ids.numpy()
    strengths = promoter.find_strengths(directions)
    (alone,) = promoter.describe(directions, ids, strengths.norms, strengths.kl)
    assert [m.token_id for m in alone.raised] == [m.token_id for m in found[1].raised]
    assert alone.change == pytest.approx(found[1].change, abs=1e-4)
    assert (alone.null_share, alone.null_change) == (found[1].null_share, found[1].null_change)
