"""An arm may name SAEs at further places, and all of them are read and edited in one pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tools.bench.hooks import Hook
from tools.bench.loading import load_arm
from tools.bench.workbench import Workbench
from tools.effects.intervention import Addition, Intervention, Stacked
from tools.effects.strength import choose_strengths
from tools.errors import StudyError
from tools.study.reading import load_study

EARLIER, OWN, LATER = "blocks.0.hook_resid_pre", "blocks.1.hook_resid_pre", "blocks.2.hook_resid_pre"


def name_further(folder: Path, *further: str) -> str:
    """Write the study with further SAEs of the base arm."""
    text = (folder / "study.toml").read_text("utf-8")
    tables = "".join(f'[[arms.base.also]]\nsae = "further/{name}"\n' for name in further)
    (folder / "study.toml").write_text(text.replace("[arms.finetuned]", tables + "[arms.finetuned]"), "utf-8")
    return str(folder)


@pytest.fixture
def two_places(study_copy: Path, make_sae: Callable[..., Any]) -> Workbench:
    make_sae(seed=5, hook_name=LATER).save_model(str(study_copy / "further" / "later"))
    return load_arm(load_study(name_further(study_copy, "later")), "base")


def adding(amount: float, seed: int) -> Addition:
    return Addition(amount * torch.randn(2, 32, generator=torch.Generator().manual_seed(seed)))


def test_further_saes_are_placed_where_they_were_trained(two_places: Workbench, tokens: torch.Tensor) -> None:
    assert [place.hook.name for place in two_places.places] == [OWN, LATER]
    assert two_places.places[0].autoencoder is two_places.autoencoder
    assert len(two_places.hashes.also) == 1 and two_places.hashes.also[0] != two_places.hashes.sae
    later = two_places.residuals(tokens, two_places.places[1].hook)
    torch.testing.assert_close(later, two_places.residuals(tokens, Hook("blocks.1.hook_resid_post", 1)))
    assert not torch.allclose(later, two_places.residuals(tokens))


def test_edits_at_both_places_are_those_made_by_hand(two_places: Workbench, tokens: torch.Tensor, study: Any) -> None:
    own, later = adding(3, 0), adding(4, 1)
    source: Any = AutoModelForCausalLM.from_pretrained(study.folder / "base" / "model", dtype=torch.float32).eval()
    for block, change in ((1, own), (2, later)):
        source.transformer.h[block].register_forward_pre_hook(
            lambda module, given, change=change: (given[0] + change.vectors[:, None], *given[1:])
        )
    with torch.no_grad():
        expected = source(tokens, use_cache=False).logits
    edit = Intervention(Stacked(own, {LATER: later}))
    torch.testing.assert_close(two_places.logits(tokens, edit), expected, atol=1e-4, rtol=1e-4)
    assert edit.counter == edit.elsewhere[LATER].counter == (1, tokens.shape[1])
    alone = two_places.logits(tokens, Intervention(own))
    assert not torch.allclose(alone, expected, atol=1e-2), "the later edit does something"
    last = two_places.step(tokens, None, Intervention(Stacked(own, {LATER: later}))).logits
    torch.testing.assert_close(last, expected[:, -1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(two_places.next_logits(tokens, edit), expected[:, -1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        two_places.unembed(two_places.final_residual(tokens, edit)), expected, atol=1e-4, rtol=1e-4
    )


def test_adding_nothing_at_two_places_leaves_every_bit(two_places: Workbench, tokens: torch.Tensor) -> None:
    edit = Intervention(Stacked(adding(0, 0), {LATER: adding(0, 1)}))
    assert torch.equal(two_places.logits(tokens, edit), two_places.logits(tokens))


def test_what_lies_below_is_run_where_an_edit_lies_there(bench: Workbench, tokens: torch.Tensor) -> None:
    """Blocks that are otherwise passed over hold the edit."""
    last = "blocks.2.hook_resid_pre"
    deep = Workbench(
        bench.bridge,
        bench.sae,
        bench.arm.model_copy(update={"hook_name": last, "hook_overrides": True}),
        "deep",
        bench.hashes,
    )
    edit = Intervention(Stacked(adding(1, 0), {OWN: adding(5, 1)}))
    below = deep.read_below(tokens)
    assert below is not None
    torch.testing.assert_close(deep.next_logits(tokens, edit, below), deep.next_logits(tokens, edit))
    torch.testing.assert_close(deep.final_residual(tokens, edit, below), deep.final_residual(tokens, edit))

    def change(which: torch.Tensor, norms: torch.Tensor) -> Stacked:
        return Stacked(Addition(torch.zeros(len(which), 32)), {OWN: Addition(norms[:, None] * deep.directions[which])})

    found = choose_strengths(deep, [tokens[0, 1:].tolist()], change, 2, target_kl=0.2, max_norm=40.0)
    assert bool(((found.kl - 0.2).abs() < 0.01).all()), "an edit that is passed over has no effect to be found"


@pytest.mark.parametrize("hook", [OWN, "blocks.9.hook_resid_pre", "blocks.2.input"])
def test_edit_that_would_not_be_made_or_take_the_place_of_another_is_refused(
    hook: str, bench: Workbench, tokens: torch.Tensor
) -> None:
    with pytest.raises(ValueError, match=f"{hook} is no other hook of the model"):
        bench.logits(tokens, Intervention(Stacked(adding(1, 0), {hook: adding(1, 1)})))


def test_parts_of_a_stack_are_of_the_same_rows(tokens: torch.Tensor) -> None:
    both = Stacked(adding(1, 0), {LATER: adding(1, 1)})
    part = both.take(torch.tensor([1, 1, 0]))
    assert part.signature().shape == (3, 64)
    torch.testing.assert_close(part.signature()[2], both.signature()[0])
    whole = Intervention(both, "generated")
    whole.take(torch.tensor([0])).elsewhere[LATER](torch.ones(1, 4, 32))
    assert whole.elsewhere[LATER].counter == (1, 0), "parts count together at every place"


@pytest.mark.parametrize(
    ("hook", "said"),
    [(OWN, "two SAEs at blocks.1.hook_resid_pre"), ("blocks.7.hook_resid_pre", "has no hook blocks.7")],
)
def test_place_that_is_taken_or_not_there_is_refused(
    hook: str, said: str, study_copy: Path, make_sae: Callable[..., Any]
) -> None:
    make_sae(seed=5, hook_name=hook).save_model(str(study_copy / "further" / "one"))
    with pytest.raises(StudyError, match=said):
        load_arm(load_study(name_further(study_copy, "one")), "base")


def test_further_sae_that_is_missing_is_told_before_anything_is_loaded(study_copy: Path) -> None:
    with pytest.raises(StudyError, match="further/nosuch is missing"):
        load_arm(load_study(name_further(study_copy, "nosuch")), "base")
