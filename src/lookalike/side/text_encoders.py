"""Text to vectors, behind one protocol."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from lookalike.errors import SideError, did_you_mean
from lookalike.side.cleaned import CleanedEncoder
from lookalike.side.cleaning import Cleaning
from lookalike.side.fasttext import FastTextEncoder
from lookalike.side.fasttext_file import FastTextBinary, WordTable, fasttext_file
from lookalike.side.pretrained import Pooling
from lookalike.side.sentence import SentenceEncoder
from lookalike.side.static import StaticEncoder
from lookalike.side.stored import read_folder
from lookalike.side.tfidf import TfidfEncoder

EncoderName = Literal["fasttext", "fasttext_file", "sentence", "static", "tfidf"]
#: These were trained elsewhere.
NEED_MODEL = ("fasttext_file", "sentence", "static")


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

    def save(self, folder: Path) -> None:
        """Write it as a folder that `load_text_encoder` reads."""


#: What a saved encoder's `kind` stands for; each has `load(folder, config)`.
SAVED_KINDS: dict[str, Any] = {
    "fasttext": FastTextEncoder,
    "fasttext_binary": FastTextBinary,
    "word_table": WordTable,
    "sentence": SentenceEncoder,
    "static": StaticEncoder,
    "tfidf": TfidfEncoder,
    "cleaned": CleanedEncoder,
}


def make_text_encoder(
    name: EncoderName,
    texts: Sequence[str | None],
    *,
    model: str = "",
    dim: int = 64,
    epochs: int = 0,
    pooling: Pooling = "",
    clean: Sequence[str] = (),
) -> TextEncoder:
    """An encoder for these texts, trained on them or made before.

    Args:
        name: "fasttext" and "tfidf" learn from the texts; the others need `model`.
        texts: the descriptions of the catalog.
        model: a .bin or .vec file for "fasttext_file"; a folder or a name on the Hub for "sentence" and "static".
        dim: T, of "fasttext" and "tfidf"; a model has its own.
        epochs: of "fasttext"; 0: as many as it takes.
        pooling: of "sentence".
        clean: steps of the clean-up; see `Cleaning`.

    Raises:
        SideError: no such encoder or step, a package or the model is missing, or the texts hold no word.
    """
    cleaning = Cleaning.learn(clean, texts)
    makers: dict[str, Callable[[list[str | None]], TextEncoder]] = {
        "fasttext": lambda cleaned: FastTextEncoder.fit(cleaned, dim, epochs),
        "fasttext_file": lambda cleaned: fasttext_file(model, cleaned),
        "sentence": lambda _: SentenceEncoder(model, pooling),
        "static": lambda _: StaticEncoder(model),
        "tfidf": lambda cleaned: TfidfEncoder.fit(cleaned, dim),
    }
    if name not in makers:
        raise SideError(f"there is no text encoder {name!r}.{did_you_mean(name, makers)}")
    encoder = makers[name]([cleaning(text) for text in texts])
    return CleanedEncoder(encoder, cleaning) if cleaning.steps else encoder


def load_text_encoder(folder: Path | str) -> TextEncoder:
    """The text encoder that `save` wrote.

    Raises:
        SideError: there is none, it is damaged, or the model it refers to is gone or another.
    """
    config = read_folder(Path(folder))
    kind = config.get("kind")
    if kind not in SAVED_KINDS:
        raise SideError(f"{folder} holds a text encoder of kind {kind!r}.{did_you_mean(str(kind), SAVED_KINDS)}")
    encoder: TextEncoder = SAVED_KINDS[kind].load(Path(folder), config)
    return encoder
