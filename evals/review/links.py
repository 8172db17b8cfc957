"""Addresses of the desk's pages, safe for any run's or feature's name."""

from __future__ import annotations

from urllib.parse import quote, urlencode


def run_page(run: str) -> str:
    """Overview of one run."""
    return f"/run/{quote(run, safe='')}"


def feature_page(run: str, key: str) -> str:
    """One feature: evidence and verdict."""
    return f"{run_page(run)}/feature/{quote(key, safe='')}"


def transcript_page(run: str, key: str) -> str:
    """One feature: how it was investigated."""
    return f"{feature_page(run, key)}/transcript"


def steered_page(run: str, target: str | None = None) -> str:
    """A steering run, or all texts toward one of its targets."""
    page = f"/steered/{quote(run, safe='')}"
    return page if target is None else f"{page}?{urlencode({'target': target})}"


def compare_page(left: str, right: str) -> str:
    """Two runs side by side."""
    return f"/compare?{urlencode({'left': left, 'right': right})}"


LINKS = {
    "run_page": run_page,
    "feature_page": feature_page,
    "transcript_page": transcript_page,
    "steered_page": steered_page,
    "compare_page": compare_page,
}
