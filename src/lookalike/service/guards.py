"""What is refused before it is read: strangers, other sites, too much, too often."""

import hmac
import time
from collections import OrderedDict

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lookalike.service.limits import Limits, Settings

#: Scripts, styles and calls of this service only; nothing from elsewhere, nothing inside the page itself, no frame.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
#: Open to those without a key: the page, which holds nothing, and whether the service answers.
OPEN = ("/", "/health", "/docs", "/openapi.json")
#: Clients whose recent requests are remembered.
REMEMBERED = 10_000


class Guard:
    """Refuses, bounds what is read, and adds the security headers."""

    def __init__(self, app: ASGIApp, settings: Settings):
        self._app, self._settings = app, settings
        self._rate = Rate(settings.limits.requests_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._check(scope, Headers(scope=scope))
        except HTTPException as refusal:
            refused = JSONResponse({"error": refusal.detail}, refusal.status_code, refusal.headers)
            await refused(scope, receive, with_headers)
        else:
            await self._app(scope, bounded(receive, self._settings.limits), with_headers)

    def _check(self, scope: Scope, headers: Headers) -> None:
        self._check_host(headers)
        if scope["method"] not in ("GET", "HEAD"):
            _check_origin(headers)
        if scope["path"] in OPEN or scope["path"].startswith("/page/"):
            return
        self._check_key(headers)
        client = scope.get("client")
        if not self._rate.allows(client[0] if client else ""):
            raise HTTPException(429, "too many requests from your address; wait a little", {"Retry-After": "10"})
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self._settings.limits.max_body_bytes:
            raise _too_long(self._settings.limits)

    def _check_host(self, headers: Headers) -> None:
        # A page elsewhere may have its own name point to 127.0.0.1, and would then be of the same origin as we.
        called = _host(headers.get("host", ""))
        if self._settings.hosts and called not in self._settings.hosts:
            raise HTTPException(421, "this service does not go by that name; start it with --allow-host NAME")

    def _check_key(self, headers: Headers) -> None:
        if not self._settings.api_keys:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        key = headers.get("x-api-key") or (given if scheme.lower() == "bearer" else "")
        # All of them are compared, each in constant time, so that the time tells nothing.
        matches = [hmac.compare_digest(key.encode(), known.encode()) for known in self._settings.api_keys]
        if not any(matches):
            challenge = {"WWW-Authenticate": "Bearer"}
            raise HTTPException(401, "this service asks for a key; send it as Authorization: Bearer KEY", challenge)


class Rate:
    """So many requests a minute for each client, with as many at once after a minute's rest."""

    def __init__(self, per_minute: int):
        self._per_minute = per_minute
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, client: str) -> bool:
        """Whether this client may ask now; counts it if so."""
        if not self._per_minute:
            return True
        now = time.monotonic()
        left, then = self._left.pop(client, (float(self._per_minute), now))
        left = min(float(self._per_minute), left + (now - then) * self._per_minute / 60)
        self._left[client] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        return left >= 1


def bounded(receive: Receive, limits: Limits) -> Receive:
    """The same, but no body longer than allowed, whatever its head said."""
    read = 0

    async def bounded_receive() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > limits.max_body_bytes:
            raise _too_long(limits)
        return message

    return bounded_receive


def _check_origin(headers: Headers) -> None:
    # Browsers send what a page elsewhere makes them send; they say where that page is from.
    origin, host = headers.get("origin"), headers.get("host", "")
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        raise HTTPException(403, "requests from pages of other sites are not answered")


def _too_long(limits: Limits) -> HTTPException:
    return HTTPException(413, f"the request is too long; the limit is {limits.max_body_bytes / 2**20:.3g} MiB")


def _host(netloc: str) -> str:
    """The name without the port."""
    name, colon, port = netloc.rpartition(":")
    return (name if colon and port.isdecimal() else netloc).lower()
