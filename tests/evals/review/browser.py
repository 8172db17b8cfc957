"""A desk served on loopback, and a headless Chromium in front of it."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI

CHROMIUM = shutil.which("chromium")


def why_no_browser() -> str | None:
    """The reason for which tests in a browser are skipped; None where they can run."""
    if os.environ.get("CI"):
        return "tests in a browser never run in CI"
    if CHROMIUM is None:
        return "THERE IS NO CHROMIUM: the desk's pages are not tested in a browser (apt-get install chromium)"
    return None


@contextmanager
def served(app: FastAPI) -> Generator[str]:
    """The address of an app that is served from a thread."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join(10)


@contextmanager
def chromium() -> Generator[Any]:
    """A browser of playwright's."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
