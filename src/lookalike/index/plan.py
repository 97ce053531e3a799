"""How the vector index of a large table is asked."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from lookalike.files import write_text

NAME = "approximate.json"
#: Rows asked for when recall is measured, as a search for ten matches asks.
LIMIT = 26


@dataclass(frozen=True, slots=True)
class Plan:
    """How a vector index is asked, and what came of it."""

    #: clusters looked into, of so many
    probes: int
    clusters: int
    #: for each row wanted, how many are scored again in full
    refine: int
    #: share of the ten nearest rows that were found
    recall: float
    recall_target: float
    #: when this was measured
    rows: int

    def write(self, folder: Path) -> None:
        """Write it into `folder`, whole or not at all."""
        write_text(folder / NAME, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Plan | None":
        """The plan in `folder`; without one, or with one of another version, every row is read."""
        try:
            return cls(**json.loads((folder / NAME).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    @property
    def is_good(self) -> bool:
        """Whether it finds as much as was asked for; else every row is read."""
        return self.recall >= self.recall_target

    def probes_for(self, limit: int) -> int:
        """Clusters to look into for so many rows: the more rows, the farther they lie."""
        return min(self.clusters, self.probes * -(-limit // LIMIT))
