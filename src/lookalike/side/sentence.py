"""Sentence-transformers and plain BERT models, by name or from a local folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from lookalike.errors import SideError, did_you_mean
from lookalike.files import sha256
from lookalike.progress import console
from lookalike.side.cleaning import words
from lookalike.side.pretrained import Pooling, readable, refuse_missing
from lookalike.side.stored import check_fingerprint, write_folder

BATCH_SIZE = 64


class SentenceEncoder:
    """A sentence-transformers model; of a plain BERT, the words' vectors pooled (Reimers & Gurevych 2019 [reported]).

    Saved by reference: the folder of the encoder names the model and the fingerprint of its content.
    """

    def __init__(self, model: str, pooling: Pooling = "") -> None:
        """Load a model.

        Args:
            model: a local folder, or a name on the Hugging Face Hub.
            pooling: mean, cls or max; empty: the model's own, and the mean where it has none.

        Raises:
            SideError: sentence-transformers is not installed, or there is no such model here or on the Hub.
        """
        if pooling not in get_args(Pooling):
            raise SideError(f"there is no pooling {pooling!r}.{did_you_mean(pooling, get_args(Pooling))}")
        self._name, self._pooling = str(model), pooling
        self._model = _load(self._name, pooling)
        self._fingerprint = _fingerprint(self._model, pooling)

    @classmethod
    def load(cls, folder: Path, config: dict[str, Any]) -> "SentenceEncoder":
        """The encoder that `save` wrote there.

        Raises:
            SideError: the model it refers to is gone, or another.
        """
        encoder = cls(config["model"], config["pooling"])
        check_fingerprint(config, encoder.fingerprint, encoder._name)
        return encoder

    @property
    def dim(self) -> int:
        """T, length of a vector."""
        return int(self._model.get_embedding_dimension())

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the model's weights, vocabulary and pooling."""
        return self._fingerprint

    def encode(self, texts: Sequence[str | None]) -> np.ndarray:
        """float32 [N, T], unit rows; a row of zeros where a text holds no word.

        A text longer than the model reads is cut there.
        """
        distinct = {text: row for row, text in enumerate(dict.fromkeys(text for text in texts if words(text)))}
        vectors = np.zeros((len(distinct) + 1, self.dim), np.float32)  # the last row: no word
        if distinct:
            vectors[:-1] = self._model.encode(
                [readable(text) for text in distinct],
                batch_size=BATCH_SIZE,
                normalize_embeddings=True,
                show_progress_bar=console.is_terminal,
                convert_to_numpy=True,
            )
        return np.ascontiguousarray(vectors[[distinct.get(text, -1) for text in texts]]).reshape(-1, self.dim)

    def save(self, folder: Path) -> None:
        """Write it as a folder that `load_text_encoder` reads; the model stays where it is."""
        reference = {"model": self._name, "pooling": self._pooling}
        write_folder(folder, {"kind": "sentence", "fingerprint": self.fingerprint} | reference)


def _load(name: str, pooling: Pooling) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer import modules
        from transformers.utils import logging
    except ImportError:
        raise SideError(
            "sentence models need the package sentence-transformers: pip install 'lookalike[sentences]'"
        ) from None
    refuse_missing(name)
    if not console.is_terminal:
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        if not pooling:
            return SentenceTransformer(name, device="cpu")
        tokens = modules.Transformer(name)
        pooled = modules.Pooling(tokens.get_embedding_dimension(), pooling_mode=pooling)
        return SentenceTransformer(modules=[tokens, pooled], device="cpu")
    except (OSError, ValueError, RuntimeError) as error:
        raise SideError(
            f"the sentence model {name!r} cannot be loaded ({str(error).splitlines()[0]}); give a folder that holds "
            "one, or a name that is in the Hugging Face cache or can be downloaded (HF_HUB_OFFLINE=1 forbids that)"
        ) from None


def _fingerprint(model: Any, pooling: str) -> str:
    tensors = [name.encode() + tensor.numpy().tobytes() for name, tensor in model.state_dict().items()]
    vocabulary = str(sorted(model.tokenizer.get_vocab().items()))
    return sha256(str([module for module in model]).encode(), vocabulary.encode(), pooling.encode(), *tensors)
