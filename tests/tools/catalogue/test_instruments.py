"""The instruments a language model may call, on the tiny model."""

from __future__ import annotations

import inspect
import json
from typing import Any

import numpy as np
import pytest
import torch

from agent.toolbox import describe
from tools.bench.workbench import Workbench
from tools.catalogue import instruments as catalogue
from tools.catalogue.blinding import keeps_blind, names_of_blind
from tools.catalogue.instruments import TOOLS
from tools.catalogue.subject import Laboratory, Subject
from tools.effects.intervention import Addition, Intervention
from tools.errors import ToolError
from tools.records import ActivationEvidence, Context, Evidence, FeatureRef
from tools.study.definition import Study

PLANTED_FEATURE = 0
"""Its decoder row points at the unembedding of the first medical words (conftest)."""
MEDICAL, EVERYDAY = ("doctor", "patient", "nurse"), ("garden", "river", "train")


def evidence(index: int, kind: Any = "feature", **rest: Any) -> Evidence:
    return Evidence(feature=FeatureRef(study="tiny", sae="base", index=index, kind=kind), stratum="candidates", **rest)


@pytest.fixture(scope="module")
def laboratory(bench: Workbench, study: Study) -> Laboratory:
    return Laboratory(bench, study, seed=0)


@pytest.fixture(scope="module")
def busiest(laboratory: Laboratory, bench: Workbench) -> int:
    """The feature that is active at most tokens of the sample."""
    sample = laboratory.sample
    active = bench.encode(sample.residuals)[torch.from_numpy(sample.rows.real)] > 0
    return int(active.float().mean(dim=0).argmax())


@pytest.fixture(scope="module")
def subject(laboratory: Laboratory, busiest: int) -> Subject:
    return laboratory.subject(evidence(busiest))


@pytest.fixture(scope="module")
def planted(laboratory: Laboratory) -> Subject:
    return laboratory.subject(evidence(PLANTED_FEATURE))


def test_every_tool_can_be_offered_and_takes_a_subject_first() -> None:
    names = [tool.__name__ for tool in TOOLS]
    assert len(set(names)) == len(TOOLS) == 8
    for tool in TOOLS:
        spec = describe(tool).spec
        assert next(iter(inspect.signature(tool).parameters)) == "subject"
        assert "subject" not in json.dumps(spec.parameters)
        assert spec.description.endswith(".")
    assert len(json.dumps([describe(tool).spec.model_dump() for tool in TOOLS])) < 6000  # tokens in every request


def test_an_instrument_counts_as_unblinding_until_it_declares_itself_blind() -> None:
    def new(subject: Subject) -> None:
        """A new one."""

    assert {tool.__name__ for tool in TOOLS} - names_of_blind(TOOLS) == {"continue_text"}
    assert names_of_blind([new]) == set()
    assert names_of_blind([keeps_blind(new)]) == {"new"}


def test_activations_are_the_encoders(subject: Subject, bench: Workbench, busiest: int) -> None:
    sentences = ["The doctor met the nurse in the hospital.", "A garden"]
    found = catalogue.measure_activations(subject, sentences)
    assert [s.sentence for s in found.sentences] == sentences
    for one in found.sentences:
        tokens = torch.tensor([[bench.bos, *bench.tokenize(one.sentence)]])
        values = bench.encode(bench.residuals(tokens))[0, 1:, busiest]
        assert one.max_activation == pytest.approx(float(values.max()), rel=5e-3)
        assert (one.n_active, one.n_tokens) == (int((values > 0).sum()), len(values))
        assert (one.peak == "") == (one.n_active == 0)
    assert found.largest_in_corpus >= 0


def test_a_random_direction_is_as_dense_as_it_was_observed(laboratory: Laboratory) -> None:
    shown = ActivationEvidence(n_tokens=1, density=0.1, max_activation=1, domain_lift=None, top=(), quantiles=())
    random = laboratory.subject(evidence(3, "random_direction", activations=shown))
    assert random.row is None
    assert float(random.direction.norm()) == pytest.approx(1, abs=1e-5)
    real = torch.from_numpy(laboratory.sample.rows.real)
    active = random.activations(laboratory.sample.residuals)[real] > 0
    assert float(active.float().mean()) == pytest.approx(0.1, abs=0.02)
    again = laboratory.subject(evidence(3, "random_direction", activations=shown))
    assert torch.equal(again.direction, random.direction)
    assert catalogue.find_neighbours(random, 2).neighbours[0].cosine < 0.9


def test_the_random_direction_is_the_one_that_was_observed(laboratory: Laboratory, bench: Workbench) -> None:
    from tools.survey.projection import draw_random_stratum

    drawn = draw_random_stratum(bench, 0, 40)
    for index in (0, 7, 39):
        assert torch.allclose(laboratory.subject(evidence(index, "random_direction")).direction, drawn[index])


def test_words_of_the_planted_feature_are_promoted(planted: Subject) -> None:
    words = [*MEDICAL, *EVERYDAY]
    found = catalogue.promote_words(planted, words, 3.0)
    assert [w.word for w in found.words] == words
    assert all(np.isfinite(w.change) for w in found.words)
    none = catalogue.promote_words(planted, ["garden"], 0.05)
    assert abs(none.words[0].change) < max(abs(w.change) for w in found.words)


def test_words_that_are_none_are_refused_by_name_and_the_others_are_measured(planted: Subject) -> None:
    found = catalogue.promote_words(planted, ["two words", "doctor", " "], 1.0)
    assert [w.word for w in found.words] == ["doctor"]
    assert [(r.word, "not a single word" in r.why) for r in found.refused] == [("two words", True), (" ", True)]
    assert found.words == catalogue.promote_words(planted, ["doctor"], 1.0).words


def test_a_piece_is_tried_as_it_stands_and_a_word_as_all_its_tokens(planted: Subject, bench: Workbench) -> None:
    strings = bench.token_strings
    piece = next(
        s for s in strings if s.isalpha() and len(s) > 1 and f" {s}" not in strings and len(bench.reader.word(s)) > 1
    )
    long = next(f"{a}{b}" for a in MEDICAL for b in MEDICAL if 2 <= len(bench.reader.word(f"{a}{b}")) <= 8)
    found = {w.word: w for w in catalogue.promote_words(planted, [piece, f" {piece}", long], 2.0).words}
    assert (found[piece].whole, found[piece].joined) == (True, True)
    assert (found[f" {piece}"].whole, found[f" {piece}"].joined) == (False, False)
    ids = bench.reader.word(long)
    vector = planted.direction * (2.0 * planted.sample.residual_norm)
    expected = 0.0
    for prompt in planted.study.steering.prompts:
        start = [bench.bos, *planted.tokenize(prompt)]
        for n, token in enumerate(ids):
            rows = torch.tensor([[*start, *ids[:n]]] * 2)
            edit = Intervention(Addition(torch.stack([torch.zeros_like(vector), vector])))
            unsteered, steered = torch.log_softmax(bench.step(rows, None, edit).logits, dim=-1)
            expected += float(steered[token] - unsteered[token]) / len(planted.study.steering.prompts)
    assert found[long].change == pytest.approx(expected, rel=1e-2)


def test_every_token_of_a_sentence_is_kept_with_its_activation(subject: Subject) -> None:
    (found,) = catalogue.measure_activations(subject, ["The doctor met the nurse in the hospital."]).sentences
    if found.n_active:
        assert "".join(found.tokens) == found.sentence
        assert max(found.activations) == found.max_activation
        assert sum(value > 0 for value in found.activations) == found.n_active


def test_texts_share_their_random_numbers_and_are_repeatable(subject: Subject) -> None:
    first = catalogue.continue_text(subject, "The captain of the", 2.0)
    assert first == catalogue.continue_text(subject, "The captain of the", 2.0)
    assert first.unsteered == catalogue.continue_text(subject, "The captain of the", 0.5).unsteered
    assert first.steered != first.unsteered


def test_ablation_lowers_and_raises_tokens(subject: Subject, bench: Workbench, laboratory: Laboratory) -> None:
    values = subject.activations(laboratory.sample.residuals)[:, 1:].max(dim=1).values
    sentence = bench.decode(laboratory.sample.rows.tokens[int(values.argmax())].tolist())
    found = catalogue.ablate(subject, sentence)
    assert found.n_positions == catalogue.measure_activations(subject, [sentence]).sentences[0].n_active > 0
    assert found.lowered[0].value <= found.lowered[-1].value < found.raised[-1].value <= found.raised[0].value


def test_a_dead_feature_cannot_be_ablated_and_has_no_contexts(laboratory: Laboratory, bench: Workbench) -> None:
    dead = laboratory.subject(evidence(bench.d_sae - 1))
    with pytest.raises(ToolError, match="active at no token"):
        catalogue.ablate(dead, "The doctor met the nurse.")
    assert catalogue.show_contexts(dead, 1, 8).contexts == ()
    assert catalogue.measure_activations(dead, ["The doctor"]).sentences[0].peak == ""


def test_neighbours_are_the_nearest_other_features(subject: Subject, bench: Workbench, busiest: int) -> None:
    found = catalogue.find_neighbours(subject, 5)
    cosines = (bench.directions @ bench.directions[busiest]).tolist()
    cosines.pop(busiest)
    assert [n.cosine for n in found.neighbours] == pytest.approx(sorted(cosines, reverse=True)[:5], abs=5e-3)
    assert all(len(n.top_tokens) == 8 for n in found.neighbours)


def test_contexts_go_on_where_they_stopped(subject: Subject) -> None:
    four = catalogue.show_contexts(subject, 1, 4).contexts
    assert catalogue.show_contexts(subject, 3, 2).contexts == four[2:]
    assert [c.max_activation for c in four] == sorted((c.max_activation for c in four), reverse=True)
    assert all("«" in c.text for c in four)


def test_documents_the_evidence_has_shown_are_left_out(
    laboratory: Laboratory, bench: Workbench, study: Study, subject: Subject, busiest: int
) -> None:
    row = int(subject.sample_values.max(dim=1).values.argmax())
    document = laboratory.sample.rows.documents[row]
    context = Context(document=document, tokens=("x",), activations=(1.0,), max_activation=1.0)
    shown = ActivationEvidence(
        n_tokens=1, density=0.1, max_activation=1, domain_lift=None, top=(context,), quantiles=()
    )
    other = Laboratory(bench, study, seed=0).subject(evidence(busiest, activations=shown))
    assert other.seen == {document}
    first = catalogue.show_contexts(subject, 1, 1).contexts[0]
    assert first not in catalogue.show_contexts(other, 1, 8).contexts


def test_a_subject_is_prepared_once(laboratory: Laboratory, busiest: int) -> None:
    assert laboratory.subject(evidence(busiest)) is laboratory.subject(evidence(busiest))


def test_words_are_looked_up_in_vocabulary_and_projection(planted: Subject) -> None:
    found = catalogue.look_up_words(planted, ["doctor", "garden"])
    assert [w.in_domain_vocabulary for w in found.words] == [True, False]
    assert found.words[0].rank < found.words[1].rank
    assert found.words[0].logit_weight > found.words[1].logit_weight


def test_projection_can_be_read_further_down(planted: Subject) -> None:
    whole = catalogue.project_tokens(planted, 1, 10)
    assert catalogue.project_tokens(planted, 4, 3).top == whole.top[3:6]
    assert whole.top[0].value >= whole.top[-1].value > whole.bottom[-1].value >= whole.bottom[0].value


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("measure_activations", {"sentences": []}, "sentences are 1 to 12, not 0"),
        ("measure_activations", {"sentences": [""]}, "a text has 1 to"),
        ("measure_activations", {"sentences": ["the doctor " * 50]}, "a text has 1 to"),
        ("promote_words", {"words": ["two words"], "strength": 1.0}, "not a single word"),
        ("promote_words", {"words": [" "], "strength": 1.0}, "not a single word"),
        ("promote_words", {"words": ["x"], "strength": 0.01}, "strength is 0.05 to 4"),
        ("continue_text", {"prompt": "The", "strength": 5.0}, "strength is 0.05 to 4"),
        ("continue_text", {"prompt": "The", "strength": float("nan")}, "strength is 0.05 to 4"),
        ("continue_text", {"prompt": "doctor " * 22, "strength": 1.0}, "a text has 1 to"),
        ("find_neighbours", {"n": 0}, "n is 1 to 10"),
        ("show_contexts", {"first": 0, "n": 1}, "first is 1 to"),
        ("show_contexts", {"first": 1, "n": 9}, "n is 1 to 8"),
        ("look_up_words", {"words": ["a"] * 21}, "words are 1 to 20"),
        ("project_tokens", {"first": 1, "k": 21}, "k is 1 to 20"),
        ("project_tokens", {"first": 10**6, "k": 1}, "first is 1 to"),
    ],
)
def test_arguments_that_cannot_be_used_are_tool_errors(
    subject: Subject, tool: str, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(ToolError, match=words):
        getattr(catalogue, tool)(subject, **arguments)


def test_the_sample_is_the_same_every_time(bench: Workbench, study: Study, laboratory: Laboratory) -> None:
    again = Laboratory(bench, study, seed=0).sample
    assert np.array_equal(again.rows.tokens, laboratory.sample.rows.tokens)
    assert again.residual_norm == laboratory.sample.residual_norm


def test_a_lens_that_was_made_before_is_not_made_again(bench: Workbench, study: Study) -> None:
    lens = 2 * bench.W_U
    handed = Laboratory(bench, study, seed=0, lens=lens)
    assert handed.lens is lens
    found = catalogue.project_tokens(handed.subject(evidence(PLANTED_FEATURE)), 1, 3)
    expected = (bench.directions[PLANTED_FEATURE] @ lens).topk(3).values
    assert [token.value for token in found.top] == pytest.approx(expected.tolist(), rel=5e-3)
