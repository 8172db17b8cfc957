"""Directions of known meaning: what is found where it was put, and what nothing was put into."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tools.bench.workbench import Workbench
from tools.errors import LoadError, StudyError
from tools.study.corpus import Corpus
from tools.study.definition import Study
from tools.study.texts import Passage
from tools.truth.appending import append_to, match_threshold
from tools.truth.concepts import WRITTEN, Concept, broken_off, find_places, list_words, topics_of, words_ended
from tools.truth.known import FILE, KnownFeature, KnownFeatures, read_known, write_known
from tools.truth.planting import (
    MOST_OF_A_CONCEPT,
    Observed,
    beyond_chance,
    f1_score,
    observe,
    plant_in,
)

D, N = 24, 6000
BY_NAME = {concept.name: concept for concept in WRITTEN}
PLACED = [Concept("strong", "the strong one"), Concept("weak", "one that is hardly there"), Concept("rare", "seldom")]


def place(concept: str, text: str, tokens: list[str], topic: str | None = None) -> tuple[list[bool], list[bool]]:
    found = find_places(BY_NAME[concept], Passage("d", topic, text), tokens)
    return found.true.tolist(), found.counted.tolist()


def gaussians(seed: int, strength: tuple[float, ...] = (9.0, 0.5, 9.0)) -> Observed:
    """Noise of unequal widths, with a direction added where a concept is; the third is too rare to be planted."""
    rng = np.random.default_rng(seed)
    widths = np.geomspace(0.2, 5.0, D)
    ways = np.random.default_rng(99).standard_normal((3, D))
    ways /= np.linalg.norm(ways / widths, axis=1, keepdims=True)
    true = np.stack([rng.random(N) < share for share in (0.05, 0.05, 0.001)], axis=1)
    residuals = rng.standard_normal((N, D)) * widths + (true * np.array(strength)) @ ways
    words = tuple("strong" if one else "other" for one in true[:, 0])
    return Observed(residuals.astype(np.float32), true, np.ones_like(true), np.arange(N) // 50, words)


def test_a_match_is_its_last_token_and_its_first_ones_count_for_nothing() -> None:
    true, counted = place("calendar", "On Wednesday we", ["On", " Wed", "nes", "day", " we"])
    assert true == [False, False, False, True, False]
    assert counted == [True, False, False, True, True]


@pytest.mark.parametrize(
    ("concept", "tokens", "expected"),
    [
        ("capitals", ["The", " man", " from", " Rome", ".", " He", " saw", " I"], [3]),
        ("hyphens", ["a", " well", "-", "known", " -", " dash"], [2]),
        ("negation", ["I", " can", "not", " know", " no", " one"], [2, 4]),
        ("written numbers", ["one", " of", " seven", " someone"], [2]),
        ("full stops", ["3", ".", "5", " is", " it", "."], [5]),
    ],
)
def test_concepts_are_where_a_reader_would_find_them(concept: str, tokens: list[str], expected: list[int]) -> None:
    true, _ = place(concept, "".join(tokens), tokens)
    assert [n for n, here in enumerate(true) if here] == expected


def test_a_topic_is_everywhere_in_its_passages_and_nowhere_else() -> None:
    passages = [Passage("a", "law", "The court"), Passage("b", None, "The sea"), Passage("c", "art", "A hue")]
    law = next(concept for concept in topics_of(passages) if concept.topic == "law")
    assert [find_places(law, passage, ["x", " y"]).true.tolist() for passage in passages] == [
        [True, True],
        [False, False],
        [False, False],
    ]


def test_words_of_tokens_are_whole_and_signs_stand_for_themselves() -> None:
    pieces = ["The", " un", "read", "able", ",", " 12", " cat", "'s"]
    assert words_ended(pieces) == ["the", "", "", "unreadable", ",", "12", "cat", "'s"]
    seen = [("he", True)] * 9 + [("he", False), ("him", True), ("it", False), ("so", True), ("so", False)]
    assert list_words(seen) == ("he", "him")


def test_pieces_are_of_words_that_several_tokens_spell() -> None:
    pieces = ["The", " un", "read", "able", ",", " 12", "th", " cat", "'s", " Form", "ulated", ".", "a", " b"]
    broken = ["", "un", "read", "able", "", "", "", "", "", "form", "ulated", "", "", ""]
    assert broken_off(pieces) == broken
    assert broken_off([]) == [] and broken_off(["whole"]) == [""]


def test_pieces_of_a_concept_are_those_that_nearly_always_end_one_of_its_words() -> None:
    train, held = gaussians(0), gaussians(1)
    pieces = ["ulated" if one else "ing" if place % 2 else "" for place, one in enumerate(train.true[:, 0])]
    found = plant_in(train._replace(pieces=tuple(pieces)), held, PLACED, seed=0)
    assert found.directions[0].known.pieces == ("ulated",)
    assert plant_in(train, held, PLACED, seed=0).directions[0].known.pieces == ()


def test_what_was_put_there_is_found_and_what_is_too_weak_or_too_rare_is_left_out_with_its_reason() -> None:
    found = plant_in(gaussians(0), gaussians(1), PLACED, seed=0)
    concepts = [one for one in found.directions if one.known.kind == "concept"]
    assert [one.known.name for one in concepts] == ["strong"]
    assert concepts[0].f1 is not None and concepts[0].f1 > 0.95
    assert concepts[0].known.words == ("strong",)
    assert [why.split(":")[0] for why in found.left_out] == ["weak", "rare"]
    assert "F1" in found.left_out[0] and "places" in found.left_out[1]


def test_placebos_are_active_as_often_and_tell_no_concept() -> None:
    train = gaussians(0)
    found = plant_in(train, gaussians(1), PLACED, seed=3)
    own, *placebos = found.directions
    assert [one.known.kind for one in placebos] == ["shuffled", "random"]
    for one in placebos:
        active = one.active(train.residuals)
        assert active.mean() == pytest.approx(own.active(train.residuals).mean(), rel=0.02)
        assert beyond_chance(active, train.true[:, 0], train.counted[:, 0]) <= MOST_OF_A_CONCEPT
        assert one.known.meaning is None and one.f1 is None
    assert [one.known.feature for one in found.directions] == [0, 1, 2]
    again = plant_in(train, gaussians(1), PLACED, seed=4)
    assert np.allclose(again.directions[0].direction, own.direction)
    assert not np.allclose(again.directions[2].direction, placebos[1].direction)


def test_noise_alone_has_no_concept_to_plant() -> None:
    flat = (0.0, 0.0, 0.0)
    with pytest.raises(StudyError, match="no concept can be planted"):
        plant_in(gaussians(0, flat), gaussians(1, flat), PLACED, seed=0)


def test_f1_is_the_harmonic_mean_over_what_counts() -> None:
    found, true = np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 1, 0, 1], bool)
    assert f1_score(found, true, np.array([1, 1, 1, 1, 0], bool)) == 0.5
    assert f1_score(~found & ~true & found, true & found & ~true, true) == 0.0


def test_what_is_frequent_by_itself_is_told_by_chance_alone() -> None:
    rng = np.random.default_rng(0)
    found, true, counted = rng.random(40_000) < 0.6, rng.random(40_000) < 0.8, np.ones(40_000, bool)
    assert f1_score(found, true, counted) > 0.6
    assert abs(beyond_chance(found, true, counted)) < 0.01
    assert beyond_chance(true, true, counted) == pytest.approx(0.2, abs=0.01)


@pytest.fixture(scope="module")
def observed(bench: Workbench, study: Study) -> Observed:
    bench.take_up(corpus := Corpus(study))
    return observe(bench, corpus, "train", WRITTEN)


@pytest.mark.parametrize("make", ["make_sae", "make_topk_sae"])
def test_an_sae_keeps_its_features_and_has_the_planted_ones_behind_them(
    make: str, request: pytest.FixtureRequest, bench: Workbench, study: Study, observed: Observed
) -> None:
    factory = request.getfixturevalue(make)
    sae: Any = factory(rescale=True) if make == "make_topk_sae" else factory(seed=1, hook_name=bench.hook_name)
    column = [concept.name for concept in WRITTEN].index("definite article")
    one = Observed(observed.residuals, observed.true[:, [column]], observed.counted[:, [column]], *observed[3:])
    planted = plant_in(one, one, [WRITTEN[column]], seed=0).directions
    own = Workbench(bench.bridge, sae, bench.arm, "own", bench.hashes)
    own.take_up(corpus := Corpus(study))
    threshold = match_threshold(own, corpus)
    made = append_to(sae, threshold, planted)
    both = Workbench(bench.bridge, made, bench.arm, "both", bench.hashes)
    residuals = torch.from_numpy(observed.residuals[:500])
    found, before = both.encode(residuals), own.encode(residuals)
    n = own.d_sae
    if threshold is None:
        assert torch.allclose(found[:, :n], before, atol=1e-4)
    else:
        assert float((found[:, :n] > 0).sum(1).float().mean()) == pytest.approx(4, abs=0.7)
    active = np.stack([direction.active(observed.residuals[:500]) for direction in planted], axis=1)
    assert ((found[:, n:] > 0).numpy() == active).mean() > 0.999
    assert torch.allclose(both.directions[n], torch.tensor(planted[0].direction, dtype=torch.float32), atol=1e-5)
    with_, without = both.decode_activations(found, residuals), both.decode_activations(found.clone(), residuals)
    assert torch.equal(with_, without)
    written = found[:, n:] @ both.directions[n:]
    assert float(written.norm(dim=1).max()) < 0.05 * float(residuals.norm(dim=1).mean())


def test_an_sae_that_reads_its_input_otherwise_is_refused(make_sae: Any, bench: Workbench, observed: Observed) -> None:
    sae = make_sae(seed=1, hook_name=bench.hook_name)
    sae.cfg.normalize_activations = "layer_norm"
    with pytest.raises(LoadError, match="layer_norm"):
        append_to(sae, None, [])


def test_what_is_known_reads_as_it_was_written_and_only_beside_its_own_weights(study_copy: Path) -> None:
    from tools.bench.arms import hash_weights

    folder = study_copy / "base" / "sae"
    assert read_known(folder) is None
    known = KnownFeatures(
        sae_sha256=hash_weights(folder),
        made_by="a test",
        features=(KnownFeature(feature=1, kind="concept", name="x", meaning="an x", words=("x",)),),
    )
    write_known(folder, known)
    assert read_known(folder) == known
    known.check(folder)
    with pytest.raises(LoadError, match="other weights"):
        known.model_copy(update={"sae_sha256": "0" * 64}).check(folder)


@pytest.mark.parametrize(
    "features",
    [
        [{"feature": 1, "kind": "concept", "name": "x"}],
        [{"feature": 1, "kind": "random", "name": "x", "meaning": "an x"}],
        [{"feature": 1, "kind": "random", "name": "x"}] * 2,
        [],
        [{"feature": -1, "kind": "random", "name": "x"}],
    ],
)
def test_nonsense_about_features_is_refused_in_a_line(tmp_path: Path, features: list[dict[str, Any]]) -> None:
    (tmp_path / FILE).write_text(json.dumps({"sae_sha256": "0", "made_by": "x", "features": features}))
    with pytest.raises(LoadError) as refused:
        read_known(tmp_path)
    assert "\n" not in str(refused.value)
