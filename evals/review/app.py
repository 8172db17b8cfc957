"""The desk as a web application: its pages, its files, and what every answer has in common."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.responses import Response

from evals.review.border import Border
from evals.review.desk import Desk
from evals.review.labelling import pages as labelling
from evals.review.links import LINKS
from evals.review.reading import pages as reading
from evals.review.reading.timeline import columns_of, is_short_list
from evals.review.text import show_text, show_token
from tools.errors import UnveilError

FOLDER = Path(__file__).parent


def create_app(desk: Desk, host: str = "127.0.0.1") -> FastAPI:
    """The desk's pages.

    Args:
        desk: runs and labels.
        host: it is served on; requests that name another host are refused, unless by address or as localhost.
    """
    app = FastAPI(title="Unveil", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Border, host=host)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    templates = make_templates(desk)
    app.include_router(reading.make_router(desk, templates))
    app.include_router(labelling.make_router(desk, templates))

    def refuse(request: Request, status: int, text: str) -> Response:
        accepted = request.headers.get("accept", "")
        if "application/json" in accepted and "text/html" not in accepted:
            return JSONResponse({"detail": text}, status)
        context = {"status": status, "phrase": HTTPStatus(status).phrase, "text": text}
        return templates.TemplateResponse(request, "error.html.j2", context, status)

    @app.exception_handler(HTTPException)
    async def on_refusal(request: Request, error: HTTPException) -> Response:  # pyright: ignore[reportUnusedFunction]
        plain = error.detail == HTTPStatus(error.status_code).phrase
        answer = refuse(request, error.status_code, _EXPLAINED.get(error.status_code, "") if plain else error.detail)
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(RequestValidationError)
    async def on_bad_request(request: Request, error: RequestValidationError) -> Response:  # pyright: ignore[reportUnusedFunction]
        first = error.errors()[0]
        return refuse(request, 422, f"{first['loc'][-1]}: {first['msg']}")

    @app.exception_handler(UnveilError)
    async def on_unreadable(request: Request, error: UnveilError) -> Response:  # pyright: ignore[reportUnusedFunction]
        return refuse(request, 500, str(error))

    return app


def make_templates(desk: Desk) -> Jinja2Templates:
    """The templates: strict, escaping everything, with `desk` and the links between pages at hand.

    Text from models, corpora and people goes through the filter `text` or, for tokens, `token`.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    at_hand: dict[str, Any] = {"desk": desk, "columns_of": columns_of, "is_short_list": is_short_list, **LINKS}
    environment.globals.update(at_hand)
    environment.filters.update({"text": show_text, "token": show_token})
    return Jinja2Templates(env=environment)


_EXPLAINED = {
    404: "There is no such page.",
    405: "This page is for reading only.",
}
