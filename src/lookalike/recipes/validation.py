"""The validation classes while a run trains: how well they are told apart, and what a few fixed queries find."""

from pathlib import Path

import numpy as np

from lookalike.encoders import Encoder
from lookalike.evaluation.figures import neighbor_rows, neighbor_sheet
from lookalike.evaluation.protocol import judge_all
from lookalike.files import written_whole
from lookalike.recipes.data import RunData
from lookalike.recipes.judge import embed_for, embed_rows
from lookalike.recipes.recipe import Recipe
from lookalike.training.best import Row
from lookalike.training.safety import spread

#: Queries of a panel, each of a class of its own.
QUERIES = 6
#: Training items looked at for a collapse where no classes are held out.
SAMPLED = 256


class Validation:
    """Judges an encoder while it is trained. No test item is looked at, not even as a distractor.

    Args:
        recipe: of the run.
        data: of the run.
        encoder: as it is whenever it is judged.
    """

    def __init__(self, recipe: Recipe, data: RunData, encoder: Encoder) -> None:
        self._recipe, self._data, self._encoder = recipe, data, encoder
        self._protocols = data.validation_protocols()
        self._embeddings = np.empty((0, 0), np.float32)

    def __call__(self) -> Row:
        """Recall@1 over all queries of all protocols, in [0, 1], None without any; and the `spread`."""
        if not self._protocols:
            training = np.flatnonzero(self._data.training)
            rows = training[np.linspace(0, len(training) - 1, min(SAMPLED, len(training))).astype(int)]
            return {"validation": None} | spread(embed_rows(self._recipe, self._data, self._encoder, rows))
        self._embeddings = embed_for(self._protocols, self._recipe, self._data, self._encoder)
        results = judge_all(self._protocols, self._embeddings, self._data.labels, k=[1]).values()
        score = float(np.mean(np.concatenate([result.values("recall_at_1") for result in results])))
        rows = np.unique(np.concatenate([protocol.rows for protocol in self._protocols]))
        return {"validation": score} | spread(self._embeddings[rows])

    def draw(self, path: Path) -> bool:
        """What the queries found when it was last judged, as a JPEG; False, and none, without validation classes."""
        if not self._protocols:
            return False
        protocol = self._protocols[0]
        _, first = np.unique(self._data.labels[protocol.queries], return_index=True)
        asked = first[np.linspace(0, len(first) - 1, min(QUERIES, len(first))).astype(int)]
        rows = neighbor_rows(protocol, self._embeddings, self._data.labels, asked.tolist())
        with written_whole(path) as temporary:
            neighbor_sheet(self._data.catalog, rows).save(temporary, "JPEG", quality=80)
        return True
