"""An index that is replaced by one of another model while it is served, and services that are killed meanwhile."""

import json
import os
import random
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import httpx2
import pytest

from lookalike import Catalog, Encoder, Index, Match, Recipe
from lookalike.recipes.build import build_encoder
from lookalike.service import Settings
from tests.service.conftest import MakeClient, Server
from tests.service.pixels import PixelEncoder
from tests.service.test_search import Held, check_refused, wait_until_under_way

KILLS = 100 if os.environ.get("LOOKALIKE_LONG") else 10
Answer = list[tuple[str, float]]


def answer_of(matches: list[Match]) -> Answer:
    return [(match.item_id, match.score) for match in matches]


def ask(client: Any, picture: bytes, k: int = 5) -> Answer:
    answer = client.post("/search", files={"image": picture}, data={"k": str(k)})
    assert answer.status_code == 200, answer.text
    return [(match["item_id"], match["score"]) for match in answer.json()["matches"]]


@pytest.fixture
def other(encoder: Encoder) -> Encoder:
    """Another model of the same kind."""
    settings = {"encoder.backbone": "test_resnet", "encoder.pretrained": False, "encoder.image_size": 32}
    return build_encoder(Recipe.load("default").override(settings | {"encoder.dim": 24}).encoder)


def test_a_new_model_is_taken_up_between_two_requests(
    make_client: MakeClient, own_index: Path, encoder: Encoder, other: Encoder, shop: Catalog, tmp_path: Path
) -> None:
    picture = shop.column("image")[20]
    client = make_client(Settings(poor_queries=tmp_path / "poor", writable=True), own_index)
    before = answer_of(Index.open(own_index, encoder).search(image=picture, k=5))
    assert ask(client, picture) == before
    assert client.get("/about").json()["words"]
    Index.replace(own_index, other, shop.take(range(100)))
    after = answer_of(Index.open(own_index, other).search(image=picture, k=5))
    assert ask(client, picture) == after != before
    about = client.get("/about").json()
    assert (about["items"], about["encoder"], about["words"]) == (100, other.describe(), False)
    drift = client.get("/poor-queries").json()["drift"]
    assert [day["queries"] for day in drift["days"]] == [1]  # that of the new model alone
    data = {"item_id": "new", "attributes": '{"price": 12.5}'}
    assert client.post("/items", files={"image": picture}, data=data).status_code == 201
    assert Index.open(own_index, other).search(item_id="new", k=1)


def test_who_began_with_the_old_model_ends_with_it(
    make_client: MakeClient, own_index: Path, encoder: Encoder, other: Encoder, shop: Catalog
) -> None:
    picture = shop.column("image")[20]
    before = answer_of(Index.open(own_index, encoder).search(image=picture, k=5))
    held = Held(encoder)
    client = make_client(folder=own_index, encoder=held)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, client, picture)
        wait_until_under_way(client, 1)
        while not held.sizes:
            time.sleep(0.01)
        Index.replace(own_index, other, shop)
        after = answer_of(Index.open(own_index, other).search(image=picture, k=5))
        assert ask(client, picture) == after != before
        held.let.set()
        assert asked.result() == before
    Index.open(own_index, other)  # sweeps what nobody reads any more
    assert not (own_index / "items.lance").exists()
    assert ask(client, picture) == after


def test_a_model_that_cannot_be_opened_is_not_answered_from(
    make_client: MakeClient, own_index: Path, other: Encoder, shop: Catalog
) -> None:
    client = make_client(folder=own_index)
    Index.replace(own_index, other, shop)
    encoders = own_index / "model-1" / "encoder"
    shutil.copytree(encoders, own_index.parent / "whole")
    shutil.rmtree(encoders)
    for _ in range(2):
        check_refused(client.post("/search", json={"item_id": shop.column("item_id")[30]}), 503, "cannot be used")
    shutil.copytree(own_index.parent / "whole", encoders)
    assert client.post("/search", json={"item_id": shop.column("item_id")[30]}).status_code == 200


class PixelServer(Server):
    """The service with an encoder that needs no torch."""

    program = (Path(__file__).parent / "pixels.py",)


@pytest.fixture
def pixel_index(shop: Catalog, tmp_path: Path) -> Path:
    Index.create(tmp_path / "pixels", PixelEncoder(0)).add(shop)
    return tmp_path / "pixels"


def expected(index: Path, pictures: list[bytes], seed: int) -> list[Answer]:
    opened = Index.open(index, PixelEncoder(seed))
    return [answer_of(opened.search(image=picture, k=5)) for picture in pictures]


def keep_asking(server: Server, pictures: list[bytes], known: list[list[Answer]], until: Event) -> set[int]:
    """The models that have answered until the service ended; an answer of none of the known ones is a failure."""
    seen = set[int]()
    with server.client() as client:
        while not until.is_set():
            for number, picture in enumerate(pictures):
                try:
                    found = ask(client, picture)
                except httpx2.HTTPError:
                    return seen
                models = {seed for seed, answers in enumerate(known) if answers[number] == found}
                assert models, found
                seen |= models
    return seen


def keep_adding(server: Server, picture: bytes, round: int, stored: list[str]) -> None:
    with server.client() as client:
        for number in range(1000):
            data = {"item_id": f"{round}-{number}", "attributes": json.dumps({"price": number})}
            try:
                answer = client.post("/items", files={"image": picture}, data=data)
            except httpx2.HTTPError:
                return
            assert answer.status_code == 201, answer.text
            stored.append(data["item_id"])


@pytest.mark.timeout(1800)  # ten services are started, on a machine that others may use too
def test_killed_at_any_moment_nothing_is_lost_and_no_models_are_mixed(pixel_index: Path, shop: Catalog) -> None:
    """By turns items are added, and another model takes over; each time the service is killed under load."""
    rng = random.Random(5)
    pictures = shop.column("image")[20:24]
    model, seen, stored = 0, set[int](), list[str]()
    for round in range(KILLS):
        known = [expected(pixel_index, pictures, model)]
        server, until = PixelServer(pixel_index), Event()
        is_switch = round % 2 == 1
        with ThreadPoolExecutor(4) as pool:
            if is_switch:
                copy = Index.create(pixel_index.parent / f"copy-{round}", PixelEncoder(model + 1))
                copy.add(shop)
                known.append(expected(pixel_index.parent / f"copy-{round}", pictures, model + 1))
                work = pool.submit(Index.replace, pixel_index, PixelEncoder(model + 1), shop)
                asking = [pool.submit(keep_asking, server, pictures, known, until) for _ in range(2)]
            else:
                work = pool.submit(keep_adding, server, bytes(shop.column("image")[50]), round, stored)
                asking = []
            time.sleep(rng.uniform(0, 1.5))
            server.end(signal.SIGKILL)
            until.set()
            work.result()
            seen |= {found for one in asking for found in one.result()}
        if is_switch:
            model += 1
            stored.clear()  # the new model is of the catalog alone
        opened = Index.open(pixel_index, PixelEncoder(model))
        assert len(opened) - len(shop) - len(stored) in (0, 1)  # one may have been stored and not acknowledged
        ids = {match.item_id for match in opened.search(image=pictures[0], k=1000)}
        assert ids >= {*stored, *shop.column("item_id")}
        assert opened.verify().is_whole
    assert seen


def test_a_service_under_load_follows_every_switch(pixel_index: Path, shop: Catalog) -> None:
    pictures = shop.column("image")[20:24]
    known = []
    for seed in range(4):
        Index.create(pixel_index.parent / f"copy-{seed}", PixelEncoder(seed)).add(shop)
        known.append(expected(pixel_index.parent / f"copy-{seed}", pictures, seed))
    server, until = PixelServer(pixel_index), Event()
    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(keep_asking, server, pictures, known, until) for _ in range(4)]
        for seed in range(1, 4):
            Index.replace(pixel_index, PixelEncoder(seed), shop)
            time.sleep(0.5)
        with server.client() as client:
            assert [ask(client, picture) for picture in pictures] == known[3]
        until.set()
        assert set.union(*(one.result() for one in asking)) >= {0, 3}
    assert "Traceback" not in server.end()
    Index.open(pixel_index, PixelEncoder(3))
    assert [folder.name for folder in pixel_index.glob("model-*")] == ["model-3"]
