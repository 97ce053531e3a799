"""What every text encoder keeps: unit rows or zeros, whatever the text; the same after saving; one key in the cache."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.errors import SideError
from lookalike.side import TextEncoder, load_text_encoder, make_text_encoder
from lookalike.side.cached import cached_vectors
from lookalike.side.text_encoders import SAVED_KINDS
from tests.side.shop import MAKERS, SHOP, sentence_folder

MESSY = [None, "", "   ", "\0", "\U0001f45c\U0001f680", "!!! ... ---", "a\0b", "red " * 10_000, "x" * 5_000]
MESSY += [
    "rote Tasche",
    "красная сумка",
    "红色 包",
    "حقيبة حمراء",
    "लाल बैग",
    "<b>red</b> &amp; blue",
    "\ud800 boot",
    "É e\u0301",
]


@pytest.fixture(scope="module", params=MAKERS)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    return MAKERS[request.param](SHOP, tmp_path_factory.mktemp(request.param))


def check_rows(vectors: np.ndarray, count: int, dim: int) -> None:
    assert (vectors.shape, vectors.dtype) == ((count, dim), np.float32)
    lengths = np.linalg.norm(vectors, axis=1)
    assert ((np.abs(lengths - 1) < 1e-5) | (lengths == 0)).all()


def test_every_kind_is_here() -> None:
    assert MAKERS.keys() == SAVED_KINDS.keys()


def test_rows_are_unit_or_zero_whatever_the_text(encoder: TextEncoder) -> None:
    vectors = encoder.encode(MESSY)
    check_rows(vectors, len(MESSY), encoder.dim)
    assert not vectors[:6].any()
    assert vectors[7].any()
    check_rows(encoder.encode([]), 0, encoder.dim)
    assert np.linalg.norm(encoder.encode(SHOP), axis=1) == pytest.approx(1, abs=1e-5)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.none() | st.text(st.characters(), max_size=60), max_size=6))
def test_any_text_gives_a_row(encoder: TextEncoder, texts: list[str | None]) -> None:
    check_rows(encoder.encode(texts), len(texts), encoder.dim)


def test_neither_order_nor_company_matters(encoder: TextEncoder) -> None:
    texts = [*SHOP, None, "blue wool"]
    order = np.random.default_rng(0).permutation(len(texts))
    vectors = encoder.encode(texts)
    assert encoder.encode([texts[row] for row in order]) == pytest.approx(vectors[order], abs=1e-5)
    assert encoder.encode(["blue wool"])[0] == pytest.approx(vectors[-1], abs=1e-5)
    assert np.abs(vectors[0] - vectors[-1]).max() > 1e-3


def test_saved_and_loaded_it_is_the_same(encoder: TextEncoder, tmp_path: Path) -> None:
    for _ in range(2):  # the second takes the place of the first
        encoder.save(tmp_path / "text")
    loaded = load_text_encoder(tmp_path / "text")
    assert (loaded.dim, loaded.fingerprint) == (encoder.dim, encoder.fingerprint)
    assert np.array_equal(loaded.encode(MESSY), encoder.encode(MESSY))
    assert [file.name for file in tmp_path.iterdir()] == ["text"]


@pytest.mark.parametrize("kind", [kind for kind in MAKERS if kind != "sentence"])
def test_the_fingerprint_names_data(kind: str, tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
    first = MAKERS[kind](SHOP, tmp_path / "a").fingerprint
    assert MAKERS[kind](SHOP, tmp_path / "b").fingerprint == first
    assert MAKERS[kind]([*SHOP, "yellow hat of straw"], tmp_path / "c").fingerprint != first


def test_the_pooling_is_in_the_fingerprint() -> None:
    from lookalike.side.sentence import SentenceEncoder

    folder = sentence_folder()
    plain, first = SentenceEncoder(folder), SentenceEncoder(folder, "cls")
    assert plain.fingerprint != first.fingerprint
    boot, shoe, cake = plain.encode(["leather boot", "a shoe of leather", "chocolate cake"])
    assert boot @ shoe > boot @ cake + 0.2
    with pytest.raises(SideError, match=r"there is no pooling 'men'. Did you mean 'mean'"):
        SentenceEncoder(folder, "men")  # type: ignore[arg-type]


def test_a_cleaned_encoder_cleans_what_it_learns_from_and_what_it_encodes() -> None:
    texts = [f"<b>Puma</b> {text}" for text in SHOP] + ["red boot by puma", "blue bag by puma"]
    plain = make_text_encoder("tfidf", texts, dim=8)
    cleaned = make_text_encoder("tfidf", texts, dim=8, clean=["html", "brands"])
    dirty, clean, other = cleaned.encode(["<p>Puma red boot</p>", "red boot", "blue bag"])
    assert np.array_equal(dirty, clean)
    assert not np.array_equal(dirty, other)
    assert cleaned.encode(["puma"]).any()  # a word it knows, and still drops at a beginning
    html = make_text_encoder("tfidf", texts, dim=8, clean=["html"])
    assert len({plain.fingerprint, html.fingerprint, cleaned.fingerprint}) == 3


class Counting:
    """An encoder that counts how often it is asked."""

    dim = 3

    def __init__(self, fingerprint: str = "counting") -> None:
        self.fingerprint = fingerprint
        self.asked: list[list[str | None]] = []

    def encode(self, texts: list[str | None]) -> np.ndarray:
        self.asked.append(list(texts))
        return np.array([[len(text or ""), 1, 0.1] for text in texts], np.float32).reshape(-1, 3)

    def save(self, folder: Path) -> None:
        raise AssertionError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOOKALIKE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_cache_hit_asks_nobody(cache: Path) -> None:
    encoder = Counting()
    texts = ["b", None, "aa", "b", "\ud800"]
    made = cached_vectors(encoder, texts)
    assert np.array_equal(made, Counting().encode(texts))
    again = cached_vectors(encoder, texts)
    assert again.tobytes() == made.tobytes()
    assert encoder.asked == [["b", None, "aa", "\ud800"]]
    assert cached_vectors(encoder, []).shape == (0, 3)


def test_other_texts_or_another_encoder_are_made_anew(cache: Path) -> None:
    encoder = Counting()
    for texts in (["a", "b"], ["ab"], ["b", "a"], [None], [""]):
        cached_vectors(encoder, texts)
    other = Counting("other")
    cached_vectors(other, ["a", "b"])
    assert (len(encoder.asked), len(other.asked)) == (5, 1)


def test_a_damaged_cache_is_made_again_and_a_full_disk_stops_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = Counting()
    made = cached_vectors(encoder, ["a", "bb"])
    (file,) = (cache / "texts").iterdir()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert np.array_equal(cached_vectors(encoder, ["a", "bb"]), made)
    assert len(encoder.asked) == 2
    (cache / "file").write_text("")
    monkeypatch.setenv("LOOKALIKE_CACHE", str(cache / "file"))
    assert np.array_equal(cached_vectors(encoder, ["a", "bb"]), made)
    assert "the text vectors could not be kept in" in capsys.readouterr().err


def saved(tmp_path: Path) -> Path:
    MAKERS["tfidf"](SHOP, tmp_path).save(tmp_path / "text")
    return tmp_path / "text"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": 2}, "has format 2; this version reads 1"),
        ({"kind": "fastext"}, "kind 'fastext'. Did you mean 'fasttext'"),
        ({"files": None}, "is damaged"),
        ({"files": {"gone": ""}}, "is damaged"),
        ({"files": {"tfidf.safetensors": "0"}}, "its checksum is wrong"),
    ],
)
def test_a_folder_that_cannot_be_read(tmp_path: Path, change: dict[str, object], sentence: str) -> None:
    config = saved(tmp_path) / "text_encoder.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(SideError, match=sentence):
        load_text_encoder(config.parent)


def test_no_text_encoder_there_or_no_json(tmp_path: Path) -> None:
    with pytest.raises(SideError, match=r"there is no text encoder in"):
        load_text_encoder(tmp_path)
    (tmp_path / "text_encoder.json").write_text("{")
    with pytest.raises(SideError, match="is damaged"):
        load_text_encoder(tmp_path)


def test_a_model_that_is_gone_or_another(tmp_path: Path) -> None:
    encoder = MAKERS["static"](SHOP, tmp_path)
    encoder.save(tmp_path / "text")
    (tmp_path / "b").mkdir()
    other = MAKERS["static"]([*SHOP, "hat"], tmp_path / "b")
    assert other.fingerprint != encoder.fingerprint
    (tmp_path / "static").rename(tmp_path / "elsewhere")
    with pytest.raises(SideError, match="there is no folder"):
        load_text_encoder(tmp_path / "text")
    (tmp_path / "b" / "static").rename(tmp_path / "static")
    with pytest.raises(SideError, match="is not the model this text encoder was saved with"):
        load_text_encoder(tmp_path / "text")
