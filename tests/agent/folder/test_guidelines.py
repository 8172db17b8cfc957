"""A guideline has versions: new runs take the newest, and a stored run is asked by its own."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from agent.errors import RunError
from agent.folder.entrusted import check_rejudged, check_replayable, open_question
from agent.folder.records import Manifest
from tests.agent.conftest import write_domain
from tools.study.reading import load_question
from tools.study.wording import list_versions

STORED = Path(__file__).parents[1] / "stored" / "llm" / "manifest.json"


@pytest.fixture
def pocket() -> Manifest:
    """Of a run made when the embedded study had one guideline."""
    return Manifest.model_validate_json(STORED.read_bytes())


def own(folder: Path, pocket: Manifest, text: str) -> Manifest:
    """Of a run by a study of the user's, with a guideline that read so."""
    provenance = pocket.provenance.model_copy(
        update={"sha256": {"guideline": hashlib.sha256(text.encode()).hexdigest()}}
    )
    config = pocket.config.model_copy(update={"study": str(folder)})
    return pocket.model_copy(update={"provenance": provenance, "config": config})


def test_versions_are_in_the_order_of_their_numbers_and_other_files_are_none(tmp_path: Path) -> None:
    for name in ("g.v10.md", "g.v2.md", "g.md", "g.v2.md.bak", "g.vx.md", "g.v02.md", "other.v3.md"):
        (tmp_path / name).write_text("x")
    assert [path.name for path in list_versions(tmp_path / "g.md")] == ["g.md", "g.v2.md", "g.v10.md"]
    assert list_versions(tmp_path / "[a].md") == [tmp_path / "[a].md"]


def test_a_new_run_is_asked_by_the_newest_and_a_stored_one_by_its_own(pocket: Manifest) -> None:
    assert load_question("pocket").guideline.name == "guideline.v2.md"
    assert load_question("smollm2").guideline.name == "guideline.v2.md", "both studies use the same file"
    question = open_question(pocket)
    assert question.guideline.name == "guideline.md"
    check_replayable(pocket, question)


def test_a_stored_run_may_be_judged_again_by_a_newer_guideline(pocket: Manifest) -> None:
    question = open_question(pocket, anew=True)
    assert question.guideline.name == "guideline.v2.md"
    assert check_rejudged(pocket, question, None) == pocket.inherited


def test_a_guideline_that_was_changed_in_place_is_another(tmp_path: Path, pocket: Manifest) -> None:
    folder = write_domain(tmp_path)
    before = (folder / "guideline.md").read_text()
    manifest = own(folder, pocket, before)
    (folder / "guideline.v2.md").write_text("Food counts too.\n")
    assert open_question(manifest).guideline == folder / "guideline.md"
    (folder / "guideline.md").write_text("Food counts.\n")
    with pytest.raises(RunError, match="guideline"):
        open_question(manifest)


def test_a_manifest_opens_no_newer_guideline_of_a_study_that_only_it_names(tmp_path: Path, pocket: Manifest) -> None:
    folder = write_domain(tmp_path)
    manifest = own(folder, pocket, (folder / "guideline.md").read_text())
    (folder / "guideline.v2.md").write_text("The reader's own words.\n")
    assert open_question(manifest, anew=True).guideline == folder / "guideline.md"
