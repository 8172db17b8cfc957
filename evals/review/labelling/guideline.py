"""A guideline's Markdown as a part of a page."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markupsafe import Markup

from tools.display.unseen import spell_out


def render_guideline(markdown: str) -> Markup:
    """The guideline as HTML, its headings under the page's own.

    A study comes from anyone: tags stay text, and nothing in it can be followed or loaded.
    """
    reader = MarkdownIt("commonmark", {"html": False}).disable(["image", "link", "autolink", "reference"])
    tokens = reader.parse("\n".join(map(spell_out, markdown.splitlines())))
    for token in tokens:
        token.tag = "h3" if token.type in ("heading_open", "heading_close") else token.tag
    return Markup(reader.renderer.render(tokens, reader.options, {}))
