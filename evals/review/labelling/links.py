"""Addresses of the pages for labelling and for settling."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from evals.review.links import run_page


def label_page(run: str, annotator: str | None = None) -> str:
    """Where an annotator begins, and goes on."""
    return _with_name(f"{run_page(run)}/label", annotator)


def item_page(run: str, address: str, annotator: str) -> str:
    """One feature of a blind pass."""
    return _with_name(f"{run_page(run)}/label/{address}", annotator)


def adjudicate_page(run: str, annotator: str | None = None) -> str:
    """The queue of features to settle."""
    return _with_name(f"{run_page(run)}/adjudicate", annotator)


def case_page(run: str, key: str, annotator: str) -> str:
    """One feature to settle."""
    return _with_name(f"{run_page(run)}/adjudicate/{quote(key, safe='')}", annotator)


def _with_name(page: str, annotator: str | None) -> str:
    return page if annotator is None else f"{page}?{urlencode({'annotator': annotator})}"


LABEL_LINKS = {
    "label_page": label_page,
    "item_page": item_page,
    "adjudicate_page": adjudicate_page,
    "case_page": case_page,
}
