"""Searching: by words, pictures, items, or several of these."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from lookalike.errors import ImageError
from lookalike.service.admission import Admission
from lookalike.service.answers import Answers
from lookalike.service.schemas import Answer, Found, ItemId, Page, sentence
from lookalike.service.schemas import Query as Question

MAX_PICTURES, MAX_FIELDS, MAX_FIELD_BYTES = 8, 64, 2**16

_FIELDS: dict[str, Any] = Question.model_json_schema()["properties"]
_PICTURES = {"type": "array", "items": {"type": "string", "format": "binary"}, "maxItems": MAX_PICTURES}
#: Both ways to ask, as OpenAPI says it.
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": Question.model_json_schema()},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": _FIELDS
                    | {"image": _PICTURES, "region": {"type": "string", "examples": ["0.1,0.2,0.6,0.9"]}},
                    "required": ["image"],
                },
                "encoding": {"image": {"contentType": "image/*"}},
            },
        },
    }
}


def search_routes(answers: Answers, admission: Admission) -> APIRouter:
    """The routes that find."""
    router = APIRouter(tags=["search"])

    async def answer(question: Question, pictures: list[UploadFile]) -> Answer:
        def work() -> Answer:
            # Read here, so that what waits for its turn lies on disk and not in memory.
            found = answers.search(question, [picture.file.read() for picture in pictures])
            matches = [Found.of(match, question.thumbnails) for match in found[: question.k]]
            return Answer(matches=matches, more=len(found) > question.k)

        return await admission.run(work)

    @router.post("/search", summary="Search by words, pictures, items, or several of these.", openapi_extra=BODY)
    async def search(request: Request) -> Answer:
        """Send JSON; or, with pictures, a form: `curl -F image=@photo.jpg -F words="in red" -F k=5`."""
        admission.check()
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":
            return await answer(_read(Question.model_validate_json, await request.body()), [])
        if kind != "multipart/form-data":
            raise HTTPException(415, "send JSON (application/json), or pictures as a form (multipart/form-data)")
        form = request.form(max_files=MAX_PICTURES, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)
        async with form as parts:
            pictures = _pictures(parts)
            return await answer(_read(Question.model_validate, _fields(parts)), pictures)

    @router.get("/similar/{item_id:path}", summary="What is like an item of the index.")
    async def similar(item_id: ItemId, page: Annotated[Page, Query()]) -> Answer:
        """The item itself is not among them."""
        await admission.run(lambda: answers.check_item(item_id))
        return await answer(Question(item_id=item_id, **page.model_dump()), [])

    return router


def _read(validate: Any, given: Any) -> Question:
    try:
        question: Question = validate(given)
        return question
    except ValidationError as error:
        raise HTTPException(422, sentence(error)) from None


def _fields(parts: FormData) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in parts.multi_items():
        if isinstance(value, UploadFile) or not value:
            continue
        if name == "item_id":
            fields.setdefault(name, []).append(value)
        elif name in fields:
            raise HTTPException(422, f"{name[:100]} is given twice; give it once")
        else:
            fields[name] = value.split(",") if name == "region" else value
    return fields


def _pictures(parts: FormData) -> list[UploadFile]:
    pictures = []
    for name, value in parts.multi_items():
        if name != "image" and isinstance(value, UploadFile):
            raise HTTPException(422, f"a file is called {name[:100]}; call pictures image")
        if name == "image":
            if not isinstance(value, UploadFile):
                raise ImageError("image is text; send the file itself (curl -F image=@photo.jpg)")
            pictures.append(value)
    return pictures
