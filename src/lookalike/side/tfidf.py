"""TF-IDF and a truncated SVD (latent semantic analysis): seconds, no download, no subwords."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_array
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from lookalike.errors import SideError
from lookalike.files import sha256
from lookalike.progress import track
from lookalike.side.cleaning import words
from lookalike.side.stored import write_folder
from lookalike.side.word_sums import unit_rows

WEIGHTS, VOCABULARY = "tfidf.safetensors", "vocabulary.json"
#: Words kept, the most frequent first; bounds memory.
MOST_WORDS = 50_000
#: Texts turned into vectors at a time.
CHUNK = 10_000


class TfidfEncoder:
    """Words weighed by how rare they are, then the directions that explain most (Deerwester et al., 1990 [reported]).

    Words not seen when it was made say nothing.
    """

    def __init__(self, vocabulary: list[str], weights: np.ndarray, directions: np.ndarray) -> None:
        """Take what `fit` found.

        Args:
            vocabulary: V words.
            weights: float32 [V], inverse document frequencies.
            directions: float32 [V, T], of the SVD; the columns are orthonormal.
        """
        self._vocabulary = vocabulary
        self._weights = weights
        self._directions = directions
        self._counter = TfidfVectorizer(analyzer=words, vocabulary=vocabulary, sublinear_tf=True, dtype=np.float32)
        self._counter.idf_ = weights

    @classmethod
    def fit(cls, texts: Sequence[str | None], dim: int = 64) -> "TfidfEncoder":
        """Learn words and directions from the distinct texts.

        Args:
            texts: descriptions.
            dim: T at most; less where the texts hold fewer words.

        Raises:
            SideError: the texts hold no word.
        """
        distinct = [text for text in dict.fromkeys(texts) if words(text)]
        if not distinct:
            raise SideError("the descriptions hold no word; fill the text column, or choose a loss without text")
        counter = TfidfVectorizer(analyzer=words, max_features=MOST_WORDS, sublinear_tf=True, dtype=np.float32)
        weighed = counter.fit_transform(distinct)
        vocabulary = [str(word) for word in counter.get_feature_names_out()]
        if len(vocabulary) <= dim:
            directions = np.eye(len(vocabulary), dtype=np.float32)
        else:
            directions = TruncatedSVD(dim, random_state=0).fit(weighed).components_.T
        return cls(vocabulary, counter.idf_.astype(np.float32), np.ascontiguousarray(directions, np.float32))

    @classmethod
    def load(cls, folder: Path, config: dict[str, Any]) -> "TfidfEncoder":
        """The encoder that `save` wrote there."""
        tensors = load_file(folder / WEIGHTS)
        vocabulary = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
        return cls(vocabulary, tensors["weights"], tensors["directions"])

    @property
    def dim(self) -> int:
        """T, length of a vector."""
        return int(self._directions.shape[1])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of words, weights and directions."""
        return sha256("\n".join(self._vocabulary).encode(), self._weights.tobytes(), self._directions.tobytes())

    def encode(self, texts: Sequence[str | None]) -> np.ndarray:
        """float32 [N, T], unit rows; a row of zeros where a text holds no known word."""
        result = np.zeros((len(texts), self.dim), np.float32)
        for start in track(range(0, len(texts), CHUNK), "reading descriptions"):
            weighed = csr_array(self._counter.transform(texts[start : start + CHUNK]))
            result[start : start + CHUNK] = unit_rows(weighed @ self._directions)
        return result

    def save(self, folder: Path) -> None:
        """Write it as a folder that `load_text_encoder` reads."""

        def write(aside: Path) -> None:
            save_file({"weights": self._weights, "directions": self._directions}, aside / WEIGHTS)
            (aside / VOCABULARY).write_text(json.dumps(self._vocabulary, ensure_ascii=False), encoding="utf-8")

        write_folder(folder, {"kind": "tfidf", "fingerprint": self.fingerprint}, write)
