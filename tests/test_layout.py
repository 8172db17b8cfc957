"""The four names are ours, and importing them does nothing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["agent", "tools", "prompts", "evals"])
def test_the_top_level_names_are_the_repositorys_own(name: str) -> None:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(ROOT)


def test_no_init_file_hides_a_package_under_tests() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


@pytest.mark.parametrize(
    "module",
    [
        *("agent.run", "agent.llm.stub.__main__", "tools.training.__main__"),
        *("evals.compare", "evals.export", "evals.review.__main__", "evals.score"),
    ],
)
def test_help_is_instant(module: str) -> None:
    """Nothing heavy is imported before the command line has been read."""
    heavy = {"torch", "pandas", "transformers", "langgraph", "openai"}
    code = f"import sys, {module}; print(sorted(set(sys.modules) & {heavy}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
