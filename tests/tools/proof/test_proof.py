"""A bench whose libraries do something else than they say is found out, by the check that looks there."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tools.bench.loading import load_arm
from tools.bench.workbench import ResidualEdit, Workbench
from tools.dictionaries.belonging import probe_reconstruction, probe_rows
from tools.errors import LoadError
from tools.proof.checks import TOLERANCE
from tools.proof.outcome import Check, Probe, Proof
from tools.proof.proof import INSTRUMENTS, prove, require_proof
from tools.study.definition import Study


@pytest.fixture
def fresh(bench: Workbench) -> Workbench:
    """A bench whose methods and matrices a test may replace; the model under it is everybody's."""
    return copy(bench)


@pytest.fixture
def own(study: Study) -> Workbench:
    """A bench with a model of its own for a test to damage."""
    return load_arm(study, "base")


@pytest.fixture(scope="module")
def probe(bench: Workbench, study: Study) -> Probe:
    return probe_reconstruction(bench, probe_rows(bench, study))


def failed(proof: Proof) -> set[str]:
    return {check.name for check in proof.failed}


def attentions(bench: Workbench) -> list[Any]:
    return [one for one in bench.bridge.original_model.modules() if hasattr(one, "_update_kv_cache")]


def edit_with(bench: Workbench, seen: Callable[[Tensor, ResidualEdit], Tensor]) -> None:
    """Have the hook do something else with an edit than to apply it to all that it is given."""
    genuine = bench._editing

    @contextmanager
    def editing(edit: ResidualEdit | None) -> Generator[None]:
        with genuine(edit and (lambda residual: seen(residual, edit))):
            yield

    bench._editing = editing


def test_a_sound_bench_passes_every_check(fresh: Workbench, probe: Probe) -> None:
    proof = prove(fresh, probe)
    assert failed(proof) == set()
    assert len(proof.checks) == 8, "the study claims nothing for its SAE, so that is not checked"


def test_a_cache_that_attention_does_not_find_is_found_out(own: Workbench, probe: Probe) -> None:
    """As transformers 5.24 did it to TransformerLens 3.9: the cache is handed on under a name nobody looks for."""
    for attention in attentions(own):
        attention._update_kv_cache = lambda keys, values, **_: (keys, values)
    proof = prove(own, probe)
    assert failed(proof) == {"cache"}
    assert "transformers 5." in proof.explain(proof.failed[0])


def test_a_step_that_drops_the_cache_it_is_given_is_found_out(fresh: Workbench, probe: Probe) -> None:
    step = fresh.step
    fresh.step = lambda tokens, cache, edit: step(tokens, None, edit)
    assert "cache" in failed(prove(fresh, probe))


def test_a_cache_that_is_one_token_late_is_found_out(own: Workbench, probe: Probe) -> None:
    for attention in attentions(own):
        update = attention._update_kv_cache

        def without_the_last(keys: Tensor, values: Tensor, update: Any = update, **kwargs: Any) -> Any:
            found = update(keys, values, **kwargs)
            return found if keys.shape[-2] > 1 else tuple(torch.cat([t[..., 1:2, :], t[..., 1:, :]], -2) for t in found)

        attention._update_kv_cache = without_the_last
    assert "cache" in failed(prove(own, probe))


def test_a_hook_that_reaches_only_the_last_position_is_found_out(fresh: Workbench, probe: Probe) -> None:
    edit_with(fresh, lambda r, edit: torch.cat([r[:, :-1], edit(r)[:, -1:]], dim=1))
    assert "hook" in failed(prove(fresh, probe))


def test_a_hook_that_does_not_run_at_cached_steps_is_found_out(fresh: Workbench, probe: Probe) -> None:
    edit_with(fresh, lambda r, edit: edit(r) if r.shape[1] > 1 else r)
    assert {"hook", "cache"} <= failed(prove(fresh, probe))


def test_a_hook_whose_result_is_thrown_away_is_found_out(fresh: Workbench, probe: Probe) -> None:
    edit_with(fresh, lambda r, edit: (edit(r), r)[1])
    assert "hook" in failed(prove(fresh, probe))


def test_a_hook_that_spills_to_earlier_positions_is_found_out(fresh: Workbench, probe: Probe) -> None:
    edit_with(fresh, lambda r, edit: r + (edit(r) - r).mean(dim=1, keepdim=True))
    assert "hook" in failed(prove(fresh, probe))


def test_a_hook_that_touches_what_it_should_leave_is_found_out(fresh: Workbench, probe: Probe) -> None:
    edit_with(fresh, lambda r, edit: edit(r) * 1.001)
    assert "strength 0" in failed(prove(fresh, probe))


def test_rows_that_read_each_other_are_found_out(fresh: Workbench, probe: Probe) -> None:
    genuine = fresh.logits
    fresh.logits = lambda tokens, edit=None: (found := genuine(tokens, edit)) + 0.1 * found.mean(dim=0, keepdim=True)
    assert "batch" in failed(prove(fresh, probe))


def test_weights_read_otherwise_than_their_own_library_does_are_found_out(own: Workbench, probe: Probe) -> None:
    with torch.no_grad():
        for name, parameter in own.bridge.original_model.named_parameters():
            if "mlp" in name and name.endswith("weight"):
                parameter.mul_(1.05)
                break
    assert failed(prove(own, probe)) == {"source"}


def test_a_bench_that_never_heard_the_source_model_is_not_believed(fresh: Workbench, probe: Probe) -> None:
    fresh.reference = None
    assert failed(prove(fresh, probe)) == {"source"}


def test_an_unembedding_without_the_final_norms_weight_is_found_out(fresh: Workbench, probe: Probe) -> None:
    raw = fresh.bridge.W_U.detach().float()
    fresh.W_U = raw - raw.mean(dim=1, keepdim=True)
    assert failed(prove(fresh, probe)) == {"unembedding"}


def test_an_unembedding_of_other_tokens_is_found_out(fresh: Workbench, probe: Probe) -> None:
    fresh.W_U = fresh.W_U.roll(1, dims=1)
    assert failed(prove(fresh, probe)) == {"unembedding"}


def test_a_final_residual_of_another_layer_is_found_out(fresh: Workbench, probe: Probe) -> None:
    fresh.final_residual = lambda tokens, edit=None: fresh.residuals(tokens)
    assert "residual stream" in failed(prove(fresh, probe))


def test_token_strings_without_their_spaces_are_found_out(fresh: Workbench, probe: Probe) -> None:
    fresh.token_strings = [string.strip() for string in fresh.token_strings]
    assert failed(prove(fresh, probe)) == {"token strings"}


@pytest.mark.parametrize(("low", "high", "refused"), [(-9.0, 9.0, False), (0.98, 1.0, True), (-9.0, -8.0, True)])
def test_an_sae_is_held_to_the_figures_claimed_for_it(
    fresh: Workbench, probe: Probe, low: float, high: float, refused: bool
) -> None:
    fresh.arm = fresh.arm.model_copy(update={"explained_variance": (low, high)})
    assert failed(prove(fresh, probe)) == ({"reconstruction"} if refused else set())


def test_numbers_that_are_none_pass_nothing() -> None:
    check = Check(name="n", shows="it holds", measured=None, limit=1.0, unit="parts", rests_on=("torch",))
    assert not check.passed
    assert "no number" in Proof(checks=(check,), packages={}, proved="", seconds=0).explain(check)


def test_logits_that_are_no_numbers_are_found_out(fresh: Workbench, probe: Probe) -> None:
    genuine = fresh.logits
    fresh.logits = lambda tokens, edit=None: genuine(tokens, edit) * float("nan")
    assert {"cache", "batch", "source"} <= failed(prove(fresh, probe))


def test_a_failed_proof_refuses_in_one_line_that_names_library_and_version(
    fresh: Workbench, probe: Probe, tmp_path: Path
) -> None:
    fresh.token_strings = [string.strip() for string in fresh.token_strings]
    with pytest.raises(LoadError) as refused:
        require_proof(fresh, probe, cache=tmp_path)
    said = str(refused.value)
    assert "\n" not in said
    assert "token strings joined are the tokenizer's text" in said
    assert f"transformers {prove(fresh, probe).packages['transformers']}" in said
    assert "--allow-unproved" in said
    assert not list(tmp_path.iterdir()), "a failure is not remembered"


def test_with_a_reason_a_failed_proof_is_kept_with_it(fresh: Workbench, probe: Probe, tmp_path: Path) -> None:
    fresh.token_strings = [string.strip() for string in fresh.token_strings]
    proof = require_proof(fresh, probe, allowed="looking at numbers only", cache=tmp_path)
    assert proof.allowed == "looking at numbers only"
    assert failed(proof) == {"token strings"}
    assert not list(tmp_path.iterdir())


def test_a_proof_is_remembered_for_the_same_weights_and_libraries(
    fresh: Workbench, probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = require_proof(fresh, probe, cache=tmp_path)
    second = require_proof(fresh, probe, cache=tmp_path)
    assert not first.remembered
    assert second == first.model_copy(update={"remembered": True})
    monkeypatch.setattr("tools.proof.proof.installed_packages", lambda: {**first.packages, "transformers": "9.9.9"})
    assert not require_proof(fresh, probe, cache=tmp_path).remembered, "another library"


@pytest.mark.parametrize("part", ["model", "sae"])
def test_other_weights_need_a_proof_of_their_own(fresh: Workbench, probe: Probe, tmp_path: Path, part: str) -> None:
    require_proof(fresh, probe, cache=tmp_path)
    fresh.hashes = fresh.hashes.model_copy(update={part: "0" * 64})
    assert not require_proof(fresh, probe, cache=tmp_path).remembered


def test_what_is_known_by_a_hubs_name_only_is_proved_every_time(fresh: Workbench, probe: Probe, tmp_path: Path) -> None:
    fresh.hashes = fresh.hashes.model_copy(update={"model": "hub:somebody/model"})
    assert [require_proof(fresh, probe, cache=tmp_path).remembered for _ in range(2)] == [False, False]


@pytest.mark.parametrize("damage", ["", "{}", "not json", '{"checks": [], "packages": {}}'])
def test_a_damaged_memory_is_proved_anew(fresh: Workbench, probe: Probe, tmp_path: Path, damage: str) -> None:
    require_proof(fresh, probe, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text(damage, "utf-8")
    assert not require_proof(fresh, probe, cache=tmp_path).remembered
    assert require_proof(fresh, probe, cache=tmp_path).remembered, "and remembered again"


def test_a_folder_that_cannot_be_written_is_no_failure(fresh: Workbench, probe: Probe, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    assert not require_proof(fresh, probe, cache=tmp_path / "file" / "proofs").failed


def test_every_instrument_a_proof_rests_on_is_a_module() -> None:
    folder = Path(__file__).parents[3] / "tools"
    assert all((folder / f"{name}.py").is_file() for name in INSTRUMENTS)


def test_a_model_in_bfloat16_proves_itself_to_a_coarser_bound(study: Study, probe: Probe) -> None:
    from tools.bench.compute import Compute

    bench = load_arm(study, "base", Compute(precision="bfloat16"))
    proof = prove(bench, probe)
    assert failed(proof) == set()
    assert next(c.limit for c in proof.checks if c.name == "source") > TOLERANCE[torch.float32]


def test_an_sae_that_explains_less_than_nothing_is_refused_in_one_line(
    fresh: Workbench, probe: Probe, tmp_path: Path
) -> None:
    require_proof(fresh, probe, cache=tmp_path)
    worse = probe.model_copy(update={"explained_variance": -0.01})
    with pytest.raises(LoadError) as caught:
        require_proof(fresh, worse, cache=tmp_path)
    said = str(caught.value)
    assert said.startswith(
        "the SAE of arm base explains less than nothing of the residual stream at blocks.1.hook_resid_pre"
    )
    assert "(-1% of the variance" in said and "\n" not in said
    assert not require_proof(fresh, worse, "it is a null", cache=tmp_path).failed
    assert probe.model_copy(update={"explained_variance": 0.0}).refusal is None
