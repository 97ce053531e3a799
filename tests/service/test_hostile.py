"""Hundreds of ways to do harm: bombs, paths that climb, addresses inside the network, markup, filters that are SQL."""

import gzip
import io
import itertools
import json
import socket
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from lookalike import Catalog, Encoder, Index
from tests.service.conftest import HOSTILE, MakeClient
from tests.service.test_search import check_refused

ZEROS = zlib.compress(b"\0" * 20_000_000, 9)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, depth: int = 8, color: int = 2, extra: bytes = b"", rows: bytes = ZEROS) -> bytes:
    """A PNG that says it has this size, with chunks before its rows."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def bombs() -> Iterator[tuple[str, bytes]]:
    """Small files that are large when unpacked, or say that they are."""
    for width, height in itertools.product((6_000, 65_535, 2**31 - 1), repeat=2):
        yield "png", png(width, height)
    for depth, color in ((1, 0), (16, 6), (8, 3)):
        yield "png", png(30_000, 30_000, depth, color)
    for kind, head in ((b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0"), (b"iCCP", b"a\0\0")):
        text = chunk(kind, head + ZEROS)
        yield "text", png(2, 2, extra=text * 20, rows=zlib.compress(b"\0" * 14))  # too small, and 400 MB of text
    sides = struct.pack(">HH", 65_535, 65_535)
    for marker in (b"\xc0", b"\xc2"):
        frame = b"\xff" + marker + b"\0\x11\x08" + sides + b"\x03\x01\x11\0\x02\x11\0\x03\x11\0"
        yield "jpeg", b"\xff\xd8" + frame + b"\xff\xd9"
    screen = struct.pack("<HH", 65_535, 65_535)
    picture = b"\x2c\0\0\0\0" + screen + b"\0\x02\x02\x4c\x01\0"
    yield "gif", b"GIF89a" + screen + b"\x80\0\0" + b"\0" * 6 + picture * 500 + b";"
    for side in (40_000, 2**31 - 1):
        yield "bmp", b"BM" + struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    entries = [(256, 4, 1, 100_000), (257, 4, 1, 100_000), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1)]
    entries += [(273, 4, 1, 8), (278, 4, 1, 100_000), (279, 4, 1, len(ZEROS))]
    for end, magic in (("<", b"II*\0"), (">", b"MM\0*")):
        table = b"".join(struct.pack(end + "HHII", *entry) for entry in entries)
        yield "tiff", magic + struct.pack(end + "I", 8) + struct.pack(end + "H", len(entries)) + table + ZEROS
    canvas = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + b"\xff\xff\xff" * 2
    yield "webp", b"RIFF" + struct.pack("<I", len(canvas) + 4) + b"WEBP" + canvas


def archives() -> Iterator[tuple[str, bytes]]:
    """None of them is ever opened."""
    for name in ("../../../etc/cron.d/x", "/etc/passwd", "a.png", "C:\\x"):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
            opened.writestr(name, b"\0" * 1_000_000)
        yield "zip", file.getvalue()
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w:gz") as packed:
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            packed.addfile(link)
        yield "tar", file.getvalue()
    yield "gzip", gzip.compress(b"\0" * 50_000_000)
    yield "gzip", gzip.compress(gzip.compress(b"\0" * 50_000_000))


def test_bombs_and_archives_are_refused_quickly(client: TestClient) -> None:
    files = [*bombs(), *archives()]
    for kind, file in files:
        assert len(file) < 500_000
        begun = time.process_time()
        check_refused(client.post("/search", files={"image": ("a.png", file, "image/png")}), 422, "picture")
        assert time.process_time() - begun < 1, kind
    assert len(files) > 30


def test_bodies_that_grow_when_they_are_read(client: TestClient) -> None:
    kind = {"content-type": "application/json"}
    deep = [b"[" * 10**6, b'{"a":' * 10**5, b'{"item_id": ' + b"[" * 10**5]
    wide = [b'{"words": "' + b"\\u0041" * 10**5 + b'"}', b'{"item_id": [' + b'"a",' * 10**5 + b'"a"]}']
    wide += [b'{"k": ' + b"9" * 10**6 + b"}", b'{"words_weight": 1e' + b"9" * 1000 + b"}"]
    for body in [*deep, *wide]:
        begun = time.process_time()
        check_refused(client.post("/search", content=body, headers=kind), 422)
        assert time.process_time() - begun < 1
    many = "".join(f'--x\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n\r\n' for n in range(100_000))
    form = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post("/search", content=many.encode() + b"--x--", headers=form).status_code in (400, 422)


CLIMBS = [
    "../app.py", "..%2fapp.py", "%2e%2e/app.py", "%2e%2e%2fapp.py", "..%5capp.py", "..%255capp.py",
    "%252e%252e%252fapp.py",
    "....//app.py", "..;/app.py", "..%00/app.py", "page.js%00.png", "page.js%0a", "%c0%ae%c0%ae/app.py",
    "..%c0%afapp.py",
    "%uff0e%uff0e/app.py", "/etc/passwd", "//etc/passwd", "%2fetc%2fpasswd", "file:///etc/passwd",
    "C:%5cWindows%5cwin.ini",
    "page.js/../../app.py", "page.js%2f..%2f..%2fapp.py", "./page.js/.", "~root/.ssh/id_rsa", "PAGE.JS", "page.js.",
    "__init__.py", ".", "..", "%2e", "*", "page.js::$DATA", "page.js?x=../app.py#../app.py", "%ff%fe",
]  # fmt: skip


def test_paths_lead_nowhere(client: TestClient, shop: Catalog) -> None:
    meant = {client.get(path).text for path in ("/", "/docs", "/page/page.js")}
    asked = 0
    for climb, place in itertools.product(CLIMBS, ("/page/", "/items/", "/similar/", "/docs/")):
        answer = client.get(place + climb)
        asked += 1
        # The client itself takes dots and queries away: then it has asked for a page there is.
        assert 400 <= answer.status_code < 500 or answer.text in meant, (place, climb, answer.status_code)
    for climb in CLIMBS:  # the name of an uploaded file is not used for anything
        files = {"image": (climb, shop.column("image")[20], "image/png")}
        asked += 1
        assert client.post("/search", files=files, data={"k": "1"}).status_code == 200
    assert asked > 150


def addresses(port: int) -> list[str]:
    """Places inside a network, said in many ways; each names a port at which this test listens."""
    hosts = [
        "127.0.0.1",
        "localhost",
        "0",
        "127.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "[::1]",
        "[::ffff:7f00:1]",
    ]
    hosts += [
        "127.0.0.1.nip.io",
        "a@127.0.0.1",
        "127.0.0.1%23@b",
        "①②⑦.⓪.⓪.①",
        "169.254.169.254",
        "metadata.google.internal",
    ]
    schemes = ["http", "https", "ftp", "gopher", "dict", "ldap", "tftp", "jar:http", "HTTP"]
    found = [f"http://{host}:{port}/latest/meta-data/" for host in hosts]
    found += [f"{scheme}://127.0.0.1:{port}/a.png" for scheme in schemes]
    return [
        *found,
        f"//127.0.0.1:{port}/",
        f"\\\\127.0.0.1@{port}\\a.png",
        "file:///etc/passwd",
        "/etc/passwd",
        "data:,a",
    ]


def test_no_address_is_ever_fetched(client: TestClient) -> None:
    asked = 0
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        for address in addresses(listening.getsockname()[1]):
            for name in ("image", "image_url", "url"):
                answer = client.post("/search", json={name: address, "words": "red"})
                check_refused(answer, 422, "is no part of a question")
            check_refused(
                client.post("/search", data={"image": address}, files={"x": b""}), 422, "send the file itself"
            )
            linked = f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{address}"/></svg>'.encode()
            check_refused(client.post("/search", files={"image": linked}), 422, "picture")
            asked += 5
            assert client.post("/search", json={"words": f"red {address}", "k": 1}).status_code == 200
        with pytest.raises(TimeoutError):
            listening.accept()
    assert asked > 140


MARKUP = [
    *HOSTILE, "<script>alert(1)</script>", "<svg/onload=alert(1)>", "\"><img src=x onerror=alert(1)>", "'-alert(1)-'",
    "javascript:alert(1)", "</script><script>alert(1)</script>", "<iframe srcdoc='<script>alert(1)</script>'>",
    "{{7*7}}", "${7*7}", "<!--#exec cmd='ls'-->", "%3Cscript%3Ealert(1)%3C/script%3E", "\u2028alert(1)",
    "<a href=//evil>",
    "<style>@import'//evil'</style>", "<base href=//evil>", "<meta http-equiv=refresh content=0;url=//evil>", "]]>",
    "&lt;b>",
]  # fmt: skip


def test_what_is_sent_comes_back_as_data_only(client: TestClient) -> None:
    asked = 0
    for markup in MARKUP:
        quoted = quote(markup, safe="")
        answers = [
            client.get(f"/items/{quoted}"), client.get(f"/similar/{quoted}"), client.get(f"/{quoted}"),
            client.get(f"/docs?{quoted}={quoted}"), client.post("/search", json={"words": "red", "where": markup}),
            client.post("/search", json={markup: 1}), client.post("/search", json={"words": "red",
            "group_by": markup}),
            client.post("/search", files={markup.encode("ascii", "ignore").decode(): b"x"}),
        ]  # fmt: skip
        asked += len(answers)
        for answer in answers:
            assert answer.status_code < 500
            assert answer.headers["x-content-type-options"] == "nosniff"
            if "html" in answer.headers["content-type"]:
                assert markup not in answer.text
            else:
                assert answer.headers["content-type"] == "application/json"
                json.loads(answer.text)
    assert asked > 150


INJECTIONS = [
    "1=1", "1=1--", "price < 50 --", "price < 50 /* */", "price < 50; DROP TABLE items",
    "price < 50 UNION SELECT * FROM items",
    "price < (SELECT MAX(price) FROM items)", "price IN (SELECT 1)", "EXISTS (SELECT 1)", "price < 50 OR sleep(10)",
    "price < 50 AND pg_sleep(10) = ''", "price < 50 LIMIT 1", "price < 50 ORDER BY price",
    "price < 50 GROUP BY price",
    "price < CASE WHEN 1=1 THEN 1 ELSE 2 END", "price < CAST('1' AS INT)", "price::text = '1'", "price < version()",
    "vector IS NOT NULL", "thumbnail = 'a'", "_rowid > 0", "_distance < 1", "items.price < 5",
    "information_schema.tables = 1",
    "price < 0x10", "price < 1e400", "price = NULL", "price < -9223372036854775809", "label LIKE '%' ESCAPE '!'",
    "label = 'a' || 'b'", "label = concat('a', 'b')", "label SIMILAR TO 'a'", "label ~ '(a+)+$'",
    "label REGEXP '(a+)+$'",
    "regexp_like(label, '(a+)+$')", "label = $1", "label = ?", "label = :name", "label = @@version",
    "label = 'a' COLLATE x",
    "label = 'it''s' OR 'a'='a'", "label = 'a\\' OR 1=1 --'", "price < 50) OR (1=1", "(price < 50", "price < 50)",
    "NOT", "AND",
    "price BETWEEN (SELECT 1) AND 2", "price IS DISTINCT FROM (SELECT 1)", "ARRAY[1] = ARRAY[1]", "STRUCT(1) = 1",
    "price < 1 + 1",
    "price % 2 = 0", "price & 1 = 1", "random() < 0.5", "current_user = 'a'", "now() > '2000-01-01'",
    "load_file('/etc/passwd') = ''",
    "price < 50 INTO OUTFILE '/tmp/x'", "COPY items TO '/tmp/x'", "ATTACH 'x'", "PRAGMA x", "label = '\0'",
    "\ufeff1=1", "label = “a”",
    "price < ٥٠", "`price` < 50; --", "[price] < 50", "price < 50\nUNION\nSELECT 1", "price < 50 AS x",
    "price < 50, 1=1", "*", "",
    "(" * 900, "not " * 900 + "price < 5",
    " or ".join(["price < 5"] * 400), "price in (" + ",".join("1" * 1900) + ")",
]  # fmt: skip


def test_filters_are_no_sql(make_client: MakeClient, own_index: Path, encoder: Encoder) -> None:
    client = make_client(folder=own_index)
    before = sorted(match.item_id for match in Index.open(own_index, encoder).search(words="red", k=200))
    refused = 0
    for injection in INJECTIONS:
        begun = time.process_time()
        answer = client.post("/search", json={"words": "red", "k": 100, "where": injection})
        assert time.process_time() - begun < 2, injection
        assert answer.status_code in (200, 422), (injection, answer.text)
        if answer.status_code == 422:
            refused += 1
            check_refused(answer, 422, "where")
        else:  # only conditions of our own language are understood, as what they say
            assert "SELECT" not in injection.upper()
    assert refused >= len(INJECTIONS) - 15, refused
    assert len(INJECTIONS) > 70
    assert sorted(match.item_id for match in Index.open(own_index, encoder).search(words="red", k=200)) == before
