"""The walls are real: an import that breaks one is found, whichever wall it is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("agent", "tools", "prompts", "evals", "benchmarks")

BREACHES = {
    "one direction": ("tools/maths.py", "from agent.errors import RunError"),
    "the investigator's floors": ("agent/folder/places.py", "from agent.judges.judge import Judge"),
    "the client's floors": ("agent/llm/reading/fitting.py", "from agent.llm.client import LlmClient"),
    "the instruments' floors": ("tools/survey/lens.py", "from tools.effects.steering import continue_texts"),
    "the examiner's floors": ("evals/statistics/matrices.py", "from evals.agreement.pairing import pair"),
    "instruments know no LLM": ("tools/observation.py", "import langgraph"),
    "tensors stay under tools": ("agent/judges/rules.py", "import torch"),
    "only the client talks to the LLM": ("agent/judges/judge.py", "import openai"),
    "only the graph knows the graph library": ("agent/briefing/first/evidence.py", "import langgraph"),
    "the examiner sees what the investigator leaves, and its client, not how it works": (
        "evals/agreement/strata.py",
        "from agent.judges.judge import Judge",
    ),
}
"""Of each contract a module, and the line that must not stand in it."""


def lint(root: Path) -> str:
    """What import-linter says of a tree."""
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a copy of the tree into which every breach has been planted, and a room that stands on no floor."""
    root = tmp_path_factory.mktemp("breached")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    for file, line in BREACHES.values():
        with (root / file).open("a", encoding="utf-8") as module:
            module.write(f"\n{line}\n")
    return lint(root)


def test_every_contract_has_a_breach_to_catch() -> None:
    contracts = re.findall(
        r'\[\[tool\.importlinter\.contracts\]\]\nname = "(.+)"', (ROOT / "pyproject.toml").read_text("utf-8")
    )
    assert contracts == list(BREACHES)


@pytest.mark.parametrize("contract", BREACHES)
def test_a_planted_breach_is_caught(report: str, contract: str) -> None:
    file, line = BREACHES[contract]
    importer, imported = file.removesuffix(".py").replace("/", "."), line.split()[1]
    assert re.search(rf"^{re.escape(contract)}\s*BROKEN", report, flags=re.MULTILINE), report
    assert f"{importer} -> {imported}" in report


def test_a_room_that_was_given_no_floor_is_found(tmp_path: Path) -> None:
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "evals" / "drift.py").touch()
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    floors = re.search(
        r'\[\[tool\.importlinter\.contracts\]\]\nname = "the examiner\'s floors".*?\n\n', text, flags=re.DOTALL
    )
    assert floors is not None
    lenient = re.sub(
        r'"([\w |]+)"(?=,\n)', lambda found: '"' + " | ".join(f"({n})" for n in found[1].split(" | ")) + '"', floors[0]
    )
    head = '[tool.importlinter]\nroot_packages = ["evals"]\n\n'
    (tmp_path / "pyproject.toml").write_text(head + lenient, "utf-8")
    assert "drift" in lint(tmp_path)
