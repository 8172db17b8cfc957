"""A report is laid out once: its terminal, Markdown, CSV and HTML forms say the same."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from markdown_it import MarkdownIt

from evals.reporting.page import Page, Point, Section, as_lines, to_csv_files, to_html, to_markdown, write_files

HOSTILE = '<img src=x onerror="alert(1)"> ![x](https://example.org)'
PAGE = Page(
    title="base against tuned",
    heading="run 1 against run 2",
    sections=[
        Section(title="More?", points=[Point("No evidence.", "no evidence")], brief=["More?", "  No evidence."]),
        Section("hits", "Hits", "*Ours*, see `hits.csv`.", [("arm", "share"), ("base", "=1+1")], brief=["base 2"]),
        Section("none", "Nothing", table=[("arm", "share")]),
        Section(brief=["for a terminal alone"]),
    ],
    remarks=["one SAE an arm", HOSTILE],
    standing=["Intervals are `95 %`."],
)


def test_terminal_shows_the_heading_what_is_brief_and_the_remarks() -> None:
    assert as_lines(PAGE) == [
        "run 1 against run 2",
        "",
        "More?",
        "  No evidence.",
        "",
        "base 2",
        "",
        "for a terminal alone",
        "",
        "note: one SAE an arm",
        f"note: {HOSTILE}",
    ]


def test_markdown_says_sentences_then_what_limits_them_then_tables() -> None:
    shown = to_markdown(PAGE)
    assert re.findall(r"^##? .*", shown, re.M) == ["# base against tuned", "## More?", "## Notes", "## Hits"]
    assert "*Ours*, see `hits.csv`." in shown and "| base | =1+1 |" in shown and "- Intervals are `95 %`." in shown
    assert "terminal alone" not in shown


def test_what_comes_from_elsewhere_is_text_on_every_page() -> None:
    tokens = MarkdownIt("commonmark", {"html": True}).parse(to_markdown(PAGE))
    kinds = {child.type for token in tokens for child in token.children or ()} | {token.type for token in tokens}
    assert not kinds & {"image", "link_open", "html_inline", "html_block"}
    assert "<img src=x" not in to_html(PAGE)


def test_sections_with_a_name_are_csv_files_that_a_spreadsheet_does_not_run(tmp_path: Path) -> None:
    files = write_files(tmp_path / "new", to_csv_files(PAGE))
    assert [file.name for file in files] == ["hits.csv", "none.csv"]
    with files[0].open(encoding="utf-8") as opened:
        assert list(csv.DictReader(opened)) == [{"arm": "base", "share": "'=1+1"}]
    assert files[1].read_text() == "arm,share\n", "a table without rows keeps its head"


def test_html_has_the_same_sections_and_calls_nobody(tmp_path: Path) -> None:
    figure = tmp_path / "hits.png"
    figure.write_bytes(b"png")
    html = to_html(PAGE._replace(figures=[figure]))
    assert re.findall(r"<h[123]>(.*?)</h", html) == [
        "base against tuned",
        "More?",
        "What limits this",
        "Figures",
        "Hits",
    ]
    assert '<span class="tag no">no evidence</span>' in html and 'src="data:image/png;base64,cG5n"' in html
    assert "default-src 'none'" in html and not re.search(r'(?:src|href)="https?:', html)
