"""The map of the catalog: made once in the background, kept on disk for the version of the index it shows."""

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from lookalike.files import cache_folder, sha256
from lookalike.service.schemas import Map

log = logging.getLogger("lookalike.service")

#: A map of an older version is shown for so long before another one is made, in seconds.
REFRESH_S = 600.0


class CatalogMap:
    """One map at a time; whoever asks for one that is not there begins it and comes again."""

    def __init__(self, folder: Path):
        self._lock = Lock()
        self._kept = cache_folder("maps")
        #: of this index, whatever its version
        self._prefix = sha256(str(folder.resolve()).encode())[:16]
        self._making: subprocess.Popen[bytes] | None = None
        self._begun, self._wanted, self._failed = 0.0, Path(), False
        self._shown: tuple[Path, bytes, np.ndarray] | None = None

    def answer(self, rows: Path, version: tuple[str, ...]) -> bytes:
        """The map as JSON, or the state of its making.

        Args:
            rows: folder of the model that is there now.
            version: names what is in it.
        """
        file = self._kept / f"{self._prefix}-{sha256(*map(str.encode, version))[:16]}.json"
        with self._lock:
            self._look_after(rows, file)
            if self._shown is not None:
                return self._shown[1]
            if self._failed:
                said = Map(state="none", problem="the map could not be made; whoever runs this service finds out why")
            else:
                said = Map(state="making", seconds=round(time.monotonic() - self._begun, 1))
        return said.model_dump_json().encode()

    @property
    def ids(self) -> np.ndarray | None:
        """The items on the map, in its order; None while there is none."""
        shown = self._shown
        return None if shown is None else shown[2]

    def close(self) -> None:
        """Give up a map that is being made."""
        with self._lock:
            if self._making is not None:
                self._making.kill()
                self._making.wait()

    def _look_after(self, rows: Path, file: Path) -> None:
        """Take up what is made, and begin what is not."""
        if self._making is not None:
            status = self._making.poll()
            if status is None:
                return
            self._making = None
            self._failed = status != 0
            if self._failed:
                log.error("the map of %s could not be made (exit status %d)", rows, status)
        if self._shown is None or self._shown[0] != file:
            self._take(file if file.exists() else self._wanted)
        is_new = self._shown is not None and self._shown[0] == file
        if not is_new and (not self._begun or time.monotonic() - self._begun > REFRESH_S):
            self._begin(rows, file)

    def _take(self, file: Path) -> None:
        try:
            content = file.read_bytes()
            ids = np.array(json.loads(content)["ids"], dtype=object)
        except (OSError, ValueError, KeyError):
            return
        self._shown = file, content, ids
        for other in self._kept.glob(f"{self._prefix}-*.json"):
            if other != file:
                other.unlink(missing_ok=True)

    def _begin(self, rows: Path, file: Path) -> None:
        self._begun, self._wanted, self._failed = time.monotonic(), file, False
        self._kept.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "lookalike.service.layout", str(rows), str(file)]
        self._making = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=_environment()
        )


def _environment() -> dict[str, Any]:
    # One core at most: searches are asked for meanwhile.
    return dict(os.environ) | {"OMP_NUM_THREADS": "1"}
