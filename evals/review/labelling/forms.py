"""What a labelling form holds, checked: who answers, what, why, and how long it took."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import UTC, datetime

from fastapi import HTTPException, Request
from starlette.datastructures import FormData

from evals.errors import LabelError
from evals.manual.records import ON_VERDICTS, RATINGS, Value
from evals.review.labelling.blind import form_secret
from evals.review.labelling.store import LabelStore

LONGEST_NOTE = 10_000
LONGEST_LOOK = 24 * 3600.0
"""Seconds; a page that stood open for longer was not being read."""


async def read_form(request: Request) -> FormData:
    """A form's fields."""
    return await request.form()


def read_text(form: FormData, name: str) -> str:
    """One field, stripped; empty if it is missing.

    Raises:
        HTTPException: 422, it is a file, or longer than a note may be.
    """
    value = form.get(name, "")
    if not isinstance(value, str):
        raise HTTPException(422, f"not saved: {name} is a file")
    text = value.replace("\r\n", "\n").strip()
    if len(text) > LONGEST_NOTE:
        raise HTTPException(422, f"not saved: {name} has {len(text):,} characters; {LONGEST_NOTE:,} are taken")
    return text


def check_annotator(store: LabelStore, name: str) -> str:
    """The name in the spelling that names a file.

    Raises:
        HTTPException: 400, it can name none.
    """
    try:
        return store.check_name(name)
    except LabelError as error:
        raise HTTPException(400, str(error)) from None


def check_sender(store: LabelStore, form: FormData) -> str:
    """The annotator whose page a form comes from.

    Raises:
        HTTPException: 400 for a name that is none, 403 for a form that this desk did not make for that name.
    """
    annotator = check_annotator(store, read_text(form, "annotator"))
    given = read_text(form, "form")
    if not hmac.compare_digest(given.encode(), form_secret(store.secret(), annotator).encode()):
        raise HTTPException(403, "not saved: this form was not made by this desk; open the page again")
    return annotator


def read_answers(form: FormData, questions: Sequence[str]) -> dict[str, Value]:
    """Answers by question; a question without one is left out. Fields are named by place: `answer-0`, `answer-1`.

    Raises:
        HTTPException: 422, one is no answer to its question.
    """
    found: dict[str, Value] = {}
    for place, question in enumerate(questions):
        given = read_text(form, f"answer-{place}")
        if not given:
            continue
        known: dict[str, Value] = {str(value): value for value in choices(question)}
        if given not in known:
            raise HTTPException(422, f"not saved: {given[:40]!r} is no answer to {question}")
        found[question] = known[given]
    return found


def choices(question: str) -> tuple[Value, ...]:
    """What may be answered."""
    return ("yes", "no", "undecided") if question in ON_VERDICTS else RATINGS


def measure_seconds(form: FormData, now: datetime) -> float | None:
    """From the page's being made to the answer; None where the form does not say, or says what cannot be."""
    try:
        shown = float(read_text(form, "shown"))
    except ValueError:
        return None
    seconds = now.timestamp() - shown
    return round(seconds, 1) if 0 <= seconds <= LONGEST_LOOK else None


def clock() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)
