"""Nearly the same picture in train and in test, or under two labels; and what that does to the figures."""

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from lookalike.catalog import Catalog
from lookalike.encoders import Encoder, embed_catalog
from lookalike.encoders.loading import loaded_batches
from lookalike.errors import CatalogError, EvaluationError
from lookalike.evaluation.figures import Row
from lookalike.evaluation.intervals import class_bootstrap
from lookalike.evaluation.neighbors import neighbor_blocks
from lookalike.evaluation.retrieval import retrieval_metrics
from lookalike.progress import track

#: Side of the gray picture that is hashed, and of the corner of its spectrum that is kept: 256 bits.
HASHED_PX, KEPT = 64, 16
#: Hashes that differ in so many bits, and embeddings of so large a cosine, are of nearly the same picture.
MOST_BITS, LEAST_COSINE = 8, 0.98
BATCH = 256


@dataclass(frozen=True)
class Seen:
    """Vectors of the pictures that can be read: float32 [M, D], and their rows of the catalog, int64 [M]."""

    vectors: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class Pair:
    """Two items with nearly the same picture: row, the nearest other row, and their cosine."""

    row: int
    other: int
    cosine: float


@dataclass(frozen=True)
class Cost:
    """Recall@1 of the test queries, and of those that are in no pair, with 95 % intervals over classes.

    An interval is None for one class, and so is the figure where no query is left.
    """

    queries: int
    recall_at_1: float | None
    interval: tuple[float, float] | None
    leaked: int
    recall_at_1_without: float | None
    interval_without: tuple[float, float] | None


@dataclass(frozen=True)
class Leaks:
    """What was found by one kind of vectors. A list is None where the catalog has no such column.

    Attributes:
        across_splits: test items, each with the training item (or validation item) that is nearest.
        across_labels: items with the nearest item of another label, each pair once.
        costs: by the name of the list; of embeddings only.
    """

    across_splits: list[Pair] | None
    across_labels: list[Pair] | None
    costs: dict[str, Cost]

    def to_dict(self, catalog: Catalog) -> dict[str, Any]:
        """Ready for JSON, with item ids for rows."""
        items = catalog.column("item_id")

        named = {
            name: None if pairs is None else [[items[p.row], items[p.other], round(p.cosine, 4)] for p in pairs]
            for name, pairs in (("across_splits", self.across_splits), ("across_labels", self.across_labels))
        }
        return {**named, "costs": {name: asdict(cost) for name, cost in self.costs.items()}}

    def figures(self) -> list[Row]:
        """For `neighbor_sheet`, nearest first; what is in train and in test comes first, framed red."""
        by_kind = [
            sorted(pairs or [], key=lambda pair: -pair.cosine) for pairs in (self.across_splits, self.across_labels)
        ]
        return [
            Row(pair.row, [pair.other], [pair.cosine], [kind == 1])
            for kind, pairs in enumerate(by_kind)
            for pair in pairs
        ]


def leaks_by_hash(catalog: Catalog) -> Leaks:
    """Pairs whose gray pictures are the same at another size or compression; colors are not looked at.

    Raises:
        CatalogError: no picture can be read, or the catalog has neither splits nor labels.
    """
    return _leaks(catalog, perceptual_hashes(catalog), 1 - 2 * MOST_BITS / KEPT**2)


def leaks_by_embedding(catalog: Catalog, encoder: Encoder, least_cosine: float = LEAST_COSINE) -> Leaks:
    """Pairs of embeddings that are nearly the same, and what they do to Recall@1 of the test items.

    Raises:
        CatalogError: as `leaks_by_hash`.
    """
    _check(catalog)
    embedded = embed_catalog(encoder, catalog)
    seen = Seen(embedded.embeddings, embedded.rows)
    found = _leaks(catalog, seen, least_cosine)
    if "label" in catalog:
        for name in ("across_splits", "across_labels"):
            pairs = getattr(found, name)
            if pairs:
                leaked = {row for pair in pairs for row in (pair.row, pair.other)}
                with suppress(EvaluationError):  # no query has anything to find
                    found.costs[name] = _cost(catalog, seen, leaked)
    return found


def perceptual_hashes(catalog: Catalog) -> Seen:
    """256 bits of every picture, as -1 and 1; the cosine of two hashes that differ in b bits is 1 - b / 128.

    The hash of Krawetz ("Looks Like It", 2011) as the library ImageHash has it, with hash_size=16: gray, 64 x 64, the
    low 16 x 16 of its cosine transform, each above their median or not. (64 bits are too few for products on white:
    of 44,441 fashion pictures a third had one of another product within 4 bits; with 256 the pairs stand apart.)
    """
    from scipy.fft import dctn

    def load(row: int) -> np.ndarray:
        gray = catalog.image(row, HASHED_PX).convert("L")
        return np.asarray(gray.resize((HASHED_PX, HASHED_PX), Image.Resampling.LANCZOS))[:, :, None]

    batches = np.array_split(np.arange(len(catalog)), range(BATCH, len(catalog), BATCH))
    loaded = loaded_batches(load, batches, on_broken=lambda row, error: None)
    parts, rows = [], []
    for good, pictures in track(loaded, "hashing pictures", total=len(batches)):
        if len(good):
            low = dctn(pictures[:, 0].numpy().astype(np.float64), axes=(1, 2))[:, :KEPT, :KEPT].reshape(len(good), -1)
            parts.append(np.where(low > np.median(low, axis=1, keepdims=True), 1, -1).astype(np.float32))
            rows.append(good)
    if not rows:
        raise CatalogError(f"{catalog.name}: not one of {len(catalog)} pictures can be read")
    return Seen(np.concatenate(parts), np.concatenate(rows))


def _check(catalog: Catalog) -> None:
    if "split" not in catalog and "label" not in catalog:
        raise CatalogError(
            f"{catalog.name} has neither splits nor labels: near-duplicates are looked for between train and test and "
            "between labels; name the columns (--split, --label)"
        )


def _leaks(catalog: Catalog, seen: Seen, least: float) -> Leaks:
    _check(catalog)
    splits = labels = None
    if "split" in catalog:
        named = np.array([str(split) for split in catalog.column("split")])[seen.rows]
        test, train = (np.flatnonzero(np.isin(named, parts)) for parts in (["test"], ["train", "validation"]))
        splits = _pairs(seen, test, train, None, least)
    if "label" in catalog:
        numbers = catalog.label_numbers()[0][seen.rows]
        known = np.flatnonzero(numbers >= 0)
        labels = _pairs(seen, known, known, numbers[known], least)
    return Leaks(splits, labels, {})


def _pairs(seen: Seen, asked: np.ndarray, searched: np.ndarray, groups: np.ndarray | None, least: float) -> list[Pair]:
    """Each asked item with the nearest one searched, outside of its group, if that is near enough; each pair once."""
    if not len(asked) or not len(searched):
        return []
    x, y = (torch.from_numpy(seen.vectors[rows]) for rows in (asked, searched))
    apart = None if groups is None else (torch.from_numpy(groups), torch.from_numpy(groups))
    found: dict[frozenset[int], Pair] = {}
    for block in neighbor_blocks(x, y, torch.ones(len(x), dtype=torch.int64), groups=apart):
        near = block.cosines[:, 0] >= least - 1e-6
        columns = (part[near].tolist() for part in (block.rows, block.numbers[:, 0], block.cosines[:, 0]))
        for query, number, cosine in zip(*columns, strict=True):
            pair = Pair(int(seen.rows[asked[query]]), int(seen.rows[searched[number]]), cosine)
            found.setdefault(frozenset((pair.row, pair.other)), pair)
    return sorted(found.values(), key=lambda pair: pair.row)


def _cost(catalog: Catalog, seen: Seen, leaked: set[int]) -> Cost:
    labels = catalog.label_numbers()[0][seen.rows]
    asked = labels >= 0
    if "split" in catalog and "test" in catalog.column("split"):
        asked &= np.array([split == "test" for split in catalog.column("split")])[seen.rows]
    result = retrieval_metrics(seen.vectors[asked], labels[asked], k=[1])
    values, classes = result.values("recall_at_1"), result.query_labels
    kept = ~np.isin(seen.rows[asked][result.query_numbers], sorted(leaked))

    def recall(part: np.ndarray) -> tuple[float | None, tuple[float, float] | None]:
        if not part.any():
            return None, None
        several = len(np.unique(classes[part])) > 1
        return float(values[part].mean()), class_bootstrap(values[part], classes[part]) if several else None

    return Cost(len(values), *recall(np.ones(len(values), dtype=bool)), int((~kept).sum()), *recall(kept))
