"""Word vectors made elsewhere: fastText's .bin with subwords, or its .vec, of which only the words needed are kept."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from lookalike.errors import SideError
from lookalike.files import sha256
from lookalike.progress import track
from lookalike.side.cleaning import words
from lookalike.side.stored import check_fingerprint, write_folder
from lookalike.side.word_sums import sums_of_words

#: First bytes of a fastText .bin; a reader given another file may never return.
MAGIC = (793712314).to_bytes(4, "little")
VECTORS, WORDS = "words.safetensors", "words.json"
#: Words of a .vec kept although no description holds them: its most frequent ones, for queries.
FREQUENT = 50_000


def fasttext_file(path: str, texts: Sequence[str | None]) -> "FastTextBinary | WordTable":
    """The encoder for a .bin or a .vec file.

    Raises:
        SideError: there is no such file, it is neither, or it shares no word with the texts.
    """
    file = Path(path)
    if not file.is_file():
        raise SideError(f"there is no file {path!r}; text.model is a fastText .bin or .vec file")
    return FastTextBinary(path) if file.suffix == ".bin" else WordTable.read(file, texts)


class FastTextBinary:
    """A pre-trained fastText model with subwords; saved by reference. It is held in memory whole."""

    def __init__(self, path: str) -> None:
        """Load a .bin.

        Raises:
            SideError: fasttext is not installed, or the file is none of its models.
        """
        self._path = str(path)
        self._model = _load_binary(Path(path))
        self._fingerprint = _file_sha256(Path(path))

    @classmethod
    def load(cls, folder: Path, config: dict[str, Any]) -> "FastTextBinary":
        """The encoder that `save` wrote there.

        Raises:
            SideError: the file it refers to is gone, or another.
        """
        if not Path(config["model"]).is_file():
            raise SideError(f"{folder} refers to {config['model']!r}, which is gone; restore it, or train again")
        encoder = cls(config["model"])
        check_fingerprint(config, encoder.fingerprint, encoder._path)
        return encoder

    @property
    def dim(self) -> int:
        """T, length of a vector."""
        return int(self._model.get_dimension())

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the file."""
        return self._fingerprint

    def encode(self, texts: Sequence[str | None]) -> np.ndarray:
        """float32 [N, T], unit rows; a row of zeros where a text holds no word."""
        return sums_of_words(texts, self._model.get_word_vector, self.dim)

    def save(self, folder: Path) -> None:
        """Write it as a folder that `load_text_encoder` reads; the .bin stays where it is."""
        write_folder(folder, {"kind": "fasttext_binary", "fingerprint": self.fingerprint, "model": self._path})


class WordTable:
    """Vectors of some words; any other word says nothing."""

    def __init__(self, known: list[str], vectors: np.ndarray) -> None:
        """Take V words and their vectors, float32 [V, T]."""
        self._known = known
        self._vectors = vectors
        self._row_of = {word: row for row, word in enumerate(known)}

    @classmethod
    def read(cls, file: Path, texts: Sequence[str | None], frequent: int = FREQUENT) -> "WordTable":
        """Stream a .vec file (a word and its numbers a line) and keep the words of the texts and its first ones.

        Raises:
            SideError: a line that is no word with numbers, or no word of the texts is in it.
        """
        needed = {word for text in dict.fromkeys(texts) for word in words(text)}
        found: dict[str, np.ndarray] = {}
        for number, (word, values) in enumerate(track(_lines(file), f"reading {file.name}")):
            if (word in needed or number < frequent) and word not in found:
                found[word] = _numbers(values, file, word)
        if not needed & found.keys():
            raise SideError(
                f"{file} holds none of the {len(needed):,} words of the descriptions; is it their language?"
            )
        if len({len(vector) for vector in found.values()}) > 1:
            raise SideError(f"{file}: the words have vectors of different lengths; is it a whole .vec file?")
        return cls(list(found), np.stack(list(found.values())))

    @classmethod
    def load(cls, folder: Path, config: dict[str, Any]) -> "WordTable":
        """The encoder that `save` wrote there."""
        known = json.loads((folder / WORDS).read_text(encoding="utf-8"))
        return cls(known, load_file(folder / VECTORS)["vectors"])

    @property
    def dim(self) -> int:
        """T, length of a vector."""
        return int(self._vectors.shape[1])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of words and vectors."""
        return sha256("\n".join(self._known).encode(), self._vectors.tobytes())

    def encode(self, texts: Sequence[str | None]) -> np.ndarray:
        """float32 [N, T], unit rows; a row of zeros where a text holds no known word."""

        def vector_of(word: str) -> np.ndarray | None:
            row = self._row_of.get(word)
            return None if row is None else np.asarray(self._vectors[row])

        return sums_of_words(texts, vector_of, self.dim)

    def save(self, folder: Path) -> None:
        """Write it as a folder that `load_text_encoder` reads; the .vec is not needed any more."""

        def write(aside: Path) -> None:
            save_file({"vectors": self._vectors}, aside / VECTORS)
            (aside / WORDS).write_text(json.dumps(self._known, ensure_ascii=False), encoding="utf-8")

        write_folder(folder, {"kind": "word_table", "fingerprint": self.fingerprint}, write)


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    """Word and numbers of each line; the first line, with the counts, is left out if there is one."""
    with file.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        for number, line in enumerate(lines):
            word, _, values = line.rstrip().partition(" ")
            if values and not (number == 0 and len(values.split()) == 1):
                yield word.lower(), values


def _numbers(values: str, file: Path, word: str) -> np.ndarray:
    try:
        return np.array(values.split(" "), np.float32)
    except ValueError:
        raise SideError(f"{file}: {word!r} is not followed by numbers; a fastText .vec file is needed") from None


def _load_binary(file: Path) -> Any:
    try:
        import fasttext
    except ImportError:
        raise SideError("a fastText .bin needs the package fasttext-community: pip install 'lookalike[text]'") from None
    with file.open("rb") as opened:
        if opened.read(4) != MAGIC:
            raise SideError(f"{file} is no fastText model; give a .bin of fastText, or word vectors as .vec")
    try:
        return fasttext.load_model(str(file))
    except (ValueError, RuntimeError, MemoryError) as error:
        raise SideError(f"{file} cannot be loaded ({error}); fetch it again, or take its .vec") from None


def _file_sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
