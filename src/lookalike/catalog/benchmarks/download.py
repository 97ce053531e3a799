"""Download the files of a data set: goes on where it stopped, checks what it got, whole or not at all."""

import hashlib
import http.client
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlsplit

from lookalike.catalog.benchmarks.benchmark import Benchmark, RemoteFile
from lookalike.errors import CatalogError
from lookalike.files import write_text
from lookalike.progress import note, progress_bar

CHUNK_BYTES = 2**20
MIB = 2**20
#: Attempts in a row that bring nothing new.
ATTEMPTS = 5
PAUSE_S = 1.0
TIMEOUT_S = 30.0
#: What a connection that breaks raises.
BROKEN = (http.client.HTTPException, ssl.SSLError, ConnectionError, TimeoutError)


def download(benchmark: Benchmark, folder: Path, mirror: str | None = None, accept_license: bool = False) -> list[Path]:
    """Download a data set's files into a folder; those that are whole are not asked for again.

    Args:
        benchmark: which.
        folder: where to; made if it is not there.
        mirror: an address under which files of the same names lie, instead of the official one.
        accept_license: you have read the terms and accept them.

    Raises:
        CatalogError: it cannot be downloaded by a program, its terms are not accepted, the server cannot be reached or
            says no, the file is not the published one, or the disk is full.
    """
    if mirror is not None and not _is_web_address(mirror):
        raise CatalogError(f"a mirror is an address that begins with http:// or https://, not {mirror!r}")
    if mirror is None and not any(file.url for file in benchmark.files):
        raise CatalogError(f"{benchmark.title} cannot be downloaded by a program. {benchmark.how_to_get}")
    if mirror is None and benchmark.must_accept and not accept_license:
        raise CatalogError(
            f"{benchmark.title}: {benchmark.license} {benchmark.how_to_get} When you accept the terms, say so with "
            "accept_license=True (--accept-license)."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CatalogError(f"{folder} cannot be made: {error.strerror}; name another folder") from None
    return [_download(file, _address(file, mirror), folder) for file in benchmark.files if file.url or mirror]


def _is_web_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _address(file: RemoteFile, mirror: str | None) -> str:
    return f"{mirror.rstrip('/')}/{quote(file.name)}" if mirror else str(file.url)


def _download(file: RemoteFile, url: str, folder: Path) -> Path:
    path, begun = folder / file.name, folder / f".{file.name}.part"
    if path.is_file():
        _check_content(path, file, url)
        note(f"{path} is there already")
        return path
    failures = ATTEMPTS - 1  # who is offline is told at once
    while True:
        before = _size(begun)
        try:
            _fetch(url, begun)
            break
        except urllib.error.HTTPError as error:
            error.close()
            raise CatalogError(
                f"{url}: the server says {error.code} {error.reason}; name another with --mirror"
            ) from None
        except (urllib.error.URLError, *BROKEN) as error:
            failures = 0 if _size(begun) > before else failures + 1
            reason = getattr(error, "reason", None) or error
            if failures >= ATTEMPTS:
                raise CatalogError(
                    f"{url} cannot be reached ({reason}); call again when you are online, it goes on where it was; or "
                    "get the file by another way (see docs/datasets.md)"
                ) from None
            time.sleep(PAUSE_S * failures)
        except OSError as error:
            raise CatalogError(f"{begun} cannot be written: {error.strerror}; make room and call again") from None
    _check_content(begun, file, url)
    begun.replace(path)
    _tag_of(begun).unlink(missing_ok=True)
    return path


def _fetch(url: str, begun: Path) -> None:
    """Get what is still missing of a file, or all of it if it is no longer the same file."""
    have, tag = _size(begun), _tag_of(begun)
    headers = {"User-Agent": "lookalike"}
    # Without a tag nobody knows whether the rest belongs to what is here.
    if have and tag.is_file():
        headers |= {"Range": f"bytes={have}-", "If-Range": tag.read_text(encoding="utf-8")}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S) as answer:
            if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                begun.unlink(missing_ok=True)
                _receive(answer, url, begun, 0)
                return
            if str(answer.headers.get("Content-Range")).startswith(f"bytes {have}-"):
                _receive(answer, url, begun, have)
                return
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        error.close()
        if error.headers.get("Content-Range") == f"bytes */{have}":  # nothing is missing
            return
    if not have:
        raise ConnectionError("the server sent another part of the file than was asked for")
    begun.unlink()  # it is no part of that file
    _fetch(url, begun)


def _receive(answer: http.client.HTTPResponse, url: str, begun: Path, have: int) -> None:
    if answer.headers.get_content_type() == "text/html":
        raise CatalogError(f"{url}: the server sent a web page, not the file; open the address in a browser")
    _keep_tag(answer, _tag_of(begun))
    missing = int(answer.headers.get("Content-Length") or 0)
    free = shutil.disk_usage(begun.parent).free
    if missing > free:
        raise CatalogError(f"{begun.parent} has {free // MIB:,} MiB free, and {missing // MIB:,} are needed")
    _append(answer, begun, have, missing)


def _append(answer: http.client.HTTPResponse, begun: Path, have: int, missing: int) -> None:
    with begun.open("ab") as out, progress_bar() as bar:
        total = (have + missing) // MIB if missing else None
        task = bar.add_task(f"{begun.name.strip('.').removesuffix('.part')}, MiB", total=total, note="")
        got = 0
        while chunk := answer.read(CHUNK_BYTES):
            out.write(chunk)
            got += len(chunk)
            bar.update(task, completed=(have + got) // MIB)
        out.flush()
        os.fsync(out.fileno())
    # A read that was cut off ends like one that is whole.
    if missing and got != missing:
        raise ConnectionError(f"{got:,} of {missing:,} bytes came")


def _keep_tag(answer: http.client.HTTPResponse, tag: Path) -> None:
    """Keep what names this very version of the file; a weak ETag does not."""
    name = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
    if name and not name.startswith("W/"):
        write_text(tag, name)
    else:
        tag.unlink(missing_ok=True)


def _check_content(path: Path, file: RemoteFile, url: str) -> None:
    if file.md5 is None:
        return
    digest, total = hashlib.md5(usedforsecurity=False), path.stat().st_size
    with path.open("rb") as content, progress_bar() as bar:
        task = bar.add_task(f"checking {file.name}, MiB", total=total // MIB, note="")
        while chunk := content.read(CHUNK_BYTES):
            digest.update(chunk)
            bar.update(task, completed=content.tell() // MIB)
    if digest.hexdigest() != file.md5:
        if path.name != file.name:
            path.unlink()  # what was begun; a file of the user's is theirs to remove
        raise CatalogError(
            f"{path}: its {total:,} bytes are not the published file (MD5 {digest.hexdigest()}, not {file.md5}); "
            f"remove it and get it again from {url} or another mirror"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _tag_of(begun: Path) -> Path:
    return begun.with_name(f"{begun.name}.tag")
