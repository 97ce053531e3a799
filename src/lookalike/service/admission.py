"""So many searches at a time, so many waiting; the next one is told at once to come back."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

from starlette.exceptions import HTTPException

from lookalike.service.limits import Limits

T = TypeVar("T")


class Admission:
    """Runs work in threads. Work that takes too long is given up on, and keeps its place until it ends."""

    def __init__(self, limits: Limits):
        self._pool = ThreadPoolExecutor(limits.threads, "answer")
        self._room = limits.threads + limits.max_waiting
        self._timeout_s = limits.timeout_s
        self._lock = Lock()
        self.under_way = 0

    def check(self) -> None:
        """Refuse before anything is read.

        Raises:
            HTTPException: 429, everything is taken.
        """
        if self.under_way >= self._room:
            raise HTTPException(429, "too many searches at this moment; try again in a second", {"Retry-After": "1"})

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns.

        Raises:
            HTTPException: 429, everything is taken; 503, it took too long.
        """
        with self._lock:
            self.check()
            self.under_way += 1
        future = self._pool.submit(work)
        future.add_done_callback(self._leave)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._timeout_s)
        except TimeoutError:
            raise HTTPException(
                503, f"no answer within {self._timeout_s:g} s; try again, or ask for less", {"Retry-After": "5"}
            ) from None

    def close(self) -> None:
        """Wait for what is under way."""
        self._pool.shutdown()

    def _leave(self, _: object) -> None:
        with self._lock:
            self.under_way -= 1
