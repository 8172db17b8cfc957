"""The mean Jacobian against the published method, written out, and against itself when it is interrupted."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tools.bench.loading import load_arm
from tools.bench.workbench import Workbench
from tools.study.corpus import cut_rows
from tools.study.definition import Study
from tools.survey.jacobian import BATCH, Averaging, Mean, average_jacobian
from tools.survey.lens import make_lens

WIDTH = 9


class Stop(Exception):
    """A kill, as far as a test can make one."""


@pytest.fixture(scope="session")
def text(bench: Workbench) -> torch.Tensor:
    """More full rows than a batch takes."""
    words = "The doctor met the nurse in the hospital and the captain was with a heart in the river of the town. " * 12
    ids = bench.tokenize(words)
    rows = cut_rows([ids], ["a"], WIDTH, bench.bos)
    return torch.from_numpy(rows.tokens[rows.real.sum(axis=1) == WIDTH - 1][: 2 * BATCH + 3])


def published(bench: Workbench, tokens: torch.Tensor, skip: int) -> torch.Tensor:
    """The published estimator: of each prompt the mean over source positions of gradients summed over target positions."""
    layers, model = bench.bridge.original_model.base_model, bench.bridge
    found: list[torch.Tensor] = []
    for row in tokens:
        states: dict[str, torch.Tensor] = {}

        def keep(value: torch.Tensor, hook: object, states: dict[str, torch.Tensor] = states) -> torch.Tensor:
            states["last"] = value
            return value

        def source(value: torch.Tensor, hook: object, states: dict[str, torch.Tensor] = states) -> torch.Tensor:
            states["source"] = value.detach().requires_grad_(True)
            return states["source"]

        hooks = [(bench.hook_name, source), (f"blocks.{int(model.cfg.n_layers) - 1}.hook_resid_post", keep)]
        with torch.enable_grad(), model.hooks(fwd_hooks=hooks):
            layers(input_ids=row[None], use_cache=False)
            rows: list[torch.Tensor] = []
            for dimension in range(states["last"].shape[-1]):
                cotangent = torch.zeros_like(states["last"])
                cotangent[:, skip:-1, dimension] = 1
                (gradient,) = torch.autograd.grad(states["last"], states["source"], cotangent, retain_graph=True)
                rows.append(gradient[0, skip:-1].mean(dim=0))
        found.append(torch.stack(rows))
    return torch.stack(found).mean(dim=0)


def test_mean_before_the_norm_is_the_published_matrix(bench: Workbench, text: torch.Tensor) -> None:
    skip = 3
    mean = average_jacobian(bench, text, Averaging(skip, omits_last=True, normed=False))
    assert mean.positions == len(text) * (WIDTH - skip - 1)
    torch.testing.assert_close(mean.jacobian(), published(bench, text, skip), rtol=1e-4, atol=1e-5)


class FrozenNorm(nn.Module):
    """A LayerNorm that divides by 1, whatever it is given."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, residual: torch.Tensor) -> torch.Tensor:
        return (residual - residual.mean(dim=-1, keepdim=True)) * self.weight + self.bias


def test_effect_lens_is_the_published_lens_where_the_norm_is_frozen(study: Study, text: torch.Tensor) -> None:
    bench = load_arm(study, "base")
    positions = Averaging(2, omits_last=True)
    thawed = make_lens(bench, "effect", average_jacobian(bench, text[:4], positions).jacobian())
    base = bench.bridge.original_model.base_model
    norm = base.ln_f
    inner = norm.original_component if hasattr(norm, "original_component") else norm
    base.ln_f = FrozenNorm(inner)
    ours = make_lens(bench, "effect", average_jacobian(bench, text[:4], positions).jacobian())
    theirs = make_lens(bench, "jacobian", published(bench, text[:4], 2))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(thawed, theirs, atol=0.05), "the norm must matter, or nothing was shown"


def test_no_later_layer_leaves_the_published_lens_a_logit_lens(last_bench: Workbench, text: torch.Tensor) -> None:
    mean = average_jacobian(last_bench, text[:2], Averaging(1, normed=False))
    torch.testing.assert_close(mean.jacobian(), torch.eye(32), rtol=0, atol=1e-5)
    torch.testing.assert_close(make_lens(last_bench, "jacobian", mean.jacobian()), last_bench.W_U, rtol=0, atol=1e-4)


@pytest.mark.parametrize("killed_after", [1, 20, 32, 40, 79])
def test_killed_mean_goes_on_to_the_same_bits(bench: Workbench, text: torch.Tensor, killed_after: int) -> None:
    whole = average_jacobian(bench, text)
    passes = 0

    def stop(mean: Mean) -> None:
        nonlocal passes
        passes += 1
        if passes == killed_after:
            raise Stop

    left = Mean()
    with pytest.raises(Stop):
        average_jacobian(bench, text, mean=left, after_pass=stop)
    assert left.passes == killed_after
    again = average_jacobian(bench, text, mean=left, after_pass=lambda _: None)
    assert torch.equal(again.jacobian(), whole.jacobian())
    assert again.curve == whole.curve
    assert (again.rows, again.positions) == (len(text), len(text) * (WIDTH - 1))


def test_curve_says_by_how_much_each_row_moved_the_mean(bench: Workbench, text: torch.Tensor) -> None:
    whole = average_jacobian(bench, text)
    means = [average_jacobian(bench, text[:n]).jacobian() for n in range(1, len(text) + 1)]
    moved = [float((now - before).norm() / now.norm()) for before, now in zip(means, means[1:], strict=False)]
    assert whole.curve == pytest.approx(moved, rel=1e-3, abs=1e-6)


def test_mean_at_rest_takes_no_more_text(bench: Workbench, text: torch.Tensor) -> None:
    every = average_jacobian(bench, text)
    bound = max(every.curve[BATCH - 1 : 2 * BATCH - 1]) * 1.01
    stopped = average_jacobian(bench, text, Averaging(tolerance=bound))
    assert stopped.rows == 2 * BATCH
    assert stopped.is_at_rest(Averaging(tolerance=bound))
    restless = average_jacobian(bench, text, Averaging(tolerance=1e-6))
    assert restless.rows == len(text)
    assert not restless.is_at_rest(Averaging(tolerance=1e-6))


def test_same_rows_again_leave_the_mean_where_it_is(bench: Workbench, text: torch.Tensor) -> None:
    mean = average_jacobian(bench, text[:1].repeat(2 * BATCH, 1), Averaging(tolerance=1e-3))
    assert max(mean.curve) < 1e-5
    assert mean.is_at_rest(Averaging(tolerance=1e-3))
