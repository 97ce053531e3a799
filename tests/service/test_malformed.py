"""Hundreds of files that are no good pictures, and what a fuzzer makes of the interface."""

import bz2
import gzip
import io
import lzma
import os
import random
import struct
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from lookalike import Catalog, Encoder
from lookalike.service import Limits, Settings, create_app
from tests.catalog.test_images_fuzz import MUTATIONS, seeds
from tests.pictures import draw, encoded
from tests.service.conftest import MakeClient, Server
from tests.service.test_search import check_refused

#: With LOOKALIKE_LONG=1 so many files, and so many requests a route.
LONG = 20_000 if os.environ.get("LOOKALIKE_LONG") else 0
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")


def bomb(side: int) -> bytes:
    """A PNG of a few KiB that unpacks to side x side pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    # Compressed twice over, a run of zeros keeps its ratio of 1000: enough rows to look whole.
    rows = zlib.compress(b"\0" * min(side * (side // 8 + 1), 20_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def cases() -> Iterator[tuple[str, bytes]]:
    """A name and a file; each must be refused or, if it happens to be whole, answered."""
    rng = random.Random(0)
    whole = {name: encoded(draw("bag", 1), name) for name in FORMATS}
    for name, file in whole.items():
        for _ in range(12):
            yield f"{name} cut short", file[: rng.randrange(1, len(file) - 1)]
        for _ in range(12):
            damaged = bytearray(file)
            for _ in range(rng.randrange(1, 20)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            yield f"{name} damaged", bytes(damaged)
        for other, rest in whole.items():
            yield f"{name} into {other}", file[: len(file) // 2] + rest[len(rest) // 2 :]
        yield f"head of {name} alone", file[:16]
        yield f"{name} and noise", file[:40] + rng.randbytes(5_000)
    for size in (0, 1, 3, 100, 10_000):
        yield "noise", rng.randbytes(size)
    for text in (
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"GIF89a",
        b"PK\x03\x04",
        b"<html>",
        b"../a",
    ):
        yield "of another kind", text
    for side in (6_000, 40_000, 2**31 - 1):
        yield "bomb", bomb(side)
    for size in ((1, 1), (3, 500)):
        file = io.BytesIO()
        Image.new("RGB", size).save(file, "PNG")
        yield "tiny", file.getvalue()


MALFORMED = list(cases())


def test_malformed_pictures_are_refused_in_a_sentence(client: TestClient) -> None:
    statuses: dict[int, int] = {}
    for name, file in MALFORMED:
        answer = client.post("/search", files={"image": ("../../x.png", file, "image/png")}, data={"k": "1"})
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        assert answer.status_code in (200, 422), (name, answer.text)
        if answer.status_code == 422:
            assert list(answer.json()) == ["error"]
            assert "picture" in answer.json()["error"]
        if name in ("bomb", "tiny", "of another kind", "noise"):
            assert answer.status_code == 422, name
    assert len(MALFORMED) > 200
    assert statuses[422] > 150  # some damage is harmless: a pixel, a comment


def test_a_bomb_is_not_unpacked(server: Server) -> None:
    """A file of 20 KiB would take 200 MB of memory."""
    file = bomb(40_000)
    assert len(file) < 20_480
    with server.client() as client:
        client.post("/search", json={"words": "red"})
        before = server.memory
        for _ in range(5):
            check_refused(client.post("/search", files={"image": file}), 422, "more than 25,000,000 pixels")
        assert server.memory - before < 30 * 2**20


def test_the_limit_of_pixels_is_that_of_the_service(make_client: MakeClient) -> None:
    client = make_client(Settings(Limits(max_pixels=1200)))
    assert client.post("/search", files={"image": encoded(draw("bag"))}).status_code == 422
    assert client.post("/search", files={"image": encoded(draw("bag", size=(40, 30)))}).status_code == 200


def mutated(count: int) -> Iterator[bytes]:
    """Damaged pictures of all formats, and archives and other files damaged in the same ways."""
    rng, pictures = random.Random(7), seeds()
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a.png", pictures[3])
    archives = [zipped.getvalue(), gzip.compress(pictures[0]), bz2.compress(pictures[0]), lzma.compress(pictures[0])]
    for number in range(count):
        data = rng.choice(archives if number % 5 == 0 else pictures)
        yield rng.choice(MUTATIONS)(data, [*pictures, *archives], rng)


def test_thousands_of_malformed_files_leave_the_service_as_it_was(
    make_server: Callable[..., Server], own_index: Path, shop: Catalog
) -> None:
    """2,000 files, searched with or added: no fault, none takes long, and no memory stays taken."""
    server = make_server(own_index, "--writable")
    statuses: Counter[int] = Counter()
    with server.client() as client:
        for number, file in enumerate(mutated(LONG or 2_000)):
            if number == 600:  # the allocator has seen every format
                before = server.memory_now
            begun = time.monotonic()
            if number % 50:
                answer = client.post("/search", files={"image": file}, data={"k": "1"})
            else:
                answer = client.post("/items", files={"image": file}, data={"item_id": "new"})
            assert answer.status_code in (200, 201, 422), answer.text
            assert time.monotonic() - begun < 10  # on a machine that others use too; the usual is 5 ms
            statuses[answer.status_code] += 1
        assert server.memory_now - before < 40 * 2**20
        assert client.post("/search", files={"image": shop.column("image")[20]}).status_code == 200
    assert statuses[422] > 800
    assert statuses[200] > 100
    assert "Traceback" not in server.end()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_whatever_fits_the_interface_is_answered(index, encoder: Encoder) -> None:  # type: ignore[no-untyped-def]
    """Requests drawn from the OpenAPI, good ones and bad ones: never a fault of ours, always the shape it promises."""
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, given, settings
    from hypothesis.errors import Unsatisfiable

    app = create_app(index, encoder, Settings())
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    asked: dict[str, int] = {}
    with TestClient(app, raise_server_exceptions=False):  # the life of the service: its threads end with it
        for result in schema.get_all_operations():
            operation = result.ok()
            for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
                strategy = operation.as_strategy(generation_mode=mode)

                @settings(
                    max_examples=LONG // 20 or 50, deadline=None, database=None, suppress_health_check=list(HealthCheck)
                )
                @given(case=strategy)
                def check(case) -> None:  # type: ignore[no-untyped-def]
                    answer = case.call()
                    asked[case.operation.label] = asked.get(case.operation.label, 0) + 1
                    assert answer.status_code < 500, (case, answer.content)
                    if answer.status_code >= 400:
                        assert list(answer.json()) == ["error"]

                with suppress(Unsatisfiable):  # a route that takes nothing cannot be asked wrongly
                    check()
    assert len(asked) >= 9
    assert min(asked.values()) >= 1
    assert sum(asked.values()) >= 700
