"""What `check` says of the descriptions."""

import json

import pyarrow as pa
import pytest

from lookalike.catalog import Catalog
from lookalike.side import text_report
from tests.side.shop import SHOP


def shop(texts: list[str | None], labels: list[str | None] | None = None) -> Catalog:
    columns = {"item_id": [str(row) for row in range(len(texts))], "image": [b"x"] * len(texts)}
    columns["text"] = pa.array(texts, pa.string())
    return Catalog(pa.table(columns | ({"label": labels} if labels else {})), "shop.csv")


def test_texts_are_counted() -> None:
    found = text_report(shop(["red wool boot", "red wool boot", None, "!!", "<b>bag</b> 10 cm", "bag"]))
    assert found is not None
    assert (found.items, found.usable, found.distinct) == (6, 4, 3)
    assert found.words_per_text == {"min": 1, "median": 3.0, "max": 5}
    assert found.commonest == ("red wool boot", 2)
    assert found.cleaning == {"html": 1, "sizes": 1, "codes": 0, "brands": 0}
    assert (found.brands, found.classes) == ([], None)
    assert json.loads(json.dumps(found.to_dict()))["usable"] == 4


def test_the_nearest_and_the_farthest_classes_are_named() -> None:
    texts = ["red wool boot", "red wool boot", "red wool shoe", "silver watch", "red wool boot", None]
    found = text_report(shop(texts, ["boot", "boot", "shoe", "watch", "twin", "nothing"]))
    assert found is not None and found.classes is not None
    assert found.classes.classes == 4
    assert found.classes.alike == 2
    assert found.classes.nearest[0] == ("boot", "twin", 0.0)
    assert {*found.classes.nearest[1][:2]} in ({"boot", "shoe"}, {"twin", "shoe"})
    assert "watch" in found.classes.farthest[0][:2]
    assert found.classes.farthest[0][2] > 1
    assert found.classes.mean["centered"] > found.classes.mean["raw"]
    assert set(found.classes.hubness) == {"raw", "centered", "whitened"}


def test_brands_are_shown() -> None:
    found = text_report(shop([f"Puma {text}" for text in SHOP] + SHOP))
    assert found is not None
    assert found.brands == ["puma"]
    assert found.cleaning["brands"] == 36


@pytest.mark.parametrize("texts", [[None, None], ["", "!!"]])
def test_a_column_without_words(texts: list[str | None]) -> None:
    found = text_report(shop(texts, ["a", "b"]))
    assert found is not None
    assert (found.usable, found.distinct, found.commonest, found.words_per_text) == (0, 0, None, {})
    assert found.classes is None


def test_one_class_or_none_is_not_compared() -> None:
    alone = text_report(shop(["red", "blue"], ["a", "a"]))
    assert alone is not None and alone.classes is None
    assert text_report(Catalog(pa.table({"item_id": ["a"], "image": [b"x"]}))) is None
