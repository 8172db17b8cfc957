"""Labelling with the keyboard in a real browser: `python -m pytest -m browser`."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from evals.manual.records import Label
from evals.review.app import create_app
from evals.review.desk import Desk
from tests.evals.review.label_worlds import FIRST, decide_all, make_run, marks
from tests.evals.review.labelling.test_pages import HOSTILE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: install chromium to test labelling by keyboard"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="NO BROWSER TESTS: pip install playwright")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def served(run: Path) -> Iterator[str]:
    """A desk on a free port of this machine."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(Desk.open([run])), log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@contextmanager
def labeller(chromium: Any, address: str, name: str, **options: Any) -> Iterator[Any]:
    """A browser of one's own on the first page to label; what it complains of fails the test."""
    context = chromium.new_context(**options)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
    page.goto(f"{address}/run/a-run/label")
    page.fill("#annotator", name)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    yield page
    context.close()
    assert complaints == []


def read(run: Path, name: str = "ana") -> list[Label]:
    file = run / "labels" / f"{name}.jsonl"
    text = file.read_text("utf-8") if file.exists() else ""
    return [Label.model_validate_json(line) for line in text.split("\n")[:-1]]


def press(page: Any, *keys: str) -> None:
    """Press keys of which the last one sends the page."""
    for key in keys[:-1]:
        page.keyboard.press(key)
    with page.expect_navigation():
        page.keyboard.press(keys[-1])


def shown(page: Any) -> int:
    (mark,) = marks(page.content())
    return FIRST + int(mark[4:-1])


def test_ten_features_are_labelled_by_keyboard_and_are_in_the_file(tmp_path: Path, chromium: Any) -> None:
    run = make_run(tmp_path / "a-run", decide_all(12))
    expected: list[tuple[int, str, int | None, str | None]] = []
    with served(run) as address, labeller(chromium, address, "ana") as page:
        for place in range(10):
            verdict, rating = "ynu"[place % 3], None if place == 4 else place % 5
            index = shown(page)
            if place == 2:
                press(page, "/", *"yes?", "Escape", verdict, str(rating))
            elif rating is None:
                press(page, verdict, "Enter")
            else:
                press(page, str(rating), verdict)
            value = {"y": "yes", "n": "no", "u": "undecided"}[verdict]
            expected.append((index, value, rating, "yes?" if place == 2 else None))
        assert "10 of 12" in page.content()
    found: dict[int, dict[str, Label]] = {}
    for label in read(run):
        found.setdefault(label.item.index, {})[label.question] = label
    assert [
        (
            index,
            of["relevant"].value,
            of["interpretable"].value if "interpretable" in of else None,
            of["relevant"].note,
        )
        for index, of in found.items()
    ] == expected
    assert all((of["relevant"].seconds or -1) >= 0 for of in found.values())


def test_z_takes_back_first_a_choice_and_then_the_last_answer(tmp_path: Path, chromium: Any) -> None:
    run = make_run(tmp_path / "a-run", decide_all(12))
    with served(run) as address, labeller(chromium, address, "ana") as page:
        first = shown(page)
        press(page, "y", "Enter")
        page.keyboard.press("n")
        page.keyboard.press("z")
        assert page.locator("input:checked").count() == 0
        press(page, "z")
        assert shown(page) == first
        press(page, "n", "2")
    answers = [(one.item.index, one.value, one.withdrawn) for one in read(run)]
    assert answers == [(first, "yes", False), (first, "yes", True), (first, "no", False), (first, 2, False)]


def test_keys_write_in_the_note_and_answer_nothing(tmp_path: Path, chromium: Any) -> None:
    run = make_run(tmp_path / "a-run", decide_all(12))
    with served(run) as address, labeller(chromium, address, "ana") as page:
        page.keyboard.press("/")
        page.keyboard.type("no, 3 zeros/yes\nu")
        assert page.locator("input:checked").count() == 0
        page.keyboard.press("Escape")
        page.keyboard.press("Control+y")
        page.keyboard.press("z")  # would lose the note: does nothing
        assert page.locator("input:checked").count() == 0
        page.keyboard.press("u")
        page.keyboard.press("/")
        press(page, "Control+Enter")
    (one,) = read(run)
    assert (one.value, one.note) == ("undecided", "no, 3 zeros/yes\nu")


def test_two_annotators_in_two_browsers_at_once(tmp_path: Path, chromium: Any) -> None:
    run = make_run(tmp_path / "a-run", decide_all(8))
    with (
        served(run) as address,
        labeller(chromium, address, "ana") as ana,
        labeller(chromium, address, "ben") as ben,
    ):
        orders: dict[str, list[int]] = {"ana": [], "ben": []}
        for _ in range(8):
            for name, page, key in (("ana", ana, "y"), ("ben", ben, "n")):
                orders[name].append(shown(page))
                press(page, key, "1")
        assert all("Every feature has your answer" in page.content() for page in (ana, ben))
    for name, value in (("ana", "yes"), ("ben", "no")):
        relevant = [one for one in read(run, name) if one.question == "relevant"]
        assert [one.item.index for one in relevant] == orders[name]
        assert {one.value for one in relevant} == {value}
    assert orders["ana"] != orders["ben"]


def test_the_same_annotator_in_two_tabs(tmp_path: Path, chromium: Any) -> None:
    run = make_run(tmp_path / "a-run", decide_all(8))
    with served(run) as address, labeller(chromium, address, "ana") as one:
        other = one.context.new_page()
        other.goto(one.url)
        press(one, "y", "1")
        press(other, "n", "2")
        assert shown(one) == shown(other)
    assert [label.value for label in read(run)] == ["yes", 1, "no", 2]


def test_it_works_without_javascript(tmp_path: Path, chromium: Any) -> None:
    run = make_run(tmp_path / "a-run", decide_all(3))
    with served(run) as address, labeller(chromium, address, "ana", java_script_enabled=False) as page:
        for _ in range(3):
            page.get_by_label("no", exact=False).first.check(force=True)
            with page.expect_navigation():
                page.get_by_role("button", name="Save and go on").click()
        assert "Every feature has your answer" in page.content()
    assert [label.value for label in read(run)] == ["no"] * 3


@pytest.mark.parametrize("width", [390, 1280])
def test_hostile_text_runs_nothing_and_fits_the_page(tmp_path: Path, chromium: Any, width: int) -> None:
    run = make_run(tmp_path / "a-run", decide_all(1), HOSTILE)
    viewport = {"width": width, "height": 800}
    with served(run) as address, labeller(chromium, address, "ana", viewport=viewport) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("h1").count() == 1
