import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lookalike.catalog import Catalog
from lookalike.errors import CatalogError
from lookalike.index import ExactIndex
from lookalike.index.rows import vectors_of
from lookalike.search import intake
from lookalike.search.intake import batches, storable, thumbnail


@pytest.mark.parametrize(
    ("size", "expected"), [((640, 320), (160, 80)), ((100, 1000), (16, 160)), ((50, 40), (50, 40))]
)
def test_thumbnail(size: tuple[int, int], expected: tuple[int, int]) -> None:
    picture = Image.new("RGB", size, "navy")
    with Image.open(io.BytesIO(thumbnail(picture))) as small:
        assert (small.format, small.size) == ("JPEG", expected)
    assert picture.size == size


@pytest.mark.parametrize("batch_size", [1, 7, 20, 100])
def test_batches_hold_every_item_once_in_order(
    batch_size: int, make_catalog: Callable[..., Catalog], make_encoder: Any
) -> None:
    catalog, encoder = make_catalog(), make_encoder()
    broken: list[tuple[str, str]] = []
    found = [batch.rows for batch in batches(catalog, encoder, ExactIndex(12), batch_size, broken)]
    assert [rows.num_rows for rows in found] == [min(batch_size, 20 - start) for start in range(0, 20, batch_size)]
    assert [item for rows in found for item in rows.column("item_id").to_pylist()] == catalog.column("item_id")
    expected = encoder.embed(catalog.column("image"))
    assert np.array_equal(np.concatenate([vectors_of(rows) for rows in found]), expected)
    assert found[0].column_names == ["item_id", "label", "price", "vector", "thumbnail", "_picture"]
    assert broken == []


def test_open_pictures_are_bounded(
    make_catalog: Callable[..., Catalog], make_encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, encoder = make_catalog(), make_encoder()
    whole = next(batches(catalog, make_encoder(), ExactIndex(12), 256, [])).rows
    monkeypatch.setattr(intake, "OPEN_PIXELS", 40 * 30 * 3)
    assert next(batches(catalog, encoder, ExactIndex(12), 256, [])).rows.equals(whole)
    assert encoder.largest_call == 3


def test_broken_pictures_are_named(make_catalog: Callable[..., Catalog], make_encoder: Any) -> None:
    pictures = make_catalog().column("image")
    pictures[3], pictures[19] = b"no picture", pictures[19][:40]
    found = list(batches(make_catalog(image=pictures), make_encoder(), ExactIndex(12), 4, broken := []))
    assert [batch.rows.num_rows for batch in found] == [3, 4, 4, 4, 3]
    assert [item for item, _ in broken] == ["red-3", "pink-4"]
    assert broken[0][1] == (
        "shop.csv, item 'red-3' (<10 bytes>): this is not a picture we can read (JPEG, PNG, WebP, GIF, BMP or TIFF)"
    )


def test_columns_that_cannot_be_stored(make_catalog: Callable[..., Catalog]) -> None:
    with pytest.raises(CatalogError) as caught:
        storable(make_catalog(vector=[1] * 20))
    assert str(caught.value) == "shop.csv has a column 'vector', which the index fills itself; rename it"
    with pytest.raises(CatalogError, match="has a column '_checksum', which the index fills itself"):
        storable(make_catalog(_checksum=[1] * 20))
    with pytest.raises(CatalogError, match=r"shop.csv: column 'a\.b' cannot be stored in an index; rename it"):
        storable(make_catalog(**{"a.b": [1] * 20}))
