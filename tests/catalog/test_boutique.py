"""The demo shop: the same every time, no two products alike, and neither trivial nor hopeless."""

import hashlib
import inspect
import io
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from lookalike.catalog.boutique.drawing.fabric import PATTERNS, accent_share
from lookalike.catalog.boutique.drawing.sprite import DRAWINGS, draw_sprite
from lookalike.catalog.boutique.drawing.views import photograph
from lookalike.catalog.boutique.products import (
    CATEGORIES,
    FAMILY_SIZE,
    Product,
    make_products,
    possible_details,
)
from lookalike.catalog.boutique.shop import DOMAINS, draw_boutique, split_of
from lookalike.catalog.boutique.words import CATEGORY_WORDS, SYNONYMS, describe
from lookalike.errors import CatalogError

NUM_PRODUCTS, VIEWS, SIZE_PX = 104, 4, 48


@pytest.fixture(scope="module")
def shop() -> pa.Table:
    return draw_boutique(NUM_PRODUCTS, VIEWS, SIZE_PX, seed=3)


@pytest.fixture(scope="module")
def products() -> list[Product]:
    return make_products(360, seed=0)


def column(table: pa.Table, name: str) -> np.ndarray:
    return np.array(table[name].to_pylist())


def pixels(table: pa.Table) -> np.ndarray:
    pictures = [Image.open(io.BytesIO(data)).resize((32, 32)) for data in table["image"].to_pylist()]
    return np.stack([np.asarray(picture, dtype=np.float32).ravel() for picture in pictures])


def fingerprint(table: pa.Table) -> str:
    return hashlib.sha256(repr(table.to_pydict()).encode()).hexdigest()


def recall_at_1(vectors: np.ndarray, labels: np.ndarray) -> float:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return float((labels[similarity.argmax(axis=1)] == labels).mean())


def sprite_of(category: str, cut: str, *details: str, pattern: str = "solid", accent: str = "white") -> np.ndarray:
    product = Product(0, category, cut, "red", accent, pattern, details)
    picture = draw_sprite(product, 96, np.random.default_rng(0))
    return np.asarray(picture, dtype=np.float32)


def share_changed(a: np.ndarray, b: np.ndarray) -> float:
    """Of the pixels covered by either, how many differ clearly."""
    covered = (a[..., 3] > 0) | (b[..., 3] > 0)
    return float((np.abs(a - b).max(axis=-1) > 40)[covered].mean())


# The table


def test_by_default_at_least_300_products_are_drawn() -> None:
    assert inspect.signature(draw_boutique).parameters["num_products"].default >= 300
    assert inspect.signature(draw_boutique).parameters["views"].default >= 4


def test_one_row_per_view_with_all_columns(shop: pa.Table) -> None:
    wanted = {"item_id", "image", "label", "text", "domain", "split", "category", "cut", "color", "pattern", "price"}
    assert wanted <= set(shop.column_names)
    assert shop.num_rows == NUM_PRODUCTS * VIEWS
    assert all(shop[name].null_count == 0 for name in shop.column_names)
    assert len(set(column(shop, "item_id"))) == shop.num_rows
    assert shop["item_id"][VIEWS + 1].as_py() == "p0001-v1" and shop["label"][VIEWS + 1].as_py() == "p0001"


def test_every_picture_decodes_at_the_size_asked(shop: pa.Table) -> None:
    for data in shop["image"].to_pylist():
        with Image.open(io.BytesIO(data)) as picture:
            assert picture.size == (SIZE_PX, SIZE_PX) and picture.mode == "RGB"


def test_no_picture_is_flat_and_no_two_are_the_same(shop: pa.Table) -> None:
    assert pixels(shop).std(axis=1).min() > 8
    assert len(set(shop["image"].to_pylist())) == shop.num_rows


def test_both_domains_in_each_products_views(shop: pa.Table) -> None:
    for label in set(column(shop, "label")):
        assert set(column(shop, "domain")[column(shop, "label") == label]) == set(DOMAINS)


def test_what_is_said_of_a_product_is_the_same_in_each_view(shop: pa.Table) -> None:
    fixed = ["label", "split", "category", "cut", "color", "accent", "pattern", "details", "price"]
    assert len({tuple(row.values()) for row in shop.select(fixed).to_pylist()}) == NUM_PRODUCTS


def test_prices_divide_the_shop(shop: pa.Table) -> None:
    below = column(shop, "price") < 50
    assert 0.25 < below.mean() < 0.75
    assert column(shop, "price").min() > 0


def test_progress_is_told_after_each_product() -> None:
    told: list[tuple[int, int]] = []
    draw_boutique(8, 2, 32, show_progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 8) for done in range(1, 9)]


# The same every time


def test_the_same_arguments_give_the_same_bytes_in_another_process() -> None:
    code = (
        "import hashlib; from lookalike.catalog.boutique import draw_boutique;"
        "print(hashlib.sha256(repr(draw_boutique(8, 2, 40, seed=5).to_pydict()).encode()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join(sys.path)}
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    first = draw_boutique(8, 2, 40, seed=5)
    assert first.equals(draw_boutique(8, 2, 40, seed=5))
    assert other.stdout.strip() == fingerprint(first)


def test_another_seed_is_another_shop() -> None:
    a, b = draw_boutique(8, 2, 40, seed=0), draw_boutique(8, 2, 40, seed=1)
    assert not set(a["image"].to_pylist()) & set(b["image"].to_pylist())
    assert column(a, "color").tolist() != column(b, "color").tolist()


def test_a_longer_shop_begins_with_the_shorter_one(shop: pa.Table) -> None:
    assert draw_boutique(10, VIEWS, SIZE_PX, seed=3).equals(shop.slice(0, 10 * VIEWS))


# Products


def test_no_two_products_look_alike(products: list[Product]) -> None:
    assert len({product.looks for product in products}) == 360
    assert len({product.looks for product in make_products(3000, seed=1)}) == 3000


def test_a_family_differs_in_little(products: list[Product]) -> None:
    fields = ("category", "cut", "color", "accent", "pattern")
    for product in products:
        parent = products[product.number - product.number % FAMILY_SIZE]
        assert product.family == parent.family and product.category == parent.category
        assert sum(getattr(product, name) != getattr(parent, name) for name in fields) <= 1


def test_no_family_is_in_both_splits_and_both_have_every_category(products: list[Product]) -> None:
    families = {split: {p.family for p in products if split_of(p) == split} for split in ("train", "test")}
    assert not families["train"] & families["test"]
    for split in families:
        assert {p.category for p in products if split_of(p) == split} == set(CATEGORIES)
    assert 0.35 < sum(split_of(p) == "test" for p in products) / len(products) < 0.5


def test_the_table_has_the_splits_by_product(shop: pa.Table) -> None:
    labels, splits = column(shop, "label"), column(shop, "split")
    assert not set(labels[splits == "train"]) & set(labels[splits == "test"])
    assert set(splits) == {"train", "test"}


# Drawings


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_detail_can_be_seen(category: str) -> None:
    for cut in CATEGORIES[category].cuts:
        for pattern, accent in (("solid", "white"), ("solid", "black"), ("color block", "beige")):
            bare = sprite_of(category, cut, pattern=pattern, accent=accent)
            for detail in possible_details(category, cut, pattern):
                changed = share_changed(bare, sprite_of(category, cut, detail, pattern=pattern, accent=accent))
                assert changed > 0.008, f"{cut} {category}, {pattern}, {accent}: {detail} changes {changed:.4f}"


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_cut_can_be_seen(category: str) -> None:
    sprites = [sprite_of(category, cut) for cut in CATEGORIES[category].cuts]
    for i, sprite in enumerate(sprites):
        assert all(share_changed(sprite, other) > 0.03 for other in sprites[:i])
    assert set(DRAWINGS) == set(CATEGORIES)


def test_every_pattern_can_be_seen() -> None:
    shares = [accent_share(pattern, 96, np.random.default_rng(0)) for pattern in PATTERNS]
    for i, share in enumerate(shares):
        assert share.min() >= 0 and share.max() <= 1
        assert all(np.abs(share - other).mean() > 0.1 for other in shares[:i])


def test_a_sprite_stays_within_its_square() -> None:
    for category, kind in CATEGORIES.items():
        for cut in kind.cuts:
            alpha = sprite_of(category, cut)[..., 3]
            edge = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
            assert alpha.mean() > 25 and edge.max() == 0, f"{category}, {cut}"


# Descriptions


def test_most_descriptions_name_the_category(shop: pa.Table) -> None:
    named = [
        any(word in text.lower() for word in CATEGORY_WORDS[category])
        for text, category in zip(shop["text"].to_pylist(), shop["category"].to_pylist(), strict=True)
    ]
    assert 0.85 < np.mean(named) < 1.0  # a few are misspelt


def test_descriptions_are_sloppy_but_say_the_color(products: list[Product]) -> None:
    rng = np.random.default_rng(0)
    said = [any(word in describe(p, rng) for word in SYNONYMS[p.color]) for p in products]
    assert 0.75 < np.mean(said) < 1.0
    assert len({describe(products[0], rng) for _ in range(20)}) > 15


def test_descriptions_of_similar_products_share_more_words(products: list[Product]) -> None:
    rng = np.random.default_rng(0)
    words = [set(describe(product, rng).lower().split()) for product in products]

    def shared(a: int, b: int) -> float:
        return len(words[a] & words[b]) / len(words[a] | words[b])

    siblings = [shared(i, i + 1) for i in range(0, 360, FAMILY_SIZE)]
    strangers = [shared(i, (i + 61) % 360) for i in range(360)]
    assert np.mean(siblings) > 3 * np.mean(strangers) > 0


def test_every_synonym_belongs_to_something_sold() -> None:
    sold = {name for kind in CATEGORIES.values() for name in (*kind.cuts, *kind.details)} | set(PATTERNS)
    sold |= {p.color for p in make_products(360, 0)}
    assert set(SYNONYMS) <= sold
    assert set(CATEGORY_WORDS) == set(CATEGORIES)


# Hardness


def test_raw_pixels_find_little_but_more_than_chance(shop: pa.Table) -> None:
    recall = recall_at_1(pixels(shop), column(shop, "label"))
    chance = (VIEWS - 1) / (shop.num_rows - 1)
    assert 4 * chance < recall < 0.3


def test_the_other_domain_is_harder(shop: pa.Table) -> None:
    vectors, labels, domains = pixels(shop), column(shop, "label"), column(shop, "domain")
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    same = domains[:, None] == domains[None, :]
    within, across = (np.where(mask, similarity, -np.inf).argmax(axis=1) for mask in (same, ~same))
    assert (labels[across] == labels).mean() < (labels[within] == labels).mean()


@pytest.mark.parametrize("domain", DOMAINS)
def test_pose_and_light_differ_from_view_to_view(domain: str) -> None:
    sprite = Image.new("RGBA", (96, 96), (200, 30, 40, 255))
    views = [np.asarray(photograph(sprite, domain, 48, np.random.default_rng(i)), dtype=np.float32) for i in range(24)]
    red = [view[..., 0] - view[..., 1] > 60 for view in views]
    assert np.std([mask.mean() for mask in red]) > 0.05, "the product is always of one size"
    light = [view[mask].mean() for view, mask in zip(views, red, strict=True)]
    assert np.std(light) > 3, "the light is always the same"


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_products": 7}, "num_products = 7 must be a whole number from 8 to 3000"),
        ({"num_products": 8.5}, "num_products = 8.5 must be"),
        ({"num_products": True}, "num_products = True must be"),
        ({"views": 1}, "views = 1 must be a whole number from 2"),
        ({"size_px": 16}, "size_px = 16 must be a whole number from 32 to 512"),
        ({"seed": -1}, "seed = -1 must be a whole number from 0"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(CatalogError, match=message.replace(".", r"\.")):
        draw_boutique(**arguments)


def test_looks_leave_out_what_is_not_seen() -> None:
    product = make_products(8, 0)[0]
    assert replace(product, price=1.0, number=99, family=5).looks == product.looks
    assert replace(product, pattern="no such").looks != product.looks
