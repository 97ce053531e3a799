"""The whole of the catalog and of what was asked: the map, and queries that were answered poorly."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from lookalike.service.admission import Admission
from lookalike.service.answers import Answers
from lookalike.service.schemas import Chosen, Map, PoorAnswer


def overview_routes(answers: Answers, admission: Admission) -> APIRouter:
    """The routes that show all at once."""
    router = APIRouter(tags=["overview"])

    @router.get("/map", summary="A map of the catalog: near on it is alike.", responses={200: {"model": Map}})
    async def catalog_map() -> Response:
        """The first call begins to make it, in the background; ask again until its state is `ready`."""
        return Response(await admission.run(answers.map), media_type="application/json")

    @router.get("/map/items", summary="Which items of the map fulfil a filter.")
    async def chosen(where: Annotated[str, Query(max_length=4000, examples=["price < 50"])]) -> Chosen:
        """In the order of the map's `ids`, eight items a byte, the first in its lowest bit."""
        mask = await admission.run(lambda: answers.on_map(where))
        return Chosen.of(mask)

    @router.get("/poor-queries", summary="Queries whose best match is not much like them, and how scores drift.")
    async def poor(
        k: Annotated[int, Field(ge=1, le=100)] = 24, offset: Annotated[int, Field(ge=0, le=100_000)] = 0
    ) -> PoorAnswer:
        """The newest first. Only where the service was started with `--keep-poor-queries FOLDER`."""

        def work() -> PoorAnswer:
            with answers.poor() as kept:
                count, queries = kept.kept(k, offset)
                return PoorAnswer(kept=count, queries=queries, drift=kept.scores.drift())

        return await admission.run(work)

    @router.get(
        "/poor-queries/{name}/picture", summary="The picture of such a query, a JPEG.", response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}},
    )  # fmt: skip
    async def picture(name: Annotated[str, Field(max_length=100)]) -> Response:

        def work() -> bytes:
            with answers.poor() as kept:
                return kept.picture(name)

        return Response(await admission.run(work), media_type="image/jpeg")

    return router
