"""The pages for reading in a real browser: nothing overflows, nothing is refused, and the table follows the keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from evals.review.app import create_app
from evals.review.desk import Desk
from evals.review.runs import OpenRun
from tests.evals.review.browser import chromium, served, why_no_browser
from tests.evals.review.folders import few_decisions, show_evidence, some_call, some_steps, write_folder
from tests.evals.worlds import decide, label
from tools.records import Context, Projection, TokenWeight

pytestmark = [pytest.mark.browser, pytest.mark.skipif(why_no_browser() is not None, reason=str(why_no_browser()))]

LONG = "x" * 10_000
HOSTILE = "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">\u202e"
MANY = 5_000
WIDTHS = (390, 1280)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("desk")
    few, many = few_decisions(), decide(1234567, "yes")
    hostile = few[0].model_copy(update={"label": HOSTILE + LONG, "reasons": (HOSTILE, LONG)})
    shown = show_evidence(hostile)
    context = Context(document=LONG, tokens=(HOSTILE, LONG, "שלום"), activations=(0.0, 1.0, 0.5))
    token = TokenWeight(token=LONG, word=HOSTILE, weight=1.0)
    shown = shown.model_copy(
        update={
            "projection": Projection(top=(token, token.model_copy(update={"token": HOSTILE})), bottom=(token,)),
            "activations": shown.activations.model_copy(update={"top": (context,)}) if shown.activations else None,
        }
    )
    paths = [
        write_folder(
            folder / "few",
            [hostile, *few[1:]],
            [shown, *map(show_evidence, few[1:])],
            steps={"base-000001": some_steps(HOSTILE), "base-000002": some_steps(LONG)},
            calls=[some_call()],
        ),
        write_folder(folder / "other", few),
        write_folder(folder / "many", [many], [show_evidence(many)]),
    ]
    for file in (paths[2] / "decisions.jsonl", paths[2] / "evidence.jsonl"):
        line = file.read_text()
        file.write_text("".join(line.replace("1234567", str(number)) for number in range(MANY)))
    desk = Desk([OpenRun(path.name, path) for path in paths], [label(1, "no", HOSTILE, note=LONG)])
    with served(create_app(desk)) as at:
        yield at


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


PAGES = (
    "/",
    "/run/few",
    "/run/few/feature/base-000001",
    "/run/few/feature/base-000002",
    "/run/few/feature/base-000001/transcript",
    "/run/few/feature/base-000002/transcript",
    "/compare?left=few&right=other",
    "/nowhere",
)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overflows_and_no_text_acts(browser: Any, address: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    for path in PAGES:
        page.goto(address + path)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert "pwned" not in page.title()
        assert page.evaluate("document.querySelectorAll('main script, main img[src=x]').length") == 0
    page.close()
    assert [fault for fault in faults if "404" not in fault] == []


def test_the_table_follows_what_is_typed_without_a_new_page(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/run/many")
    page.evaluate("window.kept = true")
    assert page.inner_text("[role=status]") == "5,000 decisions"
    page.get_by_label("search").press_sequentially("base-0049", delay=1)
    page.get_by_text(
        "100 of 5,000 decisions"
    ).wait_for()  # by text: the pages' policy forbids what waits for a function
    assert page.evaluate("window.kept") is True
    assert page.evaluate("document.activeElement.name") == "q"
    assert page.url.endswith("q=base-0049&sort=place")
    page.reload()
    assert page.inner_text("[role=status]") == "100 of 5,000 decisions"
    page.close()


def test_five_thousand_rows_are_there_within_a_second_and_filter_at_once(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/run/few")
    page.goto(f"{address}/run/many")
    listed = page.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
    took = page.evaluate(
        """async () => {
            const times = [];
            for (const q of ["heart", "4999", "label 12"]) {
                const began = performance.now();
                await (await fetch(`/run/many?q=${encodeURIComponent(q)}`)).text();
                times.push(performance.now() - began);
            }
            return Math.min(...times);
        }"""
    )
    page.close()
    assert listed < 1000
    assert took < 200


def test_columns_sort_by_their_headings_and_keep_the_focus(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/run/few")
    page.get_by_role("link", name="confidence").click()
    page.wait_for_selector("th[aria-sort=descending]")
    first = page.locator("table.rows tbody tr").first.inner_text()
    assert "base-000004" in first
    assert page.evaluate("document.activeElement.dataset.table") == "confidence"
    page.keyboard.press("Enter")
    page.wait_for_selector("th[aria-sort=ascending]")
    assert "base-000030" in page.locator("table.rows tbody tr").first.inner_text()
    page.close()


def test_everything_is_reached_without_a_script(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/run/few")
    page.locator("select[name=outcome]").select_option("no")
    page.get_by_role("button", name="Filter").click()
    assert page.inner_text("[role=status]") == "3 of 6 decisions"
    page.get_by_role("link", name="base-000004").click()
    assert "2 of 3" in page.inner_text("nav.crumbs")
    page.get_by_role("link", name="Next").click()
    assert "base-r000006" in page.inner_text("h1")
    page.get_by_role("link", name="How it was investigated").click()
    page.get_by_role("link", name="these decisions").click()
    assert page.inner_text("[role=status]") == "3 of 6 decisions"
    context.close()


def test_the_first_key_leads_past_the_menu(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/run/few")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to the content"
    page.close()
