"""What runs are begun with that measure nothing: a domain to judge by, and evidence from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.agent.cases import make_evidence
from tools.records import FeatureRef

GUIDELINE = "Illness and its cure count. Food does not."


@pytest.fixture
def domain(tmp_path: Path) -> Path:
    return write_domain(tmp_path)


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    return write_evidence(tmp_path)


def write_domain(parent: Path) -> Path:
    folder = parent / "medicine"
    folder.mkdir()
    (folder / "guideline.md").write_text(GUIDELINE)
    (folder / "study.toml").write_text(
        'name = "medicine"\ntitle = "Medicine"\n[domain]\nname = "medicine"\ndefinition = "Care."\n'
        'guideline = "guideline.md"\n'
    )
    return folder


def write_evidence(parent: Path, *, whole: bool = True) -> Path:
    """Four features of which little is known, after one with everything that is measured; a report draws figures of it."""
    file = parent / "evidence.jsonl"
    record = make_evidence(feature=FeatureRef(study="toy", sae="base", index=7)).model_dump_json()
    first = (
        record if whole else json.dumps({"feature": 7, "top_tokens": ["ward"], "contexts": ["a <<ward>>(2) of beds"]})
    )
    plain = [
        {"feature": n, "top_tokens": ["heart", f"valve{n}"], "contexts": ["a <<heart>>(3) beat"]} for n in range(4)
    ]
    file.write_text("".join(f"{line}\n" for line in (first, *map(json.dumps, plain))))
    return file
