"""What an SAE leaves unexplained in a text, beside other documents."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tools.bench.workbench import Workbench
from tools.study.corpus import cut_rows
from tools.toward.misfit import measure_misfit

REFERENCE = (
    "The doctor met the nurse in the hospital",
    "A garden of the river",
    "The patient met the doctor of the river",
)


def unexplained(bench: Workbench, text: str, mean: torch.Tensor) -> float:
    """By the definition, in one document."""
    body = body_of(bench, text)
    rebuilt = bench.decode_activations(bench.encode(body.float()), body.float()).double()
    return float((body - rebuilt).pow(2).sum() / (body - mean).pow(2).sum())


def body_of(bench: Workbench, text: str) -> torch.Tensor:
    rows = cut_rows([np.array(bench.tokenize(text))], ["a"], bench.row_width, bench.bos)
    return bench.residuals(torch.from_numpy(rows.tokens))[torch.from_numpy(rows.real)].double()


def test_misfit_is_of_variances_about_the_references_mean(topk_bench: Workbench) -> None:
    target = ("The nurse met the patient", "A river of the garden")
    mean = torch.cat([body_of(topk_bench, text) for text in REFERENCE]).mean(dim=0)
    own = [unexplained(topk_bench, text, mean) for text in target]
    usual = [unexplained(topk_bench, text, mean) for text in REFERENCE]
    found = measure_misfit(topk_bench, target, REFERENCE)
    assert found is not None
    assert found.ratio == pytest.approx(np.median(own) / np.median(usual), rel=1e-4)
    assert found.share == (1 + sum(one >= np.median(own) for one in usual)) / (1 + len(usual))


def test_reference_held_against_itself_fits(topk_bench: Workbench) -> None:
    found = measure_misfit(topk_bench, REFERENCE, REFERENCE)
    assert found is not None
    assert (found.ratio, found.share) == (1, 0.75)  # the median, the worse one, and the median itself again


def test_text_that_the_sae_says_nothing_of_is_worse_than_every_document(
    topk_bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = set(topk_bench.tokenize("river garden"))
    residuals = topk_bench.residuals
    seen: list[torch.Tensor] = []

    def remember(tokens: torch.Tensor, hook: object = None) -> torch.Tensor:
        seen.append(torch.tensor([[int(token) in strange for token in row] for row in tokens.tolist()]))
        return residuals(tokens)

    monkeypatch.setattr(topk_bench, "residuals", remember)
    known = topk_bench.autoencoder
    monkeypatch.setattr(known, "decode", lambda _, rows: 0.9 * rows * ~seen[-1][..., None])
    plain = [f"The doctor met the {word}" for word in ("nurse", "patient", "hospital", "doctor")] * 5
    found = measure_misfit(topk_bench, ["river garden river garden"], plain)
    assert found is not None
    assert found.ratio > 1
    assert found.share == pytest.approx(1 / 21)


def test_without_text_on_either_side_there_is_no_misfit(topk_bench: Workbench) -> None:
    assert measure_misfit(topk_bench, [""], REFERENCE) is None
    assert measure_misfit(topk_bench, REFERENCE, []) is None
