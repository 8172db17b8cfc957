"""Long texts are read part by part: the same activations, kept for the next reading, from where a broken one stopped."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.activity import traces
from tools.activity.activations import Recording, record_activations
from tools.activity.heldout import trace_features
from tools.activity.text import HeldText, read_held_text, tokenize_passages
from tools.activity.traces import Traces, trace
from tools.bench.workbench import Workbench
from tools.errors import StudyError
from tools.records import FeatureRef
from tools.study.corpus import Corpus, cut_rows, leave_out_copies
from tools.study.definition import Study
from tools.study.texts import Passage, read_texts, stream_texts
from tools.survey.projection import draw_random_stratum

FEATURES = [5, 2, 9]


@pytest.fixture(scope="module")
def text(bench: Workbench, study: Study) -> HeldText:
    return tokenize_passages(bench, Corpus(study).passages("train"))


def read(bench: Workbench, text: HeldText, cache: Path, part_tokens: int = 60) -> Traces:
    drawn = draw_random_stratum(bench, 0, 2).to(bench.directions)
    return trace(bench, text, FEATURES, drawn, None, cache, part_tokens, numbers=(0, 1))


def dense(found: Traces) -> np.ndarray:
    return np.stack([found.recording(n).activations[..., 0] for n in range(len(FEATURES) + 2)], axis=-1)


def at_once(bench: Workbench, text: HeldText) -> Recording:
    rows = cut_rows(text.ids, text.documents, bench.row_width, bench.bos)
    return record_activations(
        bench, rows, FEATURES, draw_random_stratum(bench, 0, 2).to(bench.directions), numbers=(0, 1)
    )


def test_text_of_one_part_is_read_as_it_always_was_and_kept_nowhere(
    bench: Workbench, text: HeldText, tmp_path: Path
) -> None:
    whole, found = at_once(bench, text), read(bench, text, tmp_path, 10**6)
    np.testing.assert_array_equal(dense(found), whole.activations)
    assert whole.neighbours is not None
    for number in range(len(FEATURES)):
        near = found.recording(number).neighbours
        assert near is not None
        np.testing.assert_array_equal(near.peaks[:, 0], whole.neighbours.peaks[:, number])
    assert not list(tmp_path.iterdir())


def test_parts_hold_the_same_activations_and_random_directions_one_level(
    bench: Workbench, text: HeldText, tmp_path: Path
) -> None:
    whole, found = at_once(bench, text), read(bench, text, tmp_path)
    assert len(found.parts) > 3
    assert found.rows.documents == whole.rows.documents
    np.testing.assert_array_equal(found.rows.real, whole.rows.real)
    np.testing.assert_allclose(dense(found)[..., :3], whole.activations[..., :3], rtol=1e-4, atol=1e-5)
    assert {part.levels for part in found.parts} == {found.parts[0].levels}


def test_what_was_read_is_not_read_again_and_a_broken_part_is(
    bench: Workbench, text: HeldText, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read(bench, text, tmp_path)
    (folder,) = tmp_path.iterdir()
    files = sorted(folder.iterdir())
    assert len(files) == len(first.parts)
    files[1].write_bytes(files[1].read_bytes()[:100])
    files[-1].unlink()
    counted: list[int] = []

    def counting(*given: object, **more: object) -> Recording:
        counted.append(1)
        return record_activations(*given, **more)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(traces, "record_activations", counting)
    np.testing.assert_array_equal(dense(read(bench, text, tmp_path)), dense(first))
    assert len(counted) == 2
    read(bench, text._replace(documents=tuple(f"x{d}" for d in text.documents)), tmp_path)
    assert len(counted) == 2 + len(first.parts), "another text has parts of its own"


def test_cache_that_cannot_be_written_costs_time_only(
    bench: Workbench, text: HeldText, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    found = read(bench, text, tmp_path / "file")
    assert len(found.parts) > 3
    assert capsys.readouterr().err.count("another reading takes as long") >= 1


def test_directions_come_in_the_order_they_are_asked_for(bench: Workbench, text: HeldText, tmp_path: Path) -> None:
    refs = [
        FeatureRef(study="tiny", sae="base", index=1, kind="random_direction"),
        FeatureRef(study="tiny", sae="base", index=5),
        FeatureRef(study="tiny", sae="base", index=0, kind="random_direction"),
        FeatureRef(study="tiny", sae="base", index=2),
    ]
    found, plain = trace_features(bench, text, refs, 0, cache=tmp_path), read(bench, text, tmp_path, 10**6)
    for number, column in enumerate((4, 0, 3, 1)):
        np.testing.assert_array_equal(found.recording(number).activations, plain.recording(column).activations)


def write_corpus(path: Path, documents: list[str]) -> Path:
    path.write_bytes(gzip.compress("\n\n<|doc|>\n".join(documents).encode()))
    return path


def test_documents_of_a_gzipped_corpus_are_parted_by_lines_of_their_own(tmp_path: Path) -> None:
    documents = ["A title\n\nand a paragraph", "x" * 5000, "<|doc|> in a line is text"]
    file = write_corpus(tmp_path / "own.txt.gz", documents)
    assert [passage.text for passage in stream_texts(str(file), tmp_path)] == documents
    assert [len(passage.text) for passage in read_texts(str(file), tmp_path, 9)] == [24, 2000, 25]
    (tmp_path / "plain.txt.gz").write_bytes(gzip.compress(b"one\n\ntwo\n"))
    assert [passage.text for passage in stream_texts(str(tmp_path / "plain.txt.gz"), tmp_path)] == ["one", "two"]
    (tmp_path / "lines.jsonl.gz").write_bytes(gzip.compress(b'{"text": "one"}\n'))
    assert [passage.text for passage in stream_texts(str(tmp_path / "lines.jsonl.gz"), tmp_path)] == ["one"]


@pytest.mark.parametrize(
    "content", [b"not packed", gzip.compress(b"one\n\ntwo" * 500)[:-12], b""], ids=["plain", "cut short", "empty"]
)
def test_file_that_is_not_gzipped_text_is_said_in_a_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "own.txt.gz").write_bytes(content)
    if content:
        with pytest.raises(StudyError, match=r"own\.txt\.gz cannot be read"):
            list(stream_texts(str(tmp_path / "own.txt.gz"), tmp_path))
    else:
        assert list(stream_texts(str(tmp_path / "own.txt.gz"), tmp_path)) == []


def test_as_many_tokens_are_read_as_asked_for_and_copies_of_known_text_are_left_out(
    bench: Workbench, tmp_path: Path
) -> None:
    known = "the doctor met the patient in the garden and the river was with a train of bread " * 2
    documents = [f"{n} the river of the garden was in the winter {n} music and bread" for n in range(40)]
    file = write_corpus(tmp_path / "own.txt.gz", [documents[0], known.upper(), *documents[1:]])
    found = read_held_text(bench, [str(file)], [Passage("known", None, known)], 100)
    assert 100 <= sum(map(len, found.ids)) < 150 and found.left_out == 1
    everything = read_held_text(bench, [str(file)], [Passage("known", None, known)], 10**6)
    assert len(everything.documents) == 40 and everything.left_out == 1
    with pytest.raises(StudyError, match="no text is left"):
        read_held_text(bench, [str(write_corpus(tmp_path / "all.txt.gz", [known]))], [Passage("k", None, known)], 100)


@given(st.integers(0, 13), st.integers(1, 20))
def test_text_is_a_copy_if_half_of_its_runs_of_words_are_known(shared: int, own: int) -> None:
    known = Passage("a", None, " ".join(f"w{n}" for n in range(13 + shared)))
    text = Passage("b", None, f"{known.text} {' '.join(f'v{n}' for n in range(own))}")
    copied = (1 + shared) / (1 + shared + own)
    assert list(leave_out_copies([text], [known])) == ([] if copied >= 0.5 else [text])


def test_what_is_kept_of_a_text_is_eight_bytes_an_activation(bench: Workbench, text: HeldText, tmp_path: Path) -> None:
    found = read(bench, text, tmp_path)
    kept = sum(part.values.nbytes + part.places.nbytes for part in found.parts)
    n_active = sum(int((dense(found)[..., n] > 0).sum()) for n in range(5))
    assert kept == 8 * n_active
