"""Words into the image space: against the definition, on a made shop, and on disk."""

import json
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from lookalike.encoders import Encoder
from lookalike.encoders import words as module
from lookalike.encoders.words import Words
from lookalike.errors import EncoderError, SideError
from lookalike.side.tfidf import TfidfEncoder

COLORS = ["red", "green", "blue", "black", "white", "pink"]
KINDS = ["coat", "boot", "bag", "dress", "scarf", "watch"]


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def made_shop(copies: int = 4, dim: int = 8) -> tuple[list[str | None], np.ndarray]:
    """Texts "red coat", and embeddings that are the sum of one direction for each word and one for all, with noise."""
    rng = np.random.default_rng(0)
    place = {word: rng.standard_normal(dim) for word in COLORS + KINDS}
    pairs = [pair for pair in product(COLORS, KINDS) for _ in range(copies)]
    common = 3 * rng.standard_normal(dim)
    embeddings = [common + place[color] + place[kind] + 0.1 * rng.standard_normal(dim) for color, kind in pairs]
    return [f"{color} {kind}" for color, kind in pairs], unit(np.array(embeddings))


@pytest.fixture(scope="module")
def words() -> Words:
    texts, embeddings = made_shop()
    return Words.fit(TfidfEncoder.fit(texts), texts, embeddings)


@pytest.fixture
def worded(make_encoder: Callable[..., Encoder], words: Words) -> Encoder:
    """A tiny encoder, whose embeddings have 8 dimensions too."""
    encoder = make_encoder()
    encoder.words = words
    return encoder


@pytest.mark.parametrize("block", [3, 8192])
@pytest.mark.parametrize("ridge", [0.003, 1.0])
def test_the_map_is_that_of_the_definition(ridge: float, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    monkeypatch.setattr(module, "FEATURES", 40)
    texts, embeddings = made_shop(copies=1)
    rows = [*range(0, 36, 2), 0, 0, 4, 35]  # some texts weigh more
    texts, embeddings = [texts[row] for row in rows], unit(embeddings[rows] + 0.2)
    encoder = TfidfEncoder.fit(texts)
    found = Words.fit(encoder, [*texts, None, "?!"], np.concatenate([embeddings, embeddings[:2]]), ridge)

    own = {name: tensor.astype(np.float64) for name, tensor in found._tensors.items()}
    centered = encoder.encode(texts) - encoder.encode(texts).mean(axis=0)
    waves = centered / np.linalg.norm(centered, axis=1, keepdims=True) @ own["frequencies"] + own["phases"]
    features = np.cos(waves) - np.cos(waves).mean(axis=0)
    strength = ridge * (features**2).sum(axis=0).mean()
    # Least squares with one more row for each number that the ridge holds down.
    left = np.concatenate([features, np.sqrt(strength) * np.eye(40)])
    right = np.concatenate([embeddings - embeddings.mean(axis=0), np.zeros((40, 8))])
    matrix = np.linalg.lstsq(left, right, rcond=None)[0]
    assert found._tensors["matrix"] == pytest.approx(matrix, abs=1e-4)
    assert np.abs(matrix).max() > 0.01
    assert found.embed(texts) == pytest.approx(unit(features @ matrix), abs=1e-3)


def test_unseen_descriptions_find_their_pictures() -> None:
    texts, embeddings = made_shop()
    seen = np.array([COLORS.index(str(text).split()[0]) != KINDS.index(str(text).split()[1]) for text in texts])
    seen_texts = [text for text, is_seen in zip(texts, seen, strict=True) if is_seen]
    asked = [f"{color} {kind}" for color, kind in zip(COLORS, KINDS, strict=True)]

    def recall(taught: list[str | None]) -> float:
        fitted = Words.fit(TfidfEncoder.fit(taught), taught, embeddings[seen])
        best = (fitted.embed(asked) @ embeddings[~seen].T).argmax(axis=1)
        gallery = [text for text, is_seen in zip(texts, seen, strict=True) if not is_seen]
        return float(np.mean([gallery[row] == text for row, text in zip(best, asked, strict=True)]))

    assert recall(seen_texts) == 1
    assert recall(np.random.default_rng(0).permutation(np.array(seen_texts)).tolist()) < 0.6


def test_rows_have_unit_length_whatever_is_asked_with(words: Words) -> None:
    found = words.embed(["red coat", "RED, red... boot!", "a watch nobody described"])
    assert (found.shape, found.dtype) == ((3, 8), np.float32)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-6)
    assert words.embed([]).shape == (0, 8)
    assert words.dim == 8


@pytest.mark.parametrize("text", ["", "?!", "zzz", None])
def test_a_text_without_a_known_word_is_refused(words: Words, text: str) -> None:
    assert words.known(["red", text]).tolist() == [True, False]
    with pytest.raises(EncoderError) as caught:
        words.embed(["red", text])
    assert str(caught.value).startswith(f"the text {text!r} holds no word that the descriptions taught; ask with")


@pytest.mark.parametrize("texts", [["red coat"] * 4, [None] * 4, ["?!", None, "red", "red"]])
def test_descriptions_that_do_not_differ_teach_nothing(texts: list[str | None]) -> None:
    encoder = TfidfEncoder.fit(["red coat", "blue"])
    with pytest.raises(EncoderError, match="search by words needs descriptions that differ, and these do not"):
        Words.fit(encoder, texts, made_shop(dim=8)[1][:4])


def test_an_encoder_without_words_says_so(encoder: Encoder) -> None:
    with pytest.raises(EncoderError, match=r"knows no words; train on a catalog with a text column \(--text\)"):
        encoder.embed_words(["red"])


def test_words_come_back_with_their_encoder(worded: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = worded.embed_words(["red coat", "pink watch"])
    worded.save(tmp_path / "run" / "encoder")
    again = Encoder.load(tmp_path / "run")
    assert np.array_equal(again.embed_words(["red coat", "pink watch"]), expected)

    # Saved again and moved, the text encoder not read in between; from a relative path, left before the first question.
    monkeypatch.chdir(tmp_path)
    Encoder.load("run").save("copy")
    Encoder.load("run").save("run/encoder")
    copied, resaved = Encoder.load("copy"), Encoder.load("run")
    monkeypatch.chdir("/")
    assert np.array_equal(copied.embed_words(["red coat", "pink watch"]), expected)
    assert np.array_equal(resaved.embed_words(["red coat", "pink watch"]), expected)


def test_words_do_not_change_the_fingerprint(
    worded: Encoder, make_encoder: Callable[..., Encoder], tmp_path: Path
) -> None:
    assert worded.fingerprint == make_encoder().fingerprint == Encoder.load(worded.save(tmp_path / "e")).fingerprint


def test_a_folder_saved_without_words_replaces_one_with(worded: Encoder, tmp_path: Path) -> None:
    folder = worded.save(tmp_path / "e")
    assert sorted(path.name for path in folder.iterdir()) == ["encoder.json", "weights.safetensors", "words"]
    worded.words = None
    worded.save(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["encoder.json", "weights.safetensors"]
    assert Encoder.load(folder).words is None


@pytest.mark.parametrize("how", ["flipped", "short", "gone"])
def test_a_damaged_map_is_found_when_the_encoder_is_loaded(worded: Encoder, tmp_path: Path, how: str) -> None:
    file = worded.save(tmp_path / "e") / "words" / "map.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(content if how == "flipped" else content[:100])
    reason = "is damaged" if how == "flipped" else "cannot be read"
    with pytest.raises(EncoderError, match=rf"map\.safetensors {reason} .*; restore it or train again"):
        Encoder.load(tmp_path / "e")


def test_a_damaged_or_foreign_text_encoder_is_found_at_the_first_question(worded: Encoder, tmp_path: Path) -> None:
    folder = worded.save(tmp_path / "e")
    text = folder / "words" / "text"
    own = shutil.copytree(text, tmp_path / "own")
    file = next(file for file in text.iterdir() if file.name != "text_encoder.json")
    file.write_bytes(file.read_bytes() + b" ")
    opened = Encoder.load(folder)  # pictures need no text encoder
    with pytest.raises(SideError, match="is damaged"):
        opened.embed_words(["red"])

    shutil.rmtree(text)
    TfidfEncoder.fit(["another shop", "of another owner"]).save(text)
    with pytest.raises(SideError, match="is not the text encoder these words were learned with; restore it"):
        opened.embed_words(["another"])
    shutil.rmtree(text)
    shutil.copytree(own, text)
    assert opened.embed_words(["red"]).shape == (1, 8)


def test_the_map_of_another_encoder_is_found(worded: Encoder, tmp_path: Path) -> None:
    texts, embeddings = made_shop()
    folder = worded.save(tmp_path / "e")
    worded.words = Words.fit(TfidfEncoder.fit(texts), texts, embeddings[::-1])
    other = worded.save(tmp_path / "other")
    shutil.copy(other / "words" / "map.safetensors", folder / "words" / "map.safetensors")
    with pytest.raises(EncoderError, match="its checksum is wrong"):
        Encoder.load(folder)
    assert json.loads((folder / "encoder.json").read_text())["words"]
