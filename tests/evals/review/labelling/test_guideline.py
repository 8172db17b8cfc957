"""A guideline is shown as its Markdown means it, and whoever wrote it can do nothing else with the page."""

from __future__ import annotations

import pytest

from evals.review.labelling.guideline import render_guideline

GUIDELINE = """\
# What counts

A feature is *relevant* when it is
about medicine.

Yes:
- diseases,
  and who has them;
- drugs.

1. look
2. decide
"""


def test_headings_paragraphs_lists_and_stress_are_shown_as_such() -> None:
    shown = render_guideline(GUIDELINE)
    assert "<h3>What counts</h3>" in shown and "<em>relevant</em> when it is\nabout medicine.</p>" in shown
    assert "<p>Yes:</p>\n<ul>\n<li>diseases,\nand who has them;</li>\n<li>drugs.</li>\n</ul>" in shown
    assert "<ol>\n<li>look</li>" in shown


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        '<img src=x onerror="alert(1)">',
        "![x](https://example.org/x.png)",
        "[x](javascript:alert(1))",
        "<https://example.org>",
        "[x]\n\n[x]: https://example.org",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
    ],
)
def test_nothing_in_it_runs_is_loaded_or_is_followed(hostile: str) -> None:
    shown = render_guideline(f"# {hostile}\n\n- {hostile}\n\n{hostile}")
    assert not any(mark in shown for mark in ("<script", "<img", "<a ", "href=", 'src="'))


def test_unseen_letters_are_spelt_out() -> None:
    assert "a\\u{202e}b" in render_guideline("a\u202eb")
