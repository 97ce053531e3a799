"""How well queries are answered: their best scores day by day, beside those of the index's own items."""

import json
import math
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import numpy as np

from lookalike.files import write_text
from lookalike.index import VectorIndex
from lookalike.progress import note
from lookalike.service.schemas import Day, Drift

NAME = "scores.json"
#: Bins of a histogram of cosines, -1..1.
BINS = 200
#: Days that are remembered, and how often they are written down, in seconds.
DAYS, EVERY_S = 90, 30.0
#: Items whose nearest other item is looked up; the share of them that are called poorly answered.
SAMPLED, POOR_SHARE = 100, 0.05
#: Queries by words that must have been seen before one of them can be called poor.
ENOUGH = 100


class Scores:
    """Histograms of best scores, kept in `folder`. Those of another model are forgotten: they cannot be compared.

    A query by a picture is poor where its best score is below what all but 5 % of the index's own items have with
    another item. Words score lower than pictures and there is nothing like them in the index: one is poor among the
    lowest 5 % of the queries by words before it. [ours]
    """

    def __init__(self, folder: Path, fingerprint: str, stored: VectorIndex):
        self._path, self._fingerprint, self._stored = folder / NAME, fingerprint, stored
        self._lock, self._written, self._is_open = Lock(), time.monotonic(), True
        known = _read(self._path)
        if known.get("fingerprint") != fingerprint:
            known = {"fingerprint": fingerprint, "own": {}, "days": {}}
        self._own = _bins(known["own"])
        #: (day, kind) -> histogram
        self._days = {tuple(key.split(" ")): _bins(bins) for key, bins in known["days"].items()}
        self._write()  # shows that it can be written
        Thread(target=self._look_up_own, name="own scores", daemon=True).start()

    def note(self, kind: str, best: float) -> bool:
        """Count the best score of a query by "picture" or "words"; returns whether it is poor."""
        with self._lock:
            below = self._poor_below(kind)
            day = datetime.now(UTC).date().isoformat()
            self._days.setdefault((day, kind), np.zeros(BINS, np.int64))[_bin(best)] += 1
            for old in sorted({day for day, _ in self._days})[:-DAYS]:
                self._days = {key: bins for key, bins in self._days.items() if key[0] != old}
            if self._is_open and time.monotonic() - self._written > EVERY_S:
                self._write()
        return below is not None and best < below

    def drift(self) -> Drift:
        """All of it, the newest day first."""
        with self._lock:
            own = self._own if self._own.any() else None
            below = {kind: self._poor_below(kind) for kind in ("picture", "words")}
            days = [
                Day(
                    day=day, kind=kind, queries=int(bins.sum()),
                    median=_quantile(bins, 0.5), lowest=_quantile(bins, 0.05),
                    poor=None if (edge := below[kind]) is None else float(bins[: _bin(edge)].sum() / bins.sum()),
                )
                for (day, kind), bins in sorted(self._days.items(), reverse=True)
            ]  # fmt: skip
        return Drift(
            days=days,
            poor_below=below["picture"],
            own_median=None if own is None else _quantile(own, 0.5),
            expected_poor=POOR_SHARE,
        )

    def close(self) -> None:
        """Write down what was counted, for the last time, if it can be."""
        with self._lock, suppress(OSError):
            is_open, self._is_open = self._is_open, False
            if is_open:
                self._write()

    def _poor_below(self, kind: str) -> float | None:
        seen = self._own if kind == "picture" else sum(b for (_, k), b in self._days.items() if k == kind)
        enough = 1 if kind == "picture" else ENOUGH
        return _quantile(seen, POOR_SHARE) if isinstance(seen, np.ndarray) and seen.sum() >= enough else None

    def _look_up_own(self) -> None:
        own = np.zeros(BINS, np.int64)
        try:
            for vector in self._stored.sample(SAMPLED) if len(self._stored) > 1 else ():
                # The nearest is the item itself.
                own[_bin(self._stored.search(vector[None], 2)[0][1].score)] += 1
        except Exception as error:  # a thread of its own: nobody else would tell
            note(f"the index's own best scores are not known ({error}); no query by a picture is called poor")
            return
        with self._lock:
            self._own = own

    def _write(self) -> None:
        self._written = time.monotonic()
        days = {" ".join(key): _sparse(bins) for key, bins in self._days.items()}
        said = {"fingerprint": self._fingerprint, "own": _sparse(self._own), "days": days}
        write_text(self._path, json.dumps(said) + "\n")


def _bin(score: float) -> int:
    return min(BINS - 1, max(0, math.floor((score + 1) / 2 * BINS)))


def _quantile(bins: np.ndarray, share: float) -> float:
    """The lower edge of the bin in which the quantile lies."""
    place = int(np.searchsorted(bins.cumsum(), share * bins.sum(), side="right"))
    return round(place / BINS * 2 - 1, 4)


def _sparse(bins: np.ndarray) -> dict[str, int]:
    return {str(place): int(bins[place]) for place in np.flatnonzero(bins)}


def _bins(sparse: dict[str, int]) -> np.ndarray:
    bins = np.zeros(BINS, np.int64)
    for place, count in sparse.items():
        bins[int(place)] = count
    return bins


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
