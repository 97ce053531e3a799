"""fastText trained on the catalog's own descriptions: vectors of words from their letters, no download."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.errors import SideError
from lookalike.files import sha256
from lookalike.progress import console
from lookalike.side.cleaning import words
from lookalike.side.stored import write_folder
from lookalike.side.word_sums import sums_of_words

MODEL = "fasttext.bin"
#: Texts trained on, spread evenly over all: each pass over a million takes most of a minute, and more teach little.
MOST_TEXTS = 200_000
#: Words read in training at least, and passes at least, where no number of passes is given: after 20 passes over
#: a few dozen texts nothing is learned yet.
WORDS_READ, PASSES = 500_000, 20


class FastTextEncoder:
    """Subword vectors (fastText, skip-gram) trained on the catalog's own descriptions; no download.

    A text's vector is the sum of its words' vectors, made unit length (Zhao et al., arXiv 1909.12939
    [reported]). Words never seen get vectors from their letters.
    """

    def __init__(self, model: Any, fingerprint: str) -> None:
        self._model = model
        self._fingerprint = fingerprint

    @classmethod
    def fit(cls, texts: Sequence[str | None], dim: int = 64, epochs: int = 0) -> "FastTextEncoder":
        """Train on these texts; the same texts and settings give the same vectors.

        Args:
            texts: descriptions; each distinct one is used once, so that products with many pictures do not weigh more,
                and of more than 200,000 as many, evenly spread.
            dim: T, length of a vector.
            epochs: passes over the texts; 0: as many as it takes to read 500,000 words, and 20 at least.

        Raises:
            SideError: floret is not installed, or the texts hold no word.
        """
        floret = _floret()
        lines = [" ".join(words(text)) for text in dict.fromkeys(texts)]
        lines = [line for line in lines if line]
        if not lines:
            raise SideError("the descriptions hold no word; fill the text column, or choose a loss without text")
        if len(lines) > MOST_TEXTS:
            lines = [lines[row] for row in np.linspace(0, len(lines) - 1, MOST_TEXTS).astype(int).tolist()]
        epochs = epochs or max(PASSES, -(-WORDS_READ // sum(line.count(" ") + 1 for line in lines)))
        settings = {"dim": dim, "epoch": epochs, "minCount": 1, "minn": 3, "maxn": 5, "bucket": 50_000}
        bar = 2 if console.is_terminal else 0
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "descriptions.txt"
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
            # One thread: more of them update the same vectors in whatever order, and runs would differ.
            model = floret.train_unsupervised(str(file), model="skipgram", thread=1, verbose=bar, **settings)
        return cls(model, sha256(str(sorted(settings.items())).encode(), "\n".join(lines).encode()))

    @classmethod
    def load(cls, folder: Path, config: dict[str, Any]) -> "FastTextEncoder":
        """The encoder that `save` wrote there."""
        return cls(_floret().load_model(str(folder / MODEL)), config["fingerprint"])

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
        return sums_of_words(texts, self._model.get_word_vector, self.dim)

    def save(self, folder: Path) -> None:
        """Write it as a folder that `load_text_encoder` reads."""
        config = {"kind": "fasttext", "fingerprint": self.fingerprint}
        write_folder(folder, config, lambda aside: self._model.save_model(str(aside / MODEL)))


def _floret() -> Any:
    try:
        import floret
    except ImportError:
        raise SideError("text vectors need the package floret: pip install 'lookalike[text]'") from None
    return floret
