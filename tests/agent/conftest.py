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


def write_evidence(parent: Path) -> Path:
    file = parent / "evidence.jsonl"
    whole = make_evidence(feature=FeatureRef(study="toy", sae="base", index=7))
    plain = [
        {"feature": n, "top_tokens": ["heart", f"valve{n}"], "contexts": ["a <<heart>>(3) beat"]} for n in range(4)
    ]
    file.write_text(whole.model_dump_json() + "\n" + "\n".join(map(json.dumps, plain)) + "\n")
    return file
