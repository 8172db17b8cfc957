"""The arms that a target is tried with do what they are called, and the request is put in the model's own form."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tools.alignment.scores import FeatureScores
from tools.bench.workbench import Workbench
from tools.study.definition import Study
from tools.toward.activity import measure_activity
from tools.toward.arms import Manner, make_steering
from tools.toward.asking import word_request
from tools.toward.heldout import lay_out, score_held_out
from tools.toward.support import choose_support
from tools.toward.weighing import weigh


@pytest.fixture(scope="module")
def manner(topk_bench: Workbench, study: Study) -> Manner:
    activity = measure_activity(topk_bench, topk_bench.read_text(study, "train", topk_bench.row_width))
    prompts = [topk_bench.tokenize(prompt) for prompt in study.steering.prompts]
    return Manner(choose_support(topk_bench, activity), activity, True, 0.3, prompts, 0)


def scores_of(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(48)


def test_equal_scores_swap_nothing(topk_bench: Workbench, manner: Manner, residual: torch.Tensor) -> None:
    change = make_steering(topk_bench, "swap", "target", np.full(48, 0.7), manner, "any")
    assert change(residual[:1]).abs().max() < 1e-6


def test_a_reconstruction_drops_the_error_also_where_others_keep_it(
    topk_bench: Workbench, manner: Manner, residual: torch.Tensor
) -> None:
    change = make_steering(topk_bench, "reconstruction", None, scores_of(), manner, "any")
    rebuilt = topk_bench.decode_activations(topk_bench.encode(residual[:1]), residual[:1])
    torch.testing.assert_close(residual[:1] + change(residual[:1]), rebuilt, atol=1e-5, rtol=1e-5)


def test_controls_differ_from_the_target_and_between_targets_and_come_again(
    topk_bench: Workbench, manner: Manner, residual: torch.Tensor
) -> None:
    def added(whose: str, name: str) -> torch.Tensor:
        return make_steering(topk_bench, "add", whose, scores_of(), manner, name)(residual[:1])  # type: ignore[arg-type]

    for whose in ("shuffled", "random"):
        assert torch.equal(added(whose, "one"), added(whose, "one"))
        assert not torch.allclose(added(whose, "one"), added("target", "one"))
        assert not torch.allclose(added(whose, "one"), added(whose, "two"))
    assert torch.equal(added("target", "one"), added("target", "two"))


def test_a_score_that_is_no_number_is_refused(topk_bench: Workbench, manner: Manner) -> None:
    with pytest.raises(ValueError, match="NaN"):
        make_steering(topk_bench, "swap", "target", np.full(48, np.nan), manner, "any")


def test_held_out_text_is_the_same_tokens_whether_something_is_asked_or_not(topk_bench: Workbench) -> None:
    texts = ["The doctor met the nurse in the hospital and the heart was with a patient of the river.", "A train."]
    held_out = lay_out(topk_bench, texts, "In the market. ")
    plain, asked = (score_held_out(topk_bench, held_out, None, asks) for asks in (False, True))
    assert plain.documents.tolist() == asked.documents.tolist() == [0, 1]
    assert plain.tokens.tolist() == asked.tokens.tolist()
    assert not np.allclose(plain.nats, asked.nats)


def test_the_nats_of_a_request_are_those_of_the_text_that_follows_it(topk_bench: Workbench) -> None:
    held_out = lay_out(topk_bench, ["A train in the market."], "In winter ")
    found = score_held_out(topk_bench, held_out, None, True)
    said, own = topk_bench.tokenize("In winter "), topk_bench.tokenize("A train in the market.")
    tokens = torch.tensor([[topk_bench.bos, *said, *own]])
    likely = torch.log_softmax(topk_bench.logits(tokens)[0, len(said) : -1], dim=-1)
    expected = -likely.gather(1, torch.tensor(own)[:, None]).mean()
    assert found.nats[0] == pytest.approx(float(expected), abs=1e-5)


def test_a_plain_model_is_asked_by_the_beginning_of_a_text(topk_bench: Workbench) -> None:
    assert word_request(topk_bench, "law", "plain") == "The following text is about law. "
    assert word_request(topk_bench, "law", "chat") == "Let the answer be about law. "


def test_a_model_with_a_chat_template_is_asked_in_it(topk_bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    template = "{{ bos_token }}{% for m in messages %}USER: {{ m.content }}{% endfor %} ASSISTANT: "
    monkeypatch.setattr(topk_bench.tokenizer, "chat_template", template)
    said = "Write a text about law. It begins with the words that follow."
    assert word_request(topk_bench, "law", "plain") == f"USER: {said} ASSISTANT: "


def test_weights_are_centred_where_a_score_of_nothing_means_as_usual() -> None:
    difference = np.array([0.0, 1.5, -3.0, 0.5, 2.0])
    scored = np.array([True, True, True, True, False])
    score = np.where(scored, np.clip(difference, 0, 3) / 3, 0)
    found = weigh(FeatureScores("contrast", score, scored, np.where(scored, difference, 0)))
    assert found.tolist() == [0.5, 1.0, 0.0, 0.75, 0.0]
    by_reference = FeatureScores("reference", score, scored, difference)
    assert weigh(by_reference).tolist() == score.tolist()
