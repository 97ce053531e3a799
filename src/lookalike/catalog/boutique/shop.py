"""The demo shop, drawn by code: products with a look and a price, photographed in the studio and in the street."""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from lookalike.catalog.boutique.drawing.sprite import draw_sprite
from lookalike.catalog.boutique.drawing.views import encoded, photograph
from lookalike.catalog.boutique.products import FAMILY_SIZE, Product, make_products
from lookalike.catalog.boutique.words import describe
from lookalike.errors import CatalogError

DOMAINS = ("studio", "street")
SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("image", pa.binary()),
        ("label", pa.string()),
        ("text", pa.string()),
        ("domain", pa.string()),
        ("split", pa.string()),
        ("category", pa.string()),
        ("cut", pa.string()),
        ("color", pa.string()),
        ("accent", pa.string()),
        ("pattern", pa.string()),
        ("details", pa.string()),
        ("price", pa.float64()),
    ]
)
_SPRITE_SCALE = 3  # a sprite has this many times the pixels of a picture in each direction, so that edges stay clean
_MAX_PRODUCTS = 3000  # looks run out somewhere beyond


def draw_boutique(
    num_products: int = 360,
    views: int = 8,
    size_px: int = 96,
    seed: int = 0,
    show_progress: Callable[[int, int], object] | None = None,
) -> pa.Table:
    """The demo shop as one table, a row per picture; the same arguments give the same bytes.

    Views alternate between studio and street. Products come in families of four that differ in one thing; a family
    is wholly in "train" or wholly in "test", three to two. The k-th product does not depend on how many there are.

    Args:
        num_products: How many products, each a class of its own; with fewer than 8, nothing would be in "test".
        views: Pictures of each product, at least one of each domain.
        size_px: Side of the square pictures, in pixels.
        seed: Another seed is another shop.
        show_progress: Called after each product with the number drawn and the number of all.

    Raises:
        CatalogError: An argument is out of range.
    """
    _check("num_products", num_products, 2 * FAMILY_SIZE, _MAX_PRODUCTS)
    _check("views", views, 2, 1000)
    _check("size_px", size_px, 32, 512)
    _check("seed", seed, 0, 2**32 - 1)
    rows: list[dict[str, object]] = []
    for product in make_products(num_products, seed):
        rows += _pictures_of(product, views, size_px, seed)
        if show_progress:
            show_progress(product.number + 1, num_products)
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def split_of(product: Product) -> str:
    """Whole families, two of five to "test"; consecutive families are of different categories."""
    return "test" if product.family % 5 in (1, 3) else "train"


def _check(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
        raise CatalogError(f"draw_boutique: {name} = {value!r} must be a whole number from {low} to {high}.")


def _pictures_of(product: Product, views: int, size_px: int, seed: int) -> Iterator[dict[str, object]]:
    """One row per view. Every product and every view has its own stream of random numbers."""
    sprite = draw_sprite(product, size_px * _SPRITE_SCALE, np.random.default_rng([seed, 2, product.number]))
    for view in range(views):
        rng = np.random.default_rng([seed, 3, product.number, view])
        domain = DOMAINS[view % len(DOMAINS)]
        yield {
            "item_id": f"{product.id}-v{view}",
            "image": encoded(photograph(sprite, domain, size_px, rng)),
            "label": product.id,
            "text": describe(product, rng),
            "domain": domain,
            "split": split_of(product),
            "category": product.category,
            "cut": product.cut,
            "color": product.color,
            "accent": product.accent,
            "pattern": product.pattern,
            "details": ", ".join(product.details),
            "price": product.price,
        }
