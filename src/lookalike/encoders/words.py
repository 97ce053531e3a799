"""Words into the image space: text vectors, then a linear map onto the embeddings of the pictures they describe."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from lookalike.errors import EncoderError, SideError
from lookalike.files import sha256

if TYPE_CHECKING:
    from lookalike.side.text_encoders import TextEncoder

MAP = "map.safetensors"
TEXT = "text"
#: H, random features; and distinct texts whose features are held at a time.
FEATURES, BLOCK = 1024, 8192


class Words:
    """Maps descriptions to where pictures of such items lie among the embeddings of one encoder.

    Kernel ridge regression from text vectors (centered, unit rows: those of one shop all point one way) to embeddings,
    with a Gaussian kernel of width 1 through random Fourier features (Rahimi and Recht, NIPS 2007 [related]): closed
    form, so that the same catalog gives the same map. The mean embedding is left out of the answer, since it is near to
    all pictures alike [ours].
    """

    def __init__(self, text_encoder: "TextEncoder | Path", fingerprint: str, tensors: dict[str, np.ndarray]):
        """Take what `fit` found.

        Args:
            text_encoder: or the folder it was saved in, to be read when it is first needed.
            fingerprint: of the text encoder.
            tensors: float32, text_mean [T], frequencies [T, H], phases [H], feature_mean [H] and matrix [H, D].
        """
        self._text_encoder, self._fingerprint, self._tensors = text_encoder, fingerprint, tensors

    @classmethod
    def fit(
        cls, text_encoder: "TextEncoder", texts: Sequence[str | None], embeddings: np.ndarray, ridge: float = 0.01
    ) -> "Words":
        """Fit the map to items with a text; those without a word are passed over.

        Args:
            text_encoder: makes the text vectors.
            texts: [N].
            embeddings: [N, D], unit rows of the items' pictures.
            ridge: strength above 0, in units of the features' mean variance.

        Raises:
            EncoderError: no two texts have different vectors.
        """
        return cls.fit_each(text_encoder, texts, embeddings, [ridge])[0]

    @classmethod
    def fit_each(
        cls,
        text_encoder: "TextEncoder",
        texts: Sequence[str | None],
        embeddings: np.ndarray,
        ridges: Sequence[float],
    ) -> list["Words"]:
        """The same for several strengths, with the features computed once."""
        place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        rows = np.array([place[text] for text in texts], dtype=np.int64)
        sums = np.zeros((len(place), embeddings.shape[1]), np.float32)
        np.add.at(sums, rows, embeddings)
        counts = np.bincount(rows, minlength=len(place)).astype(np.float64)
        vectors = text_encoder.encode(list(place))
        known = vectors.any(axis=1)
        vectors, counts, sums = vectors[known], counts[known], sums[known]
        if not len(vectors) or not np.ptp(vectors, axis=0).any():
            raise EncoderError("search by words needs descriptions that differ, and these do not")
        rng = np.random.default_rng(0)
        frequencies = rng.standard_normal((vectors.shape[1], FEATURES)).astype(np.float32)
        phases = rng.uniform(0, 2 * np.pi, FEATURES).astype(np.float32)
        text_mean = (counts @ vectors / counts.sum()).astype(np.float32)

        total, products = np.zeros(FEATURES), np.zeros((FEATURES, FEATURES))
        targets = np.zeros((FEATURES, embeddings.shape[1]))
        for start in range(0, len(vectors), BLOCK):
            part = slice(start, start + BLOCK)
            features = _features(vectors[part], text_mean, frequencies, phases)
            weighed = features * counts[part, None].astype(np.float32)
            total += weighed.sum(axis=0, dtype=np.float64)
            products += weighed.T @ features
            targets += features.T @ sums[part]
        mean = total / counts.sum()
        products -= np.outer(total, mean)
        targets -= np.outer(mean, sums.sum(axis=0, dtype=np.float64))
        own = {"text_mean": text_mean, "frequencies": frequencies, "phases": phases, "feature_mean": np.float32(mean)}

        def solved(ridge: float) -> np.ndarray:
            strength = ridge * np.trace(products) / FEATURES
            return np.linalg.solve(products + strength * np.eye(FEATURES), targets).astype(np.float32)

        return [cls(text_encoder, text_encoder.fingerprint, own | {"matrix": solved(ridge)}) for ridge in ridges]

    @property
    def dim(self) -> int:
        """D, length of an embedding."""
        return int(self._tensors["matrix"].shape[1])

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Texts to unit rows, float32 [N, D].

        Raises:
            EncoderError: a text holds no word that the text encoder knows.
            SideError: the text encoder cannot be loaded (a package or its model is missing, or it is damaged).
        """
        vectors = self._vectors(texts)
        known = vectors.any(axis=1)
        if not known.all():
            raise EncoderError(
                f"the text {texts[int(known.argmin())]!r} holds no word that the descriptions taught; "
                "ask with words of the catalog"
            )
        own = self._tensors
        features = _features(vectors, own["text_mean"], own["frequencies"], own["phases"])
        embeddings = (features - own["feature_mean"]) @ own["matrix"]
        return np.asarray(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), dtype=np.float32)

    def known(self, texts: Sequence[str]) -> np.ndarray:
        """bool [N], which texts hold a word that the text encoder knows."""
        return np.asarray(self._vectors(texts).any(axis=1))

    def save(self, folder: Path) -> str:
        """Write the map and the text encoder into a folder; returns the map's checksum."""
        folder.mkdir(parents=True)
        if isinstance(self._text_encoder, Path):
            shutil.copytree(self._text_encoder, folder / TEXT)
        else:
            self._text_encoder.save(folder / TEXT)
        save_file(self._tensors, folder / MAP, {"text_encoder": self._fingerprint})
        return sha256((folder / MAP).read_bytes())

    @classmethod
    def load(cls, folder: Path, checksum: str) -> "Words":
        """What `save` wrote; the text encoder itself is read when it is first needed.

        Raises:
            EncoderError: the map is missing or damaged.
        """
        try:
            found = sha256((folder / MAP).read_bytes())
            with safe_open(folder / MAP, "numpy") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
                fingerprint = (file.metadata() or {})["text_encoder"]
        except (OSError, SafetensorError, KeyError) as error:
            raise EncoderError(f"{folder / MAP} cannot be read ({error}); restore it or train again") from None
        if found != checksum:
            raise EncoderError(f"{folder / MAP} is damaged (its checksum is wrong); restore it or train again")
        return cls(folder / TEXT, fingerprint, tensors)

    def _vectors(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [N, T]."""
        if not len(texts):
            return np.zeros((0, len(self._tensors["text_mean"])), np.float32)
        if isinstance(self._text_encoder, Path):
            from lookalike.side.text_encoders import load_text_encoder  # only here, since it brings scikit-learn

            loaded = load_text_encoder(self._text_encoder)
            if loaded.fingerprint != self._fingerprint:
                raise SideError(
                    f"{self._text_encoder} is not the text encoder these words were learned with; restore it"
                )
            self._text_encoder = loaded
        return self._text_encoder.encode(texts)


def _features(vectors: np.ndarray, mean: np.ndarray, frequencies: np.ndarray, phases: np.ndarray) -> np.ndarray:
    """Text vectors [N, T] to cosines float32 [N, H] of random waves over their directions from the mean."""
    centered = vectors - mean
    lengths = np.linalg.norm(centered, axis=1, keepdims=True)
    directions = np.divide(centered, lengths, out=np.zeros_like(centered), where=lengths > 1e-12)
    return np.asarray(np.cos(directions @ frequencies + phases))
