"""The service, put together: one index behind routes, guards and errors that a person can read."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import Request

from lookalike.errors import LookalikeError
from lookalike.search.intake import PictureEncoder
from lookalike.service.admission import Admission
from lookalike.service.answers import Answers
from lookalike.service.docs_page import docs_html
from lookalike.service.feedback import FeedbackFile
from lookalike.service.guards import Guard
from lookalike.service.limits import Settings
from lookalike.service.metrics import Measured, Metrics
from lookalike.service.routes_items import item_routes
from lookalike.service.routes_overview import overview_routes
from lookalike.service.routes_search import search_routes
from lookalike.service.schemas import Problem, sentence

log = logging.getLogger("lookalike.service")

TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
#: What any route may answer instead.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": about}
    for status, about in {
        400: "The request is malformed.",
        401: "A key is asked for, and this is none.",
        403: "From the page of another site, or not allowed here.",
        404: "There is no such item.",
        409: "Another process is writing to the index.",
        413: "The request is too long.",
        415: "Neither JSON nor a form.",
        421: "Not the name of this service.",
        422: "A value cannot be used; the sentence says which.",
        429: "Too many requests; come back in `Retry-After` seconds.",
        503: "No answer in time, or the index cannot be read now.",
    }.items()
}


def create_app(folder: Path, encoder: PictureEncoder | None, settings: Settings) -> FastAPI:
    """An ASGI application that searches the index in `folder`, with the encoder stored there unless it is at hand.

    Raises:
        StoredIndexError: there is no index, it is damaged, or it was made by another encoder.
        EncoderError: the stored encoder cannot be loaded.
    """
    metrics, admission = Metrics(), Admission(settings.limits)
    answers = Answers(folder, encoder, settings, metrics)
    metrics.gauge("lookalike_requests_under_way", "Requests being answered or waiting.", lambda: admission.under_way)
    metrics.gauge("lookalike_items", "Items in the index.", lambda: len(answers))

    @asynccontextmanager
    async def until_stopped(_: FastAPI) -> AsyncIterator[None]:
        yield
        admission.close()
        answers.close()

    app = FastAPI(
        title="lookalike", version=version("lookalike"), summary="Find what looks alike.", lifespan=until_stopped,
        docs_url=None, redoc_url=None, responses=PROBLEMS,
        # A wrong path is wrong; a redirect would name the host it was asked by.
        redirect_slashes=False,
    )  # fmt: skip
    keep = FeedbackFile(settings.feedback, settings.limits.max_feedback_bytes) if settings.feedback else None
    app.include_router(search_routes(answers, admission))
    app.include_router(item_routes(answers, admission, settings, keep))
    app.include_router(overview_routes(answers, admission))
    _add_pages(app, metrics)
    for kind, told in ((HTTPException, _refused), (RequestValidationError, _misread), (LookalikeError, _mistaken)):
        app.add_exception_handler(kind, told)
    app.add_exception_handler(Exception, _failed)
    # The last one added is the first one to see a request.
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(Measured, metrics=metrics)
    return app


def _add_pages(app: FastAPI, metrics: Metrics) -> None:
    # Read once: whatever a path says, there is nothing else to find.
    files = {file.name: file.read_bytes() for file in (resources.files("lookalike.service") / "page").iterdir()}

    def page(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "there is no such page; begin at /")
        return Response(files[name], media_type=TYPES[name.rpartition(".")[2]], headers={"Cache-Control": "no-cache"})

    app.get("/", include_in_schema=False)(lambda: page("index.html"))
    app.get("/page/{name}", include_in_schema=False)(page)
    app.get("/docs", include_in_schema=False)(lambda: HTMLResponse(docs_html(app.openapi())))
    app.get("/metrics", summary="Counts and times, for Prometheus.", response_class=Response)(
        lambda: Response(metrics.text(), media_type="text/plain; version=0.0.4")
    )


def _problem(status: int, said: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({"error": said}, status, headers)


def _refused(_: Request, error: Any) -> Response:
    said = {404: "there is no such page; begin at /", 405: "that cannot be done here; see /docs"}
    detail = said.get(error.status_code, error.detail) if error.detail in ("Not Found", "Method Not Allowed") else None
    return _problem(error.status_code, detail or error.detail, error.headers)


def _misread(_: Request, error: Any) -> Response:
    return _problem(422, sentence(error.errors()))


def _mistaken(_: Request, error: Any) -> Response:
    # With a cause it is the disk or the database that complains, and its sentence is for whoever runs the service.
    if error.__cause__ is None:
        return _problem(422, str(error))
    log.error("%s", error)
    return _problem(503, "the index cannot be used at this moment; whoever runs this service finds more in its log")


def _failed(_: Request, error: Any) -> Response:
    return _problem(500, "something went wrong here, and was logged; try something else")
