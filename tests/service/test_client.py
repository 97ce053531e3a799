"""The client beside the index itself, against the real service and against services that are full or ill."""

import inspect
import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lookalike import Catalog, Client, Encoder, Index, Match
from lookalike.errors import LookalikeError, ServiceError
from tests.service.conftest import HOSTILE, Server

KEY = "a-key-of-sixteen-or-more"


def same(found: list[Match], expected: list[Match]) -> bool:
    """Equal, but that JSON has no dates."""
    return json.dumps([told(match) for match in found]) == json.dumps([told(match) for match in expected])


def told(match: Match) -> list[Any]:
    thumbnail = None if match.thumbnail is None else match.thumbnail.hex()
    attributes = {name: str(value) for name, value in match.attributes.items()}
    return [match.rank, match.item_id, match.score, match.probability, attributes, thumbnail]


@pytest.fixture
def asked(server: Server) -> Iterator[Client]:
    with Client(server.address) as client:
        yield client


def test_it_takes_what_an_index_takes() -> None:
    index, client = (inspect.signature(kind.search).parameters for kind in (Index, Client))
    assert {name: index[name].default for name in client if name in index} == {
        name: client[name].default for name in client if name != "thumbnails"
    }
    assert len(client) >= 11


def test_matches_are_those_of_the_index(
    asked: Client, index: Path, encoder: Encoder, shop: Catalog, tmp_path: Path
) -> None:
    picture, other, item = shop.column("image")[20], shop.column("image")[50], shop.column("item_id")[40]
    (tmp_path / "photo.jpg").write_bytes(picture)
    opened = Index.open(index, encoder)
    questions: list[dict[str, Any]] = [
        {"words": "red dress"},
        {"item_id": HOSTILE[4], "k": 3, "offset": 2},
        {"item_id": [item, HOSTILE[1]], "words": "dress", "words_weight": 0.3},
        {"image": picture},
        {"image": str(tmp_path / "photo.jpg")},
        {"image": [tmp_path / "photo.jpg", other]},
        {"image": Image.open(io.BytesIO(other))},
        {"image": picture, "words": "red", "words_weight": 0.9, "item_id": item, "region": (0.1, 0.2, 0.75, 1)},
        {"words": "red dress", "where": "price < 60 and category in ('dress', 'bag')", "group_by": "label"},
    ]
    for question in questions:
        assert same(asked.search(**question), opened.search(**question)), question
    assert asked.search(words="red", k=1, thumbnails=False)[0].thumbnail is None
    assert same(asked.similar(item, k=4), opened.search(item_id=item, k=4))


def test_items_and_what_there_is(asked: Client, shop: Catalog) -> None:
    assert (asked.health().items, asked.about().items) == (144, 144)
    assert {column.name for column in asked.about().columns} >= {"price", "label"}
    for item in HOSTILE:
        assert asked.item(item)["price"] == shop.column("price")[shop.column("item_id").index(item)]
    with pytest.raises(ServiceError, match="there is no item 'nobody'") as refused:
        asked.item("nobody")
    assert refused.value.status == 404


def test_items_added_and_removed(
    make_server: Callable[..., Server], own_index: Path, shop: Catalog, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(KEY)
    server = make_server(own_index, "--writable", "--api-keys", tmp_path / "keys", "--feedback", tmp_path / "said")
    picture = shop.column("image")[20]
    with Client(server.address, api_key=KEY) as client:
        assert client.add("new", picture, {"price": 12.5, "label": "<b>"}) == 145
        assert client.item("new")["price"] == 12.5
        assert client.search(image=picture, where="price = 12.5", k=1)[0].item_id == "new"
        assert client.remove("new")
        assert not client.remove("new")
        client.feedback("a", False, query_item_id="b", score=0.5)
    said = json.loads((tmp_path / "said").read_text())
    assert (said["item_id"], said["good"], said["query_item_id"]) == ("a", False, "b")
    with Client(server.address) as stranger, pytest.raises(ServiceError, match="asks for a key") as refused:
        stranger.search(words="red")
    assert refused.value.status == 401


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({}, "search by image"),
        ({"words": "red", "where": "prize < 5"}, "Did you mean 'price'"),
        ({"words": "red", "k": 1000}, "k: input should be less than or equal to 100"),
        ({"image": b"no picture"}, "not a picture we can read"),
        ({"image": "nowhere.jpg"}, "the picture nowhere.jpg cannot be read"),
    ],
)
def test_mistakes_are_told_as_the_service_tells_them(asked: Client, question: dict[str, Any], said: str) -> None:
    with pytest.raises(ServiceError, match=said):
        asked.search(**question)
    assert issubclass(ServiceError, LookalikeError)


@pytest.fixture
def ill() -> Iterator[tuple[str, list[Any], list[float]]]:
    """A service that gives these answers (status, headers, body; a number is a wait), and when it was asked."""
    answers: list[Any] = []
    times: list[float] = []

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            times.append(time.monotonic())
            status, headers, body = answers.pop(0)
            if status == 0:
                time.sleep(body)
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", answers, times
    server.shutdown()
    thread.join()
    server.server_close()


FULL = (429, {"Retry-After": "1"}, b'{"error": "too many searches"}')
WELL = (200, {}, b'{"status": "ok", "items": 3}')


def test_a_full_service_is_asked_again_when_it_says(ill: tuple[str, list[Any], list[float]]) -> None:
    address, answers, times = ill
    answers[:] = [FULL, FULL, WELL]
    with Client(address) as client:
        assert client.health().items == 3
    assert all(1 <= later - earlier < 3 for earlier, later in pairwise(times))
    assert len(times) == 3
    answers[:] = [FULL, WELL]
    with Client(address, retries=0) as client, pytest.raises(ServiceError, match="too many searches") as refused:
        client.health()
    assert refused.value.status == 429
    assert answers == [WELL]


def test_services_that_do_not_answer(ill: tuple[str, list[Any], list[float]]) -> None:
    address, answers, _ = ill
    answers[:] = [(0, {}, 1.5), (502, {}, b"<html>bad gateway"), (200, {"Content-Encoding": "gzip"}, b"no gzip")]
    with Client(address, timeout_s=0.5) as client:
        with pytest.raises(ServiceError, match="no answer in time; raise timeout_s"):
            client.health()
        with pytest.raises(ServiceError, match="status 502, without a reason") as refused:
            client.health()
        assert refused.value.status == 502
        with pytest.raises(ServiceError, match="cannot be reached"):
            client.health()
    with Client("http://127.0.0.1:9", timeout_s=2) as client, pytest.raises(ServiceError, match="cannot be reached"):
        client.health()


def test_the_client_needs_nothing_of_what_serves() -> None:
    code = "import sys; from lookalike import Client; Client('http://a').close(); print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not [name for name in ("torch", "fastapi", "uvicorn", "lancedb") if f"'{name}'" in loaded]


def test_without_its_package_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['httpx2'] = None; import lookalike; lookalike.Client"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "lookalike.Client needs httpx2: pip install 'lookalike[client]'" in ended.stderr.splitlines()[-1]
