"""Static embeddings (model2vec): a vector for each token of a distilled sentence model, summed; as fast as fastText."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.errors import SideError
from lookalike.files import sha256
from lookalike.progress import track
from lookalike.side.cleaning import words
from lookalike.side.pretrained import readable, refuse_missing
from lookalike.side.stored import check_fingerprint, write_folder
from lookalike.side.word_sums import unit_rows

CHUNK = 10_000


class StaticEncoder:
    """A model2vec model by name or from a folder; saved by reference, as sentence models are."""

    def __init__(self, model: str) -> None:
        """Load a model.

        Args:
            model: a local folder, or a name on the Hugging Face Hub.

        Raises:
            SideError: model2vec is not installed, or there is no such model here or on the Hub.
        """
        self._name = str(model)
        self._model = _load(self._name)
        vectors = np.ascontiguousarray(self._model.embedding)
        self._fingerprint = sha256(self._model.tokenizer.to_str().encode(), vectors.tobytes())

    @classmethod
    def load(cls, folder: Path, config: dict[str, Any]) -> "StaticEncoder":
        """The encoder that `save` wrote there.

        Raises:
            SideError: the model it refers to is gone, or another.
        """
        encoder = cls(config["model"])
        check_fingerprint(config, encoder.fingerprint, encoder._name)
        return encoder

    @property
    def dim(self) -> int:
        """T, length of a vector."""
        return int(self._model.dim)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the tokenizer and the token vectors."""
        return self._fingerprint

    def encode(self, texts: Sequence[str | None]) -> np.ndarray:
        """float32 [N, T], unit rows; a row of zeros where a text holds no word, or no token that the model knows."""
        result = np.zeros((len(texts), self.dim), np.float32)
        for start in track(range(0, len(texts), CHUNK), "reading descriptions"):
            chunk = texts[start : start + CHUNK]
            spoken = [row for row, text in enumerate(chunk) if words(text)]
            if spoken:
                found = self._model.encode(
                    [readable(chunk[row]) for row in spoken], max_length=None, use_multiprocessing=False
                )
                result[start + np.array(spoken)] = unit_rows(np.asarray(found, np.float32))
        return result

    def save(self, folder: Path) -> None:
        """Write it as a folder that `load_text_encoder` reads; the model stays where it is."""
        write_folder(folder, {"kind": "static", "fingerprint": self.fingerprint, "model": self._name})


def _load(name: str) -> Any:
    try:
        from model2vec import StaticModel
    except ImportError:
        raise SideError("static embeddings need the package model2vec: pip install 'lookalike[sentences]'") from None
    refuse_missing(name)
    try:
        return StaticModel.from_pretrained(name, normalize=False, force_download=False)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise SideError(
            f"the static model {name!r} cannot be loaded ({str(error).splitlines()[0]}); give a folder that holds "
            "one, or a name that is in the Hugging Face cache or can be downloaded (HF_HUB_OFFLINE=1 forbids that)"
        ) from None
