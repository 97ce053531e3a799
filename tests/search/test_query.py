"""Several pictures, parts of pictures, pictures with words, pages and groups."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lookalike.catalog import Catalog
from lookalike.errors import ImageError, StoredIndexError
from lookalike.index import ExactIndex
from lookalike.search import Index
from lookalike.search.query import mean_direction, mixed, picture_of

MakeCatalog = Callable[..., Catalog]


def of(catalog: Catalog, encoder: Any) -> Index:
    index = Index(encoder, ExactIndex(encoder.dim))
    index.add(catalog)
    return index


@pytest.fixture(scope="module")
def shop(make_catalog: MakeCatalog, encoder: Any) -> Index:
    return of(make_catalog(product=["a", "b", "a", None, None] * 4), encoder)


def ids(matches: list[Any]) -> list[str]:
    return [match.item_id for match in matches]


# --- several pictures and items ---


def test_several_pictures_are_their_mean_direction(shop: Index, make_picture: Any, encoder: Any) -> None:
    pictures = [make_picture("red", 0), make_picture("blue", 3)]
    mean = encoder.embed(pictures).astype(np.float64).sum(axis=0)
    stored = encoder.embed(
        [make_picture(color, shade) for color in ("red", "green", "blue", "pink") for shade in range(5)]
    )
    expected = np.sort(stored @ (mean / np.linalg.norm(mean)))[::-1]
    assert [match.score for match in shop.search(image=pictures, k=20)] == pytest.approx(expected.tolist(), abs=1e-5)


def test_items_and_pictures_together(shop: Index, make_picture: Any) -> None:
    pictures = [make_picture("red", 0), make_picture("blue", 3)]
    by_items = shop.search(item_id=["red-0", "blue-3"], k=5)
    assert {"red-0", "blue-3"}.isdisjoint(ids(by_items))
    assert len(by_items) == 5
    both = shop.search(image=pictures[0], item_id="blue-3", k=20)
    assert "red-0" in ids(both)  # a picture that was given is no item that was named
    assert "blue-3" not in ids(both)
    assert [match for match in ids(both) if match != "red-0"][:5] == ids(by_items)


def test_an_unknown_item_among_known_ones(shop: Index) -> None:
    with pytest.raises(StoredIndexError, match="there is no item 'nobody' in the index"):
        shop.search(item_id=["red-0", "nobody"])


def test_opposite_pictures_have_no_mean() -> None:
    unit = np.eye(3, dtype=np.float32)[:1]
    with pytest.raises(StoredIndexError, match="no direction in common; ask with fewer of them"):
        mean_direction(np.concatenate([unit, -unit]))


# --- parts of a picture ---


def side_by_side(left: bytes, right: bytes, scale: int = 1) -> bytes:
    with Image.open(io.BytesIO(left)) as one, Image.open(io.BytesIO(right)) as other:
        whole = Image.new("RGB", (one.width + other.width, one.height))
        whole.paste(one, (0, 0))
        whole.paste(other, (one.width, 0))
    encoded = io.BytesIO()
    whole.resize((whole.width * scale, whole.height * scale)).save(encoded, "PNG" if scale == 1 else "JPEG")
    return encoded.getvalue()


def test_a_region_is_searched_as_if_it_were_the_picture(shop: Index, make_picture: Any) -> None:
    photo = side_by_side(make_picture("green", 1), make_picture("pink", 2))
    for region, color, shade in (((0, 0, 0.5, 1), "green", 1), ((0.5, 0, 1, 1), "pink", 2)):
        assert shop.search(image=photo, region=region) == shop.search(image=make_picture(color, shade))
    assert shop.search(image=photo, region=(0, 0, 1, 1)) == shop.search(image=photo)


def test_a_small_region_of_a_large_photo_stays_sharp(make_picture: Any) -> None:
    photo = side_by_side(make_picture("green", 1), make_picture("pink", 2), scale=20)  # 1600 x 600
    assert min(picture_of(photo, 64).size) < 200
    assert min(picture_of(photo, 64, (0.4, 0.4, 0.6, 0.6)).size) >= 64


@pytest.mark.parametrize("region", [(0, 0, 0, 1), (0.5, 0, 0.4, 1), (-0.1, 0, 1, 1), (0, 0, 1, 1.1), (0, np.nan, 1, 1)])
def test_regions_that_are_none(region: Any, shop: Index, make_picture: Any) -> None:
    with pytest.raises(StoredIndexError, match=r"it is \(left, top, right, bottom\) in shares of the picture"):
        shop.search(image=make_picture("red"), region=region)


def test_a_region_needs_one_picture(shop: Index, make_picture: Any) -> None:
    with pytest.raises(StoredIndexError, match="region is a part of one picture, and there are 0"):
        shop.search(item_id="red-0", region=(0, 0, 1, 1))
    with pytest.raises(StoredIndexError, match="region is a part of one picture, and there are 2"):
        shop.search(image=[make_picture("red")] * 2, region=(0, 0, 1, 1))


def test_a_broken_picture_in_a_region(shop: Index) -> None:
    with pytest.raises(ImageError, match="the query <3 bytes>: this is not a picture we can read"):
        shop.search(image=b"abc", region=(0, 0, 0.5, 1))


# --- pictures with words ---


def test_words_beside_a_picture_at_the_ends_are_the_one_alone(shop: Index, make_picture: Any) -> None:
    photo = make_picture("blue", 3)
    assert shop.search(image=photo, words="red", words_weight=0) == shop.search(image=photo)
    assert shop.search(image=photo, words="red", words_weight=1) == shop.search(words="red")


def test_like_this_but_red(shop: Index) -> None:
    colors = [
        [match.attributes["label"] for match in shop.search(item_id="blue-3", words="red", words_weight=weight, k=4)]
        for weight in (0.0, 0.5, 0.9)
    ]
    assert colors[0] == ["blue"] * 4
    assert colors[1] not in (colors[0], colors[2])
    assert set(colors[2]) <= {"red", "pink"}
    assert "red" in colors[2]


@given(seed=st.integers(0, 999), weight=st.floats(0, 1))
def test_mixed_orders_as_the_z_scores_do(seed: int, weight: float) -> None:
    rng = np.random.default_rng(seed)
    items = rng.standard_normal((40, 6)) * [3, 1, 1, 1, 0.2, 0.1] + [5, 0, 0, 0, 0, 0]
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    picture, words = items[0], rng.standard_normal(6)
    words /= np.linalg.norm(words)
    query = mixed(picture.astype(np.float32), words.astype(np.float32), weight, items.astype(np.float32))
    assert np.linalg.norm(query) == pytest.approx(1, abs=1e-5)

    def z(scores: np.ndarray) -> np.ndarray:
        return (scores - scores.mean()) / scores.std()

    expected = (1 - weight) * z(items @ picture) + weight * z(items @ words)
    found = items @ query
    # The same order: one is the other, stretched and moved.
    assert np.corrcoef(found, expected)[0, 1] == pytest.approx(1, abs=1e-5)


def test_mixed_without_a_spread() -> None:
    picture, words = np.float32([1, 0]), np.float32([0, 1])
    for sample in (np.zeros((0, 2), np.float32), np.tile(picture, (5, 1))):
        assert mixed(picture, words, 0.5, sample) == pytest.approx([0.5**0.5] * 2)


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_weights_that_are_none(weight: float, shop: Index) -> None:
    with pytest.raises(StoredIndexError, match=r"words_weight = .*: it must be from 0 \(pictures only\) to 1"):
        shop.search(item_id="red-0", words="blue", words_weight=weight)


# --- pages and groups ---


@pytest.mark.parametrize("question", [{}, {"words": "red"}, {"group_by": "product"}, {"where": "price > 0"}])
def test_pages_are_pieces_of_the_whole(question: dict[str, Any], shop: Index) -> None:
    whole = shop.search(item_id="red-0", k=100, **question)
    pages = [shop.search(item_id="red-0", k=3, offset=offset, **question) for offset in range(0, 30, 3)]
    assert [match for page in pages for match in page] == whole
    assert [match.rank for match in whole] == list(range(1, len(whole) + 1))


def test_one_hit_per_group(shop: Index, make_picture: Any) -> None:
    every = shop.search(image=make_picture("green", 1), k=20)
    seen: set[str] = set()
    best = []
    for match in every:
        product = match.attributes["product"]
        if product is None or product not in seen:
            best.append(match.item_id)
        seen.add(product)
    assert len(best) == 2 + 8
    assert ids(shop.search(image=make_picture("green", 1), k=20, group_by="product")) == best
    assert ids(shop.search(image=make_picture("green", 1), k=3, group_by="product")) == best[:3]


def test_the_item_asked_with_does_not_hide_its_group(shop: Index) -> None:
    products = [match.attributes["product"] for match in shop.search(item_id="red-0", k=20, group_by="product")]
    assert products.count("a") == 1


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ("prodcut", "group_by='prodcut': there is no such column. Did you mean 'product' or 'price'?"),
        ("item_id", "group_by='item_id': there is no such column. Known: label, price, product."),
    ],
)
def test_columns_that_make_no_groups(column: str, sentence: str, shop: Index) -> None:
    with pytest.raises(StoredIndexError) as caught:
        shop.search(item_id="red-0", group_by=column)
    assert str(caught.value) == sentence


def test_numbers_make_no_groups(make_catalog: MakeCatalog, encoder: Any) -> None:
    with pytest.raises(StoredIndexError, match="group_by='size': it holds numbers; group by text, whole numbers, true"):
        of(make_catalog(size=[0.5] * 20), encoder).search(item_id="red-0", group_by="size")
