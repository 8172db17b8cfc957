"""A report as sections, and all its forms from these: lines for a terminal, Markdown, CSV files, one HTML page."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from agent.folder.store import write_whole
from tools.display.spreadsheets import to_csv
from tools.display.tables import as_markdown, escape_markdown
from tools.display.unseen import page as as_file
from tools.records import Record


class Point(NamedTuple):
    """A sentence, with a word that says which way it goes."""

    text: str
    tag: str = ""


class Section(NamedTuple):
    """A table with what a reader needs to know beside it, or sentences; either may be for a terminal alone."""

    name: str = ""
    """Of its CSV file, if it has one, and of its place in HTML."""
    title: str = ""
    note: str = ""
    """Ours, and Markdown; all else may come from anywhere, and is shown as it is."""
    table: Sequence[Sequence[str]] = ()
    """With its head; without further rows it is on no page."""
    points: Sequence[Point] = ()
    brief: Sequence[str] = ()
    """What a terminal shows of it."""
    links: Mapping[str, str] = {}
    """Cells that lead somewhere in HTML, and where to: files beside the page, by paths of ours."""


class Page(NamedTuple):
    """A report. Pages show sentences before what limits them, and both before tables and figures."""

    title: str
    heading: str = ""
    sections: Sequence[Section] = ()
    remarks: Sequence[str] = ()
    standing: Sequence[str] = ()
    """Ours, and Markdown: what holds for every report of the kind, and is on pages alone."""
    figures: Sequence[Path] = ()

    @property
    def stated(self) -> list[Section]:
        """Sections of sentences."""
        return [one for one in self.sections if not one.table and (one.note or one.points)]

    @property
    def tables(self) -> list[Section]:
        """Sections with a table that has rows."""
        return [one for one in self.sections if len(one.table) > 1]


def as_lines(page: Page) -> list[str]:
    """What a terminal shows."""
    lines = [page.heading] if page.heading else []
    for one in page.sections:
        lines += ["", *one.brief] if lines and one.brief else one.brief
    return lines + ["", *(f"note: {remark}" for remark in page.remarks)] if page.remarks else lines


def to_markdown(page: Page) -> str:
    """The whole report as the text of a Markdown file."""
    return as_file(_list_markdown(page))


def _list_markdown(page: Page) -> Iterator[str]:
    yield f"# {escape_markdown(page.title)}"
    if page.heading:
        yield from ("", escape_markdown(page.heading))
    for one in page.stated:
        yield from _list_section(one)
    if page.remarks or page.standing:
        yield from ("", "## Notes", "", *(f"- {escape_markdown(one)}" for one in page.remarks))
        yield from (f"- {one}" for one in page.standing)
    for one in page.tables:
        yield from _list_section(one)
    for figure in page.figures:
        yield from ("", f"![{figure.stem.replace('_', ' ')}]({figure.name})")


def _list_section(one: Section) -> Iterator[str]:
    if one.title:
        yield from ("", f"## {escape_markdown(one.title)}")
    if one.note:
        yield from ("", *one.note.split("\n"))
    if one.points:
        yield from ("", *(f"- {escape_markdown(point.text)}" for point in one.points))
    if one.table:
        yield from ("", *as_markdown(one.table))


def to_csv_files(page: Page) -> dict[str, str]:
    """A CSV of every section that names one, by file name; without rows it has the head alone."""
    return {f"{one.name}.csv": to_csv(one.table) for one in page.sections if one.name and one.table}


def to_html(page: Page) -> str:
    """The whole report as one file that opens from disk and calls nobody."""
    from tools.display.templates import load_template

    figures = [(path.stem, base64.b64encode(path.read_bytes()).decode()) for path in page.figures]
    return load_template(Path(__file__).with_name("page.html.j2")).render(page=page, figures=figures)


def write_page(folder: Path, page: Page, name: str, report: Record) -> list[Path]:
    """Write a report in all its forms, and return their paths, the page first.

    Args:
        folder: that they go to, beside the page's figures.
        page: the report, laid out.
        name: of the Markdown and the JSON file.
        report: what the JSON file holds.

    Raises:
        Unwritable: one cannot be written.
    """
    texts = {
        "report.html": to_html(page),
        f"{name}.md": to_markdown(page),
        f"{name}.json": report.model_dump_json(indent=1) + "\n",
        **to_csv_files(page),
    }
    return write_files(folder, texts)


def write_files(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write a report's files, each whole or not at all, and return their paths in that order."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_whole(folder / name, text)
    return [folder / name for name in texts]
