"""The four names are ours, and importing them does nothing."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doors import ROOT, list_doors

HEAVY = {"fastapi", "httpx2", "langgraph", "numpy", "openai", "pandas", "pydantic", "rich", "torch", "transformers"}


@pytest.mark.parametrize("name", ["agent", "tools", "prompts", "evals"])
def test_the_top_level_names_are_the_repositorys_own(name: str) -> None:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(ROOT)


def test_no_init_file_hides_a_package_under_tests() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


@pytest.mark.parametrize("door", list_doors())
def test_help_is_instant(door: str) -> None:
    """Nothing heavy is imported before the command line has been read."""
    code = (
        "import atexit, runpy, sys\n"
        f"atexit.register(lambda: print(sorted(set(sys.modules) & {HEAVY}), file=sys.stderr))\n"
        f"sys.argv = ['x', '--help']; runpy.run_module({door!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"usage: python -m {door}")
    assert done.stderr.strip() == "[]"


def test_no_module_imports_what_only_unix_has() -> None:
    unix = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios"}
    for file in (file for name in ("agent", "evals", "prompts", "tools") for file in (ROOT / name).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not unix.intersection(names), file
