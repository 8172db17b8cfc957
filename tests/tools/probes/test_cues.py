"""Cue words are found, deleted as whole words, and measured by a bag of words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.probes.tables import make_rows, write_jsonl
from tools.errors import StudyError
from tools.probes.cues import check_cues, delete_cues, find_cues, read_cues, without_cues
from tools.probes.reading import load_task


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("She saw her, hers and the heron.", "saw, hers and the heron."),
        ("HER mother's Mother said: her!", "mother's said:!"),
        ("no cue here", "no cue here"),
        ("she", ""),
        ("O’Her she-wolf", "O’Her -wolf"),
    ],
)
def test_whole_words_are_deleted_and_what_is_around_closes_up(text: str, left: str) -> None:
    assert delete_cues(text, ["she", "her", "mother"]) == left


def test_bag_of_words_reads_the_attribute_until_its_cues_are_gone(tmp_path: Path) -> None:
    task = load_task(write_jsonl(tmp_path / "t.jsonl", make_rows()))
    assert set(find_cues(task, 2)) == {"dear", "entry"}
    found = check_cues(task, ["dear", "entry"])
    assert found.attribute.accuracy == found.label.accuracy == found.label_without.accuracy == 1.0
    assert found.attribute_without.interval.low <= 0.5 <= found.attribute_without.interval.high
    assert found.deleted == pytest.approx(1 / 3)


def test_a_text_of_cues_alone_stays(tmp_path: Path) -> None:
    task = load_task(write_jsonl(tmp_path / "t.jsonl", make_rows()))
    words = {word for text in task.texts[:1] for word in text.text.split()}
    bare = without_cues(task, words)
    assert bare.texts[0].text == task.texts[0].text
    assert bare.texts_sha256 != task.texts_sha256


@pytest.mark.parametrize("line", ["two words", "Upper", "half-word"])
def test_a_line_that_is_no_word_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "c.txt").write_text(f"# cues\nshe\n\n{line}\n", "utf-8")
    with pytest.raises(StudyError, match="is not one word in lower case"):
        read_cues(tmp_path / "c.txt")
