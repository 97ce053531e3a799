"""Changed queries: what each change does to a picture, and that only the queries change."""

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageFilter

from lookalike.catalog import Catalog
from lookalike.evaluation import retrieval_metrics
from lookalike.evaluation.protocol import embed_models
from lookalike.evaluation.robustness import CHANGES, CLEAN, Changed, judge_robustness
from tests.evaluation.shops import color_encoder, shop
from tests.evaluation.test_leaks import drawing, stored

LABELS = [label for label in "abcd" for _ in range(4)]
SHOP = shop(LABELS, domain=["street", "studio"] * 8, split=["test"] * 16)
DRAWN = Catalog(pa.table({"item_id": [str(n) for n in range(6)], "image": [stored(drawing(n)) for n in range(6)]}))


def difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, float) - np.asarray(other.resize(one.size), float)).mean())


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_changes_and_is_the_same_each_time(name: str) -> None:
    changed = Changed(DRAWN.table, change=CHANGES[name])
    first = changed.image(3)
    assert 0.5 < difference(first, DRAWN.image(3)) < 100
    assert changed.image(0).mode == "RGB"  # another picture in between
    assert np.array_equal(first, changed.image(3))
    assert np.array_equal(first, Changed(DRAWN.table, change=CHANGES[name]).image(3, 16))


def test_what_each_change_does() -> None:
    picture, rng = drawing(2), np.random.default_rng(0)
    made = {name: change(picture, rng) for name, change in CHANGES.items()}
    assert made["cropped"].size == (128, 96)
    assert min(made["turned"].size) > 120 and made["turned"].getpixel((0, 0)) == (255, 255, 255)
    light = {name: np.asarray(made[name].convert("L"), float).mean() for name in ("darker", "brighter")}
    assert light["darker"] < 0.65 * np.asarray(picture.convert("L"), float).mean() < light["brighter"]
    edges = [np.asarray(one.filter(ImageFilter.FIND_EDGES), float).std() for one in (made["blurred"], picture)]
    assert edges[0] < 0.8 * edges[1]
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=15)
    assert np.array_equal(made["compressed"], Image.open(buffer))


def test_crops_differ_from_item_to_item() -> None:
    one = Changed(pa.table({"item_id": list("abcd"), "image": [stored(drawing(1))] * 4}), change=CHANGES["cropped"])
    assert len({one.image(row).tobytes() for row in range(4)}) > 1


def test_clean_is_what_evaluation_says() -> None:
    encoder = color_encoder()
    embedded = embed_models({"it": encoder}, SHOP)
    found = judge_robustness(encoder, embedded, "it", [1, 2])
    assert len(found) > 2  # across domains too
    for protocol, models in embedded.judge([1, 2]).items():
        for metric in ("recall_at_1", "recall_at_2", "map_at_r"):
            assert np.array_equal(found[protocol][CLEAN].values(metric), models["it"].values(metric))
        assert set(found[protocol]) == {CLEAN, *CHANGES}


def test_only_the_queries_are_changed() -> None:
    """By hand: embeddings of the changed pictures ask, each row without its own column."""
    encoder = color_encoder()
    embedded = embed_models({"it": encoder}, SHOP)
    found = judge_robustness(encoder, embedded, "it")["all"]
    rows = embedded.protocols[0].queries
    clean, labels = embedded.embeddings["it"][rows], embedded.labels[rows]
    assert len(rows) == 16
    changed = Changed(embedded.catalog.table, change=CHANGES["darker"])
    queries = encoder.embed([changed.image(row) for row in rows])
    cosines = queries @ clean.T
    np.fill_diagonal(cosines, -2)
    assert np.array_equal(found["darker"].values("recall_at_1"), labels[cosines.argmax(axis=1)] == labels)
    both = retrieval_metrics(queries, labels, k=[1])  # had the gallery been changed too
    assert not np.allclose(queries @ queries.T, cosines) and both.num_queries == 16
