"""The rank of a word's rise among other words, by brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tools.bench.workbench import Workbench
from tools.catalogue import instruments as catalogue
from tools.catalogue.common_words import CommonWords
from tools.catalogue.standing import RANDOM_DIRECTIONS, beside_random, rank_of, shift
from tools.catalogue.subject import Laboratory
from tools.records import ActivationEvidence, Evidence, FeatureRef
from tools.study.definition import Study


@pytest.fixture(scope="module")
def laboratory(bench: Workbench, study: Study) -> Laboratory:
    return Laboratory(bench, study, seed=0)


def evidence(index: int, largest: float | None = None) -> Evidence:
    shown = ActivationEvidence(max_activation=largest, top=())
    ref = FeatureRef(study="toy", sae="base", index=index)
    return Evidence(feature=ref, stratum="candidates", activations=None if largest is None else shown)


@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 30))
def test_words_of_like_frequency_are_the_nearest_and_the_rank_counts_those_that_rise_more(
    seed: int, d_vocab: int, most: int
) -> None:
    rng = np.random.default_rng(seed)
    places = rng.permutation(d_vocab)  # of each token, rarest first
    whole = np.flatnonzero(rng.random(d_vocab) < 0.7)
    ids = whole[np.argsort(places[whole])]
    words = CommonWords(ids, places[ids], places)
    change = rng.normal(size=d_vocab).astype(np.float32)
    token = int(rng.integers(d_vocab))
    like = words.like(token, most).tolist()
    others = [int(i) for i in ids if i != token]
    assert len(like) == min(most, len(others)) and token not in like
    start = others.index(like[0]) if like else 0
    assert like == others[start : start + len(like)], "a stretch of the order, nobody left out"
    below = sum(places[i] < places[token] for i in like)
    behind = sum(places[i] < places[token] for i in others)
    expected = min(max(behind - most // 2, 0), max(0, len(others) - most))
    assert below == min(behind - expected, len(like)) if like else below == 0
    rank, of = rank_of(change, token, words)
    assert (rank, of) == (1 + sum(change[i] > change[token] for i in words.like(token)), len(words.like(token)))


def test_common_words_stand_in_tokens_of_their_own_by_frequency(laboratory: Laboratory) -> None:
    words, rows = laboratory.common_words, laboratory.sample.rows
    counts = np.bincount(rows.tokens[rows.real], minlength=laboratory.bench.W_U.shape[1])
    strings = [laboratory.bench.token_strings[i] for i in words.ids]
    assert all(token[0] == " " and token[1:].isalpha() for token in strings)
    assert (np.diff(counts[words.ids]) >= 0).all()
    assert " doctor" in strings


def test_a_word_is_held_against_other_words_and_against_random_directions(laboratory: Laboratory) -> None:
    subject = laboratory.subject(evidence(0))
    words = ["doctor", "heart", "garden", "river"]
    found = catalogue.promote_words(subject, words, 1.0)
    vector = subject.direction * subject.sample.residual_norm
    written = beside_random(subject, vector)
    prompts = [subject.tokenize(prompt) for prompt in laboratory.study.steering.prompts]
    change, *random = np.mean([shift(subject, written, prompt) for prompt in prompts], axis=0)
    assert len(random) == RANDOM_DIRECTIONS
    for word in found.words:
        assert word.whole
        (token,) = subject.bench.reader.word(word.word)
        like = laboratory.common_words.like(token)
        assert (word.rank, word.of) == (1 + int((change[like] > change[token]).sum()), len(like))
        assert word.random == pytest.approx(np.mean([other[token] for other in random]), rel=1e-2, abs=1e-3)
    assert len({word.rank for word in found.words}) > 1


def test_a_word_of_several_tokens_has_random_directions_beside_it_and_no_rank_among_single_ones(
    laboratory: Laboratory,
) -> None:
    subject = laboratory.subject(evidence(0))
    word = "doctorriver"
    ids = subject.bench.reader.word(word)
    assert len(ids) > 1
    (found,) = catalogue.promote_words(subject, [word], 1.0).words
    written = beside_random(subject, subject.direction * subject.sample.residual_norm)
    expected = np.zeros(1 + RANDOM_DIRECTIONS)
    prompts = laboratory.study.steering.prompts
    for prompt in prompts:
        for n, token in enumerate(ids):
            expected += shift(subject, written, [*subject.tokenize(prompt), *ids[:n]])[:, token] / len(prompts)
    assert (found.rank, found.of, found.whole) == (None, None, False)
    assert found.change == pytest.approx(expected[0], rel=1e-2, abs=1e-3)
    assert found.random == pytest.approx(expected[1:].mean(), rel=1e-2, abs=1e-3)


def test_a_random_directions_words_rank_in_the_middle(laboratory: Laboratory) -> None:
    """Of a direction that means nothing no list of words rises beyond others."""
    ref = FeatureRef(study="toy", sae="base", index=5, kind="random_direction")
    subject = laboratory.subject(Evidence(feature=ref, stratum="random directions"))
    strings = [laboratory.bench.token_strings[i].strip() for i in laboratory.common_words.ids[::7]][:20]
    found = catalogue.promote_words(subject, strings, 1.0)
    shares = [word.rank / word.of for word in found.words if word.rank is not None and word.of]
    assert 0.25 < float(np.mean(shares)) < 0.75


def test_own_sentences_are_held_against_the_maximum_that_the_evidence_names(laboratory: Laboratory) -> None:
    sentences = ["The doctor met the nurse."]
    assert catalogue.measure_activations(laboratory.subject(evidence(1, 77.5)), sentences).largest_in_corpus == 77.5
    subject = laboratory.subject(evidence(2))
    sampled = float(subject.sample_values.max())
    assert catalogue.measure_activations(subject, sentences).largest_in_corpus == pytest.approx(sampled, rel=5e-3)
    assert torch.isfinite(torch.tensor(sampled))
