"""A guideline's Markdown in blocks that a page can show: headings, lists, paragraphs."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Block(NamedTuple):
    """One heading, one paragraph, or the points of one list."""

    kind: Literal["heading", "list", "text"]
    lines: tuple[str, ...]


def read_blocks(markdown: str) -> list[Block]:
    """Blocks in order; whatever else Markdown knows stays as it is written."""
    found: list[Block] = []
    open_block = False
    for line in markdown.splitlines():
        text = line.strip()
        if not text:
            open_block = False
        elif text.startswith("#"):
            found.append(Block("heading", (text.lstrip("#").strip(),)))
            open_block = False
        elif text.startswith(("- ", "* ")):
            _extend(found, "list", text[2:].strip(), open_block)
            open_block = True
        elif open_block:
            last = found[-1]
            found[-1] = last._replace(lines=(*last.lines[:-1], f"{last.lines[-1]} {text}"))
        else:
            found.append(Block("text", (text,)))
            open_block = True
    return found


def _extend(found: list[Block], kind: Literal["list"], text: str, open_block: bool) -> None:
    if open_block and found[-1].kind == kind:
        found[-1] = found[-1]._replace(lines=(*found[-1].lines, text))
    else:
        found.append(Block(kind, (text,)))
