"""Lenses against what the model does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tools.bench.workbench import Workbench
from tools.errors import StudyError
from tools.study.corpus import cut_rows
from tools.study.definition import Study, SurveyDefaults
from tools.survey.features import survey_directions, survey_features
from tools.survey.jacobian import average_jacobian
from tools.survey.lens import make_lens
from tools.survey.projection import project, random_directions
from tools.survey.study_lens import find_lens


@pytest.fixture(scope="session")
def text(bench: Workbench) -> torch.Tensor:
    """Two full rows of text that open with BOS."""
    ids = bench.tokenize("The doctor met the nurse in the hospital and the captain was with a heart in the river.")
    return torch.from_numpy(cut_rows([ids[:11], ids[4:15]], ["a", "b"], 12, bench.bos).tokens)


@pytest.fixture(scope="session")
def with_effect(study: Study) -> Study:
    return study.model_copy(update={"survey": SurveyDefaults(lens="effect", null_directions=50)})


def effect_lens(bench: Workbench, tokens: torch.Tensor) -> torch.Tensor:
    return make_lens(bench, "effect", average_jacobian(bench, tokens).jacobian())


def measured_effect(bench: Workbench, tokens: torch.Tensor, direction: torch.Tensor, step: float) -> torch.Tensor:
    """Central difference of the mean logits when the direction is added at every position but BOS."""

    def logits(sign: float) -> torch.Tensor:
        def push(residual: torch.Tensor) -> torch.Tensor:
            pushed = residual.clone()
            pushed[:, 1:] += sign * step * direction
            return pushed

        return bench.logits(tokens, push)[:, 1:].mean(dim=(0, 1))

    change = (logits(1) - logits(-1)) / (2 * step)
    return change - change.mean()


def test_direct_lens_is_the_processed_unembedding(bench: Workbench, study: Study) -> None:
    lens = find_lens(bench, study)
    assert torch.equal(lens.matrix, bench.W_U)
    assert lens.report is None


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_effect_lens_tells_what_a_small_step_does_to_the_logits(
    bench: Workbench, last_bench: Workbench, text: torch.Tensor, seed: int
) -> None:
    direction = random_directions(1, 32, seed)[0]
    for one in (bench, last_bench):
        read = direction @ effect_lens(one, text)
        measured = measured_effect(one, text, direction, 0.02)
        assert float(measured.norm()) > 0.1
        assert float((read - measured).norm() / measured.norm()) < 0.02


def test_effect_lens_sees_later_layers_and_the_direct_lens_does_not(bench: Workbench, text: torch.Tensor) -> None:
    direction = random_directions(1, 32, 0)[0]
    measured = measured_effect(bench, text, direction, 0.02)
    near, far = (
        float(torch.cosine_similarity(direction @ matrix, measured, dim=0))
        for matrix in (effect_lens(bench, text), bench.W_U)
    )
    assert near > 0.999 > far + 0.05


def test_jacobian_leaves_no_gradient_behind(bench: Workbench, text: torch.Tensor) -> None:
    jacobian = average_jacobian(bench, text).jacobian()
    assert jacobian.shape == (32, 32)
    assert not jacobian.requires_grad
    assert all(parameter.grad is None for parameter in bench.bridge.original_model.parameters())


def test_survey_projects_features_and_null_on_the_studys_lens(bench: Workbench, with_effect: Study) -> None:
    survey = survey_features(bench, with_effect, seed=0)
    lens = find_lens(bench, with_effect).matrix
    assert torch.equal(survey.lens, lens)
    assert not torch.allclose(lens, bench.W_U, atol=0.1)
    expected = project(bench.directions, lens, 10).top_ids
    assert torch.equal(survey.features.projection.top_ids, expected)
    null = project(random_directions(50, 32, 0), lens, 10).top_ids
    assert torch.equal(survey.null.projection.top_ids, null)
    direct = survey_directions(bench.directions, bench.W_U, survey.lexicon, 10).hits
    assert survey.direct_hits.tolist() == direct.tolist()
    assert survey.direct_hits.tolist() != survey.features.hits.tolist()
    null_direct = survey_directions(random_directions(50, 32, 0), bench.W_U, survey.lexicon, 10).hits
    assert survey.null_direct_hits.tolist() == null_direct.tolist()


def test_effect_lens_needs_passages_long_enough(bench: Workbench, with_effect: Study, study_copy: Path) -> None:
    entries = [{"document": f"d{i}", "text": f"A heart {i}"} for i in range(9)]
    (study_copy / "corpus.jsonl").write_text("\n".join(map(json.dumps, entries)), "utf-8")
    with pytest.raises(StudyError, match=r"passages of at least 23 tokens; set survey\.lens to direct"):
        find_lens(bench, with_effect.model_copy(update={"folder": study_copy}))
