"""The published scorer against answers that can be worked out by hand, and without its defects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import DEAD_FEATURE, EVERYDAY, MEDICAL
from tools.alignment.background import PROMPT_CHARACTERS, find_prompts, shorten
from tools.alignment.documents import sum_documents, tokenize
from tools.alignment.encoders import WordVectorEncoder, find_encoder
from tools.alignment.reference import (
    nearest_squared,
    score_by_reference,
    score_prompts,
)
from tools.alignment.targets import Target, join_passages, read_target
from tools.bench.workbench import Workbench
from tools.errors import StudyError, UnveilError
from tools.study.corpus import Corpus
from tools.study.definition import Study

MEDICAL_PROMPTS = [
    f"The {a} of the {b} was in the {c}." for a, b, c in zip(MEDICAL, MEDICAL[1:], MEDICAL[2:], strict=False)
]
OTHER_PROMPTS = [
    f"A {a} was in the {b} of a {c}." for a, b, c in zip(EVERYDAY, EVERYDAY[1:], EVERYDAY[2:], strict=False)
]


class Known:
    """An encoder that was told where each text lies; the origin for all others."""

    name = "known"

    def __init__(self, places: dict[str, Sequence[float]]) -> None:
        self._places = places

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([self._places.get(text, (0.0, 0.0)) for text in texts], dtype=np.float64)


def test_two_latents_one_in_a_prompt_like_the_target_score_1_and_0() -> None:
    sums = np.array([[5.0, 0.0], [0.0, 2.0]])
    squared = nearest_squared(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0]]), "")
    assert squared.tolist() == [0, 2]
    scores = score_prompts(sums, squared)
    assert scores.score.tolist() == [1, 0]
    assert scores.statistic.tolist() == [0, 2]
    assert scores.coverage == 1


def test_latent_that_never_fires_has_no_score_and_changes_no_other() -> None:
    sums = np.array([[5.0, 0.0, 0.0, 1.0], [0.0, 0.0, 2.0, 1.0]])
    scores = score_prompts(sums, np.array([0.0, 2.0]))
    assert scores.scored.tolist() == [True, False, True, True]
    assert scores.score[[0, 1, 2]].tolist() == [1, 0, 0]
    assert 0 < scores.score[3] < 1
    assert scores.coverage == 0.75
    assert 1 not in scores.ranking()


def test_shares_are_of_each_prompt_so_that_loud_prompts_count_no_more() -> None:
    """Latent 0: share 1/2 in both prompts, so the mean of their distances, however much more one of them holds."""
    quiet = score_prompts(np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]]), np.array([0.5, 1.5]))
    loud = score_prompts(np.array([[900.0, 900.0, 0.0], [1.0, 0.0, 1.0]]), np.array([0.5, 1.5]))
    assert quiet.statistic.tolist() == loud.statistic.tolist() == [1.0, 0.5, 1.5]
    assert quiet.score.tolist() == [0.5, 1, 0]


def test_distance_is_that_of_the_nearest_target_document() -> None:
    target = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert nearest_squared(np.array([[0.0, 1.0], [-1.0, 0.0]]), target, "").tolist() == [0, 2]


def test_prompt_in_which_nothing_fires_takes_part_in_nothing() -> None:
    with_it = score_prompts(np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]), np.array([0.0, 9.0, 2.0]))
    without = score_prompts(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.0, 2.0]))
    np.testing.assert_array_equal(with_it.score, without.score)


def test_all_prompts_as_far_leave_all_features_the_same() -> None:
    scores = score_prompts(np.array([[1.0, 3.0, 0.0], [2.0, 1.0, 0.0]]), np.array([1.0, 1.0]))
    assert scores.score.tolist() == [1, 1, 0]


def test_activation_that_is_no_number_is_an_error_and_no_rank() -> None:
    with pytest.raises(UnveilError, match="no numbers"):
        score_prompts(np.array([[np.nan, 1.0], [1.0, 1.0]]), np.array([0.0, 2.0]))


def test_embedding_that_is_no_number_is_an_error() -> None:
    with pytest.raises(UnveilError, match="embedding is no number"):
        nearest_squared(np.array([[np.nan, 1.0], [1.0, 0.0]]), np.array([[1.0, 0.0]]), "bad")


def test_texts_that_the_encoder_knows_nothing_of_are_left_out(bench: Workbench) -> None:
    prompts = [*MEDICAL_PROMPTS, *OTHER_PROMPTS]
    places = {text: (1.0, 0.0) for text in MEDICAL_PROMPTS} | {text: (0.0, 1.0) for text in OTHER_PROMPTS}
    encoder = Known(places | {"target": (1.0, 0.0)})
    without = score_by_reference(bench, prompts, ["target"], encoder)
    withal = score_by_reference(bench, [*prompts, "The river and the bread."], ["target", "unknown"], encoder)
    np.testing.assert_allclose(withal.score, without.score, atol=1e-6)
    with pytest.raises(UnveilError, match="known knows nothing of the target.*--encoder"):
        score_by_reference(bench, prompts, ["unknown"], encoder)
    with pytest.raises(UnveilError, match="known knows nothing of the reference prompts"):
        score_by_reference(bench, ["unknown", "too"], ["target"], encoder)


def test_scores_of_a_model_are_those_of_its_activations_prompt_by_prompt(bench: Workbench) -> None:
    """Worked out anew, one prompt at a time and without padding."""
    prompts = [*MEDICAL_PROMPTS, *OTHER_PROMPTS]
    places = {text: (1.0, 0.0) for text in MEDICAL_PROMPTS} | {text: (0.0, 1.0) for text in OTHER_PROMPTS}
    scores = score_by_reference(bench, prompts, ["target"], Known(places | {"target": (1.0, 0.0)}))
    shares = []
    for text in prompts:
        ids = torch.tensor([[bench.bos, *bench.tokenize(text)]])
        summed = bench.encode(bench.residuals(ids))[0, 1:].sum(dim=0)  # the first real token stays, BOS goes
        shares.append(summed / summed.sum())
    a = torch.stack(shares).double()
    d2 = torch.tensor([0.0] * len(MEDICAL_PROMPTS) + [2.0] * len(OTHER_PROMPTS)).double()
    fires = a.sum(dim=0) > 0
    raw = (d2 @ a)[fires] / a.sum(dim=0)[fires]
    expected = 1 - (raw - raw.min()) / (raw.max() - raw.min())
    np.testing.assert_allclose(scores.score[fires.numpy()], expected, atol=1e-4)
    assert (scores.scored == fires.numpy()).all()
    assert not scores.scored[DEAD_FEATURE]


def test_batches_of_documents_are_the_documents_alone(bench: Workbench) -> None:
    long = " ".join(OTHER_PROMPTS * 2)
    documents = tokenize(bench, [*MEDICAL_PROMPTS, long, ""])
    together = sum_documents(bench, documents)
    assert len(documents[-2]) > bench.row_width, "one document has to go on in a second row"
    for place, ids in enumerate(documents):
        alone = sum_documents(bench, [ids])
        np.testing.assert_allclose(together.sums[place], alone.sums[0], atol=1e-3)
        assert together.n_tokens[place] == len(ids)
    assert len(together.means) == len(documents) - 1


def test_sums_that_do_not_fit_the_budget_are_refused(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "budget", 4 * bench.d_sae * 2)
    assert len(sum_documents(bench, tokenize(bench, MEDICAL_PROMPTS[:2])).sums) == 2
    with pytest.raises(UnveilError, match="--memory-gib"):
        sum_documents(bench, tokenize(bench, MEDICAL_PROMPTS[:3]))


# Prompts and encoders


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_prompts_are_how_documents_of_the_corpus_open_without_the_targets_own(study: Study, tmp_path: Path) -> None:
    documents = join_passages(Corpus(study).passages("train"))
    target = read_target(write(tmp_path / "a.txt", "\n\n".join(passage.text for passage in documents[:4])))
    prompts = find_prompts(Corpus(study), target)
    assert len(prompts) == len(documents) - 4
    assert all(passage.text.startswith(prompt) for passage, prompt in zip(documents[4:], prompts, strict=True))
    assert max(map(len, prompts)) <= PROMPT_CHARACTERS


@pytest.mark.parametrize(
    ("text", "short"), [("one two three", "one two"), ("a long-word", "a"), ("unbroken", "unbroke")]
)
def test_prompt_ends_with_a_whole_word_where_it_can(text: str, short: str) -> None:
    assert shorten(text, 7) == short
    assert shorten(text, 100) == text


def test_prompts_of_the_user_are_read_and_a_single_one_refused(study: Study, tmp_path: Path) -> None:
    corpus, target = Corpus(study), Target("t", "", ("a",), ("b",))
    file = write(tmp_path / "prompts.txt", "One prompt.\n\nAnother.")
    assert find_prompts(corpus, target, file) == ("One prompt.", "Another.")
    with pytest.raises(StudyError, match="fewer than 2 reference prompts"):
        find_prompts(corpus, target, write(file, "One prompt."))


def test_default_encoder_says_what_it_is_and_puts_like_texts_near(study: Study) -> None:
    encoder = find_encoder(None, Corpus(study))
    assert "word vectors" in encoder.name and "tf-idf" in encoder.name
    rows = encoder.encode(
        ["The doctor met the nurse.", "A patient in the hospital.", "The river and the bridge.", "qzx 12"]
    )
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, 1, 1, 0])
    assert rows[0] @ rows[1] > rows[0] @ rows[2]


def test_rare_words_weigh_more(study: Study) -> None:
    from tools.survey.lexicon import load_study_vectors

    vectors = load_study_vectors(study)
    common = WordVectorEncoder(vectors, ["doctor"] * 50 + ["river"], "x").encode(["doctor river"])[0]
    rare = WordVectorEncoder(vectors, ["river"] * 50 + ["doctor"], "x").encode(["doctor river"])[0]
    doctor = vectors.matrix[vectors.row["doctor"]]
    assert rare @ doctor > common @ doctor
