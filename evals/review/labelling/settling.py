"""The pages for settling: the queue, and one feature with everything that was said of it."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse
from fastapi.templating import Jinja2Templates
from starlette.datastructures import FormData
from starlette.responses import Response

from evals.review.desk import Desk
from evals.review.labelling.adjudication import Case, Docket, open_docket, settle_case
from evals.review.labelling.blind import form_secret, show
from evals.review.labelling.forms import (
    LONGEST_NOTE,
    check_annotator,
    check_sender,
    choices,
    read_answers,
    read_form,
    read_text,
)
from evals.review.labelling.links import adjudicate_page, case_page
from evals.review.labelling.rooms import Room

Form = Depends(read_form)


def make_router(desk: Desk, templates: Jinja2Templates, find_room: Callable[[str], Room]) -> APIRouter:
    """The pages for settling.

    Args:
        desk: for the name of whoever uses it.
        templates: of the desk.
        find_room: the run of a name, or 404.
    """
    router = APIRouter()

    @router.get("/run/{run}/adjudicate")
    def show_queue(request: Request, run: str, annotator: str | None = None) -> Response:  # pyright: ignore[reportUnusedFunction]
        room, name = find_room(run), annotator if annotator is not None else desk.annotator
        if name is None:
            return templates.TemplateResponse(request, "adjudicate_start.html.j2", {"run_name": run})
        name = check_annotator(room.store, name)
        docket = open_docket(room.run, room.store, room.asked, name)
        remarks = [remark for who in (*room.store.annotators(), "adjudication") for remark in room.store.remarks(who)]
        context = {"run_name": run, "annotator": name, "docket": docket, "remarks": remarks}
        return templates.TemplateResponse(request, "adjudicate.html.j2", context)

    @router.get("/run/{run}/adjudicate/{key}")
    def show_case(request: Request, run: str, key: str, annotator: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        room = find_room(run)
        name = check_annotator(room.store, annotator)
        cases = _cases(open_docket(room.run, room.store, room.asked, name), key)
        context = {
            "run_name": run,
            "annotator": name,
            "cases": sorted(
                ((room.asked.all.index(case.question), case, choices(case.question)) for case in cases),
                key=itemgetter(0),
            ),
            "decision": cases[0].decision,
            "sheet": show(room.run.evidence(key)),
            "form": form_secret(room.store.secret(), name),
            "longest_note": LONGEST_NOTE,
        }
        return templates.TemplateResponse(request, "adjudicate_case.html.j2", context)

    @router.post("/run/{run}/adjudicate/{key}")
    def settle(run: str, key: str, form: FormData = Form) -> Response:  # pyright: ignore[reportUnusedFunction]
        room = find_room(run)
        name = check_sender(room.store, form)
        docket = open_docket(room.run, room.store, room.asked, name)
        cases = _cases(docket, key)
        answers = read_answers(form, room.asked.all)
        why = read_text(form, "why")
        answered = [case for case in cases if case.question in answers]
        if not answered or not why:
            raise HTTPException(422, "not saved: give an answer, and why")
        for case in answered:
            settle_case(room.store, case, name, answers[case.question], why)
        following = next((case for case in docket.cases if case.outcome is None and case not in cases), None)
        page = case_page(run, following.decision.feature.key, name) if following else adjudicate_page(run, name)
        return RedirectResponse(page, 303)

    return router


def _cases(docket: Docket, key: str) -> tuple[Case, ...]:
    cases = docket.of(key)
    if not cases:
        raise HTTPException(404, "Nothing here is yours to settle: answer it blind first, or all agree on it already.")
    return cases
