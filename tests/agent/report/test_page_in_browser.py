"""A run's report in a real browser: its widest table is read whole on a laptop and on half a screen, without scrolling."""

from __future__ import annotations

import html as html_text
import json
import re
import subprocess
from pathlib import Path

import pytest

from agent.folder.store import RunFolder
from agent.llm.records import Usage
from agent.report.page import write_report
from agent.report.summary import summarise
from agent.report.tables import header_of
from tests.agent.report.test_summary import decided, in_sequence
from tests.evals.review.browser import CHROMIUM, why_no_browser
from tests.evals.review.folders import write_folder
from tools.records import CoherenceEvidence, Stratum

pytestmark = [pytest.mark.browser, pytest.mark.skipif(why_no_browser() is not None, reason=str(why_no_browser()))]

POLICY = """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">"""
SCRIPT = """<script>
const spare = (one) => one.scrollWidth - one.clientWidth;
const tables = [...document.querySelectorAll(".scroll")].map(spare);
const found = { tables, page: [spare(document.documentElement)], window: [innerWidth] };
document.title = "measured " + JSON.stringify(found);
</script>"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run with every stratum, pairs in sequence, and three figures in each count."""
    strata: tuple[Stratum, ...] = ("candidates", "near controls", "unrelated controls", "random directions")
    decisions = [decided(number, stratum, "yes") for stratum in strata for number in range(100)]
    coherence = CoherenceEvidence(weighted=0.5, deduplicated=0.5, n_valid=5, coverage=0.5, null_share=0.2)
    shown = in_sequence(0, strata[0], "wwlw" + "llwl", "passes")
    evidence = [
        shown.model_copy(update={"feature": one.feature, "stratum": one.stratum, "coherence": coherence})
        for one in decisions
    ]
    folder = RunFolder.open(write_folder(tmp_path_factory.mktemp("run") / "whole", decisions, evidence))
    summary = summarise("whole", decisions, evidence, folder.manifest().selection, 48, usage=Usage())
    assert header_of(summary)[-1] == "nats a token", "the widest table there is"
    write_report(folder, "Medicine in a model", summary, evidence[:2], decisions[:2])
    return folder.path / "report.html"


def measure(report: Path, width: int) -> dict[str, list[int]]:
    """By how much each table is too wide for its frame, and the page for the window, with every fold open."""
    html = report.read_text("utf-8")
    assert html.count(POLICY) == 1, "the page itself runs no script"
    measured = report.with_name(f"measured-{width}.html")
    measured.write_text(html.replace(POLICY, "").replace("<details", "<details open") + SCRIPT, "utf-8")
    flags = ("--headless", "--no-sandbox", "--hide-scrollbars", "--dump-dom", f"--window-size={width},900")
    done = subprocess.run([str(CHROMIUM), *flags, measured.as_uri()], capture_output=True, text=True, check=True)
    (found,) = re.findall(r"<title>measured (.*?)</title>", done.stdout)
    return json.loads(html_text.unescape(found))


@pytest.mark.parametrize("width", [800, 1280])
def test_no_table_is_wider_than_the_page(report: Path, width: int) -> None:
    found = measure(report, width)
    assert found["window"] == [width], "as wide as was asked for"
    assert len(found["tables"]) >= 2
    assert max(found["tables"]) <= 0, found
    assert found["page"] == [0]


def test_on_a_narrow_window_tables_scroll_and_the_page_does_not(report: Path) -> None:
    found = measure(report, 500)
    assert max(found["tables"]) > 0, "else this test would be empty"
    assert found["page"] == [0]
