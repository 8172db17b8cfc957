"""What the README shows is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.graph import build_graph

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def test_the_graph_is_the_one_the_code_draws() -> None:
    (drawn,) = re.findall(r"```mermaid\n(.*?)```", README, flags=re.DOTALL)
    assert drawn.strip() == build_graph().get_graph().draw_mermaid().strip()


@pytest.mark.parametrize("target", ["run", "test"])
def test_the_two_commands_are_targets_of_the_makefile(target: str) -> None:
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE)


def test_every_file_the_tree_names_is_there() -> None:
    (tree,) = re.findall(r"## The tree\n\n```\n(.*?)```", README, flags=re.DOTALL)
    folder = ROOT
    for line in tree.splitlines():
        name = line.split()[0] if line.strip() else ""
        if re.match(r"\S", line) and name.endswith("/"):
            folder = ROOT / name
        names = [word.strip(",;") for word in line.split() if re.fullmatch(r"[\w/.]+\.(py|md|toml|j2)[,;]?", word)]
        for one in names:
            assert (folder / one).is_file(), f"{folder.name}/{one}"


def test_linked_files_are_there() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
