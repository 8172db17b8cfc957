"""Tables are aligned, and show in Markdown what their cells hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tools.display.tables import as_markdown, as_text, escape_markdown

HOSTILE = (
    "<script>alert(1)</script>",
    "![x](https://example.org/x.png)",
    "[click](javascript:alert(1))",
    "[a]: https://example.org",
    "**bold** or *not*",
    "one | two\nthree",
    "a \\| b \\",
)


def test_first_column_stands_to_the_left_and_the_others_to_the_right() -> None:
    assert as_text([("", "n"), ("near", "7"), ("far away", "1,200")]) == [
        "               n",
        "near           7",
        "far away   1,200",
    ]
    assert as_text([]) == []


def test_wrapped_cells_stand_beside_each_other() -> None:
    rows = [("figure", "says"), ("wins of the run", "all of them")]
    assert as_text(rows, (8, 20)) == ["figure     says", "wins of    all of them", "the run"]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_cell_holds_is_neither_tag_nor_image_nor_emphasis_nor_a_cell(text: str) -> None:
    document = MarkdownIt("commonmark", {"html": True}).enable("table")
    parsed = document.parse("\n".join(as_markdown([("label", "n"), (text, "1")])))
    cells = [token for token in parsed if token.type == "inline"]
    assert [token.content for token in cells][2:][1] == "1" and len(cells) == 4
    assert {child.type for child in cells[2].children or ()} <= {"text", "text_special", "entity"}
    assert "".join(child.content for child in cells[2].children or ()) == " ".join(text.split())


@given(st.text(alphabet="ab [](){}!:\\|*<>\n"))
def test_escaped_text_reads_back_as_it_was(text: str) -> None:
    inline = MarkdownIt("commonmark", {"html": True}).parseInline(escape_markdown(text))[0]
    assert {child.type for child in inline.children or ()} <= {"text", "text_special", "entity"}
    assert "".join(child.content for child in inline.children or ()) == " ".join(text.split())
