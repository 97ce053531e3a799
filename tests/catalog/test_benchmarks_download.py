"""Downloads from a real server on this machine that knows ranges, breaks off, changes its mind and lies."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from lookalike.catalog.benchmarks import BENCHMARKS, Benchmark
from lookalike.catalog.benchmarks import download as module
from lookalike.catalog.benchmarks.benchmark import RemoteFile
from lookalike.catalog.benchmarks.download import download
from lookalike.errors import CatalogError

CONTENT = os.urandom(3_000_001)


@dataclass
class Server:
    """What it serves and how; the ranges it was asked for."""

    address: str = ""
    content: bytes = CONTENT
    etag: str | None = '"one"'
    break_after: list[int] = field(default_factory=list)
    knows_ranges: bool = True
    status: int = 200
    kind: str = "application/gzip"
    says_length: bool = True
    shift: int = 0
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    """Answers as the server's state says; HTTP/1.0, so each answer ends with its connection."""

    state: Server

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        state = self.state
        state.asked.append((self.path, self.headers["Range"], self.headers["If-Range"]))
        start = self.start()
        if state.status not in (200, 206):
            self.send_error(state.status)
        elif state.status == 206:
            self.head(206, {})
        elif start >= len(state.content):
            self.head(416, {"Content-Range": f"bytes */{len(state.content)}"})
        else:
            self.send_from(start)

    def start(self) -> int:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if not found or not self.state.knows_ranges or self.headers["If-Range"] != self.state.etag:
            return 0
        return int(found[1])

    def send_from(self, start: int) -> None:
        state, total = self.state, len(self.state.content)
        headers: dict[str, str | None] = {"Content-Type": state.kind, "ETag": state.etag}
        headers["Content-Length"] = str(total - start) if state.says_length else None
        headers["Content-Range"] = f"bytes {start + state.shift}-{total - 1}/{total}" if start else None
        self.head(206 if start else 200, headers)
        body = state.content[start:]
        with suppress(ConnectionError):  # the other side may have had enough
            self.wfile.write(body[: state.break_after.pop(0)] if state.break_after else body)

    def head(self, status: int, headers: dict[str, str | None]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()
    handler = type("Handler", (Handler,), {"state": state})
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    state.address = f"http://127.0.0.1:{httpd.server_port}/sets"
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield state
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def benchmark(**changes: Any) -> Benchmark:
    file = RemoteFile("a b.tgz", hashlib.md5(CONTENT).hexdigest())
    return replace(BENCHMARKS["cub200"], **({"files": (file,)} | changes))


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_comes_whole_and_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    (path,) = download(benchmark(), tmp_path / "new", server.address + "/")
    assert path.read_bytes() == CONTENT
    assert names_in(tmp_path / "new") == {"a b.tgz"}
    assert server.asked == [("/sets/a%20b.tgz", None, None)]
    assert download(benchmark(), tmp_path / "new", server.address) == [path]
    assert len(server.asked) == 1


def test_a_connection_that_breaks_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    server.break_after = [1_000_000, 1_500_000, 0, 0]
    (path,) = download(benchmark(), tmp_path, server.address)
    assert path.read_bytes() == CONTENT
    assert [ranged for _, ranged, _ in server.asked] == [None, "bytes=1000000-", *["bytes=2500000-"] * 3]
    assert {tag for _, _, tag in server.asked[1:]} == {'"one"'}
    assert names_in(tmp_path) == {"a b.tgz"}


def test_a_call_that_was_stopped_goes_on(server: Server, tmp_path: Path) -> None:
    server.break_after = [2_000_000, *[0] * module.ATTEMPTS]
    with pytest.raises(
        CatalogError, match=r"cannot be reached \(0 of 1,000,001 bytes came\); call again when you are on"
    ):
        download(benchmark(), tmp_path, server.address)
    assert names_in(tmp_path) == {".a b.tgz.part", ".a b.tgz.part.tag"}
    (path,) = download(benchmark(), tmp_path, server.address)
    assert path.read_bytes() == CONTENT
    assert server.asked[-1][1] == "bytes=2000000-"


def test_a_file_that_was_whole_but_not_renamed(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".a b.tgz.part").write_bytes(CONTENT)
    (tmp_path / ".a b.tgz.part.tag").write_text('"one"', encoding="utf-8")
    (path,) = download(benchmark(), tmp_path, server.address)
    assert path.read_bytes() == CONTENT
    assert server.asked == [("/sets/a%20b.tgz", f"bytes={len(CONTENT)}-", '"one"')]


@pytest.mark.parametrize("begun", [b"x" * 100, b"x" * (len(CONTENT) + 9)])
@pytest.mark.parametrize("why", ["another version", "no tag kept", "no ranges"])
def test_what_was_begun_of_another_file_is_thrown_away(server: Server, tmp_path: Path, begun: bytes, why: str) -> None:
    (tmp_path / ".a b.tgz.part").write_bytes(begun)
    if why != "no tag kept":
        (tmp_path / ".a b.tgz.part.tag").write_text('"one"', encoding="utf-8")
    server.etag = '"two"' if why == "another version" else '"one"'
    server.knows_ranges = why != "no ranges"
    (path,) = download(benchmark(), tmp_path, server.address)
    assert path.read_bytes() == CONTENT


def test_a_beginning_longer_than_the_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".a b.tgz.part").write_bytes(CONTENT + b"more")
    (tmp_path / ".a b.tgz.part.tag").write_text('"one"', encoding="utf-8")
    (path,) = download(benchmark(), tmp_path, server.address)
    assert path.read_bytes() == CONTENT
    assert [ranged for _, ranged, _ in server.asked] == [f"bytes={len(CONTENT) + 4}-", None]


def test_a_server_that_sends_another_part_is_asked_for_all(server: Server, tmp_path: Path) -> None:
    server.break_after, server.shift = [1_000_000], 7
    (path,) = download(benchmark(), tmp_path, server.address)
    assert path.read_bytes() == CONTENT
    assert [ranged for _, ranged, _ in server.asked] == [None, "bytes=1000000-", None]


def test_a_server_that_sends_a_part_unasked(server: Server, tmp_path: Path) -> None:
    server.status = 206
    with pytest.raises(
        CatalogError, match=r"cannot be reached \(the server sent another part of the file than was asked"
    ):
        download(benchmark(), tmp_path, server.address)
    assert names_in(tmp_path) == set()


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_name_for_its_version_it_starts_again(server: Server, tmp_path: Path, etag: str | None) -> None:
    server.etag, server.break_after = etag, [1_000_000]
    (path,) = download(benchmark(), tmp_path, server.address)
    assert path.read_bytes() == CONTENT
    assert [ranged for _, ranged, _ in server.asked] == [None, None]


def test_without_a_length_only_the_content_tells(server: Server, tmp_path: Path) -> None:
    server.says_length = False
    assert download(benchmark(), tmp_path, server.address)[0].read_bytes() == CONTENT


def test_a_file_that_is_not_the_published_one(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(CatalogError, match=r"its 3,000,001 bytes are not the published file \(MD5 .*another mirror"):
        download(benchmark(), tmp_path, server.address)
    assert "a b.tgz" not in names_in(tmp_path) and ".a b.tgz.part" not in names_in(tmp_path)
    (tmp_path / "a b.tgz").write_bytes(b"mine")
    with pytest.raises(CatalogError, match=r"a b.tgz: its 4 bytes are not the published file"):
        download(benchmark(), tmp_path, server.address)
    assert (tmp_path / "a b.tgz").read_bytes() == b"mine"


def test_without_a_checksum_any_content_is_taken(server: Server, tmp_path: Path) -> None:
    server.content = b"anything"
    (path,) = download(benchmark(files=(RemoteFile("list.txt"),)), tmp_path, server.address)
    assert path.read_bytes() == b"anything"


def test_a_web_page_is_no_archive(server: Server, tmp_path: Path) -> None:
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(CatalogError, match="the server sent a web page, not the file; open the address in a browser"):
        download(benchmark(), tmp_path, server.address)
    assert names_in(tmp_path) == set()


@pytest.mark.parametrize(("status", "said"), [(404, "404 Not Found"), (403, "403 Forbidden"), (500, "500 Internal")])
def test_a_server_that_says_no(server: Server, tmp_path: Path, status: int, said: str) -> None:
    server.status = status
    with pytest.raises(CatalogError, match=rf"a%20b.tgz: the server says {said}.*; name another with --mirror"):
        download(benchmark(), tmp_path, server.address)
    assert len(server.asked) == 1


def test_offline_is_told_at_once_in_one_sentence(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(module.time, "sleep", slept.append)
    with pytest.raises(CatalogError) as caught:
        download(benchmark(), tmp_path, "http://127.0.0.1:9/sets")
    assert re.fullmatch(
        r"http://127.0.0.1:9/sets/a%20b.tgz cannot be reached \(.*refused\); call again when you are online, it goes "
        r"on where it was; or get the file by another way \(see docs/datasets.md\)",
        str(caught.value),
    )
    with pytest.raises(CatalogError, match=r"no-such-host.invalid/sets/a%20b.tgz cannot be reached"):
        download(benchmark(), tmp_path, "http://no-such-host.invalid/sets")
    assert slept == []


def test_a_folder_that_cannot_be_made(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(CatalogError, match="/a cannot be made: File exists; name another folder"):
        download(benchmark(), tmp_path / "a", server.address)


def test_a_full_disk(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 2**20}))
    with pytest.raises(CatalogError, match=r"has 1 MiB free, and 2 are needed"):
        download(benchmark(), tmp_path, server.address)
    monkeypatch.undo()
    (tmp_path / ".a b.tgz.part").mkdir()
    with pytest.raises(CatalogError, match=r"cannot be written: Is a directory; make room and call again"):
        download(benchmark(), tmp_path, server.address)


# What a program may not do alone


@pytest.mark.parametrize(
    "mirror", ["file:///etc", "ftp://mirror.example", "mirror.example", "http://", "http://[x", ""]
)
def test_a_mirror_is_a_web_address(tmp_path: Path, mirror: str) -> None:
    with pytest.raises(CatalogError, match=re.escape(f"begins with http:// or https://, not '{mirror}'")):
        download(benchmark(), tmp_path, mirror)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "cars196",
            "Cars196 cannot be downloaded by a program. Its official address .* is dead. Get a re-upload: on Kag",
        ),
        ("inshop", "DeepFashion In-Shop cannot be downloaded by a program. Open https://mmlab.*, accept the agreement"),
        ("studio_street", "cannot be downloaded by a program. This is a layout, not a data set"),
        ("inaturalist2018", "For non-commercial research.*When you accept the terms, say so with .*--accept-license"),
    ],
)
def test_what_a_person_must_do(name: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=sentence):
        download(BENCHMARKS[name], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_terms_are_asked_about_at_the_official_address_only(server: Server, tmp_path: Path) -> None:
    file = RemoteFile("a.tgz", None, f"{server.address}/a.tgz")
    gated = benchmark(files=(file, RemoteFile("b.tgz")), must_accept=True)
    with pytest.raises(CatalogError, match="--accept-license"):
        download(gated, tmp_path)
    assert [path.name for path in download(gated, tmp_path, accept_license=True)] == ["a.tgz"]
    assert [path.name for path in download(gated, tmp_path, server.address)] == ["a.tgz", "b.tgz"]


def test_every_official_address_has_a_checksum_or_is_small() -> None:
    files = [file for one in BENCHMARKS.values() for file in one.files]
    assert all(file.md5 is None or re.fullmatch(r"[0-9a-f]{32}", file.md5) for file in files)
    assert {file.name for file in files if file.url and not file.md5} == {"categories.json.tar.gz"}
