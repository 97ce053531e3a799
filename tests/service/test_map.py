"""The map of the catalog: made in the background, kept for its version, and what a filter leaves of it."""

import base64
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from lookalike import Catalog, Encoder, Index
from lookalike.files import cache_folder
from lookalike.service import catalog_map
from lookalike.service.layout import make_map
from tests.service.conftest import MakeClient
from tests.service.test_search import check_refused


def map_of(client: TestClient) -> dict[str, Any]:
    """The map, when it is made."""
    end = time.monotonic() + 100
    while True:
        answer = client.get("/map")
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        if said["state"] != "making":
            return said
        assert time.monotonic() < end
        time.sleep(0.1)


def array(encoded: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(encoded), kind)


def chosen(client: TestClient, where: str) -> np.ndarray:
    answer = client.get("/map/items", params={"where": where})
    assert answer.status_code == 200, answer.text
    mask = np.unpackbits(array(answer.json()["bits"], "u1"), bitorder="little").astype(bool)
    assert mask.sum() == answer.json()["count"]
    return mask


@pytest.fixture(scope="module")
def made(client: TestClient) -> dict[str, Any]:
    check_refused(client.get("/map/items", params={"where": "price < 5"}), 404, "until its state is ready")
    assert client.get("/map").json()["state"] == "making"
    return map_of(client)


def test_every_item_has_a_place_near_what_is_like_it(
    made: dict[str, Any], index: Path, encoder: Encoder, shop: Catalog
) -> None:
    assert (made["state"], made["items"], made["of"]) == ("ready", 144, 144)
    assert sorted(made["ids"]) == sorted(shop.column("item_id"))
    places = array(made["places"], "<u2").reshape(-1, 2) / 65535
    assert places.min() >= 0
    assert places.max() == 1
    number = {item: place for place, item in enumerate(made["ids"])}
    opened = Index.open(index, encoder)
    alike = [
        np.linalg.norm(places[number[item]] - places[number[opened.search(item_id=item, k=1)[0].item_id]])
        for item in made["ids"][:40]
    ]
    apart = np.linalg.norm(places[:, None] - places[None], axis=2).mean()
    assert np.mean(alike) < apart / 3


def test_columns_of_few_values_are_told(made: dict[str, Any], shop: Catalog) -> None:
    columns = {column["name"]: column for column in made["columns"]}
    assert set(columns) >= {"domain", "category", "color"}
    assert "item_id" not in columns
    for name, column in columns.items():
        known = dict(zip(shop.column("item_id"), shop.column(name), strict=True))
        values = [None if code == 255 else column["values"][code] for code in array(column["codes"], "u1")]
        assert values == [known[item] for item in made["ids"]]


def test_a_filter_on_the_map(made: dict[str, Any], client: TestClient, shop: Catalog) -> None:
    cheap = {item for item, price in zip(shop.column("item_id"), shop.column("price"), strict=True) if price < 60}
    mask = chosen(client, "price < 60")
    assert len(mask) >= 144
    assert {item for item, is_in in zip(made["ids"], mask, strict=False) if is_in} == cheap
    assert not chosen(client, "price < 0").any()
    check_refused(client.get("/map/items", params={"where": "prize < 0"}), 422, "Did you mean 'price'")
    check_refused(client.get("/map/items"), 422, "where")


def test_a_map_is_made_once_for_a_version(
    make_client: MakeClient, own_index: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Path] = []
    begin = catalog_map.CatalogMap._begin
    monkeypatch.setattr(
        catalog_map.CatalogMap, "_begin", lambda self, rows, file: (begun.append(file), begin(self, rows, file))[1]
    )
    client = make_client(folder=own_index)
    first = map_of(client)
    assert map_of(make_client(folder=own_index)) == first
    assert len(begun) == 1
    Index.open(own_index, encoder).remove(first["ids"][0])
    assert map_of(client) == first  # it was made a moment ago
    monkeypatch.setattr(catalog_map, "REFRESH_S", 0)
    assert map_of(client) == first  # and is shown while another one is made
    end = time.monotonic() + 100
    while map_of(client)["items"] == 144:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert first["ids"][0] not in map_of(client)["ids"]
    assert len(set(begun)) == 2
    kept = [file for file in (cache_folder() / "maps").iterdir() if file.name[:16] == begun[0].name[:16]]
    assert kept == [begun[-1]]


def test_of_few_items_and_of_none(encoder: Encoder, shop: Catalog, tmp_path: Path) -> None:
    opened = Index.create(tmp_path / "few", encoder)
    for count in (0, 1, 5):
        if count:
            opened.add(shop.take(range(count)))
        make_map(tmp_path / "few", tmp_path / "map.json")
        said = json.loads((tmp_path / "map.json").read_text())
        assert said["items"] == len(said["ids"]) == count
        assert len(array(said["places"], "<u2")) == 2 * count


def test_of_a_large_index_there_is_a_sample(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.service.layout.MOST", 50)
    monkeypatch.setattr("lookalike.evaluation.maps.LAID_OUT", 30)
    make_map(index, tmp_path / "map.json")
    said = json.loads((tmp_path / "map.json").read_text())
    assert (said["items"], said["of"], len(set(said["ids"]))) == (50, 144, 50)


def test_a_map_that_cannot_be_made(make_client: MakeClient, own_index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_client(folder=own_index)
    monkeypatch.setattr("lookalike.service.catalog_map.sys.executable", shutil.which("false"))
    said = map_of(client)
    assert (said["state"], said["ids"]) == ("none", None)
    assert "could not be made" in said["problem"]


def test_a_stopped_service_leaves_no_process_behind(make_client: MakeClient, own_index: Path) -> None:
    client = make_client(folder=own_index)
    assert client.get("/map").json()["state"] == "making"
    client.__exit__(None, None, None)
    children = Path("/proc/self/task").glob("*/children")
    running = [Path(f"/proc/{child}/cmdline").read_text() for file in children for child in file.read_text().split()]
    assert not any(str(own_index) in command for command in running)
