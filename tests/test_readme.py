"""What the README and the pages under docs/ show is what the code does, and every link between them leads somewhere."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
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


def _tree(page: Path) -> Iterator[tuple[Path, str]]:
    """Each line of a page's tree with the folder it speaks of: the one its indent puts it in, or that it begins with."""
    (tree,) = re.findall(r"## The tree\n\n```\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL)
    folders = {-2: ROOT}
    for line in tree.splitlines():
        indent, first = len(line) - len(line.lstrip()), line.split()[0]
        parent = folders[max(depth for depth in folders if depth < indent)]
        if first.endswith("/"):
            folders = {depth: folder for depth, folder in folders.items() if depth < indent} | {indent: parent / first}
        yield (parent / first if first.endswith("/") else parent), line


@pytest.mark.parametrize("page", [ROOT / "README.md", ARCHITECTURE], ids=lambda page: page.name)
def test_every_file_and_folder_the_tree_names_is_there(page: Path) -> None:
    for folder, line in _tree(page):
        for name in re.findall(r"(?<!\S)[\w/]+\.(?:py|md|toml|j2)(?=[\s,;:]|$)", line):
            assert (folder / name).is_file(), f"{folder.name}/{name}"
        for name in re.findall(r"(?<!\S)[\w-]+/(?=[\s,;:]|$)", line):
            places = (
                folder,
                folder.parent / name,
                folder / name,
                ROOT / name,
                *(root / name for root in ROOT.iterdir()),
            )
            assert any(place.is_dir() and place.name == name.strip("/") for place in places), f"{folder.name}/{name}"


def test_the_tree_names_every_room() -> None:
    said = "\n".join(line for _, line in _tree(ARCHITECTURE))
    for package in ("agent", "tools", "evals"):
        rooms = [path for path in (ROOT / package).rglob("__init__.py") if path.parent != ROOT / package]
        assert [room.parent.name for room in rooms if f"{room.parent.name}/" not in said] == []


def _places() -> list[tuple[str, str, str]]:
    """The rows of the table that says what to add where."""
    (table,) = re.findall(r"\| to add \|.*?\n\|---.*?\n(.*?)\n\n", ARCHITECTURE.read_text("utf-8"), flags=re.DOTALL)
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return [(row[0], row[1], row[2]) for row in rows]


@pytest.mark.parametrize("row", _places(), ids=lambda row: row[0])
def test_what_is_to_be_added_has_the_place_that_is_named(row: tuple[str, str, str]) -> None:
    _, written, told = row
    named = re.findall(r"`([\w/]+(?:/|\.py))`", f"{written} {told}")
    assert named
    assert [path for path in named if "/" in path and not (ROOT / path).exists()] == []
    (file, name) = re.findall(r"`([\w/]+\.py)` \(`(\w+)`\)", told)[0]
    assert re.search(
        rf"^ *(?:(?:async )?def|class) {name}\b|^{name}\b.* = ", (ROOT / file).read_text("utf-8"), re.MULTILINE
    )


def test_rooms_stand_on_the_floors_that_the_page_shows() -> None:
    (table,) = re.findall(r"\| floor \|.*?\n\|---.*?\n(.*?)\n\n", ARCHITECTURE.read_text("utf-8"), flags=re.DOTALL)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    for column, package in enumerate(("agent", "tools", "evals"), 1):
        (floors,) = [contract["layers"] for contract in contracts if contract.get("containers") == [package]]
        shown = [set(row[column].split(", ")) for row in rows if row[column]]
        assert shown == [set(floor.split(" | ")) for floor in floors]


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_of_ours_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(
        r"(?<![\w/.-])((?:agent|tools|evals|prompts|benchmarks|tests|studies)/[\w/-]+\.(?:py|md|toml|csv|jsonl))",
        page.read_text("utf-8"),
    )
    assert page.name == "CHANGELOG.md" or [path for path in named if not (ROOT / path).is_file()] == []
