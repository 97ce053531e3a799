"""The process: many clients, slow clients, a gentle end, a violent end."""

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
import uvicorn

from lookalike import Catalog, Encoder, Index
from lookalike.service import Limits
from lookalike.service.server import _listening, patient
from tests.cli.conftest import Command
from tests.cli.conftest import lookalike as lookalike
from tests.service.conftest import HOSTILE, Server


@pytest.mark.parametrize("item", HOSTILE)
def test_any_item_id_can_be_named(server: Server, item: str) -> None:
    path = quote(item, safe="")
    with server.client() as client:
        assert client.get(f"/items/{path}").json()["item_id"] == item
        assert client.get(f"/items/{path}/thumbnail").headers["content-type"] == "image/jpeg"
        similar = client.get(f"/similar/{path}", params={"k": 5, "where": "price > 0"}).json()
        assert len(similar["matches"]) == 5
        assert similar == client.post("/search", json={"item_id": item, "k": 5}).json()


def test_an_answer_is_sent_at_once() -> None:
    # Else its body waits until the client has acknowledged its head: 40 ms for nothing.
    with _listening("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_32_clients_at_once(server: Server, shop: Catalog) -> None:
    pictures = shop.column("image")

    def ask(number: int) -> list[int]:
        with server.client() as client:
            return [
                client.post("/search", files={"image": pictures[number * 3 + turn]}, data={"k": "3"}).status_code
                if turn % 3
                else client.post("/search", json={"words": f"red dress {number}", "k": 3}).status_code
                for turn in range(3)
            ]

    with ThreadPoolExecutor(32) as pool:
        statuses = [status for answers in pool.map(ask, range(32)) for status in answers]
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) > 48
    with server.client() as client:
        assert client.get("/health").json()["items"] == 144


def test_it_answers_its_own_address_only(server: Server) -> None:
    with server.client(headers={"host": "evil.example"}) as client:
        assert client.get("/").status_code == 421
    port = int(server.address.rpartition(":")[2])
    with socket.socket() as other:
        other.settimeout(2)
        assert server.address.startswith("http://127.0.0.1:")
        # 127.0.0.2 is this machine too, but not the address it listens at.
        assert other.connect_ex(("127.0.0.2", port)) != 0


def test_killed_while_items_are_added_and_then_stopped_while_one_is_asked_for(
    make_server: Callable[..., Server], own_index: Path, shop: Catalog, encoder: Encoder
) -> None:
    pictures = shop.column("image")
    first = make_server(own_index, "--writable")
    stored: list[str] = []

    def add() -> None:
        with first.client() as client:
            for number in range(1000):
                data = {"item_id": f"new-{number}", "attributes": json.dumps({"price": number})}
                answer = client.post("/items", data=data, files={"image": pictures[number % 100]})
                assert answer.status_code == 201, answer.text
                stored.append(f"new-{number}")

    with ThreadPoolExecutor(1) as pool:
        adding = pool.submit(add)
        while len(stored) < 10:
            assert not adding.done(), adding.exception()
            time.sleep(0.01)
        first.end(signal.SIGKILL)
        assert isinstance(adding.exception(), httpx2.HTTPError)

    second = make_server(own_index, "--writable", "--host", "localhost")
    with second.client() as client:
        items = client.get("/health").json()["items"]
        assert items - 144 in (len(stored), len(stored) + 1)  # one may have been stored and not yet acknowledged
        for number, item in enumerate(stored):
            assert client.get(f"/items/{item}").json()["attributes"]["price"] == number
        body = json.dumps({"words": "red dress", "k": 2}).encode()
        address = httpx2.URL(second.address)
        with socket.create_connection((address.host, address.port), timeout=20) as slow:
            head = "POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            slow.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:10])
            time.sleep(0.5)
            second.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert second.process.poll() is None  # it waits for what was begun
            slow.sendall(body[10:])
            said = b"".join(iter(lambda: slow.recv(65536), b""))
        assert said.startswith(b"HTTP/1.1 200")
        assert len(json.loads(said.split(b"\r\n\r\n", 1)[1])["matches"]) == 2
    assert "Traceback" not in second.end()
    assert second.process.returncode in (0, -signal.SIGTERM)
    assert len(Index.open(own_index, encoder)) == items


@pytest.fixture
def impatient() -> Iterator[tuple[str, int]]:
    """An echo that waits for neither head nor body."""

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    limits = Limits(head_timeout_s=0.5, body_timeout_s=1.0)
    config = uvicorn.Config(echo, http=patient(limits), ws="none", lifespan="off", log_level="critical")
    opened = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = Thread(target=opened.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()
    opened.should_exit = True
    thread.join()
    listening.close()


LINE = b"GET / HTTP/1.1\r\n"
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "drop", "seconds"),
    [(b"", b"", 0.5), (LINE[:9], b"", 0.5), (LINE, b"a: b\r\n", 0.5), (HEAD, b"", 1.0), (HEAD, b"x", 1.0)],
)
def test_who_sends_too_slowly_is_hung_up_on(
    impatient: tuple[str, int], begin: bytes, drop: bytes, seconds: float
) -> None:
    begun = time.monotonic()
    with socket.create_connection(impatient) as slow:
        slow.sendall(begin)
        slow.settimeout(0.1)
        while time.monotonic() - begun < 5:
            try:
                slow.sendall(drop)
                if slow.recv(1000) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    assert seconds - 0.1 <= time.monotonic() - begun < 4


def test_who_is_in_time_is_answered_again_and_again(impatient: tuple[str, int]) -> None:
    with httpx2.Client(base_url=f"http://127.0.0.1:{impatient[1]}", trust_env=False) as client:
        for pause in (0, 0.7, 0.7):  # a connection that rests between requests is no slow one
            time.sleep(pause)
            assert client.post("/", content=b"x" * 1000).text == "ok"


def test_mistakes_at_the_command_line(lookalike: Command, index: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("short\n")
    (tmp_path / "none").write_text("\n\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, said in (
            ((tmp_path / "nowhere",), "there is no index at"),
            ((index, "--port", port), f"cannot serve at 127.0.0.1, port {port}"),
            ((index, "--host", "no.such.host.invalid"), "cannot serve at no.such.host.invalid"),
            ((index, "--api-keys", tmp_path / "keys"), "shorter than 16 characters"),
            ((index, "--api-keys", tmp_path / "none"), "holds no key"),
            ((index, "--api-keys", tmp_path / "nowhere"), "cannot be read"),
        ):
            result = lookalike("serve", *map(str, arguments))
            assert result.code == 1
            assert said in result.err
            assert "Traceback" not in result.err


def test_keys_are_never_shown(lookalike: Command, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKALIKE_API_KEYS", "a-secret-of-sixteen-letters, another-secret-of-16")
    monkeypatch.setattr("uvicorn.Server.run", lambda server, sockets: None)
    result = lookalike("serve", index, "--port", "0")
    assert result.code == 0, result.err
    assert "Open http://127.0.0.1:" in result.out
    assert "secret" not in result.out + result.err
