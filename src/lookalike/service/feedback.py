"""Thumbs up and down, kept as lines of JSON: pairs to learn from."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from starlette.exceptions import HTTPException

from lookalike.service.schemas import Feedback


class FeedbackFile:
    """A file that only grows, to a limit; each line is written at once, so that a kill leaves whole lines."""

    def __init__(self, path: Path, max_bytes: int):
        self._path, self._max_bytes, self._lock = path, max_bytes, Lock()

    def append(self, given: Feedback) -> None:
        """Keep what was given.

        Raises:
            HTTPException: 507, the file is full.
        """
        said = {"time": datetime.now(UTC).isoformat(timespec="seconds"), **given.model_dump(exclude_none=True)}
        line = (json.dumps(said) + "\n").encode()
        with self._lock:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                if os.fstat(file).st_size + len(line) > self._max_bytes:
                    raise HTTPException(507, "no more feedback can be kept; whoever runs this must move the file away")
                os.write(file, line)
            finally:
                os.close(file)
