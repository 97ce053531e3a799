"""Models made elsewhere: what is read of them, and the sentences about those that cannot be."""

import sys
from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import SideError
from lookalike.side import make_text_encoder
from lookalike.side.fasttext_file import WordTable
from tests.side.shop import MAKERS, SHOP, sentence_folder


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def vec(folder: Path, content: str) -> str:
    (folder / "some.vec").write_text(content)
    return str(folder / "some.vec")


@pytest.mark.parametrize("head", ["3 2\n", ""])
def test_a_vec_is_summed_word_by_word(tmp_path: Path, head: str) -> None:
    encoder = make_text_encoder(
        "fasttext_file", ["Red boot"], model=vec(tmp_path, head + "Red 3 0\nboot 0 4\nhat 1 1\n")
    )
    found = encoder.encode(["red boot", "RED", "boot boot", "hat", "unheard"])
    assert found == pytest.approx(np.array([[0.6, 0.8], [1, 0], [0, 1], [0.5**0.5, 0.5**0.5], [0, 0]]), abs=1e-6)


def test_of_a_vec_only_what_is_needed_is_kept(tmp_path: Path) -> None:
    path = vec(tmp_path, "".join(f"word{number} {number} 1\n" for number in range(1, 100)))
    table = WordTable.read(Path(path), ["word90 word95"], frequent=3)
    known = table.encode([f"word{number}" for number in range(1, 100)]).any(axis=1)
    assert (np.flatnonzero(known) + 1).tolist() == [1, 2, 3, 90, 95]


def test_of_two_spellings_the_first_stands(tmp_path: Path) -> None:
    encoder = make_text_encoder("fasttext_file", ["red"], model=vec(tmp_path, "red 1 0\nRed 0 1\n"))
    assert encoder.encode(["Red"]).tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("hat 1 1\n", "holds none of the 1 words of the descriptions; is it their language"),
        ("red one two\n", "'red' is not followed by numbers"),
        ("red 1 2\nhat 1\n", "vectors of different lengths"),
        ("", "holds none of the 1 words"),
    ],
)
def test_a_vec_that_is_of_no_use(tmp_path: Path, content: str, sentence: str) -> None:
    with pytest.raises(SideError, match=sentence):
        make_text_encoder("fasttext_file", ["red"], model=vec(tmp_path, content))


def test_a_bin_has_subwords(tmp_path: Path) -> None:
    encoder = MAKERS["fasttext_binary"](SHOP, tmp_path)
    module = pytest.importorskip("fasttext")
    expected = module.load_model(str(tmp_path / "m.bin")).get_word_vector("handbags")
    assert encoder.encode(["Handbags!"])[0] == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)


def test_a_bin_that_is_none(tmp_path: Path) -> None:
    pytest.importorskip("fasttext", reason="fasttext-community is not installed")
    (tmp_path / "x.bin").write_bytes(b"no model at all")
    with pytest.raises(SideError, match=r"x.bin is no fastText model; give a .bin of fastText"):
        make_text_encoder("fasttext_file", SHOP, model=str(tmp_path / "x.bin"))
    with pytest.raises(SideError, match=r"there is no file 'nowhere.bin'"):
        make_text_encoder("fasttext_file", SHOP, model="nowhere.bin")


def test_a_bin_that_is_gone(tmp_path: Path) -> None:
    encoder = MAKERS["fasttext_binary"](SHOP, tmp_path)
    encoder.save(tmp_path / "text")
    (tmp_path / "m.bin").unlink()
    from lookalike.side import load_text_encoder

    with pytest.raises(SideError, match=r"m.bin', which is gone; restore it, or train again"):
        load_text_encoder(tmp_path / "text")


@pytest.mark.parametrize("name", ["sentence", "static"])
@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("", "name the text model: text.model ="),
        ("./nowhere", "there is no folder './nowhere'"),
        ("no-such/model-here", "HF_HUB_OFFLINE=1 forbids that"),
    ],
)
def test_a_model_that_is_not_there(name: str, model: str, sentence: str) -> None:
    pytest.importorskip({"sentence": "sentence_transformers", "static": "model2vec"}[name])
    with pytest.raises(SideError, match=sentence):
        make_text_encoder(name, SHOP, model=model)  # type: ignore[arg-type]


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    sentence_folder()
    for name in ("sentence", "static"):
        with pytest.raises(SideError, match="cannot be loaded"):
            make_text_encoder(name, SHOP, model=str(tmp_path))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("sentence", "sentence_transformers", "sentence-transformers: pip install 'lookalike[sentences]'"),
        ("static", "model2vec", "model2vec: pip install 'lookalike[sentences]'"),
        ("fasttext_file", "fasttext", "fasttext-community: pip install 'lookalike[text]'"),
    ],
)
def test_a_missing_package_names_its_extra(
    name: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / "x.bin").write_bytes(b"")
    with pytest.raises(SideError) as caught:
        make_text_encoder(name, SHOP, model=str(tmp_path / "x.bin"))  # type: ignore[arg-type]
    assert extra in str(caught.value)


def test_an_unknown_encoder_and_an_unknown_step() -> None:
    with pytest.raises(SideError, match=r"there is no text encoder 'tf-idf'. Did you mean 'tfidf'"):
        make_text_encoder("tf-idf", SHOP)  # type: ignore[arg-type]
    with pytest.raises(SideError, match=r"there is no clean-up step 'brand'. Did you mean 'brands'"):
        make_text_encoder("tfidf", SHOP, clean=["brand"])
