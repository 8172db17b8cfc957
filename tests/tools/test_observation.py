"""Everything a judge may look at, end to end and piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from tools.activations import Recording, record_activations, tokenize_passages
from tools.corpus import load_passages
from tools.observation import (
    ARMS,
    CAUSAL_ROWS,
    SteeredTexts,
    distinct_share,
    draw_random_stratum,
    measure_causal_effect,
    observe,
    score_steering,
    score_texts,
    steer_directions,
)
from tools.projection import project
from tools.records import Evidence, FeatureRef, Stratum
from tools.steering import HookCounter, generate, row_noise
from tools.studies import Study
from tools.survey import CONTENT_RANK, Lexicon, Survey
from tools.workbench import Workbench

PLANTED, DEAD = 0, 47
MEDICAL = ("doctor", "patient", "nurse", "hospital")
EVERYDAY = ("garden", "river", "bread", "market")


class Choice(NamedTuple):
    """One selected direction."""

    feature: FeatureRef
    stratum: Stratum


def choice(index: int, kind: str = "feature", stratum: Stratum = "candidates") -> Choice:
    return Choice(FeatureRef.model_validate({"study": "tiny", "sae": "base", "index": index, "kind": kind}), stratum)


class SpyingBench(Workbench):
    """The bench, remembering the vectors of the last intervention."""

    def __init__(self, bench: Workbench) -> None:
        self.__dict__.update(bench.__dict__)
        self.last_vectors = torch.zeros(0)

    def step(self, tokens: torch.Tensor, cache: Any, edit: Any) -> Any:
        if edit is not None:
            self.last_vectors = edit.vectors
        return super().step(tokens, cache, edit)


SELECTED = (
    choice(3),
    choice(1, "random_direction", "random directions"),
    choice(PLANTED),
    choice(DEAD, stratum="unrelated controls"),
    choice(0, "random_direction", "random directions"),
    choice(20, stratum="near controls"),
)
"""Features and random directions mixed, and in no order."""


@pytest.fixture(scope="session")
def evidence(bench: Workbench, study: Study, survey: Survey) -> list[Evidence]:
    return observe(bench, study, survey, SELECTED, seed=0)


def dump(evidence: Sequence[Evidence]) -> list[str]:
    return [item.model_dump_json() for item in evidence]


# End to end


def test_one_seed_gives_identical_evidence(
    bench: Workbench, study: Study, survey: Survey, evidence: list[Evidence]
) -> None:
    assert dump(observe(bench, study, survey, SELECTED, seed=0)) == dump(evidence)


def test_another_seed_gives_other_evidence(
    bench: Workbench, study: Study, survey: Survey, evidence: list[Evidence]
) -> None:
    other = observe(bench, study, survey, SELECTED, seed=1)
    assert all(left != right for left, right in zip(dump(other), dump(evidence), strict=True))
    assert other[2].projection == evidence[2].projection, "what weights say has no seed"
    assert other[2].activations == evidence[2].activations
    assert other[1].projection != evidence[1].projection, "random directions are drawn by it"
    left, right = other[2].steering, evidence[2].steering
    assert left is not None and right is not None
    assert [pair.unsteered for pair in left.pairs] != [pair.unsteered for pair in right.pairs], "and so are the texts"


def test_evidence_is_complete_and_survives_its_file(evidence: list[Evidence]) -> None:
    assert [(item.feature, item.stratum) for item in evidence] == list(SELECTED)
    for item in evidence:
        assert None not in (item.projection, item.keywords, item.coherence, item.activations, item.steering)
        assert Evidence.model_validate_json(item.model_dump_json()) == item


def test_evidence_belongs_to_the_direction_it_names(bench: Workbench, study: Study, evidence: list[Evidence]) -> None:
    drawn = draw_random_stratum(bench, 0, 2)
    passages = load_passages(study, "train")
    for item in evidence:
        is_feature = item.feature.kind == "feature"
        direction = bench.directions[item.feature.index] if is_feature else drawn[item.feature.index]
        table = project(direction[None], bench.W_U, 10)
        assert item.projection is not None and item.activations is not None
        assert [entry.token_id for entry in item.projection.top] == table.top_ids[0].tolist()
        if is_feature:
            maxima = []
            for passage in passages:
                ids = bench.tokenize(passage.text)
                for start in range(0, len(ids), bench.context_size - 1):
                    row = torch.tensor([[bench.bos, *ids[start : start + bench.context_size - 1]]])
                    activations = bench.encode(bench.residuals(row))[0, 1:, item.feature.index]
                    maxima.append(float(activations.max()))
            assert item.activations.max_activation == pytest.approx(max(maxima), abs=1e-3)


def test_contexts_come_from_the_train_split_alone(study: Study, evidence: list[Evidence]) -> None:
    train = {passage.document for passage in load_passages(study, "train")}
    shown = {
        context.document
        for item in evidence
        if item.activations is not None
        for context in (*item.activations.top, *item.activations.quantiles)
    }
    assert shown
    assert shown <= train


def test_random_directions_are_observed_like_features(evidence: list[Evidence]) -> None:
    for item in (evidence[1], evidence[4]):
        assert item.activations is not None and item.activations.top
        assert item.causal is not None
        assert item.steering is not None and item.steering.n == 4


def test_dead_feature_has_no_contexts_and_no_causal_effect(evidence: list[Evidence]) -> None:
    dead = evidence[3]
    assert dead.activations is not None
    assert (dead.activations.density, dead.activations.top, dead.activations.domain_lift) == (0.0, (), None)
    assert dead.causal is None


def test_steering_evidence_proves_that_the_hook_acted(study: Study, evidence: list[Evidence]) -> None:
    for item in evidence:
        steering = item.steering
        assert steering is not None
        assert steering.policy == "all"
        assert steering.hook_calls == study.steering.new_tokens
        assert steering.positions_steered > steering.hook_calls
        assert 0 < steering.strength <= study.steering.max_strength
        assert [(pair.prompt, pair.seed) for pair in steering.pairs] == [
            (prompt, seed) for prompt in study.steering.prompts for seed in study.steering.seeds
        ]
        assert steering.win_rate == pytest.approx(np.mean([pair.win for pair in steering.pairs]))
        assert any(pair.steered != pair.unsteered for pair in steering.pairs)


def test_causal_evidence_is_that_of_the_direction_it_names(
    bench: Workbench, study: Study, evidence: list[Evidence]
) -> None:
    rows = tokenize_passages(bench, load_passages(study, "train"), bench.context_size)
    for item in (evidence[0], evidence[5]):
        feature = item.feature.index
        direction = bench.directions[feature]
        alone = record_activations(bench, rows, [feature], torch.zeros(0, 32))
        top = project(direction[None], bench.W_U, 10).top_ids[0]
        expected = measure_causal_effect(bench, alone, 0, direction, top)
        assert item.causal is not None and expected is not None
        assert item.causal.n_contexts == expected.n_contexts
        assert item.causal.ablation_effect == pytest.approx(expected.ablation_effect, rel=1e-3)
        assert item.causal.survival_ratio == pytest.approx(expected.survival_ratio, rel=1e-3)


def test_arms_of_a_pair_differ_by_the_intervention_alone(bench: Workbench, study: Study) -> None:
    spy = SpyingBench(bench)
    directions = bench.directions[[3, 20]]
    ids = project(directions, bench.W_U, 10).top_ids.numpy()
    found = steer_directions(spy, study, directions, ids, ["a", "b"], residual_norm=11.0, seed=0)
    n_seeds = len(study.steering.seeds)
    vectors = spy.last_vectors.reshape(2, n_seeds, len(ARMS), 32)
    assert torch.equal(vectors[:, 0], vectors[:, 1]), "seeds of one prompt are steered alike"
    unsteered, steered, control, flipped = vectors[:, 0].unbind(dim=1)
    lengths = torch.from_numpy(found.strengths * 11.0)
    assert not unsteered.any()
    torch.testing.assert_close(steered, directions * lengths[:, None], atol=1e-5, rtol=1e-5)
    assert torch.equal(flipped, -steered)
    torch.testing.assert_close(control.norm(dim=1), lengths, atol=1e-4, rtol=1e-4)
    assert float(torch.cosine_similarity(control, steered).abs().max()) < 0.9


def test_log_mass_follows_each_directions_own_top_tokens(bench: Workbench, study: Study) -> None:
    directions, settings = bench.directions[[3, 20]], study.steering
    ids = project(directions, bench.W_U, 10).top_ids
    found = steer_directions(bench, study, directions, ids.numpy(), ["a", "b"], residual_norm=11.0, seed=0)
    lists = torch.zeros(2, bench.W_U.shape[1]).scatter(1, ids, 1.0)
    per_direction = len(settings.prompts) * len(settings.seeds) * len(ARMS)
    for place in range(2):
        alone = generate(
            bench,
            bench.tokenize(settings.prompts[0]),
            directions[place][None] * float(found.strengths[place]) * 11.0,
            row_noise(f"0|{'ab'[place]}|{settings.prompts[0]}|{settings.seeds[0]}", settings.new_tokens)[None],
            temperature=settings.temperature,
            top_k=settings.top_k,
            reference=lists,
        )
        steered = place * per_direction + ARMS.index("steered")
        assert found.texts[steered] == bench.decode(alone.tokens[0].tolist())
        np.testing.assert_allclose(found.log_mass[steered], alone.log_mass[0], atol=1e-4)


def test_unsteered_text_does_not_depend_on_what_is_selected(
    bench: Workbench, study: Study, survey: Survey, evidence: list[Evidence]
) -> None:
    alone = observe(bench, study, survey, [SELECTED[2]], seed=0)[0]
    together = evidence[2]
    assert alone.steering is not None and together.steering is not None
    for left, right in zip(alone.steering.pairs, together.steering.pairs, strict=True):
        assert (left.unsteered, left.steered, left.flipped) == (right.unsteered, right.steered, right.flipped)
    assert alone.activations == together.activations


def test_nothing_selected_gives_no_evidence(bench: Workbench, study: Study, survey: Survey) -> None:
    assert observe(bench, study, survey, [], seed=0) == []


def test_random_stratum_is_never_the_survey_null(bench: Workbench) -> None:
    from tools.projection import random_directions

    stratum, null = draw_random_stratum(bench, 0, 20), random_directions(200, 32, 0)
    assert float((stratum @ null.T).abs().max()) < 0.99
    assert torch.equal(draw_random_stratum(bench, 0, 3), stratum[:3]), "a direction keeps its number"


# Scores


def rows_of(lexicon: Lexicon, words: Sequence[str]) -> list[int]:
    return [lexicon.vectors.row[word] for word in words]


def test_text_score_is_the_mean_best_cosine_of_its_content_words(survey: Survey) -> None:
    lexicon = survey.lexicon
    references = [rows_of(lexicon, MEDICAL), rows_of(lexicon, EVERYDAY), []]
    texts = ["The doctor was in the garden. A nurse!", "the of and", "", "zzzz nephrology", "bread bread heart"]
    scores = score_texts(texts, references, lexicon)
    matrix = lexicon.vectors.matrix
    expected = np.zeros((5, 3))
    for place, content in ((0, ("doctor", "garden", "nurse")), (4, ("bread", "bread", "heart"))):
        for column, reference in enumerate(references[:2]):
            best = [max(matrix[row] @ matrix[r] for r in reference) for row in rows_of(lexicon, content)]
            expected[place, column] = np.mean(best)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert scores[0, 0] > 0


def test_function_words_carry_no_topic(survey: Survey) -> None:
    lexicon = survey.lexicon
    assert lexicon.vectors.row["with"] < CONTENT_RANK <= lexicon.vectors.row["doctor"]
    reference = [rows_of(lexicon, MEDICAL)]
    plain, padded = score_texts(["doctor river", "the doctor was with a river of the"], reference, lexicon)
    assert plain.tolist() == padded.tolist()


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 1.0),
        ("word", 1.0),
        ("one two three four", 1.0),
        ("the the the the the", 0.25),
        ("a b a b a b a", 1 / 3),
        ("The end. the END", 2 / 3),
    ],
)
def test_repetition_lowers_the_share_of_distinct_word_pairs(text: str, share: float) -> None:
    assert distinct_share(text) == pytest.approx(share)


def made_up_texts(study: Study, steered: Sequence[str], unsteered: Sequence[str]) -> SteeredTexts:
    """The same texts at every prompt and seed, for one direction after another."""
    n_pairs = len(study.steering.prompts) * len(study.steering.seeds)
    texts = [
        text
        for with_it, without in zip(steered, unsteered, strict=True)
        for _ in range(n_pairs)
        for text in (without, with_it, without, without)
    ]
    n = len(steered)
    log_mass = np.zeros((len(texts), n), dtype=np.float32)
    log_mass[1 :: len(ARMS)] = 0.5
    return SteeredTexts(texts, log_mass, np.linspace(0.7, 0.9, n), np.linspace(0.3, 0.4, n), HookCounter(5, 9))


def top_ids(survey: Survey, *lists: Sequence[str]) -> np.ndarray:
    tokens = survey.lexicon.tokens
    return np.array([[tokens.index(f" {word}") for word in words] for words in lists])


def test_steered_text_wins_under_its_own_words_and_loses_under_the_others(study: Study, survey: Survey) -> None:
    medical, everyday = "doctor patient nurse hospital", "garden river bread market"
    steered = made_up_texts(study, [medical, everyday], [everyday, medical])
    first, second = score_steering(study, steered, survey.lexicon, top_ids(survey, MEDICAL, EVERYDAY))
    for record in (first, second):
        assert (record.win_rate, record.null_win_rate, record.n) == (1.0, 0.0, 4)
        assert record.log_probability_lift == pytest.approx(0.5)
        assert (record.hook_calls, record.positions_steered) == (5, 9)
    assert (first.strength, second.strength) == pytest.approx((0.7, 0.9))
    assert (first.kl, second.kl) == pytest.approx((0.3, 0.4))


def test_equal_texts_do_not_win(study: Study, survey: Survey) -> None:
    steered = made_up_texts(study, ["doctor"] * 2, ["doctor"] * 2)
    for record in score_steering(study, steered, survey.lexicon, top_ids(survey, MEDICAL, EVERYDAY)):
        assert record.win_rate == record.null_win_rate == 0.0


def test_collapsed_text_cannot_win(study: Study, survey: Survey) -> None:
    steered = made_up_texts(study, ["doctor doctor doctor doctor doctor"] * 2, ["garden"] * 2)
    record, _ = score_steering(study, steered, survey.lexicon, top_ids(survey, MEDICAL, EVERYDAY))
    assert record.pairs[0].score_steered > record.pairs[0].score_unsteered
    assert all(pair.collapsed and not pair.win for pair in record.pairs)
    assert record.win_rate == 0.0


def test_texts_that_know_nothing_of_their_direction_win_as_often_as_the_null(study: Study, survey: Survey) -> None:
    """Without steering the win rate must be the swapped-reference null, whatever the metric's own chance level is."""
    rng = np.random.default_rng(0)
    words = [word for word in survey.lexicon.vectors.words[CONTENT_RANK:]]
    n, n_pairs = 40, 4
    texts = [" ".join(rng.choice(words, 4)) for _ in range(n * n_pairs * len(ARMS))]
    whole = [token for token in survey.lexicon.tokens if token.startswith(" ") and token.strip() in words]
    ids = np.array([[survey.lexicon.tokens.index(t) for t in rng.choice(whole, 4, replace=False)] for _ in range(n)])
    steered = SteeredTexts(texts, np.zeros((len(texts), n), np.float32), np.ones(n), np.ones(n), HookCounter(1, 1))
    records = score_steering(study, steered, survey.lexicon, ids)
    own, null = (np.mean([getattr(record, name) for record in records]) for name in ("win_rate", "null_win_rate"))
    assert own == pytest.approx(null, abs=3 * 0.5 / (n * n_pairs) ** 0.5)
    assert 0.3 < null < 0.7


# Causal effect


def test_causal_effect_is_measured_where_the_feature_is_most_active(bench: Workbench, tokens: torch.Tensor) -> None:
    from tools.causal import ablate_feature
    from tools.corpus import TokenRows

    values = np.zeros((6, 9, 1), dtype=np.float32)
    values[[0, 1, 3, 4, 5], 4, 0] = [1, 5, 3, 4, 2]
    generator = torch.Generator().manual_seed(3)
    many = torch.randint(1, 300, (6, 9), generator=generator)
    real = np.ones((6, 9), dtype=bool)
    recording = Recording(TokenRows(many.numpy(), real, ("d",) * 6), values, 1.0, np.ones(1))
    ids = torch.tensor([5, 9])
    found = measure_causal_effect(bench, recording, 0, bench.directions[2], ids)
    best = [1, 4, 3, 5, 0][:CAUSAL_ROWS]
    expected = ablate_feature(bench, many[best], torch.from_numpy(values[best, :, 0]), bench.directions[2])
    assert found is not None
    assert found.n_contexts == len(best)
    assert found.ablation_effect == pytest.approx(float(expected.logits[ids].mean()), abs=1e-6)
