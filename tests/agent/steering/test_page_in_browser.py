"""A steering run's report in a real browser: on a laptop nothing has to be scrolled sideways."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.steering.page import write_report
from tests.agent.report.test_page_in_browser import measure
from tests.agent.steering.made import write_run
from tests.evals.review.browser import why_no_browser

pytestmark = [pytest.mark.browser, pytest.mark.skipif(why_no_browser() is not None, reason=str(why_no_browser()))]


def test_no_table_is_wider_than_the_page(tmp_path: Path) -> None:
    report = write_report(write_run(tmp_path / "run"))
    wide, narrow = measure(report, 1280), measure(report, 500)
    assert max(wide["tables"]) <= 0, wide
    assert wide["page"] == narrow["page"] == [0]
    assert max(narrow["tables"]) > 0, "else this test would be empty"
