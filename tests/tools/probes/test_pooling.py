"""Means over a text's tokens are what they say, are kept under what they depend on, and leave sinks and BOS out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.progress import Progress

from tools.bench.workbench import Workbench
from tools.errors import StudyError
from tools.probes.pooling import count_tokens, pool_at, pool_texts

TEXTS = ("the doctor met the nurse in the hospital", "a garden", "the river and the bridge of the captain " * 6)


def by_hand(bench: Workbench, text: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Token by token, each row of a text by itself."""
    ids = bench.tokenize(text)
    residuals, features = list[torch.Tensor](), list[torch.Tensor]()
    for start in range(0, len(ids), bench.row_width - 1):
        row = torch.tensor([[bench.bos, *ids[start : start + bench.row_width - 1]]])
        stream = bench.residuals(row)[0, 1:]
        kept = bench.is_text(stream, torch.ones(len(stream), dtype=torch.bool))
        residuals.append(stream[kept])
        features.append(bench.encode(stream)[kept])
    stream, active = torch.cat(residuals), torch.cat(features)
    return stream.mean(0).numpy(), active.mean(0).numpy(), len(stream)


def test_means_are_over_the_tokens_of_a_text_however_many_rows_it_takes(bench: Workbench, tmp_path: Path) -> None:
    pooled = pool_texts(bench, TEXTS, cache=tmp_path)
    for place, text in enumerate(TEXTS):
        residual, features, n = by_hand(bench, text)
        np.testing.assert_allclose(pooled.residual[place], residual, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(pooled.features[place], features, rtol=1e-4, atol=1e-4)
        assert pooled.tokens[place] == n
    assert pooled.tokens[2] > bench.row_width
    np.testing.assert_array_equal(count_tokens(bench, TEXTS), pooled.tokens)


def test_density_is_the_share_of_tokens_at_which_a_feature_is_active(bench: Workbench, tmp_path: Path) -> None:
    pooled = pool_texts(bench, TEXTS[:1], cache=tmp_path)
    ids = torch.tensor([[bench.bos, *bench.tokenize(TEXTS[0])]])
    active = (bench.encode(bench.residuals(ids)[0, 1:]) > 0).double().mean(0)
    np.testing.assert_allclose(pooled.density, active.numpy(), atol=1e-12)


def test_sinks_are_left_out(bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = torch.tensor([[bench.bos, *bench.tokenize(TEXTS[0])]])
    lengths = bench.residuals(ids)[0, 1:].norm(dim=-1)
    bound = float(lengths.sort().values[-2:].mean())  # between the longest and the next
    monkeypatch.setattr(bench, "sink_multiple", bound / bench.usual_norm)
    assert pool_texts(bench, TEXTS[:1], cache=tmp_path).tokens.tolist() == [len(lengths) - 1]


def test_texts_are_read_once(bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pool_texts(bench, TEXTS, Progress(disable=True), tmp_path)
    monkeypatch.setattr(bench, "residuals", None)
    again = pool_texts(bench, TEXTS, cache=tmp_path)
    for kept, made in zip(again, first, strict=True):
        np.testing.assert_array_equal(kept, made)


def test_what_is_kept_belongs_to_its_texts_and_bench(
    bench: Workbench, last_bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool_texts(bench, TEXTS, cache=tmp_path)
    pool_texts(bench, TEXTS[:2], cache=tmp_path)
    pool_texts(last_bench, TEXTS, cache=tmp_path)
    monkeypatch.setattr(bench, "sink_multiple", 5.0)
    pool_texts(bench, TEXTS, cache=tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 4


@pytest.mark.parametrize("damage", [lambda data: data[:100], lambda data: b"", lambda data: b"x" * len(data)])
def test_a_damaged_file_is_made_anew(bench: Workbench, tmp_path: Path, damage: object) -> None:
    first = pool_texts(bench, TEXTS[:1], cache=tmp_path)
    (file,) = tmp_path.glob("*.npz")
    file.write_bytes(damage(file.read_bytes()))  # pyright: ignore[reportCallIssue, reportGeneralTypeIssues]
    np.testing.assert_array_equal(pool_texts(bench, TEXTS[:1], cache=tmp_path).residual, first.residual)


def test_a_cache_that_cannot_be_written_costs_a_line(
    bench: Workbench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert len(pool_texts(bench, TEXTS[:1], cache=tmp_path / "file").residual) == 1
    assert "is not kept in" in capsys.readouterr().err


def test_a_text_without_tokens_is_named(bench: Workbench, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="text 2 of 2 has no token that counts"):
        pool_texts(bench, ["a garden", "<|endoftext|>"[:0]], cache=tmp_path)


def test_the_sae_hook_read_by_name_gives_the_same_means(bench: Workbench, tmp_path: Path) -> None:
    pooled = pool_texts(bench, TEXTS, cache=tmp_path)
    np.testing.assert_allclose(pool_at(bench, TEXTS, bench.hook_name), pooled.residual, rtol=1e-5, atol=1e-5)
