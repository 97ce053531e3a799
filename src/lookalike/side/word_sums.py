"""Texts as sums of their words' vectors: each distinct word is looked up once, texts stream through in chunks."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.sparse import csr_array

from lookalike.progress import track
from lookalike.side.cleaning import words

#: Words of a chunk; more only where one text alone holds more.
CHUNK_WORDS = 200_000
#: Bytes of word vectors kept at a time.
TABLE_BYTES = 1 << 28


def sums_of_words(texts: Sequence[str | None], vector_of: Callable[[str], np.ndarray | None], dim: int) -> np.ndarray:
    """Sum of the vectors of a text's words, made unit length.

    Args:
        texts: N texts.
        vector_of: a word's vector [dim], or None where it has none.
        dim: T.

    Returns:
        float32 [N, T]; a row of zeros where no word has a vector.
    """
    result = np.zeros((len(texts), dim), np.float32)
    table = _Table(vector_of, dim)
    done = 0
    for chunk in _chunks(track(texts, "reading descriptions", total=len(texts))):
        rows = table.rows([word for found in chunk for word in found])
        ends = np.cumsum([0, *map(len, chunk)])
        counts = csr_array((np.ones(len(rows), np.float32), rows, ends), shape=(len(chunk), len(table.vectors)))
        result[done : done + len(chunk)] = unit_rows(counts @ table.vectors)
        done += len(chunk)
    return result


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows [N, T] of length 1; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: np.ndarray = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-12)
    return result


def _chunks(texts: Iterator[str | None]) -> Iterator[list[list[str]]]:
    chunk: list[list[str]] = []
    size = 0
    for text in texts:
        chunk.append(words(text))
        size += len(chunk[-1]) + 1
        if size >= CHUNK_WORDS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


class _Table:
    """The vectors of the words met so far; begun anew when it is full."""

    def __init__(self, vector_of: Callable[[str], np.ndarray | None], dim: int) -> None:
        self._vector_of = vector_of
        self._row_of: dict[str, int] = {}
        self._most = TABLE_BYTES // (4 * dim)
        self.vectors = np.zeros((1024, dim), np.float32)

    def rows(self, found: list[str]) -> np.ndarray:
        """int32 [len(found)], rows of `vectors`."""
        if len(self._row_of) > self._most:
            self._row_of.clear()
        for word in set(found) - self._row_of.keys():
            row = self._row_of[word] = len(self._row_of)
            if row == len(self.vectors):
                self.vectors = np.concatenate([self.vectors, np.zeros_like(self.vectors)])
            vector = self._vector_of(word)
            self.vectors[row] = 0 if vector is None else vector
        return np.array([self._row_of[word] for word in found], np.int32)
