"""Rows as long as the SAE's own, and attention sinks that count as no text wherever a figure is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tools.activity.activations import Recording, record_activations
from tools.activity.description import describe_activations
from tools.activity.heldout import Draw, draw_held_out
from tools.bench.loading import load_arm
from tools.bench.positions import LONGEST_ROW, choose_row_width, without_sinks
from tools.bench.workbench import Workbench
from tools.catalogue.subject import Laboratory
from tools.dictionaries.belonging import probe_reconstruction, probe_rows
from tools.dictionaries.reconstruction import measure_reconstruction
from tools.errors import LoadError
from tools.records import FeatureRef
from tools.study.corpus import Corpus
from tools.study.definition import Study
from tools.study.reading import load_study

SINK = " captain"
NONE = torch.zeros(0, 32)


@pytest.mark.parametrize(
    ("model", "trained_on", "width"),
    [(8192, 128, 128), (64, 128, 64), (8192, None, LONGEST_ROW), (24, None, 24), (2, 2, 2)],
)
def test_row_is_as_long_as_the_sae_and_the_model_take(model: int, trained_on: int | None, width: int) -> None:
    assert choose_row_width(model, trained_on) == width


@pytest.mark.parametrize("strange", [0, 1, -5, True, 128.0, "128", [128]])
def test_length_that_is_none_is_refused_in_one_line(strange: Any) -> None:
    with pytest.raises(LoadError, match="context_size of .* which is no number of tokens"):
        choose_row_width(8192, strange)


def test_everything_that_reads_a_corpus_cuts_it_alike(
    bench: Workbench, study: Study, make_sae: Callable[..., Any]
) -> None:
    sae = make_sae(seed=1, hook_name=bench.hook_name)
    sae.cfg.metadata.context_size = 9
    short = Workbench(bench.bridge, sae, bench.arm, "short", bench.hashes)
    assert (short.row_width, short.context_size) == (9, 24)
    assert short.read_text(study, "train", short.row_width).tokens.shape[1] == 9
    assert probe_rows(short, study).tokens.shape[1] == 9
    assert Laboratory(short, study, 0).sample.rows.tokens.shape[1] == 9
    passages = Corpus(study).passages("held_out")
    ref = FeatureRef(study="tiny", sae="short", index=3)
    (held_out,) = draw_held_out(short, passages, [ref], Draw(length=32), 0)
    assert max(len(context.tokens) for context in (*held_out.active, *held_out.random)) <= 8


def test_strange_length_in_an_saes_metadata_is_refused(bench: Workbench, make_sae: Callable[..., Any]) -> None:
    sae = make_sae(seed=1, hook_name=bench.hook_name)
    sae.cfg.metadata.context_size = "many"
    with pytest.raises(LoadError, match="'many', which is no number of tokens"):
        Workbench(bench.bridge, sae, bench.arm, "strange", bench.hashes)


def test_longer_than_the_bound_is_no_text() -> None:
    residuals = torch.ones(1, 6, 4) * torch.tensor([9.0, 1, 1, 1, 5, 1])[None, :, None]
    real = torch.tensor([[False, True, True, True, True, True]])
    assert without_sinks(residuals, real).tolist() == [[False, True, True, True, False, True]]
    assert without_sinks(residuals, real, 20.0).tolist() == real.tolist()
    assert not without_sinks(residuals, torch.zeros(1, 6, dtype=torch.bool)).any()


@pytest.fixture(scope="module")
def sunk(study: Study) -> Workbench:
    """The model with one word at which it parks its attention: its residual stream is a hundred times as long there."""
    bench = load_arm(study, "base")
    with torch.no_grad():
        bench.bridge.original_model.base_model.wte.weight[bench.token_strings.index(SINK)] *= 100
    return bench


@pytest.fixture(scope="module")
def recording(sunk: Workbench, study: Study) -> Recording:
    return record_activations(sunk, sunk.read_text(study, "train", sunk.row_width), range(sunk.d_sae), NONE)


def test_sinks_are_left_out_of_activations_maxima_contexts_and_the_unit_of_strength(
    sunk: Workbench, study: Study, recording: Recording
) -> None:
    rows = sunk.read_text(study, "train", sunk.row_width)
    lengths = sunk.residuals(torch.from_numpy(rows.tokens)).norm(dim=-1).numpy()
    sinks = rows.real & (rows.tokens == sunk.token_strings.index(SINK))
    assert sinks.any() and lengths[sinks].min() > 4 * sunk.usual_norm > lengths[rows.real & ~sinks].max()
    assert np.array_equal(recording.rows.real, rows.real & ~sinks)
    assert not recording.activations[sinks].any()
    assert recording.residual_norm == pytest.approx(lengths[rows.real & ~sinks].mean(), rel=1e-4)
    encoded = sunk.encode(sunk.residuals(torch.from_numpy(rows.tokens))).numpy()
    lost = int(encoded[sinks].max(axis=0).argmax())
    assert encoded[sinks].max() > encoded[rows.real & ~sinks][:, lost].max(), "a sink would lead the list"
    found = describe_activations(
        recording, lost, np.zeros_like(rows.real), sunk.token_strings, context_tokens=8, n_top=4, n_quantiles=2
    )
    assert found.n_tokens == (rows.real & ~sinks).sum()
    assert found.max_activation == pytest.approx(encoded[rows.real & ~sinks][:, lost].max(), rel=1e-4)
    for context in found.top:
        assert context.activations is not None
        assert context.tokens[int(np.argmax(context.activations))] != SINK


def test_sinks_are_left_out_of_figures(sunk: Workbench, study: Study) -> None:
    rows = sunk.read_text(study, "train", sunk.row_width)
    sinks = rows.tokens == sunk.token_strings.index(SINK)
    probe = probe_reconstruction(sunk, rows)
    measured = measure_reconstruction(sunk, rows).figures
    assert probe.sinks == (sinks & rows.real).sum() > 0
    assert probe.n_tokens == measured.n_tokens == (rows.real & ~sinks).sum()
    body = sunk.residuals(torch.from_numpy(rows.tokens))[torch.from_numpy(rows.real & ~sinks)]
    error = body - sunk.decode_activations(sunk.encode(body), body)
    expected = 1 - float(error.pow(2).sum() / (body - body.mean(dim=0)).pow(2).sum())
    assert probe.explained_variance == pytest.approx(expected, abs=1e-4)
    assert measured.explained_variance == pytest.approx(expected, abs=1e-4)
    with_sinks = float(measure_reconstruction(_blind(sunk), rows).figures.explained_variance)
    assert abs(with_sinks - expected) > 0.1, "they must matter, or nothing was shown"


def _blind(bench: Workbench) -> Workbench:
    """The same bench to which nothing is a sink."""
    copy = Workbench(bench.bridge, bench.sae, bench.arm, "blind", bench.hashes)
    copy.sink_multiple = 1e6
    return copy


def test_instruments_of_an_investigation_leave_sinks_out(sunk: Workbench, study: Study) -> None:
    sample = Laboratory(sunk, study, 0).sample
    assert not (sample.rows.real & (sample.rows.tokens == sunk.token_strings.index(SINK))).any()
    assert sample.residual_norm < 4 * sunk.usual_norm


def test_study_says_how_long_is_too_long(study: Study) -> None:
    observation = study.observation.model_copy(update={"sink_multiple": 1.2})
    strict = load_arm(study.model_copy(update={"observation": observation}), "base")
    rows = strict.read_text(study, "train", strict.row_width)
    residuals = strict.residuals(torch.from_numpy(rows.tokens))
    counted = strict.is_text(residuals, torch.from_numpy(rows.real))
    assert 0 < int(counted.sum()) < rows.real.sum()
    lengths = residuals.norm(dim=-1)
    assert float(lengths[counted].max()) <= 1.2 * strict.usual_norm


@pytest.mark.parametrize("arm", ["base", "finetuned"])
def test_pocket_has_no_sinks(arm: str) -> None:
    pocket = load_study("pocket")
    bench = load_arm(pocket, arm)
    rows = bench.read_text(pocket, "train", bench.row_width)
    spread = torch.from_numpy(rows.tokens[::32]), torch.from_numpy(rows.real[::32])
    assert torch.equal(bench.is_text(bench.residuals(spread[0]), spread[1]), spread[1])
    assert bench.row_width == bench.context_size == 128


def test_same_text_without_sinks_is_recorded_as_it_was(bench: Workbench, study: Study) -> None:
    rows = bench.read_text(study, "train", bench.row_width)
    recording = record_activations(bench, rows, [3, 8], NONE)
    assert np.array_equal(recording.rows.real, rows.real)
