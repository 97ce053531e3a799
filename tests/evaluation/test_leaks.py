"""Near-duplicates: planted ones are found, others are not, and their cost is counted."""

import io
import json

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw

from lookalike.catalog import Catalog
from lookalike.errors import CatalogError
from lookalike.evaluation import retrieval_metrics
from lookalike.evaluation.leaks import MOST_BITS, leaks_by_embedding, leaks_by_hash, perceptual_hashes
from tests.evaluation.shops import color_encoder


def drawing(number: int) -> Image.Image:
    """A picture of its own: twelve ellipses drawn by its number."""
    rng = np.random.default_rng(number)
    picture = Image.new("RGB", (160, 120), "white")
    for _ in range(12):
        x, y, width, height = rng.integers((0, 0, 20, 20), (130, 90, 90, 70)).tolist()
        ImageDraw.Draw(picture).ellipse((x, y, x + width, y + height), tuple(rng.integers(0, 255, 3).tolist()))
    return picture


def stored(picture: Image.Image, form: str = "PNG", **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


#: Test pictures 8 and 9 are training pictures 0 and 1 again, smaller and compressed; 3 is 2 under another label.
PICTURES = [stored(drawing(number)) for number in range(8)]
PICTURES += [stored(drawing(0).resize((120, 90))), stored(drawing(1), "JPEG", quality=40)]
PICTURES += [stored(drawing(10)), stored(drawing(11))]
PICTURES[3] = stored(drawing(2).resize((200, 150)), "JPEG", quality=60)
LABELS = ["a", "a", "b", "c", "b", "c", "d", "d", "e", "e", "e", "f"]
SPLITS = ["train"] * 8 + ["test"] * 4
SHOP = Catalog(
    pa.table({"item_id": [f"i{n}" for n in range(12)], "image": PICTURES, "label": LABELS, "split": SPLITS}), "shop"
)


def naive(catalog: Catalog) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """Pairs within the bits allowed, by counting bits pair by pair: each test item with its nearest training item."""
    bits = perceptual_hashes(catalog).vectors > 0
    labels, splits = catalog.column("label"), catalog.column("split")

    def nearest(row: int, among: list[int]) -> tuple[int, int] | None:
        distance, other = min(((bits[row] != bits[one]).sum(), one) for one in among)
        return (row, other) if distance <= MOST_BITS else None

    rows = range(len(catalog))
    train = [row for row in rows if splits[row] == "train"]
    leaked = [nearest(row, train) for row in rows if splits[row] == "test"]
    twins = [nearest(row, [one for one in rows if labels[one] != labels[row]]) for row in rows]
    return {pair for pair in leaked if pair}, {tuple(sorted(pair)) for pair in twins if pair}  # type: ignore[misc]


def test_planted_pairs_are_found() -> None:
    found = leaks_by_hash(SHOP)
    assert found.across_splits is not None and found.across_labels is not None
    assert {(pair.row, pair.other) for pair in found.across_splits} == {(8, 0), (9, 1)} == naive(SHOP)[0]
    twins = {tuple(sorted((pair.row, pair.other))) for pair in found.across_labels}
    assert twins == {(2, 3), (0, 8), (1, 9)} == naive(SHOP)[1]
    assert all(pair.cosine >= 1 - MOST_BITS / 128 for pair in found.across_splits)


def test_figures_and_json_name_them() -> None:
    found = leaks_by_hash(SHOP)
    said = json.loads(json.dumps(found.to_dict(SHOP), allow_nan=False))
    assert [pair[:2] for pair in said["across_splits"]] == [["i8", "i0"], ["i9", "i1"]]
    rows = found.figures()
    assert [row.right for row in rows] == [[False], [False], [True], [True], [True]]
    assert all(row.cosines[0] >= 0.93 for row in rows)


GOLDEN = [
    "f6d7247ba565da44db4ddaa98990e9081bd411a493a82d331b7355b7d83b0cab",
    "e38a9eb1c1c78aa83be7355da223a44d854eaae92dc82d51e93be55fab3281c4",
]


def test_hashes_are_those_of_imagehash() -> None:
    """From ImageHash 4.3.2: `str(imagehash.phash(drawing(n), hash_size=16))` for n = 0, 4."""
    seen = perceptual_hashes(SHOP)
    given = [np.packbits(seen.vectors[row] > 0).tobytes().hex() for row in (0, 4)]
    assert given == GOLDEN


def test_what_cannot_be_read_is_left_out() -> None:
    pictures = [b"broken", *PICTURES[1:]]
    found = leaks_by_hash(Catalog(SHOP.table.set_column(1, "image", [pictures]), "shop"))
    assert found.across_splits is not None and found.across_labels is not None
    assert [(pair.row, pair.other) for pair in found.across_splits] == [(9, 1)]
    assert (2, 3) in {tuple(sorted((pair.row, pair.other))) for pair in found.across_labels}
    with pytest.raises(CatalogError, match="not one of 12 pictures can be read"):
        leaks_by_hash(Catalog(SHOP.table.set_column(1, "image", [[b"x"] * 12]), "shop"))


def test_without_a_column_its_list_is_none() -> None:
    assert leaks_by_hash(Catalog(SHOP.table.drop_columns(["split"]))).across_splits is None
    assert leaks_by_hash(Catalog(SHOP.table.drop_columns(["label"]))).across_labels is None
    bare = Catalog(SHOP.table.drop_columns(["label", "split"]), "bare.csv")
    for find in (leaks_by_hash, lambda catalog: leaks_by_embedding(catalog, color_encoder())):
        with pytest.raises(CatalogError, match=r"bare\.csv has neither splits nor labels"):
            find(bare)


def test_the_cost_is_recall_with_and_without_the_leaked_queries() -> None:
    encoder = color_encoder()
    found = leaks_by_embedding(SHOP, encoder, least_cosine=0.999)
    assert found.across_splits is not None
    assert {(pair.row, pair.other) for pair in found.across_splits} >= {(8, 0), (9, 1)}
    leaked = {pair.row for pair in found.across_splits}
    test = SHOP.where(split="test")
    embeddings = encoder.embed(test.column("image"))
    result = retrieval_metrics(embeddings, test.label_numbers()[0], k=[1])
    hits = {8 + int(row): hit for row, hit in zip(result.query_numbers, result.values("recall_at_1"), strict=True)}
    cost = found.costs["across_splits"]
    assert (cost.queries, cost.leaked) == (3, len(leaked & set(hits)))
    assert cost.recall_at_1 == pytest.approx(np.mean(list(hits.values())))
    rest = [hit for row, hit in hits.items() if row not in leaked]
    assert cost.recall_at_1_without == (pytest.approx(np.mean(rest)) if rest else None)
    assert cost.interval is None  # one class
    json.dumps(found.to_dict(SHOP), allow_nan=False)
