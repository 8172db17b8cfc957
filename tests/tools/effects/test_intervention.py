"""An intervention does nothing at strength 0, what its policy says otherwise, and counts it."""

from __future__ import annotations

import pytest
import torch

from tools.bench.workbench import Workbench
from tools.effects.intervention import Addition, Change, Clamp, Intervention, Readers, make_change
from tools.errors import StudyError
from tools.records import InterventionKind, Policy

POLICIES: tuple[Policy, ...] = ("all", "prompt", "generated", "published")
DEAD = 47


@pytest.fixture
def residual(bench: Workbench, tokens: torch.Tensor) -> torch.Tensor:
    return bench.residuals(tokens)  # [2, 9, 32]


def strong(bench: Workbench, n: int = 2) -> Addition:
    return Addition(bench.directions[:n] * 15)


def readers_of(bench: Workbench, features: list[int], levels: list[float] | None = None) -> Readers:
    found = torch.tensor(features)
    return Readers(bench.directions[found.clamp_min(0)], found, torch.tensor(levels or [0.0] * len(features)))


def clamp(bench: Workbench, features: list[int], values: list[float], writes: torch.Tensor | None = None) -> Clamp:
    readers = readers_of(bench, features)
    return Clamp(bench, readers, torch.tensor(values), readers.directions if writes is None else writes)


def active_feature(bench: Workbench, residual: torch.Tensor) -> int:
    """The feature that is active at most positions, but not at all."""
    share = (bench.encode(residual) > 0).float().mean(dim=(0, 1))
    return int(torch.where(share < 1, share, 0.0).argmax())


# Policies


def test_published_policy_leaves_the_last_position_at_the_hook(bench: Workbench, residual: torch.Tensor) -> None:
    change = strong(bench)
    edited = Intervention(change, "published")(residual)
    assert torch.equal(edited[:, -1], residual[:, -1])
    torch.testing.assert_close(edited[:, :-1], residual[:, :-1] + change.vectors[:, None])
    everywhere = Intervention(change, "all")(residual)
    torch.testing.assert_close(everywhere, residual + change.vectors[:, None])


def test_published_policy_has_no_direct_effect_on_the_next_token(last_bench: Workbench, tokens: torch.Tensor) -> None:
    """After the last layer nothing carries an edit from one position to another."""
    change, clean = strong(last_bench), last_bench.logits(tokens)
    published = last_bench.logits(tokens, Intervention(change, "published"))
    assert torch.equal(published[:, -1], clean[:, -1])
    assert bool(((published - clean).abs().amax(-1) > 0.1)[:, :-1].all())
    everywhere = last_bench.logits(tokens, Intervention(change, "all"))
    assert bool(((everywhere - clean).abs().amax(-1) > 0.1).all())


def test_residual_stream_that_was_given_is_not_written_into(bench: Workbench) -> None:
    given = torch.ones(2, 3, 32)
    Intervention(strong(bench))(given)
    assert torch.equal(given, torch.ones(2, 3, 32))


def test_parts_of_an_intervention_count_together(bench: Workbench, residual: torch.Tensor) -> None:
    whole = Intervention(strong(bench), "generated")
    whole.take(torch.tensor([1]))(residual[:1])
    assert whole.counter == (1, 0), "the prompt is not steered"
    changed = whole(residual[:, -1:])
    assert whole.counter == (2, 1)
    assert not torch.equal(changed, residual[:, -1:]), "the whole knows that its part has seen the prompt"


# Nothing is done where nothing is asked for


@pytest.mark.parametrize("policy", POLICIES)
def test_adding_nothing_leaves_every_bit_of_the_logits(bench: Workbench, tokens: torch.Tensor, policy: Policy) -> None:
    edited = bench.logits(tokens, Intervention(Addition(torch.zeros(2, 32)), policy))
    assert edited.numpy().tobytes() == bench.logits(tokens).numpy().tobytes()


def test_clamping_to_its_own_value_leaves_the_logits(bench: Workbench, tokens: torch.Tensor) -> None:
    """Each position of the text is a row of its own to the clamp, held at the activation it has there."""
    residual = bench.residuals(tokens)
    feature = active_feature(bench, residual)
    own = bench.encode(residual)[..., feature].flatten()
    held = clamp(bench, [feature] * len(own), own.tolist())

    def hold(stream: torch.Tensor) -> torch.Tensor:
        return stream + held(stream.reshape(-1, 1, 32)).reshape(stream.shape)

    torch.testing.assert_close(bench.logits(tokens, hold), bench.logits(tokens), atol=1e-5, rtol=1e-5)
    shifted = clamp(bench, [feature] * len(own), (own + 1).tolist())
    change = shifted(residual.reshape(-1, 1, 32)).reshape(residual.shape)
    torch.testing.assert_close(change, bench.directions[feature].expand_as(change), atol=1e-4, rtol=1e-4)


def test_ablating_a_feature_that_is_silent_leaves_every_bit(bench: Workbench, tokens: torch.Tensor) -> None:
    edit = Intervention(clamp(bench, [DEAD, DEAD], [0.0, 0.0]))
    assert torch.equal(bench.logits(tokens, edit), bench.logits(tokens))
    assert edit.counter == (1, tokens.shape[1]), "it ran all the same"


# What a clamp does


def test_clamp_holds_the_activation_and_keeps_everything_else(bench: Workbench, residual: torch.Tensor) -> None:
    """The SAE's reconstruction changes by the feature alone; its error stays in the residual stream."""
    feature = active_feature(bench, residual)
    everything = bench.encode(residual)
    held = everything.clone()
    held[..., feature] = 3.0
    expected = residual + bench.decode_activations(held) - bench.decode_activations(everything)
    edited = Intervention(clamp(bench, [feature, feature], [3.0, 3.0]))(residual)
    torch.testing.assert_close(edited, expected, atol=1e-4, rtol=1e-4)


def test_ablation_is_a_clamp_at_zero_whatever_the_strength(bench: Workbench, residual: torch.Tensor) -> None:
    feature = active_feature(bench, residual)
    readers = readers_of(bench, [feature, feature])
    ablated = make_change("ablate", bench, readers, torch.tensor([5.0, 9.0]), readers.directions)(residual)
    own = bench.encode(residual)[..., feature]
    torch.testing.assert_close(ablated, -own[..., None] * bench.directions[feature], atol=1e-5, rtol=1e-5)
    assert bool(ablated.any())


def test_each_row_is_read_by_its_own_feature(bench: Workbench, residual: torch.Tensor) -> None:
    read = readers_of(bench, [5, 3]).read(bench, residual)
    everything = bench.encode(residual)
    torch.testing.assert_close(read, torch.stack([everything[0, :, 5], everything[1, :, 3]]), atol=1e-5, rtol=1e-5)


def test_random_direction_is_read_by_its_component_above_its_level(bench: Workbench, residual: torch.Tensor) -> None:
    readers = Readers(bench.directions[:2], torch.tensor([-1, 1]), torch.tensor([0.3, 0.0]))
    expected = (residual[0] @ bench.directions[0] - 0.3).clamp_min(0)
    torch.testing.assert_close(readers.read(bench, residual)[0], expected, atol=1e-5, rtol=1e-5)


def test_an_activation_that_rests_on_earlier_positions_cannot_be_held(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.autoencoder, "reads_context", True)
    readers, ones = readers_of(bench, [5]), torch.ones(1)
    with pytest.raises(StudyError, match='steering.kind = .clamp. .* use kind = "add"'):
        make_change("clamp", bench, readers, ones, readers.directions)
    assert isinstance(make_change("add", bench, readers, ones, readers.directions), Addition)


def test_reading_in_blocks_changes_nothing(bench: Workbench, residual: torch.Tensor) -> None:
    readers, many = readers_of(bench, [5, 3] * 4), residual.repeat(4, 1, 1)
    whole = readers.read(bench, many)
    torch.testing.assert_close(readers.read(bench, many, most_bytes=1), whole, atol=1e-6, rtol=1e-6)


def test_controls_of_a_clamp_write_as_much_in_another_direction(bench: Workbench, residual: torch.Tensor) -> None:
    other = torch.nn.functional.normalize(torch.randn(2, 32, generator=torch.Generator().manual_seed(1)), dim=1)
    own, along = clamp(bench, [5, 3], [2.0, 2.0]), clamp(bench, [5, 3], [2.0, 2.0], other)
    flipped = clamp(bench, [5, 3], [2.0, 2.0], -bench.directions[[5, 3]])
    torch.testing.assert_close(along(residual).norm(dim=-1), own(residual).norm(dim=-1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(flipped(residual), -own(residual))
    still = clamp(bench, [5, 3], [2.0, 2.0], torch.zeros(2, 32))
    assert not still(residual).any()


# Rows


@pytest.mark.parametrize("kind", ["add", "clamp", "ablate"])
def test_rows_that_are_changed_alike_are_found(bench: Workbench, kind: InterventionKind) -> None:
    readers = readers_of(bench, [5, 5, 3, 5, 3])
    writes = readers.directions.clone()
    writes[[1, 4]] = 0
    strengths = torch.tensor([2.0, 2.0, 2.0, 2.0, 2.0])
    chosen, places = Intervention(make_change(kind, bench, readers, strengths, writes)).distinct_rows()
    assert chosen.tolist() == [0, 1, 2]
    assert places.tolist() == [0, 1, 2, 0, 1], "rows that write nothing are alike, whatever they would read"


@pytest.mark.parametrize("kind", ["add", "clamp"])
def test_taken_rows_are_changed_as_they_were(bench: Workbench, residual: torch.Tensor, kind: InterventionKind) -> None:
    readers = readers_of(bench, [5, 3])
    change: Change = make_change(kind, bench, readers, torch.tensor([2.0, 4.0]), readers.directions)
    taken = change.take(torch.tensor([1, 1, 0]))
    expected = change(residual).expand(-1, 9, -1)[[1, 1, 0]]
    torch.testing.assert_close(taken(residual[[1, 1, 0]]).expand(-1, 9, -1), expected, atol=1e-5, rtol=1e-5)
