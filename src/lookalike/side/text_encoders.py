"""Text to vectors, behind one protocol."""

import re
import tempfile
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lookalike.errors import SideError
from lookalike.files import sha256

WORD = re.compile(r"[^\W_]+")


class TextEncoder(Protocol):
    """Maps texts to vectors."""

    @property
    def dim(self) -> int:
        """T, length of a vector."""

    @property
    def fingerprint(self) -> str:
        """Names what made the vectors: equal fingerprints, equal vectors."""

    def encode(self, texts: Sequence[str | None]) -> np.ndarray:
        """float32 [N, T], unit rows; a row of zeros where a text holds no word."""


class FastTextEncoder:
    """Subword vectors (fastText, skip-gram) trained on the catalog's own descriptions; no download.

    A text's vector is the sum of its words' vectors, made unit length (Zhao et al., arXiv 1909.12939
    [reported]). Words never seen get vectors from their letters.
    """

    def __init__(self, model: Any, fingerprint: str) -> None:
        self._model = model
        self._fingerprint = fingerprint

    @classmethod
    def fit(cls, texts: Sequence[str | None], dim: int = 64, epochs: int = 20) -> "FastTextEncoder":
        """Train on these texts; the same texts and settings give the same vectors.

        Args:
            texts: descriptions; each distinct one is used once, so that products with many pictures do not weigh more.
            dim: T, length of a vector.
            epochs: passes over the texts.

        Raises:
            SideError: floret is not installed, or the texts hold no word.
        """
        floret = _floret()
        lines = [" ".join(words(text)) for text in dict.fromkeys(texts)]
        lines = [line for line in lines if line]
        if not lines:
            raise SideError("the descriptions hold no word; fill the text column, or choose a loss without text")
        settings = {"dim": dim, "epoch": epochs, "minCount": 1, "minn": 3, "maxn": 5, "bucket": 50_000}
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "descriptions.txt"
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
            # One thread: more of them update the same vectors in whatever order, and runs would differ.
            model = floret.train_unsupervised(str(file), model="skipgram", thread=1, verbose=0, **settings)
        return cls(model, sha256(str(sorted(settings.items())).encode(), "\n".join(lines).encode()))

    @property
    def dim(self) -> int:
        """T, length of a vector."""
        return int(self._model.get_dimension())

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the settings and the texts it was trained on."""
        return self._fingerprint

    def encode(self, texts: Sequence[str | None]) -> np.ndarray:
        """float32 [N, T], unit rows; a row of zeros where a text holds no word."""
        distinct = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        vectors = np.stack([self._encode_one(text) for text in distinct]) if distinct else np.zeros((0, self.dim))
        rows = vectors[[distinct[text] for text in texts]]
        return np.ascontiguousarray(rows, dtype=np.float32)

    def _encode_one(self, text: str | None) -> np.ndarray:
        total = np.zeros(self.dim)
        for word in words(text):
            total += self._model.get_word_vector(word)
        length = np.linalg.norm(total)
        return total / length if length > 0 else total


def words(text: str | None) -> list[str]:
    """The words of a text: lower case, punctuation dropped.

    >>> words("Red T-Shirt, 100% cotton!")
    ['red', 't', 'shirt', '100', 'cotton']
    """
    # One form of each letter: an "é" may be written as one sign or as two, of which the second is no letter.
    return WORD.findall(unicodedata.normalize("NFKC", text).lower()) if text else []


def _floret() -> Any:
    try:
        import floret
    except ImportError:
        raise SideError("text vectors need the package floret: pip install 'lookalike[text]'") from None
    return floret
