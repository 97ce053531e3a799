"""`lookalike serve`: an index for people, as a web page, and for programs, over HTTP."""

import os
from pathlib import Path
from typing import Annotated

import typer

KEYS = "LOOKALIKE_API_KEYS"


def serve(
    index: Annotated[Path, typer.Argument(help="Directory of the index.", show_default=False)],
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; 0.0.0.0 is all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 is any that is free.")] = 8000,
    api_keys: Annotated[
        Path | None,
        typer.Option("--api-keys", help=f"File with a key in each line; or name them, with commas, in ${KEYS}."),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", help="Name by which the service may be called; repeat for more.")
    ] = None,
    writable: Annotated[bool, typer.Option("--writable", help="Let clients add and remove items.")] = False,
    feedback: Annotated[Path | None, typer.Option("--feedback", help="Keep thumbs up and down in this file.")] = None,
    keep_poor_queries: Annotated[
        Path | None,
        typer.Option("--keep-poor-queries", help="Keep queries that found nothing like them, with pictures, in here."),
    ] = None,
    rate: Annotated[int, typer.Option("--rate", min=0, help="Requests a minute for each client; 0: any.")] = 0,
    max_mib: Annotated[int, typer.Option("--max-mib", min=1, help="Longest request, in MiB.")] = 16,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds for an answer.")] = 30.0,
) -> None:
    """Open an index in the browser: drop a picture, type words, filter; programs find /docs there.

    Only this machine can reach it unless you say --host. Pictures are uploaded, never fetched from an address.

    \b
    lookalike serve products.index
    lookalike serve products.index --host 0.0.0.0 --allow-host shop.example --api-keys keys.txt
    """
    from lookalike.errors import StoredIndexError

    try:
        from lookalike.service import Limits, Settings
        from lookalike.service import serve as run
    except ModuleNotFoundError as error:
        raise StoredIndexError(f"serving needs {error.name}: pip install 'lookalike[serve]'") from None
    from lookalike.progress import note
    from lookalike.service.server import LOOPBACK

    keys = _keys(api_keys)
    names = tuple(name.lower() for name in allow_host or [])
    if host in LOOPBACK:
        names += ("localhost", "127.0.0.1", "[::1]")
    elif not keys:
        note(f"anyone who can reach {host}:{port} can search this index; give --api-keys to ask for a key")
    limits = Limits(max_body_bytes=max_mib * 2**20, timeout_s=timeout, requests_per_minute=rate)
    settings = Settings(limits, keys, writable, feedback, keep_poor_queries, names)
    run(index, host, port, settings, lambda address: print(f"Open {address} (Ctrl+C stops it).", flush=True))


def _keys(file: Path | None) -> tuple[str, ...]:
    from lookalike.errors import StoredIndexError

    lines = os.environ.get(KEYS, "").split(",")
    if file is not None:
        try:
            lines += file.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            name = type(error).__name__
            raise StoredIndexError(f"the keys in {file} cannot be read ({name}); name a text file") from None
    keys = tuple(line.strip() for line in lines if line.strip())
    if any(len(key) < 16 or not key.isascii() or not key.isprintable() for key in keys):
        raise StoredIndexError(
            "a key is shorter than 16 characters, or not plain ASCII; make one: openssl rand -hex 24"
        )
    if file is not None and not keys:
        raise StoredIndexError(f"{file} holds no key; write one in each line")
    return keys
