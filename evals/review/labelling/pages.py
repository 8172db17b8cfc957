"""The pages for labelling: one feature at a time, blind, and what comes of it in the annotator's file at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse
from fastapi.templating import Jinja2Templates
from starlette.datastructures import FormData
from starlette.responses import Response

from evals.manual.records import Label
from evals.review.desk import Desk
from evals.review.labelling import settling as adjudicating
from evals.review.labelling.blind import form_secret, show
from evals.review.labelling.forms import (
    LONGEST_NOTE,
    check_annotator,
    check_sender,
    choices,
    clock,
    measure_seconds,
    read_answers,
    read_form,
    read_text,
)
from evals.review.labelling.links import LABEL_LINKS, item_page, label_page
from evals.review.labelling.passes import BlindPass, item_of
from evals.review.labelling.rooms import Room
from tools.records import FeatureRef

Form = Depends(read_form)


class Pages:
    """What the desk answers at each address of a labelling pass."""

    def __init__(self, desk: Desk, templates: Jinja2Templates) -> None:
        self._desk, self._templates = desk, templates
        self._rooms = {name: Room(run) for name, run in desk.runs.items()}

    def find_room(self, run: str) -> Room:
        """The run of a name, or 404."""
        if run not in self._rooms:
            raise HTTPException(404)
        return self._rooms[run]

    def begin(self, request: Request, run: str, annotator: str | None = None) -> Response:
        """The next item, or what to do when there is none; first of all the question who labels."""
        room, name = self.find_room(run), annotator if annotator is not None else self._desk.annotator
        if name is None:
            return self._templates.TemplateResponse(request, "label_start.html.j2", {"run_name": run})
        name = check_annotator(room.store, name)
        blind = room.pass_of(name)
        address = blind.next_address()
        if address is not None:
            return RedirectResponse(item_page(run, address, name), 303)
        context = {"run_name": run, "annotator": name, "undo": blind.last_address(), **_standing(room, blind, name)}
        return self._templates.TemplateResponse(request, "label_done.html.j2", context)

    def show_item(self, request: Request, run: str, address: str, annotator: str) -> Response:
        """One feature's evidence, and its form."""
        room = self.find_room(run)
        name = check_annotator(room.store, annotator)
        blind = room.pass_of(name)
        feature = blind.find(address)
        if feature is None:  # of another desk, or no longer open to this annotator
            return RedirectResponse(label_page(run, name), 303)
        context = {
            "run_name": run,
            "annotator": name,
            "address": address,
            "sheet": show(room.run.evidence(feature.key)),
            "undo": blind.last_address(),
            **_standing(room, blind, name),
            **_form(room, blind, name, feature),
        }
        return self._templates.TemplateResponse(request, "label.html.j2", context)

    def save(self, run: str, address: str, form: FormData = Form) -> Response:
        """Take down what is new in a form."""
        room = self.find_room(run)
        name = check_sender(room.store, form)
        blind = room.pass_of(name)
        labels = _changed(blind, name, _found(blind, address), form, clock())
        if labels:
            room.store.append(name, labels)
        return RedirectResponse(label_page(run, name), 303)

    def undo(self, run: str, address: str, form: FormData = Form) -> Response:
        """Take a feature's answers back."""
        room = self.find_room(run)
        name = check_sender(room.store, form)
        feature = _found(room.pass_of(name), address)
        room.store.take_back(name, item_of(feature).key)
        return RedirectResponse(item_page(run, address, name), 303)


def make_router(desk: Desk, templates: Jinja2Templates) -> APIRouter:
    """The pages for labelling and for settling."""
    templates.env.globals.update(LABEL_LINKS)  # pyright: ignore[reportArgumentType, reportCallIssue]
    pages, router = Pages(desk, templates), APIRouter()
    routes: tuple[tuple[str, str, Callable[..., Response]], ...] = (
        ("GET", "/run/{run}/label", pages.begin),
        ("GET", "/run/{run}/label/{address}", pages.show_item),
        ("POST", "/run/{run}/label/{address}", pages.save),
        ("POST", "/run/{run}/label/{address}/undo", pages.undo),
    )
    for method, path, answer in routes:
        router.add_api_route(path, answer, methods=[method], response_class=Response)
    router.include_router(adjudicating.make_router(desk, templates, pages.find_room))
    return router


def _found(blind: BlindPass, address: str) -> FeatureRef:
    feature = blind.find(address)
    if feature is None:
        raise HTTPException(404, "not saved: this page shows no feature that is open to you")
    return feature


def _changed(blind: BlindPass, annotator: str, feature: FeatureRef, form: FormData, now: datetime) -> list[Label]:
    """The answers of a form that are not in the file already; the note and the time go with the first."""
    answers, note = read_answers(form, blind.asked.all), read_text(form, "note") or None
    missing = [question for question in blind.asked.needed if question not in answers]
    if missing:
        raise HTTPException(422, f"not saved: nothing is answered to {', '.join(missing)}")
    item, changed = item_of(feature), list[Label]()
    for place, (question, value) in enumerate(answers.items()):
        own = note if place == 0 else None
        before = blind.answers.get((item.key, question))
        if before is None or (before.value, before.note) != (value, own):
            seconds = None if changed else measure_seconds(form, now)
            changed.append(
                Label(
                    annotator=annotator,
                    item=item,
                    question=question,
                    value=value,
                    source="",
                    note=own,
                    seconds=seconds,
                )
            )
    return changed


def _standing(room: Room, blind: BlindPass, annotator: str) -> dict[str, Any]:
    """What every page of a pass shows."""
    return {
        "progress": blind.progress,
        "asked": room.asked,
        "guideline": room.guideline,
        "remarks": room.store.remarks(annotator),
        "form": form_secret(room.store.secret(), annotator),
    }


def _form(room: Room, blind: BlindPass, annotator: str, feature: FeatureRef) -> dict[str, Any]:
    """The form of one feature, with the annotator's own answers if there are any."""
    key = item_of(feature).key
    own = [label for label in room.store.written(annotator).labels if label.item.key == key]
    given = {question: blind.answers[key, question] for question in room.asked.all if (key, question) in blind.answers}
    noted = list(given.values()) or own[::-1]  # a note outlives its answer's being taken back
    return {
        "questions": [(question, choices(question)) for question in room.asked.all],
        "given": {question: label.value for question, label in given.items()},
        "note": next((label.note for label in noted if label.note), ""),
        "longest_note": LONGEST_NOTE,
        "shown": f"{clock().timestamp():.3f}",
    }
