"""What the other instruments rely on about the bench."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tools.bench.loading import load_arm
from tools.bench.workbench import Workbench
from tools.errors import StudyError
from tools.study.corpus import Corpus, cut_rows
from tools.study.definition import Arm, SplitName, Study
from tools.study.reading import load_study

HOOK = "blocks.1.hook_resid_pre"


@pytest.fixture(scope="session")
def source(study_folder: Path) -> Any:
    """The base arm's model as Hugging Face loads it."""
    return AutoModelForCausalLM.from_pretrained(study_folder / "base" / "model", dtype=torch.float32).eval()


def test_hook_name_of_another_form_is_refused(study: Study, bench: Workbench) -> None:
    arm = Arm(model="-", sae="-", hook_name="hook_embed")
    with pytest.raises(StudyError, match=r"not of the form blocks\.N\.hook_resid_pre"):
        Workbench(bench.bridge, bench.sae, arm, "x", bench.hashes)


def test_arm_without_a_hook_name_takes_the_one_its_sae_was_trained_at(bench: Workbench) -> None:
    arm = Arm(model="-", sae="-", hook_name="")
    assert Workbench(bench.bridge, bench.sae, arm, "x", bench.hashes).hook_name == HOOK


def test_residuals_are_what_the_hooked_layer_reads(bench: Workbench, source: Any, tokens: torch.Tensor) -> None:
    states = source(tokens, output_hidden_states=True).hidden_states
    torch.testing.assert_close(bench.residuals(tokens), states[1].detach(), atol=1e-5, rtol=1e-5)


def test_text_is_read_once_and_is_the_same_in_rows_of_any_width(
    bench: Workbench, study_copy: Path, reads: Counter[str]
) -> None:
    study = load_study(str(study_copy))
    asked: list[tuple[SplitName, int]] = [("train", 24), ("train", 8), ("held_out", 24)]
    for split, width in asked:
        rows = bench.read_text(study, split, width)
        passages = Corpus(load_study(str(study_copy))).passages(split)
        ids = [bench.tokenize(passage.text) for passage in passages]
        expected = cut_rows(ids, [passage.document for passage in passages], width, bench.bos)
        assert rows.documents == expected.documents
        assert (rows.tokens == expected.tokens).all() and (rows.real == expected.real).all()
    assert reads[str(study_copy / "corpus.jsonl")] == 1 + 3  # the bench's reading, and those it is compared with


def test_another_study_is_another_text(bench: Workbench, study: Study, study_copy: Path) -> None:
    text = study_copy / "corpus.jsonl"
    text.write_text("\n".join(text.read_text("utf-8").splitlines()[::2]), "utf-8")
    whole, half = (bench.read_text(one, "train", 24) for one in (study, load_study(str(study_copy))))
    assert set(half.documents) < set(whole.documents)
    assert bench.read_text(study, "train", 24).documents == whole.documents


def parts_run(bench: Workbench, call: Callable[[torch.Tensor], object], tokens: torch.Tensor) -> set[str]:
    """Which layers and whether the unembedding ran."""
    model = bench.bridge.original_model
    parts = {**{str(n): layer.mlp for n, layer in enumerate(model.transformer.h)}, "unembedding": model.lm_head}
    ran: set[str] = set()
    handles = [part.register_forward_hook(lambda *_, n=name: ran.add(n)) for name, part in parts.items()]
    call(tokens)
    for handle in handles:
        handle.remove()
    return ran


def test_reading_the_hook_runs_nothing_behind_it(bench: Workbench, last_bench: Workbench, tokens: torch.Tensor) -> None:
    assert parts_run(bench, bench.logits, tokens) == {"0", "1", "2", "unembedding"}
    assert parts_run(bench, bench.residuals, tokens) <= {"0", "1"}
    assert parts_run(last_bench, last_bench.residuals, tokens) == {"0", "1", "2"}
    torch.testing.assert_close(last_bench.residuals(tokens), bench.final_residual(tokens))


def test_final_residual_is_what_the_final_norm_reads(bench: Workbench, source: Any, tokens: torch.Tensor) -> None:
    states = source(tokens, output_hidden_states=True).hidden_states
    final = bench.final_residual(tokens)
    assert final.shape[-1] == source.config.n_embd
    torch.testing.assert_close(source.transformer.ln_f(final).detach(), states[-1].detach(), atol=1e-5, rtol=1e-5)


def test_final_residual_sees_the_edit(bench: Workbench, last_bench: Workbench, tokens: torch.Tensor) -> None:
    def push(residual: torch.Tensor) -> torch.Tensor:
        return residual + 3 * bench.directions[0]

    for one in (bench, last_bench):
        edited = one.final_residual(tokens, push)
        torch.testing.assert_close(one.unembed(edited), one.logits(tokens, push), atol=1e-4, rtol=1e-4)
        assert not torch.allclose(edited, one.final_residual(tokens), atol=0.1)


def test_what_is_known_below_the_hook_is_not_computed_again(
    bench: Workbench, last_bench: Workbench, tokens: torch.Tensor
) -> None:
    def push(residual: torch.Tensor) -> torch.Tensor:
        return residual + 3 * bench.directions[0]

    for one in (bench, last_bench):
        below = one.read_below(tokens)
        assert below is not None
        for edit in (None, push):
            whole, logits = one.final_residual(tokens, edit), one.logits(tokens, edit)
            torch.testing.assert_close(one.final_residual(tokens, edit, below), whole)
            torch.testing.assert_close(one.next_logits(tokens, edit, below), logits[:, -1])
            torch.testing.assert_close(one.next_logits(tokens, edit), logits[:, -1])
        assert not torch.allclose(one.final_residual(tokens, None, 2 * below), one.final_residual(tokens), atol=0.1)
        run = parts_run(one, partial(one.final_residual, below=below), tokens)
        assert run == {str(n) for n in range(one.layer, 3)}
        assert parts_run(one, one.final_residual, tokens) == {"0", "1", "2"}, "all of them again afterwards"


def test_a_pass_that_fails_leaves_every_block_as_it_was(bench: Workbench, tokens: torch.Tensor) -> None:
    def fail(residual: torch.Tensor) -> torch.Tensor:
        raise ArithmeticError

    below, before = bench.read_below(tokens), bench.logits(tokens)
    with pytest.raises(ArithmeticError):
        bench.next_logits(tokens, fail, below)
    assert torch.equal(bench.logits(tokens), before)


def test_unembedding_a_final_residual_gives_the_logits(bench: Workbench, tokens: torch.Tensor) -> None:
    final, logits = bench.final_residual(tokens), bench.logits(tokens)
    torch.testing.assert_close(bench.unembed(final), logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(bench.unembed(final[0, 3:5]), logits[0, 3:5], atol=1e-4, rtol=1e-4)


def test_processed_unembedding_tells_log_odds(bench: Workbench, source: Any, tokens: torch.Tensor) -> None:
    """Projecting the normalised final residual gives the model's logits up to a constant a position and the bias."""
    final = bench.final_residual(tokens)
    normed = (final - final.mean(-1, keepdim=True)) / (final.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    bias = source.lm_head(source.transformer.ln_f.bias).detach()
    expected = source(tokens).logits.detach() - bias
    expected = expected - expected.mean(-1, keepdim=True)
    torch.testing.assert_close(normed @ bench.W_U, expected, atol=1e-4, rtol=1e-4)


def test_stepping_through_a_cache_equals_one_pass(bench: Workbench, tokens: torch.Tensor) -> None:
    whole = bench.logits(tokens)
    logits, cache = bench.step(tokens[:, :4], None, None)
    torch.testing.assert_close(logits, whole[:, 3], atol=1e-4, rtol=1e-4)
    for place in range(4, tokens.shape[1]):
        logits, cache = bench.step(tokens[:, place : place + 1], cache, None)
        torch.testing.assert_close(logits, whole[:, place], atol=1e-4, rtol=1e-4)


def test_edit_reaches_the_logits_and_leaves_no_hook_behind(bench: Workbench, tokens: torch.Tensor) -> None:
    before = bench.logits(tokens)
    edited = bench.logits(tokens, lambda residual: residual + 5 * bench.directions[0])
    assert float((edited - before).abs().max()) > 0.1
    assert torch.equal(bench.logits(tokens), before)


def test_edit_that_raises_leaves_no_hook_behind(bench: Workbench, tokens: torch.Tensor) -> None:
    def fail(residual: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("broken edit")

    before = bench.logits(tokens)
    with pytest.raises(RuntimeError, match="broken edit"):
        bench.logits(tokens, fail)
    assert torch.equal(bench.logits(tokens), before)


def test_functions_at_one_hook_are_called_in_turn_and_each_is_gone_with_its_block(
    bench: Workbench, tokens: torch.Tensor
) -> None:
    called: list[str] = []

    def note(name: str) -> Callable[[torch.Tensor, Any], torch.Tensor]:
        return lambda residual, hook: called.append(name) or residual

    with bench.hooked((HOOK, note("outer"))):
        with bench.hooked((HOOK, note("inner"))):
            bench.logits(tokens)
        bench.logits(tokens)
    bench.logits(tokens)
    assert called == ["outer", "inner", "outer"]


def test_threads_never_see_each_others_edits(bench: Workbench, tokens: torch.Tensor) -> None:
    def read(scale: float) -> torch.Tensor:
        return bench.logits(tokens, (lambda residual: residual + scale * bench.directions[0]) if scale else None)

    scales = [0.0, 4.0, -4.0, 8.0] * 6
    with ThreadPoolExecutor(4) as pool:
        for scale, logits in zip(scales, pool.map(read, scales), strict=True):
            assert torch.equal(logits, read(scale))


def test_activations_times_directions_are_what_the_sae_writes(bench: Workbench, tokens: torch.Tensor) -> None:
    residuals = bench.residuals(tokens)
    activations = bench.encode(residuals)
    assert float(activations.max()) > 0
    written = activations @ bench.directions + bench.sae.b_dec.detach()
    torch.testing.assert_close(bench.directions.norm(dim=1), torch.ones(bench.d_sae))
    torch.testing.assert_close(written, bench.sae(residuals).detach(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(bench.decode_activations(activations), written, atol=1e-4, rtol=1e-4)


def test_sae_that_rescales_by_decoder_norms_writes_the_same_way(
    study_copy: Path, tokens: torch.Tensor, make_topk_sae: Callable[..., Any]
) -> None:
    make_topk_sae(rescale=True).save_model(str(study_copy / "base" / "sae"))
    bench = load_arm(load_study(str(study_copy)), "base")
    residuals = bench.residuals(tokens)
    expected = make_topk_sae(rescale=True)(residuals).detach()
    activations = bench.encode(residuals)
    assert int((activations > 0).sum(-1).max()) == 4
    written = activations @ bench.directions + bench.sae.b_dec.detach()
    torch.testing.assert_close(written, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(bench.decode_activations(activations), expected, atol=1e-4, rtol=1e-4)


def test_encoding_some_features_is_a_part_of_encoding_all(bench: Workbench, tokens: torch.Tensor) -> None:
    residuals = bench.residuals(tokens)
    some = torch.tensor([9, 2, 33])
    torch.testing.assert_close(bench.encode(residuals, some), bench.encode(residuals)[..., some])


def test_sae_of_a_centred_model_reads_centred_residuals(
    bench: Workbench, tokens: torch.Tensor, make_sae: Callable[..., Any]
) -> None:
    sae = make_sae(seed=0, hook_name=HOOK)
    sae.cfg.metadata.model_from_pretrained_kwargs = {"center_writing_weights": True}
    centred = Workbench(bench.bridge, sae, Arm(model="-", sae="-", hook_name=HOOK), "x", bench.hashes)
    residuals = bench.residuals(tokens)
    torch.testing.assert_close(centred.encode(residuals), centred.encode(residuals + 3), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(bench.encode(residuals), bench.encode(residuals + 3), atol=1e-2)


def test_token_strings_are_decoded(bench: Workbench) -> None:
    assert " doctor" in bench.token_strings
    assert not any("Ġ" in token for token in bench.token_strings)


def test_text_survives_the_tokenizer_without_bos(bench: Workbench) -> None:
    ids = bench.tokenize("The doctor was in the river.")
    assert bench.bos not in ids
    assert bench.decode([bench.bos, *ids]) == "The doctor was in the river."
