"""What the README and the pages under docs/ show is what the code does, and every link between them leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.investigation.graph import build_graph

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
ARCHITECTURE = ROOT / "docs" / "architecture.md"
DOCS = sorted((ROOT / "docs").glob("**/*.md"))
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS, *sorted((ROOT / "studies").glob("**/*.md"))]
MOST_LINES = 200


def _prose(page: Path) -> str:
    """The page without its code, in which brackets are no links and a hash is no heading."""
    fenced = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^    .*$", "", fenced, flags=re.MULTILINE))


def _links(page: Path) -> list[str]:
    """Targets of links and images that stay in the repository."""
    targets = re.findall(r"\]\(\s*<?([^)>\s]+)>?[^)]*\)", _prose(page))
    return [target for target in targets if not re.match(r"[a-z][a-z0-9+.-]*:", target)]


def _anchors(page: Path) -> set[str]:
    """The names under which a page's headings can be linked to."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _broken(page: Path) -> list[str]:
    broken: list[str] = []
    for link in _links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    return broken


def test_the_graph_is_the_one_the_code_draws() -> None:
    (drawn,) = re.findall(r"```mermaid\n(.*?)```", ARCHITECTURE.read_text("utf-8"), flags=re.DOTALL)
    assert drawn.strip() == build_graph().get_graph().draw_mermaid().strip()


@pytest.mark.parametrize("target", ["run", "test"])
def test_the_two_commands_are_targets_of_the_makefile(target: str) -> None:
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("page", [ROOT / "README.md", ARCHITECTURE], ids=lambda page: page.name)
def test_every_file_and_folder_the_tree_names_is_there(page: Path) -> None:
    (tree,) = re.findall(r"## The tree\n\n```\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL)
    folder = ROOT
    for line in tree.splitlines():
        name = line.split()[0] if line.strip() else ""
        if re.match(r"\S", line):
            folder = ROOT / name
        names = [word.strip(",;") for word in line.split() if re.fullmatch(r"[\w/.]+\.(py|md|toml|j2)[,;]?", word)]
        for one in names:
            assert (folder / one).is_file(), f"{folder.name}/{one}"
        for one in re.findall(r"(?<!\S)[\w-]+/(?=[\s,;]|$)", line):
            assert (folder / one).is_dir() or (ROOT / one).is_dir(), f"{folder.name}/{one}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page: Path) -> None:
    assert _broken(page) == []


def test_a_link_that_leads_nowhere_is_seen(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# What is there?\n\nText.\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n\n[a](there.md) [b](there.md#what-is-there) [c](#here) [d](https://a.test/x) `[e](code.md)`\n\n"
        "```\n[f](fenced.md)\n```\n\n![g](picture.png) [h](there.md#nothing) [i](#nowhere)\n[j](gone.md#here)\n"
    )
    assert _broken(page) == ["picture.png", "there.md#nothing", "#nowhere", "gone.md#here"]


def test_the_readme_can_be_read_in_one_sitting() -> None:
    assert len(README.splitlines()) <= MOST_LINES


def test_every_page_is_in_the_readmes_list_of_where_to_read_on() -> None:
    (listed,) = re.findall(r"## Where to read on\n(.*?)\Z", README, flags=re.DOTALL)
    assert [page.name for page in DOCS if f"]({page.relative_to(ROOT).as_posix()})" not in listed] == []


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_a_page_opens_with_its_title_and_a_sentence(page: Path) -> None:
    assert re.match(r"# \S.*\n\n\w", page.read_text("utf-8"))
