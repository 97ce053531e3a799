"""The items of the index, what it can do, and what people think of it."""

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Response, UploadFile
from pydantic import Field, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from lookalike.service.admission import Admission
from lookalike.service.answers import Answers
from lookalike.service.feedback import FeedbackFile
from lookalike.service.limits import Settings
from lookalike.service.schemas import About, Added, Feedback, Health, Item, ItemId, plain, sentence

_Number = Annotated[float, Field(allow_inf_nan=False)]
_ATTRIBUTES: TypeAdapter[dict[str, Any]] = TypeAdapter(
    Annotated[dict[str, bool | int | _Number | str | None], Field(max_length=64)]
)


def item_routes(answers: Answers, admission: Admission, settings: Settings, feedback: FeedbackFile | None) -> APIRouter:
    """The routes that tell and change what there is."""
    router = APIRouter(tags=["items"])

    @router.get("/health", summary="Whether it answers.")
    async def health() -> Health:
        """However many searches wait."""
        return Health(status="ok", items=await run_in_threadpool(lambda: len(answers)))

    @router.get("/about", summary="What it can do, and what the columns of the index hold.")
    async def about() -> About:
        known = await admission.run(answers.about)
        return About(
            items=known.items, encoder=known.encoder, columns=known.columns, words=known.words,
            writable=settings.writable, feedback=feedback is not None, poor_queries=settings.poor_queries is not None,
            max_body_bytes=settings.limits.max_body_bytes,
        )  # fmt: skip

    @router.get(
        "/items/{item_id:path}/thumbnail", summary="The thumbnail of an item, a JPEG.", response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}},
    )  # fmt: skip
    async def thumbnail(item_id: ItemId) -> Response:
        picture = await admission.run(lambda: answers.thumbnail(item_id))
        if picture is None:
            raise HTTPException(404, f"item {item_id!r} has no thumbnail")
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=60"})

    @router.get("/items/{item_id:path}", summary="What is known of an item.")
    async def item(item_id: ItemId) -> Item:
        attributes = await admission.run(lambda: answers.item(item_id))
        return Item(item_id=item_id, attributes=plain(attributes))

    @router.post("/items", summary="Add an item, or replace it, whole.", status_code=201)
    async def add(
        item_id: Annotated[ItemId, Form()],
        image: Annotated[UploadFile, File()],
        attributes: Annotated[str, Form(max_length=20_000, examples=['{"label": "shirt", "price": 39.9}'])] = "{}",
    ) -> Added:
        """Only where the service was started with `--writable`. `attributes` is a JSON object of plain values."""
        _check_writable(settings)
        known = _attributes(attributes)
        await admission.run(lambda: answers.add(item_id, image.file.read(), known))
        return Added(item_id=item_id, items=await admission.run(lambda: len(answers)))

    @router.delete("/items/{item_id:path}", summary="Remove an item.", status_code=204)
    async def remove(item_id: ItemId) -> None:
        """Only where the service was started with `--writable`."""
        _check_writable(settings)
        await admission.run(lambda: answers.remove(item_id))

    @router.post("/feedback", summary="Thumbs up or down for a match.", status_code=204)
    async def keep(given: Feedback) -> None:
        """Only where the service was started with `--feedback FILE`."""
        if feedback is None:
            raise HTTPException(403, "feedback is not kept here; start the service with --feedback FILE")
        await admission.run(lambda: feedback.append(given))

    return router


def _check_writable(settings: Settings) -> None:
    if not settings.writable:
        raise HTTPException(403, "items cannot be changed here; start the service with --writable")


def _attributes(text: str) -> dict[str, Any]:
    try:
        return _ATTRIBUTES.validate_json(text)
    except ValidationError as error:
        said = f'attributes must be a JSON object of plain values, like {{"price": 39.9}} ({sentence(error)})'
        raise HTTPException(422, said) from None
