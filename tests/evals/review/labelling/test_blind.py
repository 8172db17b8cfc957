"""What a labeller sees says nothing of the machine, and comes in an order that says nothing either."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from evals.review.labelling.blind import HEATS, address, order_features, read_addresses, show
from tests.evals.review.label_worlds import decide_all, see
from tools.records import Evidence

KEYS = st.lists(st.integers(0, 500).map(lambda index: f"base-{index:06d}"), unique=True, max_size=60)


@given(keys=KEYS, data=st.data(), seed=st.sampled_from(["run|ana", "run|ben"]))
def test_an_order_shows_every_feature_once_and_the_planned_ones_first(keys: list[str], data: Any, seed: str) -> None:
    planned = data.draw(st.lists(st.sampled_from(keys), unique=True)) if keys else []
    decoys = [key for key in keys if key.endswith(("1", "2", "3")) and key not in planned]
    order = order_features(keys, planned, decoys, seed)
    assert sorted(order) == sorted(keys)
    real = len(keys) - len(decoys)
    ahead = len(planned) + (round(len(planned) * len(decoys) / real) if real else 0)
    assert set(planned) <= set(order[:ahead])
    assert set(order[:ahead]) - set(planned) <= set(decoys)
    assert order == order_features(keys[::-1], planned[::-1], decoys, seed)


@given(keys=KEYS, more=KEYS)
def test_features_that_come_later_do_not_change_the_order_of_the_others(keys: list[str], more: list[str]) -> None:
    both = list(dict.fromkeys([*keys, *more]))
    known = set(keys)
    longer = [key for key in order_features(both, (), (), "run|ana") if key in known]
    assert longer == order_features(keys, (), (), "run|ana")


def test_annotators_have_orders_of_their_own() -> None:
    keys = [f"base-{index:06d}" for index in range(50)]
    ana, ben, other = (order_features(keys, (), (), seed) for seed in ("run|ana", "run|ben", "other|ana"))
    assert len({tuple(ana), tuple(ben), tuple(other), tuple(keys)}) == 4


def test_the_planned_features_have_their_share_of_random_directions_among_them() -> None:
    keys = [f"base-{index:06d}" for index in range(90)] + [f"base-r{index:06d}" for index in range(30)]
    order = order_features(keys, keys[:15], keys[90:], "run|ana")
    assert sum("-r" in key for key in order[:20]) == 5
    assert ["-r" in key for key in order[:20]] != sorted("-r" in key for key in order[:20])


@given(secret=st.binary(min_size=32, max_size=32), index=st.integers(0, 10**6))
def test_an_address_names_one_feature_of_one_annotator(secret: bytes, index: int) -> None:
    keys = [f"base-{index:06d}", f"base-r{index:06d}", f"base-{index + 1:06d}"]
    known = read_addresses(secret, "ana", keys)
    assert list(known.values()) == keys
    assert address(secret, "ben", keys[0]) not in known
    assert address(secret + b"x", "ana", keys[0]) not in known


def test_evidence_that_differs_only_in_what_a_machine_concluded_makes_the_same_sheet() -> None:
    decisions = decide_all(16)
    plain = see(decisions[0], "mark")
    for decision in decisions:
        assert show(see(decision, "mark")) == show(plain)
    steering, causal, active = plain.steering, plain.causal, plain.activations
    assert steering is not None and causal is not None and active is not None
    other = plain.model_copy(
        update={
            "keywords": None,
            "coherence": None,
            "steering": steering.model_copy(update={"win_rate": 0.0, "null_win_rate": 1.0, "kl": 9.0}),
            "causal": causal.model_copy(update={"verdict": "reversed", "survival_ratio": -1.0, "auroc": 0.1}),
            "activations": active.model_copy(update={"density": 0.5, "domain_lift": 0.0, "domain_peaks": 9}),
        }
    )
    assert show(other) == show(plain)


def test_a_sheet_shows_tokens_texts_continuations_and_what_is_raised() -> None:
    sheet = show(see(decide_all(1)[0], "mark", texts=["warm"]))
    assert [token.text for token in sheet.top_tokens] == [" token mark", "warm"]
    assert [(one.text, one.heat) for one in sheet.passages[0].tokens] == [("text mark", HEATS), ("warm", 2)]
    assert [passage.kind for passage in sheet.passages] == ["active", "silent"]
    assert (sheet.continuations[0].unsteered, sheet.continuations[0].steered) == (" without mark", " with mark")
    assert [token.text for token in sheet.raised] == [" raised mark"]
    assert not sheet.empty


def test_collapsed_texts_are_counted_and_not_shown() -> None:
    plain = see(decide_all(1)[0], "mark", texts=["a", "b"])
    assert plain.steering is not None
    pairs = tuple(pair.model_copy(update={"collapsed": place > 0}) for place, pair in enumerate(plain.steering.pairs))
    sheet = show(plain.model_copy(update={"steering": plain.steering.model_copy(update={"pairs": pairs})}))
    assert (len(sheet.continuations), sheet.collapsed) == (1, 2)


def test_evidence_of_which_nothing_is_known_makes_an_empty_sheet() -> None:
    decision = decide_all(1)[0]
    assert show(None).empty
    assert show(Evidence(feature=decision.feature, stratum=decision.stratum)).empty


def test_text_without_activations_is_cold() -> None:
    plain = see(decide_all(1)[0], "mark")
    assert plain.activations is not None
    context = plain.activations.top[0].model_copy(update={"activations": None})
    active = plain.activations.model_copy(update={"top": (context,), "near_misses": ()})
    assert [one.heat for one in show(plain.model_copy(update={"activations": active})).passages[0].tokens] == [0]
