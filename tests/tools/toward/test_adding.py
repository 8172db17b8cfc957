"""The features of a text as one vector, as long as its effect is to be."""

from __future__ import annotations

import pytest
import torch

from tests.tools.toward.conftest import draw_scores
from tools.bench.workbench import Workbench
from tools.effects.intervention import Intervention
from tools.survey.projection import random_directions
from tools.toward.adding import calibrate, score_direction


def test_direction_is_the_weighted_sum_of_the_best_scored(topk_bench: Workbench) -> None:
    scores = torch.zeros(2, 48)
    scores[0, 3] = 1.0
    scores[1, [3, 5]] = torch.tensor([0.6, 0.2])
    made = score_direction(topk_bench, scores)
    torch.testing.assert_close(made[0], topk_bench.directions[3])
    both = 0.6 * topk_bench.directions[3] + 0.2 * topk_bench.directions[5]
    torch.testing.assert_close(made[1], both / both.norm())
    torch.testing.assert_close(score_direction(topk_bench, scores, best=1)[1], topk_bench.directions[3])


@pytest.mark.parametrize(("value", "said"), [(torch.nan, "is NaN"), (0.0, "no direction")])
def test_scores_that_point_nowhere_are_refused(topk_bench: Workbench, value: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        score_direction(topk_bench, torch.full((1, 48), value))


def test_text_and_random_directions_are_added_with_equal_effect(topk_bench: Workbench) -> None:
    prompts = [topk_bench.tokenize("The captain of the"), topk_bench.tokenize("In the market")]
    own, control = score_direction(topk_bench, draw_scores(1)), random_directions(1, 32, seed=1)
    found = calibrate(topk_bench, torch.cat([own, control]), prompts, target_kl=0.3)
    torch.testing.assert_close(found.kl, torch.full((2,), 0.3), atol=0.003, rtol=0)
    torch.testing.assert_close(found.change.vectors.norm(dim=1), found.strengths * topk_bench.usual_norm)
    for row in range(2):
        edit = Intervention(found.change.take(torch.tensor([row])))
        moved = 0.0
        for prompt in prompts:
            tokens = torch.tensor([[topk_bench.bos, *prompt]])
            plain, after = (topk_bench.logits(tokens, one)[0, -1].log_softmax(-1) for one in (None, edit))
            moved += float((plain.exp() * (plain - after)).sum()) / 2
        assert moved == pytest.approx(0.3, abs=0.005)
