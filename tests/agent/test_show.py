"""The command that shows what a model is shown, and the page that is made with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.briefing.second.evidence import brief_investigator, brief_judge
from agent.briefing.second.legend import LEGEND
from agent.errors import RunError
from agent.lines import read_lines
from agent.show import fill, main
from tests.agent.cases import make_evidence
from tests.doors import ROOT
from tools.records import Evidence, FeatureRef

PAGE = ROOT / "docs" / "evidence.md"
SIX_KINDS = Path(__file__).with_name("six_kinds.jsonl")
OTHER = FeatureRef(study="toy", sae="base", index=7)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = (make_evidence(), make_evidence(feature=OTHER))
    path = tmp_path / "evidence.jsonl"
    path.write_text("".join(f"{one.model_dump_json()}\n" for one in found), "utf-8")
    return path


def test_the_page_of_examples_is_what_the_stored_evidence_is_rendered_to() -> None:
    """Byte for byte: a change of what models are shown changes the page, and is seen in it."""
    evidence = {record.feature.key: record for record in read_lines(SIX_KINDS, Evidence)}
    page = PAGE.read_text("utf-8")
    assert fill(page, evidence) == page
    assert all(f"<!-- shown: {key} " in page for key in evidence) and len(evidence) == 6
    assert LEGEND in page


def test_evidence_of_one_feature_or_of_all_is_printed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(file), "base-000007", "--reader", "judge"]) == 0
    shown = capsys.readouterr().out
    assert shown == f"base-000007\n{brief_judge(make_evidence())}\n\n"
    assert main([str(file)]) == 0
    assert capsys.readouterr().out.count(brief_investigator(make_evidence())) == 2


def test_a_page_has_its_blocks_filled_and_the_rest_left(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = file.with_name("page.md")
    text = "# A page\n\n<!-- shown: base-000007 judge -->\n```\nold\nlines\n```\n\nprose `x`\n<!-- shown: legend -->\n```\n```\n"
    page.write_text(text, "utf-8")
    assert main([str(file), "--page", str(page)]) == 0
    filled = capsys.readouterr().out
    judged = brief_judge(make_evidence())
    assert filled == (
        f"# A page\n\n<!-- shown: base-000007 judge -->\n```\n{judged}\n```\n\nprose `x`\n"
        f"<!-- shown: legend -->\n```\n{LEGEND}\n```\n"
    )
    page.write_text(filled, "utf-8")
    assert main([str(file), "--page", str(page)]) == 0
    assert capsys.readouterr().out == filled


@pytest.mark.parametrize(
    "page",
    [
        "<!-- shown: base-000009 judge -->\n```\n```\n",
        "<!-- shown: base-000007 nobody -->\n```\n```\n",
        "<!-- shown: base-000007 judge -->\nprose\n",
        "<!-- shown: base-000007 judge -->\n```\nnever closed\n",
        "<!-- shown: base-000007 judge -->",
    ],
)
def test_a_page_that_cannot_be_filled_is_refused(page: str) -> None:
    with pytest.raises(RunError):
        fill(page, {"base-000007": make_evidence(feature=OTHER)})


def test_a_missing_file_or_feature_ends_in_one_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in ([str(file), "base-000009"], [str(file.with_name("none"))], [str(file), "--page", "no such page"]):
        assert main(line) == 2
        assert len(capsys.readouterr().err.strip().split("\n")) <= 2
