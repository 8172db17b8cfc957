"""Words, not substrings: what a token stands for, and when it is a hit."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.errors import StudyError
from tools.survey.keywords import (
    MIN_JOINED,
    TokenWord,
    count_substring_hits,
    describe_passed_over,
    load_vocabulary,
    match_keywords,
    read_vocabulary,
    token_words,
    words_of,
)

SHIPPED = Path(__file__).parents[3] / "studies" / "pocket" / "vocabulary.txt"
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


@pytest.mark.parametrize("entry", ["blood pressure", "covid-19", "x-ray", "b12", "l'hôpital", "don't", "heart_rate"])
def test_entry_that_no_token_can_stand_for_is_passed_over_and_named(tmp_path: Path, entry: str) -> None:
    path = write(tmp_path, f"heart\n{entry}\n{entry.upper()}\n")
    found = read_vocabulary(path)
    assert found == (frozenset({"heart"}), (entry,))
    assert describe_passed_over(path, found).endswith(f"are never matched: {entry}")


def test_passed_over_entries_are_named_in_one_line(tmp_path: Path) -> None:
    path = write(tmp_path, "heart\n" + "\n".join(f"two words {i}" for i in range(20)))
    said = describe_passed_over(path, read_vocabulary(path))
    assert said.startswith(f"20 of 21 entries of {path}")
    assert said.endswith(", …")
    assert describe_passed_over(path, read_vocabulary(write(tmp_path, "heart\n"))) == ""


@pytest.mark.parametrize(
    "text",
    [
        "Heart\nCOVID\nnaïve\n",
        "heart,covid,naïve",
        "heart;covid;naïve;\n",
        "heart\tcovid\tnaïve\t\n",
        '"heart"\n"covid"\n“naïve”\n',
        "heart\r\n covid \r\nna\u0069\u0308ve\r\n",
        "\ufeffheart\ncovid\nNAÏVE",
        "heart # beats, and more\ncovid\nnaïve",
    ],
)
def test_vocabulary_is_read_as_editors_and_spreadsheets_write_it(tmp_path: Path, text: str) -> None:
    assert load_vocabulary(write(tmp_path, text)) == {"heart", "covid", "naïve"}


def test_words_of_every_alphabet_are_words(tmp_path: Path) -> None:
    words = [
        "fièvre",
        "œdème",
        "ärztin",
        "больница",
        "ιατρός",
        "醫院",
        "いしゃ",
        "بیمارستان",
        "डॉक्टर",
        "โรงพยาบาล",
        "בית",
        "sağlık",
    ]
    found = read_vocabulary(write(tmp_path, "\n".join(words)))
    assert not found.passed_over
    assert len(found.words) == len(words)
    for word in words:
        assert token_words([f" {word}"], KNOWN) == [TokenWord(word, False)]
        assert hits([f" {word}"], {word}) == [(f" {word}", word, False)]


def test_word_of_a_script_without_spaces_needs_none() -> None:
    assert [entry.word for entry in token_words(["醫院", "いしゃ", "โรง", "больница", "fièvre"], KNOWN)] == [
        "醫院",
        "いしゃ",
        "โรง",
        None,
        None,
    ]


def test_vocabulary_of_phrases_alone_is_an_error_that_names_them(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="holds no word.*blood pressure, heart rate are no single words"):
        load_vocabulary(write(tmp_path, "blood pressure\nheart rate\n"))


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


@pytest.mark.parametrize(
    "piece", ["heart", "ptoms", "12", " 12", ".", " ", "", "\n", "�", " co2", " don't", " x-ray", "é"]
)
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
    assert words_of("Der Ärztin naïve Fälle, 3_4") == ["der", "ärztin", "naïve", "fälle"]
