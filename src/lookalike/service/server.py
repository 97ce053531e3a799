"""The process: a port, patience with slow clients but not without end, and an end that lets requests finish."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from lookalike.errors import StoredIndexError
from lookalike.index import Manifest
from lookalike.service.app import create_app
from lookalike.service.limits import Limits, Settings

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(folder: Path, host: str, port: int, settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve the index in `folder` until the process is told to stop; requests under way are answered.

    Args:
        folder: of the index.
        host: address to listen at; 127.0.0.1 is this machine alone.
        port: 0 is any that is free.
        settings: how.
        on_ready: given the address for a browser, when it can be opened.

    Raises:
        StoredIndexError: there is no index, or the port is taken.
        EncoderError: the stored encoder cannot be loaded.
    """
    Manifest.read(folder)
    listening = _listening(host, port)
    try:
        app = create_app(folder, None, settings)
        limits = settings.limits
        config = uvicorn.Config(
            app, http=patient(limits), ws="none", log_level="warning", access_log=False, server_header=False,
            limit_concurrency=limits.connections, timeout_graceful_shutdown=limits.grace_s, proxy_headers=False,
        )  # fmt: skip
        named = f"[{host}]" if ":" in host else host
        on_ready(f"http://{named}:{listening.getsockname()[1]}")
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        listening.close()


def patient(limits: Limits) -> type[H11Protocol]:
    """Uvicorn's HTTP/1.1, but a request has to arrive in time: its head, and then its body."""
    seconds = {h11.IDLE: limits.head_timeout_s, h11.SEND_BODY: limits.body_timeout_s}

    class Patient(H11Protocol):
        waiting_for: Any = None
        timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            if self.timer is not None:
                self.timer.cancel()
            super().connection_lost(exc)

        def _wait(self) -> None:
            """Restart the clock when the request has come a step further, not at every byte."""
            state = self.conn.their_state
            if state is self.waiting_for:
                return
            self.waiting_for = state
            if self.timer is not None:
                self.timer.cancel()
            self.timer = self.loop.call_later(seconds[state], self.transport.close) if state in seconds else None

    return Patient


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address, family=family)
        # Connections inherit it. asyncio does not set it for sockets made this way, and without it the body of a small
        # answer waits 40 ms until the client has acknowledged the head.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except (OSError, OverflowError) as error:
        raise StoredIndexError(
            f"cannot serve at {host}, port {port} ({error}); give another --host or --port"
        ) from None
