"""Texts to vectors: the same every time, near for what is alike, zero for what says nothing."""

import sys

import numpy as np
import pytest

from lookalike.errors import SideError
from lookalike.side import FastTextEncoder, fasttext, word_sums
from tests.side.shop import SHOP


@pytest.fixture(scope="module")
def encoder() -> FastTextEncoder:
    return FastTextEncoder.fit(SHOP, dim=24)


def test_rows_have_unit_length_and_the_shape_told(encoder: FastTextEncoder) -> None:
    vectors = encoder.encode(SHOP)
    assert (vectors.shape, vectors.dtype, encoder.dim) == ((36, 24), np.float32, 24)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)
    assert encoder.encode([]).shape == (0, 24)


@pytest.mark.parametrize("text", [None, "", "   ", "\U0001f45c\U0001f680", "!!! ... ---", "\0"])
def test_a_text_without_words_is_a_row_of_zeros(encoder: FastTextEncoder, text: str | None) -> None:
    vectors = encoder.encode([text, "red boot", text])
    assert not vectors[0].any()
    assert not vectors[2].any()
    assert vectors[1].any()


def test_the_same_texts_give_the_same_vectors(encoder: FastTextEncoder) -> None:
    again = FastTextEncoder.fit(SHOP, dim=24)
    assert again.fingerprint == encoder.fingerprint
    assert np.array_equal(again.encode(SHOP), encoder.encode(SHOP))


def test_what_is_repeated_or_empty_changes_nothing(encoder: FastTextEncoder) -> None:
    again = FastTextEncoder.fit([*SHOP, None, "", SHOP[3], SHOP[3]], dim=24)
    assert again.fingerprint == encoder.fingerprint
    assert np.array_equal(again.encode(SHOP), encoder.encode(SHOP))


def test_the_fingerprint_names_texts_and_settings(encoder: FastTextEncoder) -> None:
    others = [
        FastTextEncoder.fit(SHOP[1:], dim=24),
        FastTextEncoder.fit(SHOP, dim=25),
        FastTextEncoder.fit(SHOP, 24, 3),
    ]
    assert len({encoder.fingerprint, *(other.fingerprint for other in others)}) == 4


def test_few_texts_are_read_more_often() -> None:
    few = ["red wool boot", "blue bag"]
    assert FastTextEncoder.fit(few, dim=4).fingerprint == FastTextEncoder.fit(few, 4, 100_000).fingerprint


def test_of_very_many_texts_some_are_trained_on_and_all_are_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fasttext, "MOST_TEXTS", 10)
    some = FastTextEncoder.fit(SHOP, 8, 1)
    rows = np.linspace(0, len(SHOP) - 1, 10).astype(int)
    assert some.fingerprint == FastTextEncoder.fit([SHOP[row] for row in rows], 8, 1).fingerprint
    assert some.encode(SHOP).any(axis=1).all()


def test_chunks_and_a_full_table_change_nothing(encoder: FastTextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*SHOP, None, "red " * 50, *(f"word{number}" for number in range(2_000))]
    whole = encoder.encode(texts)
    monkeypatch.setattr(word_sums, "CHUNK_WORDS", 7)
    monkeypatch.setattr(word_sums, "TABLE_BYTES", 4 * 24 * 20)
    assert np.array_equal(encoder.encode(texts), whole)


def test_like_descriptions_are_nearer_than_others(encoder: FastTextEncoder) -> None:
    vectors = encoder.encode(SHOP)
    kinds = np.repeat(np.arange(3), 12)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, np.nan)
    same = kinds[:, None] == kinds[None, :]
    assert np.nanmean(cosines[same]) > np.nanmean(cosines[~same]) + 0.1
    nearest = np.nanargmax(cosines, axis=1)
    assert (kinds[nearest] == kinds).mean() > 0.95


def test_unseen_words_get_vectors_of_their_letters(encoder: FastTextEncoder) -> None:
    unseen, kin, stranger = encoder.encode(["handbags", "handbag", "sleeves"])
    assert unseen.any()
    assert unseen @ kin > unseen @ stranger
    assert encoder.encode(["zzzqqq"]).any()


def test_capitals_and_punctuation_do_not_matter(encoder: FastTextEncoder) -> None:
    plain, loud = encoder.encode(["red wool boot", "RED-wool... (Boot)!"])
    assert np.array_equal(plain, loud)


def test_odd_texts_train_and_encode() -> None:
    texts = [" ".join(f"word{number}" for number in range(10_000)), "nul \0 inside", "x" * 5_000, "__label__only"]
    texts += ["rote Tasche", "красная сумка", "红色 包", "حقيبة حمراء", "लाल बैग"]
    encoder = FastTextEncoder.fit(texts, dim=8, epochs=1)
    vectors = encoder.encode(texts)
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)
    assert FastTextEncoder.fit(["__label__only"], dim=8, epochs=1).encode(["only"]).any()


@pytest.mark.parametrize("texts", [[], [None, None], ["", "  ", "\U0001f45c"]])
def test_texts_without_any_word(texts: list[str | None]) -> None:
    with pytest.raises(SideError, match="hold no word; fill the text column, or choose a loss without text"):
        FastTextEncoder.fit(texts)


def test_without_floret_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "floret", None)
    with pytest.raises(SideError, match=r"need the package floret: pip install 'lookalike\[text\]'"):
        FastTextEncoder.fit(SHOP)
