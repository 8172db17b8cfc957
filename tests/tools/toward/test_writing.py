"""Texts of several arms: the same random numbers, nothing shared but them, and the proof of what was done to each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.tools.toward.conftest import draw_scores
from tools.bench.workbench import Workbench
from tools.effects.intervention import Addition, Change, Intervention, Stacked
from tools.effects.steering import generate, row_noise, score_perplexity
from tools.errors import StudyError
from tools.records import Policy
from tools.study.corpus import cut_rows
from tools.study.definition import Arm, FurtherSae
from tools.toward.adding import calibrate, score_direction
from tools.toward.batches import join
from tools.toward.likelihood import nats_per_token
from tools.toward.rewriting import Rewrite, Scheme, rewrite
from tools.toward.support import Support
from tools.toward.writing import WritingArm, WrittenTexts, write_texts

OWN = Support(k=6, rule="k of the SAE")
PROMPTS = ("The captain of the", "In the market")
NEW, SAMPLES = 6, 3
LATER = "blocks.2.hook_resid_pre"


def swap(bench: Workbench, seed: int = 0, scheme: Scheme = "swap", **more: Any) -> Rewrite:
    return rewrite(bench, draw_scores(1, seed=seed), scheme, OWN, **more)


def add(bench: Workbench, amount: float = 10) -> Addition:
    return Addition(amount * bench.directions[[3]])


def write(bench: Workbench, arms: dict[str, Change | None | WritingArm], **changes: Any) -> WrittenTexts:
    settings: dict[str, Any] = {"samples": SAMPLES, "new_tokens": NEW, "temperature": 1.0, "top_k": 50, "seed": 1}
    named = {name: arm if isinstance(arm, WritingArm) else WritingArm(arm) for name, arm in arms.items()}
    return write_texts(bench, PROMPTS, named, **{**settings, **changes})


@pytest.fixture(scope="module")
def written(topk_bench: Workbench) -> WrittenTexts:
    return write(topk_bench, {"plain": None, "swap": swap(topk_bench), "add": add(topk_bench)})


def test_shapes_are_arms_prompts_samples(written: WrittenTexts) -> None:
    assert (written.arms, written.prompts) == (("plain", "swap", "add"), PROMPTS)
    assert written.tokens.shape == (3, 2, SAMPLES, NEW) == written.displaced.shape == written.log_probs.shape
    assert written.texts.shape == (3, 2, SAMPLES) == written.kl.shape == written.perplexity.shape


def test_plain_arm_is_what_the_model_writes_alone(topk_bench: Workbench, written: WrittenTexts) -> None:
    for place, prompt in enumerate(PROMPTS):
        noise = np.stack([row_noise(f"1|toward|{prompt}|{sample}", NEW) for sample in range(SAMPLES)])
        ids = topk_bench.tokenize(prompt)
        alone = generate(topk_bench, ids, Addition(torch.zeros(SAMPLES, 32)), noise, temperature=1.0, top_k=50)
        assert written.tokens[0, place].tolist() == alone.tokens.tolist()
        assert written.texts[0, place].tolist() == [topk_bench.decode(row) for row in alone.tokens.tolist()]
    assert written.tokens[1].tolist() != written.tokens[0].tolist() != written.tokens[2].tolist()


@pytest.mark.parametrize("alone", ["swap", "add"])
def test_arm_is_the_same_whatever_is_written_beside_it(
    topk_bench: Workbench, written: WrittenTexts, alone: str
) -> None:
    change = swap(topk_bench) if alone == "swap" else add(topk_bench)
    one = write(topk_bench, {alone: change}, samples=1)
    place = written.arms.index(alone)
    assert one.tokens[0, :, 0].tolist() == written.tokens[place, :, 0].tolist()
    for name in ("perplexity", "kl", "displaced", "moved"):
        np.testing.assert_allclose(
            getattr(one, name)[0, :, 0], getattr(written, name)[place, :, 0], atol=1e-4, rtol=1e-4
        )


def test_perplexity_is_that_of_the_unsteered_model(topk_bench: Workbench, written: WrittenTexts) -> None:
    for arm in range(3):
        for place, prompt in enumerate(PROMPTS):
            expected = score_perplexity(topk_bench, topk_bench.tokenize(prompt), written.tokens[arm, place])
            np.testing.assert_allclose(written.perplexity[arm, place], expected, rtol=1e-3)
    own = np.exp(-written.log_probs[0].mean(axis=-1))
    np.testing.assert_allclose(written.perplexity[0], own, rtol=1e-3)


def test_kl_is_what_whole_passes_over_the_texts_say(topk_bench: Workbench, written: WrittenTexts) -> None:
    changes: list[Change] = [swap(topk_bench), add(topk_bench)]
    for arm, change in enumerate(changes, 1):
        for place, prompt in enumerate(PROMPTS):
            ids = topk_bench.tokenize(prompt)
            for sample in range(SAMPLES):
                tokens = torch.tensor([[topk_bench.bos, *ids, *written.tokens[arm, place, sample]]])
                plain, after = (
                    topk_bench.logits(tokens, edit)[0, len(ids) : -1].log_softmax(-1)
                    for edit in (None, Intervention(change))
                )
                expected = float((plain.exp() * (plain - after)).sum(-1).mean())
                assert written.kl[arm, place, sample] == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert np.abs(written.kl[0]).max() < 1e-5 and written.kl[1:].min() > 1e-3


def test_what_was_moved_is_what_a_pass_over_the_text_moves(topk_bench: Workbench, written: WrittenTexts) -> None:
    """Without a cache, one text at a time, after the text is written."""
    change, masses = swap(topk_bench), torch.zeros(48)
    for place, prompt in enumerate(PROMPTS):
        ids = topk_bench.tokenize(prompt)
        for sample in range(SAMPLES):
            tokens = torch.tensor([[topk_bench.bos, *ids, *written.tokens[1, place, sample]]])
            found = change.compare(topk_bench.residuals(tokens))
            span = slice(len(ids), len(ids) + NEW)
            np.testing.assert_allclose(written.displaced[1, place, sample], found.displaced[0, span], atol=1e-5)
            np.testing.assert_allclose(written.moved[1, place, sample], found.moved[0, span], atol=1e-4)
            masses.index_add_(0, found.features[0, span].flatten(), found.masses[0, span].flatten())
    np.testing.assert_allclose(written.masses[1], masses / masses.sum(), atol=1e-5)
    assert np.isnan(written.displaced[[0, 2]]).all() and np.isnan(written.moved[[0, 2]]).all()
    assert 0 < written.displaced[1].mean() < 1 and written.moved[1].min() >= 0
    assert not written.masses[[0, 2]].any()


def test_share_of_features_kept_apart_is_told_for_each_text(topk_bench: Workbench, written: WrittenTexts) -> None:
    change, apart = swap(topk_bench), torch.arange(48) % 3 == 0
    arms: dict[str, Change | None | WritingArm] = {"plain": None, "swap": change, "add": add(topk_bench)}
    found = write(topk_bench, arms, apart=apart)
    assert found.tokens.tolist() == written.tokens.tolist()
    assert np.isnan(found.apart[[0, 2]]).all() and np.isnan(written.apart).all()
    for place, prompt in enumerate(PROMPTS):
        ids = topk_bench.tokenize(prompt)
        for sample in range(SAMPLES):
            tokens = torch.tensor([[topk_bench.bos, *ids, *found.tokens[1, place, sample]]])
            moved = change.compare(topk_bench.residuals(tokens))
            masses = moved.masses[0, len(ids) : len(ids) + NEW]
            own = masses[apart[moved.features[0, len(ids) : len(ids) + NEW]]].sum()
            assert found.apart[1, place, sample] == pytest.approx(float(own / masses.sum()), abs=1e-4)
    whole = write(topk_bench, {"swap": change}, apart=torch.ones(48, dtype=torch.bool))
    np.testing.assert_allclose(whole.apart, 1, atol=1e-5)
    same = rewrite(topk_bench, torch.ones(1, 48), "swap", OWN)
    assert np.isnan(write(topk_bench, {"same": same}, apart=apart).apart).all(), "nothing was moved"


def test_hook_counter_proves_that_an_arm_acted(topk_bench: Workbench, written: WrittenTexts) -> None:
    read = sum(1 + len(topk_bench.tokenize(prompt)) + NEW - 1 for prompt in PROMPTS)
    assert written.positions.tolist() == [0, read, read]


@pytest.mark.parametrize("policy", ["generated", "prompt"])
def test_policy_says_at_which_tokens_anything_is_moved(topk_bench: Workbench, policy: Policy) -> None:
    found = write(topk_bench, {"swap": swap(topk_bench)}, policy=policy)
    touched = found.moved[0].sum(axis=(0, 1)) > 0
    assert touched.tolist() == [policy == "prompt"] + [policy == "generated"] * (NEW - 1)


def test_published_policy_changes_no_position_that_a_token_is_sampled_from(topk_bench: Workbench) -> None:
    found = write(topk_bench, {"swap": swap(topk_bench)}, policy="published")
    assert np.isnan(found.moved).all() and np.isnan(found.displaced).all() and not found.masses.any()
    assert found.kl.min() > 0 and found.positions[0] > 0, "but earlier ones, which later ones read"


def test_texts_in_small_batches_are_the_same(
    topk_bench: Workbench, written: WrittenTexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.effects.steering.FEWEST_ROWS", 2)
    monkeypatch.setattr(topk_bench, "budget", 1)
    again = write(topk_bench, {"plain": None, "swap": swap(topk_bench), "add": add(topk_bench)})
    assert again.tokens.tolist() == written.tokens.tolist()
    np.testing.assert_allclose(again.kl, written.kl, atol=1e-4)
    np.testing.assert_allclose(again.displaced, written.displaced, atol=1e-5)
    np.testing.assert_allclose(again.masses, written.masses, atol=1e-5)


@pytest.mark.parametrize("scheme", ["swap", "weight", "reconstruction"])
@pytest.mark.parametrize("keep_error", [True, False])
def test_cache_changes_no_token_of_a_rewritten_text(topk_bench: Workbench, scheme: Scheme, keep_error: bool) -> None:
    change = swap(topk_bench, scheme=scheme, keep_error=keep_error).take(torch.zeros(4, dtype=torch.int64))
    noise = np.stack([row_noise(f"k{i}", NEW) for i in range(4)])
    prompt = topk_bench.tokenize(PROMPTS[0])
    cached, whole = (
        generate(topk_bench, prompt, change, noise, temperature=1.0, top_k=50, use_cache=use) for use in (True, False)
    )
    assert cached.tokens.tolist() == whole.tokens.tolist()
    np.testing.assert_allclose(cached.log_probs, whole.log_probs, atol=1e-3)
    assert cached.counter.calls == NEW and cached.counter.positions == len(prompt) + NEW


def test_what_an_arm_says_before_the_prompt_is_held_against_the_plain_prompt(topk_bench: Workbench) -> None:
    found = write(topk_bench, {"plain": None, "asked": WritingArm(None, "A nurse was with the")})
    assert found.tokens[0].tolist() != found.tokens[1].tolist()
    assert np.abs(found.kl[0]).max() < 1e-5 and found.kl[1].min() > 1e-3
    ids = topk_bench.tokenize(PROMPTS[0])
    np.testing.assert_allclose(found.perplexity[1, 0], score_perplexity(topk_bench, ids, found.tokens[1, 0]), rtol=1e-3)
    said = topk_bench.tokenize("A nurse was with the" + PROMPTS[0])
    tokens = torch.tensor([[topk_bench.bos, *said, *found.tokens[1, 0, 0]]])
    own = topk_bench.logits(tokens)[0, len(said) : -1].log_softmax(-1)
    np.testing.assert_allclose(
        found.log_probs[1, 0, 0], own.gather(1, tokens[0, len(said) + 1 :, None])[:, 0], atol=1e-3
    )


def test_text_that_does_not_fit_is_refused_with_what_is_said_before_it(topk_bench: Workbench) -> None:
    with pytest.raises(StudyError, match="positions"):
        write(topk_bench, {"asked": WritingArm(None, "The nurse was in the hospital with the doctor. " * 2)})


# Several places


@pytest.fixture(scope="module")
def two_places(topk_bench: Workbench, bench_of: Callable[..., Workbench]) -> Workbench:
    later = bench_of("topk", hook_name=LATER, k=4).sae
    with torch.no_grad():  # another SAE than the first
        later.W_dec.copy_(later.W_dec.flip(0))
        later.W_enc.copy_(later.W_enc.flip(1))
    arm = Arm(model="-", sae="-", hook_name="", also=(FurtherSae(sae="-"),))
    return Workbench(topk_bench.bridge, topk_bench.sae, arm, "two", topk_bench.hashes, further=[later])


def both(bench: Workbench, scores: torch.Tensor) -> Stacked:
    support = Support(k=4, rule="k of the SAE")
    later = rewrite(bench, scores, "swap", support, place=bench.places[1])
    return Stacked(rewrite(bench, scores, "swap", OWN), {LATER: later})


def test_equal_scores_at_both_places_leave_the_text(two_places: Workbench, written: WrittenTexts) -> None:
    found = write(two_places, {"both": both(two_places, torch.ones(1, 48)), "plain": None})
    assert found.tokens[0].tolist() == found.tokens[1].tolist() == written.tokens[0].tolist()
    assert not found.displaced[0].any() and np.abs(found.kl).max() < 1e-5


def test_swap_at_both_places_is_one_after_the_other(two_places: Workbench, tokens: torch.Tensor) -> None:
    """The later place sees what the earlier one left, as a model of two edits made by hand shows."""
    change = both(two_places, draw_scores(1))
    found = write(two_places, {"both": change, "first": change.change, "plain": None})
    assert found.positions[0] == found.positions[1] > 0
    assert found.tokens[0].tolist() != found.tokens[1].tolist()
    caught: list[torch.Tensor] = []
    bridge: Any = two_places.bridge
    one, other = (
        change.take(torch.zeros(2, dtype=torch.int64)),
        change.elsewhere[LATER].take(torch.zeros(2, dtype=torch.int64)),
    )

    def at_own(stream: torch.Tensor, hook: object) -> torch.Tensor:
        return stream + one.change(stream)

    def at_later(stream: torch.Tensor, hook: object) -> torch.Tensor:
        caught.append(stream)
        return stream + other(stream)

    with torch.no_grad(), bridge.hooks(fwd_hooks=[("blocks.1.hook_resid_pre", at_own), (LATER, at_later)]):
        expected = bridge(tokens, return_type="logits")
    torch.testing.assert_close(two_places.logits(tokens, Intervention(one)), expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(caught[0], two_places.residuals(tokens, two_places.places[1].hook))


def test_arms_of_one_place_and_of_two_share_a_batch(two_places: Workbench, residual: torch.Tensor) -> None:
    change = join(two_places, [None, both(two_places, draw_scores(1)), add(two_places)], torch.tensor([1, 2, 1]))
    assert isinstance(change, Stacked)
    assert len(Intervention(change).distinct_rows()[0]) == 3
    moved = [bool(row.any()) for row in change(residual)]
    assert moved == [False, True, True, True]
    assert [bool(row.any()) for row in change.elsewhere[LATER](residual)] == [False, True, True, False]


def test_vector_is_calibrated_and_added_at_a_further_place(two_places: Workbench) -> None:
    place = two_places.places[1]
    prompts = [two_places.tokenize(prompt) for prompt in PROMPTS]
    direction = score_direction(two_places, draw_scores(1), place=place)
    assert not torch.allclose(direction, score_direction(two_places, draw_scores(1)))
    found = calibrate(two_places, direction, prompts, target_kl=0.3, place=place)
    assert float(found.kl[0]) == pytest.approx(0.3, abs=0.003)
    nothing = Addition(torch.zeros(1, 32))
    tokens = torch.tensor([[two_places.bos, *prompts[0]]])
    at_later = two_places.logits(tokens, Intervention(Stacked(nothing, {LATER: found.change})))
    assert not torch.allclose(at_later, two_places.logits(tokens), atol=1e-2)


def test_perplexity_of_a_text_changed_below_the_hook_is_that_of_the_unsteered_model(two_places: Workbench) -> None:
    """What was read at the hook while it was written is not what the unsteered model would read there."""
    earlier = Stacked(
        Addition(torch.zeros(3, 32)), {"blocks.0.hook_resid_pre": Addition(10 * two_places.directions[:3])}
    )
    noise = np.stack([row_noise(f"k{i}", NEW) for i in range(3)])
    prompt = two_places.tokenize(PROMPTS[0])
    made = generate(two_places, prompt, earlier, noise, temperature=1.0, top_k=50, keep_below=True)
    assert made.below is None
    plain = generate(
        two_places, prompt, Addition(torch.zeros(3, 32)), noise, temperature=1.0, top_k=50, keep_below=True
    )
    assert plain.below is not None and made.tokens.tolist() != plain.tokens.tolist()


# Text that is only read


def test_nats_a_token_are_those_of_whole_passes(topk_bench: Workbench) -> None:
    texts = ["The doctor met the nurse in the hospital", "A garden of the river", "The"]
    ids = [topk_bench.tokenize(text) for text in texts]
    text = cut_rows(ids, ["a", "b", "c"], 24, topk_bench.bos)
    for change in (None, swap(topk_bench), add(topk_bench)):
        found = nats_per_token(topk_bench, text, change)
        for row, own in zip(found, ids, strict=True):
            tokens = torch.tensor([[topk_bench.bos, *own]])
            likely = topk_bench.logits(tokens, change and Intervention(change))[0, :-1].log_softmax(-1)
            expected = -likely.gather(1, tokens[0, 1:, None]).mean()
            assert row == pytest.approx(float(expected), rel=1e-4)
    empty = text._replace(real=np.zeros_like(text.real))
    assert np.isnan(nats_per_token(topk_bench, empty, None)).all()


def test_nats_a_token_in_small_blocks_are_the_same(topk_bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [topk_bench.tokenize("The doctor met the nurse")] * 5
    text = cut_rows(ids, list("abcde"), 24, topk_bench.bos)
    whole = nats_per_token(topk_bench, text, swap(topk_bench))
    monkeypatch.setattr(topk_bench, "budget", 1)
    np.testing.assert_allclose(nats_per_token(topk_bench, text, swap(topk_bench)), whole, rtol=1e-5)
