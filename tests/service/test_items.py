"""Items added and removed over HTTP."""

import json
from pathlib import Path
from typing import Any

import pytest

from lookalike import Catalog, Encoder, Index
from lookalike.index.tidy import WriterLock
from lookalike.service import Limits, Settings
from tests.service.conftest import HOSTILE, MakeClient
from tests.service.test_search import check_refused, ids

WRITABLE = Settings(writable=True)


def test_nothing_can_be_changed_unless_allowed(make_client: MakeClient, shop: Catalog) -> None:
    client = make_client()
    picture = shop.column("image")[0]
    check_refused(client.post("/items", data={"item_id": "a"}, files={"image": picture}), 403, "--writable")
    check_refused(client.delete(f"/items/{shop.column('item_id')[30]}"), 403, "--writable")
    assert client.get("/health").json()["items"] == 144


@pytest.mark.parametrize("item", ["new", HOSTILE[0], HOSTILE[1]])
def test_add_replace_and_remove(
    make_client: MakeClient, own_index: Path, shop: Catalog, encoder: Encoder, item: str
) -> None:
    client = make_client(WRITABLE, own_index)
    pictures = shop.column("image")
    before = len(Index.open(own_index, encoder))
    is_new = item == "new"
    for row, price in ((20, 5), (30, 7.5)):
        data = {"item_id": item, "attributes": json.dumps({"price": price, "label": "<b>", "made": None})}
        answer = client.post("/items", data=data, files={"image": pictures[row]})
        assert answer.status_code == 201, answer.text
        assert answer.json() == {"item_id": item, "items": before + is_new}
        found = client.post("/search", files={"image": pictures[row]}, data={"k": "2", "where": f"price = {price}"})
        assert ids(found) == [item]
        assert found.json()["matches"][0]["score"] == pytest.approx(1, abs=1e-5)
    assert Index.open(own_index, encoder).search(item_id=item, k=1)
    from urllib.parse import quote

    assert client.delete(f"/items/{quote(item, safe='')}").status_code == 204
    check_refused(client.delete(f"/items/{quote(item, safe='')}"), 404, "there is no item")
    assert client.get("/health").json()["items"] == before - (not is_new)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "item_id: "),
        ({"item_id": ""}, "item_id: "),
        ({"item_id": "a" * 1001}, "item_id: "),
        ({"item_id": "a", "attributes": "["}, "attributes must be a JSON object"),
        ({"item_id": "a", "attributes": '{"a": [1]}'}, "attributes must be a JSON object"),
        ({"item_id": "a", "attributes": '{"item_id": "b"}'}, "item_id"),
        ({"item_id": "a", "attributes": '{"vector": 1}'}, "vector"),
        ({"item_id": "a", "attributes": '{"x`y": 1}'}, "cannot be stored"),
        ({"item_id": "a", "attributes": '{"price": "cheap"}'}, "price"),
        ({"item_id": "a", "attributes": '{"price": 1e400}'}, "price"),
        ({"item_id": "a", "attributes": '{"stock": 99999999999999999999}'}, "stock"),
        ({"item_id": "a", "attributes": '{"note": "\\ud800"}'}, "Invalid JSON"),
        ({"item_id": "a", "attributes": json.dumps(dict.fromkeys(map(str, range(65)), 1))}, "at most 64"),
    ],
)
def test_items_that_cannot_be_stored(
    make_client: MakeClient, index: Path, shop: Catalog, data: dict[str, Any], said: str
) -> None:
    client = make_client(WRITABLE, index)
    check_refused(client.post("/items", data=data, files={"image": shop.column("image")[0]}), 422, said)
    assert client.get("/health").json()["items"] == 144


def test_pictures_that_cannot_be_stored(make_client: MakeClient, index: Path, shop: Catalog) -> None:
    client = make_client(Settings(Limits(max_pixels=1000), writable=True), index)
    answer = client.post("/items", data={"item_id": "a"}, files={"image": shop.column("image")[0]})
    check_refused(answer, 422, "the limit is 1,000 pixels")
    check_refused(client.post("/items", data={"item_id": "a"}, files={"image": b"x"}), 422, "not a picture we can read")
    check_refused(client.post("/items", data={"item_id": "a"}), 422, "image: ")


def test_while_another_process_writes(make_client: MakeClient, own_index: Path, shop: Catalog) -> None:
    client = make_client(WRITABLE, own_index)
    picture = {"image": shop.column("image")[0]}
    with WriterLock(own_index).held():
        answer = client.post("/items", data={"item_id": "a"}, files=picture)
        check_refused(answer, 409, "another process is writing")
        assert answer.headers["retry-after"] == "5"
        check_refused(client.delete(f"/items/{shop.column('item_id')[30]}"), 409)
        assert client.post("/search", json={"words": "red"}).status_code == 200
    assert client.post("/items", data={"item_id": "a"}, files=picture).status_code == 201
