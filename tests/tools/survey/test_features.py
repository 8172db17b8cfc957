"""The survey of every feature, beside its null."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tools.bench.workbench import Workbench
from tools.errors import LoadError, StudyError
from tools.study.definition import Study, VectorsSource
from tools.survey.features import (
    Survey,
    describe_coherence,
    describe_keywords,
    describe_projection,
    survey_directions,
    survey_features,
    tabulate,
)
from tools.survey.keywords import match_keywords
from tools.survey.lexicon import Lexicon, build_lexicon, load_study_vectors
from tools.survey.projection import project

PLANTED = 0


@pytest.fixture(scope="session")
def lexicon(survey: Survey) -> Lexicon:
    return survey.lexicon


def token_direction(bench: Workbench, *tokens: str) -> torch.Tensor:
    """Unit direction towards the mean unembedding of some tokens."""
    columns = bench.W_U[:, [bench.token_strings.index(token) for token in tokens]].mean(dim=1)
    return columns / columns.norm()


def test_planted_feature_lists_its_words_and_hits(survey: Survey) -> None:
    record = describe_projection(survey.features, PLANTED, survey.lexicon)
    assert {" doctor", " patient", " nurse"} <= {entry.token for entry in record.top}
    assert [entry.weight for entry in record.top] == sorted((entry.weight for entry in record.top), reverse=True)
    hits = describe_keywords(survey.features, PLANTED, survey)
    assert {hit.word for hit in hits.hits} >= {"doctor", "patient", "nurse"}
    assert hits.n_top == 10
    assert hits.null_share < 0.05


def test_every_feature_has_the_hits_of_its_top_tokens(survey: Survey, lexicon: Lexicon) -> None:
    for row, ids in enumerate(survey.features.projection.top_ids.tolist()):
        tokens, words = [lexicon.tokens[i] for i in ids], [lexicon.words[i] for i in ids]
        assert survey.features.hits[row] == len(match_keywords(tokens, words, lexicon.vocabulary))
    assert survey.features.hits.max() > 0


def test_null_is_as_large_as_asked_and_treated_like_features(survey: Survey, study: Study) -> None:
    assert len(survey.null.hits) == study.survey.null_directions
    shares = [describe_keywords(survey.null, row, survey).null_share for row in range(20)]
    expected = [(1 + (survey.null.hits >= survey.null.hits[row]).sum()) / 201 for row in range(20)]
    assert shares == pytest.approx(expected)


def test_seed_moves_the_null_and_no_feature(bench: Workbench, study: Study, survey: Survey) -> None:
    again, other = survey_features(bench, study, seed=0), survey_features(bench, study, seed=1)
    assert torch.equal(again.null.projection.top_ids, survey.null.projection.top_ids)
    assert not torch.equal(other.null.projection.top_ids, survey.null.projection.top_ids)
    assert torch.equal(other.features.projection.top_weights, survey.features.projection.top_weights)


def test_domain_similarity_ranks_a_medical_direction_above_an_everyday_one(bench: Workbench, lexicon: Lexicon) -> None:
    directions = torch.stack(
        [
            token_direction(bench, " doctor", " patient", " nurse", " hospital"),
            token_direction(bench, " garden", " river", " bread", " market"),
        ]
    )
    table = survey_directions(directions, bench.W_U, lexicon, 4)
    assert table.domain_similarity[0] > table.domain_similarity[1] + 0.2
    assert table.hits[0] > table.hits[1]


def test_direction_without_a_single_word_has_no_domain_similarity(bench: Workbench, lexicon: Lexicon) -> None:
    wordless = [i for i, row in enumerate(lexicon.word_rows) if row < 0]
    W_U = torch.full((2, len(lexicon.tokens)), -1.0)
    W_U[0, wordless] = 1.0
    table = survey_directions(torch.tensor([[1.0, 0.0]]), W_U, lexicon, 5)
    assert np.isnan(table.domain_similarity[0])


def test_feature_without_coherence_has_no_value_and_no_null_share(survey: Survey) -> None:
    scores = survey.features.coherence.deduplicated
    for row in range(len(scores)):
        record = describe_coherence(survey.features, row, survey)
        assert (record.deduplicated is None) == (record.null_share is None) == bool(np.isnan(scores[row]))
        assert record.coverage == record.n_valid / 10
    assert np.isnan(scores).any() and not np.isnan(scores).all(), "both cases must occur"


def test_coherent_direction_stands_above_the_null(bench: Workbench, survey: Survey) -> None:
    direction = token_direction(bench, " doctor", " patient", " nurse")[None]
    table = survey_directions(direction, bench.W_U, survey.lexicon, 3)
    record = describe_coherence(table, 0, survey)
    assert record.deduplicated is not None and record.deduplicated > 0.3
    assert record.null_share is not None and record.null_share < 0.5


def test_table_has_a_row_for_every_feature(survey: Survey, bench: Workbench, tmp_path: Path) -> None:
    table = tabulate(survey)
    assert table["index"].tolist() == list(range(bench.d_sae))
    direct = project(bench.directions, bench.W_U, 10)
    assert table.loc[3, "top_tokens"] == [bench.token_strings[i] for i in direct.top_ids[3].tolist()]
    assert table.loc[3, "bottom_tokens"] == [bench.token_strings[i] for i in direct.bottom_ids[3].tolist()]
    assert table["keyword_null_share"].between(0, 1, inclusive="right").all()
    table.to_parquet(tmp_path / "features.parquet")


def test_projection_record_is_frozen_and_closed(survey: Survey) -> None:
    record = describe_projection(survey.features, 1, survey.lexicon)
    with pytest.raises(ValidationError):
        record.mean = 0.0  # pyright: ignore
    with pytest.raises(ValidationError):
        type(record).model_validate({**record.model_dump(), "activation": 1.0})


def test_moments_of_a_record_are_those_of_the_whole_row(survey: Survey, bench: Workbench) -> None:
    row = (bench.directions[5] @ bench.W_U).double()
    record = describe_projection(survey.features, 5, survey.lexicon)
    assert record.mean == pytest.approx(float(row.mean()), abs=1e-6)
    assert record.std == pytest.approx(float(row.std(correction=0)), rel=1e-4)


def test_vocabulary_without_any_vector_is_refused(study_copy: Path, study: Study) -> None:
    (study_copy / "vocabulary.txt").write_text("nephrology\n", "utf-8")
    with pytest.raises(StudyError, match=r"no word of vocabulary\.txt has a word vector"):
        build_lexicon([" a"], study.model_copy(update={"folder": study_copy}))


def test_study_without_vectors_says_what_to_set(study: Study) -> None:
    with pytest.raises(StudyError, match=r"set vectors\.file and vectors\.words, or vectors\.gensim"):
        load_study_vectors(study.model_copy(update={"vectors": VectorsSource()}))


def test_vectors_gensim_cannot_fetch_are_a_load_error(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gensim.downloader

    def unreachable(*_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(gensim.downloader, "urlopen", unreachable)
    monkeypatch.setattr(gensim.downloader, "BASE_DIR", str(tmp_path))
    with pytest.raises(LoadError, match="'glove-nosuch' are not in gensim's cache"):
        load_study_vectors(study.model_copy(update={"vectors": VectorsSource(gensim="glove-nosuch")}))
