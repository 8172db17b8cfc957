"""`report.html` of a steering run: what it holds, that it calls nobody, and that nothing from outside gets out of its place."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from agent.errors import RunError
from agent.steering.page import read_investigation, write_report
from agent.steering.shown import LEVELS, MOST_PROMPTS, TOKENS, cut_up, show_run
from prompts.unseen import is_unseen
from tests.agent.attacks import ATTACKS
from tests.agent.steering.made import ARMS, WORDS, all_texts, target, text, write_run
from tools.display.unseen import spell_out


class Tags(HTMLParser):
    """Every tag with its attributes, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def tokens_of(html: str) -> list[dict[str, str | None]]:
    """Attributes of every token but the legend's."""
    spans = [attrs for tag, attrs in Tags(html).tags if tag == "span" and "tok" in (attrs.get("class") or "").split()]
    return [attrs for attrs in spans if attrs.get("title")]


def test_the_page_shows_table_targets_features_texts_and_frontier(tmp_path: Path) -> None:
    html = write_report(write_run(tmp_path / "run")).read_text("utf-8")
    page = Tags(html)
    for said in (*ARMS, *WORDS, "likeness gained", "words of the trade", "+0.300 [+0.250, +0.350]", "AUROC 0.90"):
        assert said in page.text
    assert "the model: more like the target than unsteered" in page.text and "failed" in page.text
    (image,) = [attrs for tag, attrs in page.tags if tag == "img"]
    assert (image["src"] or "").startswith("data:image/png;base64,") and image["alt"]
    assert (tmp_path / "run" / "figures" / "frontier.png").stat().st_size > 5000


def test_the_page_calls_nobody_and_runs_nothing(tmp_path: Path) -> None:
    html = write_report(write_run(tmp_path / "run")).read_text("utf-8")
    page = Tags(html)
    assert not {"script", "iframe", "link", "object", "base"} & {tag for tag, _ in page.tags}
    assert not re.findall(r"(?:src|href|url\()=?[\"'(]?(?:https?:)?//", html)
    (policy,) = [a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv")]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@pytest.mark.parametrize(
    "attack", [*ATTACKS[:3], "</style><script>alert(1)</script>", '" onmouseover="alert(1)', "\u202egnihton \u200b"]
)
def test_what_comes_from_outside_is_shown_and_does_nothing(attack: str, tmp_path: Path) -> None:
    name = f"law {attack}"
    hostile = target(name, excerpt=attack, chosen=target("law").chosen[:1])
    hostile = hostile.model_copy(
        update={"chosen": tuple(o.model_copy(update={"label": attack, "tokens": (attack,)}) for o in hostile.chosen)}
    )
    texts = [text(name, arm, text=attack, tokens=(attack, " end"), displaced=(1.0, 0.0), moved=None) for arm in ARMS]
    folder = write_run(tmp_path / "run", [hostile], texts, study_title=attack)
    page = Tags(write_report(folder).read_text("utf-8"))
    assert not {"script", "iframe"} & {tag for tag, _ in page.tags}
    assert not [a for _, attrs in page.tags for a in attrs if a.startswith("on")]
    assert spell_out(attack)[:20].strip() in page.text
    assert not {letter for letter in page.text if is_unseen(letter) and letter != "\n"}, "all that is there is seen"


def test_shading_says_what_was_displaced_and_in_words_too() -> None:
    one = text("law", "swap", tokens=(" a", " b", " c"), displaced=(0.0, 0.5, 1.0), moved=(0.0, 0.2, 3.0))
    pieces = list(cut_up(one, None))
    assert [piece.level for piece in pieces] == [0, 5, LEVELS]
    assert pieces[1].told == "50% of features displaced; activation moved 0.20"
    added = text("law", "add", tokens=(" a", " b"), displaced=None, moved=(0.01, 7.0))
    assert [piece.level for piece in cut_up(added, None)] == [1, LEVELS], "what is moved at all is seen"


def test_tokens_that_the_unsteered_text_has_not_are_marked() -> None:
    twin = text("law", "unsteered", tokens=(" on", " the", " way", " home"))
    one = text("law", "swap", tokens=(" on", " the", " court", " home", " now"), displaced=None, moved=None)
    assert [piece.changed for piece in cut_up(one, twin)] == [False, False, True, False, True]
    assert not any(piece.changed for piece in cut_up(twin, twin))
    assert not any(piece.changed for piece in cut_up(one, None)), "without a twin nothing is known to be new"


def test_only_a_damaged_line_has_more_numbers_than_tokens_and_it_is_shown_as_far_as_it_goes() -> None:
    assert len(list(cut_up(text("law", "swap", tokens=(" a",), displaced=(0.1, 0.2), moved=()), None))) == 1


def test_many_and_long_texts_are_cut_and_counted(tmp_path: Path) -> None:
    texts = all_texts(["law"], prompts=9, samples=2)
    texts[0] = text("law", "unsteered", tokens=(" x",) * (TOKENS + 7), moved=None)
    folder = write_run(tmp_path / "run", [target("law")], texts)
    (shown,) = show_run(folder).targets
    assert len(shown.prompts) == MOST_PROMPTS and shown.left_out == 9 - MOST_PROMPTS
    assert shown.prompts[0].texts[0].left_out == 7
    (whole,) = show_run(folder, only="law", most=None).targets
    assert len(whole.prompts) == 18 and whole.left_out == 0
    assert show_run(folder, only="nobody").targets == ()


def test_a_run_that_is_not_finished_says_so(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", finished=False)
    page = Tags(write_report(folder).read_text("utf-8"))
    assert "Not finished" in page.text and "72 texts so far" in page.text
    assert not [tag for tag, _ in page.tags if tag == "img"]
    (folder.path / "targets.json").unlink()
    assert "Not finished" in write_report(folder).read_text("utf-8")


def test_a_refused_target_says_it_first(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    done = folder.results()
    assert done is not None
    folder.write_results(done.model_copy(update={"refused": ("law",)}))
    page = Tags(write_report(folder).read_text("utf-8")).text
    assert page.index("Outside what this SAE can represent: law") < page.index("Over all targets")


def test_a_damaged_folder_is_an_error_of_one_line(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    with (folder.path / "texts.jsonl").open("ab") as file:
        file.write(b'{"target": 1}\n')
    with pytest.raises(RunError, match=r"texts\.jsonl:73"):
        write_report(folder)


@pytest.mark.parametrize(
    ("named", "found"),
    [
        (None, None),
        ("runs/one/base-000010", ("runs/one", "base-000010")),
        ("/elsewhere/one#base-r000010", ("/elsewhere/one", "base-r000010")),
        ("javascript:alert(1)", None),
        ("one/", None),
    ],
)
def test_an_investigation_is_a_run_and_a_key(named: str | None, found: tuple[str, str] | None) -> None:
    assert read_investigation(named) == found


def test_a_feature_links_to_the_report_that_lies_beside_the_run_and_to_no_other(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")

    def links() -> list[str | None]:
        return [a["href"] for tag, a in Tags(write_report(folder).read_text("utf-8")).tags if tag == "a"]

    assert links() == []
    beside = tmp_path / "20260101T000000Z-tiny-base-0000"
    beside.mkdir()
    (beside / "report.html").write_text("x")
    assert set(links()) == {"../20260101T000000Z-tiny-base-0000/report.html"}


def test_every_number_of_a_text_can_be_read_without_colour(tmp_path: Path) -> None:
    titles = [a["title"] or "" for a in tokens_of(write_report(write_run(tmp_path / "run")).read_text("utf-8"))]
    assert any("features displaced" in one for one in titles) and any("activation moved" in one for one in titles)
