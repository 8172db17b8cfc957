"""Words, not substrings: what a token stands for, and when it is a hit."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.errors import StudyError
from tools.keywords import (
    MIN_JOINED,
    TokenWord,
    count_substring_hits,
    load_vocabulary,
    match_keywords,
    token_words,
    words_of,
)

SHIPPED = Path(__file__).parents[2] / "studies" / "pocket" / "vocabulary.txt"
KNOWN = ["heart", "hearth", "medication", "medicine", "the"]
"""In order of falling frequency."""


def write(folder: Path, text: str) -> Path:
    path = folder / "vocabulary.txt"
    path.write_text(text, "utf-8")
    return path


def hits(tokens: list[str], vocabulary: set[str]) -> list[tuple[str, str, bool]]:
    found = match_keywords(tokens, token_words(tokens, KNOWN), frozenset(vocabulary))
    return [(hit.token, hit.word, hit.joined) for hit in found]


def test_vocabulary_has_a_word_for_every_line(tmp_path: Path) -> None:
    path = write(tmp_path, "# drugs\ninflammation\nantibiotic  # not inflammationantibiotic\n\n anatomy\n")
    assert load_vocabulary(path) == {"inflammation", "antibiotic", "anatomy"}


def test_shipped_vocabulary_has_a_word_for_every_line() -> None:
    lines = [line.split("#")[0].strip() for line in SHIPPED.read_text("utf-8").splitlines()]
    words = [line for line in lines if line]
    vocabulary = load_vocabulary(SHIPPED)
    assert len(vocabulary) == len(words) >= 800
    assert {"antibiotic", "heart", "doctor"} <= vocabulary
    assert "hearth" not in vocabulary


@pytest.mark.parametrize("line", ["inflammation antibiotic", "inflammation,", "Antibiotic", "x-ray", "naïve", "b12"])
def test_malformed_vocabulary_line_is_named(tmp_path: Path, line: str) -> None:
    path = write(tmp_path, f"heart\n{line}\n")
    with pytest.raises(StudyError, match=r"vocabulary\.txt:2: .* is not one lower-case word"):
        load_vocabulary(path)


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_empty_vocabulary_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(StudyError, match="holds no word"):
        load_vocabulary(write(tmp_path, text))


def test_missing_vocabulary_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no vocabulary file"):
        load_vocabulary(tmp_path / "nowhere.txt")


def test_heart_is_a_hit_and_hearth_a_miss() -> None:
    assert hits([" heart", " Hearth", "Hearth", " hearts", " heart"], {"heart"}) == [
        (" heart", "heart", False),
        (" heart", "heart", False),
    ]


def test_published_substring_rule_takes_hearth_for_heart() -> None:
    tokens = [" heart", " Hearth", "hearted", " nursery", " garden"]
    assert count_substring_hits(tokens, frozenset({"heart", "nurse"})) == 4


def test_raw_vocabulary_strings_never_match() -> None:
    assert hits(["Ġheart"], {"heart"}) == []


def test_beginning_of_a_word_joins_the_most_frequent_one_and_says_so() -> None:
    assert token_words([" medic"], KNOWN) == [TokenWord("medication", True)]
    assert hits([" medic"], {"medication"}) == [(" medic", "medication", True)]
    assert hits([" medic"], {"medicine"}) == []


def test_known_word_is_not_joined_to_a_longer_one() -> None:
    assert token_words([" heart"], KNOWN) == [TokenWord("heart", False)]


def test_short_beginning_stands_for_itself() -> None:
    assert token_words([" med"], KNOWN) == [TokenWord("med", False)]


def test_rare_whole_word_is_not_lost() -> None:
    assert hits([" nephrology"], {"nephrology"}) == [(" nephrology", "nephrology", False)]


@pytest.mark.parametrize("piece", ["heart", "ptoms", "12", " 12", ".", " ", "", "\n", "�", " co2", " naïve", "Ġheart"])
def test_inner_pieces_numbers_and_signs_stand_for_nothing(piece: str) -> None:
    assert token_words([piece], KNOWN) == [TokenWord(None, False)]


def test_capital_opens_a_word_without_a_space() -> None:
    assert token_words(["Heart"], KNOWN) == [TokenWord("heart", False)]


@given(st.lists(st.text("abc ", max_size=7), max_size=12), st.lists(st.text("abc", min_size=1, max_size=8), max_size=8))
def test_every_hit_is_a_vocabulary_word_its_token_begins(tokens: list[str], known: list[str]) -> None:
    vocabulary = frozenset(known)
    for hit in match_keywords(tokens, token_words(tokens, known), vocabulary):
        beginning = hit.token.strip().lower()
        assert hit.word in vocabulary
        assert hit.word.startswith(beginning)
        assert hit.joined == (hit.word != beginning)
        assert not hit.joined or len(beginning) >= MIN_JOINED


def test_running_text_becomes_lower_case_words_in_order() -> None:
    assert words_of("The Heart's beat: 72 per-minute.") == ["the", "heart", "s", "beat", "per", "minute"]
