"""Finished runs for a test to copy and to damage: one that measured, judged by rules, and one that a model judged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.run import main
from evals.manual.records import Label
from tests.agent.cases import make_evidence
from tests.evals.worlds import label
from tests.servers.openai_stub import happy, serve
from tools.records import FeatureRef

GUIDELINE = "Illness and its cure count. Food does not.\n"


def write_domain(folder: Path, **changes: str) -> Path:
    """A study that only asks; `changes` replace its fields."""
    fields = {"name": "medicine", "definition": "Care.", "guideline": "guideline.md", **changes}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "guideline.md").write_text(GUIDELINE, "utf-8")
    lines = "\n".join(f'{name} = "{value}"' for name, value in fields.items())
    (folder / "study.toml").write_text(f'name = "medicine"\ntitle = "Medicine"\n[domain]\n{lines}\n', "utf-8")
    return folder


def write_evidence(file: Path) -> Path:
    """Two features and a random direction that has the number of one of them."""
    refs = [
        FeatureRef(study="toy", sae="base", index=7),
        FeatureRef(study="toy", sae="base", index=8),
        FeatureRef.model_validate({"study": "toy", "sae": "base", "index": 7, "kind": "random_direction"}),
    ]
    strata = ("candidates", "near controls", "random directions")
    records = [make_evidence(feature=ref, stratum=stratum) for ref, stratum in zip(refs, strata, strict=True)]
    file.write_text("".join(record.model_dump_json() + "\n" for record in records), "utf-8")
    return file


@pytest.fixture(scope="session")
def measured(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the tiny study, by rules. Tests that damage it copy it."""
    runs = tmp_path_factory.mktemp("measured")
    assert main(["--study", str(study_folder), "--runs", str(runs), "--judge", "rules", "--controls", "0.1"]) == 0
    (run,) = runs.glob("*/")
    return run


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that a model judged over HTTP, on evidence from elsewhere; its study lies beside the runs."""
    place = tmp_path_factory.mktemp("judged")
    study, evidence = write_domain(place / "medicine"), write_evidence(place / "evidence.jsonl")
    with pytest.MonkeyPatch.context() as patch, serve(happy) as stub:
        patch.setenv("OPENAI_API_KEY", "sk-planted-0123456789abcdef")
        command = ["--base-url", stub.base_url, "--llm-model", "stub", "--runs", str(place / "runs")]
        assert main([*command, "--evidence", str(evidence), "--study", str(study)]) == 0
    (run,) = (place / "runs").glob("*/")
    return run


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Path]:
    """Copies a run for a test to damage."""
    return lambda run: Path(shutil.copytree(run, tmp_path / "damaged" / run.name))


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A labels file on all features of both runs."""
    given: list[Label] = []
    for index in range(60):
        one = label(index, "yes" if index % 2 else "no")
        given.append(one.model_copy(update={"item": one.item.model_copy(update={"study": None})}))
    file = tmp_path / "labels.jsonl"
    file.write_text("".join(one.model_dump_json() + "\n" for one in given), "utf-8")
    return file
