"""The page as a file: it holds all it needs, and what a catalog says stays text."""

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lookalike.catalog import Catalog
from lookalike.evaluation import Protocol, protocols_for
from lookalike.evaluation.curves import training_curves
from lookalike.evaluation.report import page, parts_of, write_report
from tests.evaluation.shops import color_encoder, figures, shop

TRICK = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'
PARTS = {"recall", "grids", "confusions", "similarities", "densities", "items", "map"}


class Page(HTMLParser):
    """Tags with what they hold, as a browser reads them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self.feed(html)
        self.close()
        self.data = json.loads(self.text["data"])

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.tags[-1] if self.tags else ("", {})
        name = attributes.get("id") or tag
        self.text[name] = self.text.get(name, "") + data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def written(folder: Path, catalog: Catalog, title: str = "A shop", **parts: Any) -> tuple[str, Page]:
    """A page of a catalog, whose trained model is the color encoder and whose frozen one fails class 0."""
    labels, _ = catalog.label_numbers()
    embeddings = color_encoder().embed(catalog.column("image"))
    (protocol, *_) = protocols_for(catalog, np.ones(len(catalog), dtype=bool))
    trained, frozen = protocol.judge(embeddings, labels, [1, 2]), figures(labels > 0, labels, k=[1, 2])
    results = {"all": {"frozen backbone": frozen, "trained": trained}}
    path = folder / "report.html"
    found = parts_of(catalog, [protocol], {"trained": embeddings}, labels, results)
    write_report(path, title, ["One sentence.", f"Another & {TRICK}."], results, found | parts)
    html = path.read_text(encoding="utf-8")
    return html, Page(html)


def names() -> Catalog:
    return shop(["a", "a", "b", "b", "c", "c"])


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    html, found = written(tmp_path, names())
    code = re.sub(
        r"^ *//.*$", "", html.replace(found.text["data"].strip(), ""), flags=re.M
    )  # without comments of the scripts
    assert not re.search(r"(https?:)?//\w", code) and "http" not in found.text["data"].strip()
    assert all(item["picture"].startswith("data:image/jpeg;base64,") for item in found.data["items"])
    assert not re.search(r"@import|url\(|\bfetch\(|XMLHttpRequest|WebSocket|innerHTML|\beval\(", html)
    assert not found.all("link") and not found.all("iframe") and not found.all("img")
    assert all("src" not in script for script in found.all("script"))
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_policy_lets_only_our_own_script_and_style_in(tmp_path: Path) -> None:
    html, found = written(tmp_path, names())
    (policy,) = [tag["content"] or "" for tag in found.all("meta") if "http-equiv" in tag]

    def digest(tag: str) -> str:
        (source,) = re.findall(f"<{tag}>(.*?)</{tag}>", html, flags=re.S)
        return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"

    rules = {name: values for name, *values in (rule.split() for rule in policy.split("; "))}
    assert rules == {
        "default-src": ["'none'"],
        "script-src": [digest("script")],
        "style-src": [digest("style")],
        "img-src": ["data:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }


def test_what_a_catalog_says_is_text_and_never_markup(tmp_path: Path) -> None:
    labels = [f"a{TRICK}"] * 2 + ['"onload="x'] * 2 + ["$title ${tables} &amp;"] * 2
    catalog = shop(labels, text=[f"'{TRICK}"] * 6, domain=[f'">{TRICK}'] * 6)
    html, found = written(tmp_path, catalog, title=f"{TRICK} $data")
    assert TRICK not in html and "<img" not in html and "alert" in html
    assert len(found.all("script")) == 2
    assert found.text["title"].strip() == found.data["title"] == f"{TRICK} $data"
    assert found.data["sentences"][1] == f"Another & {TRICK}."
    assert {item["label"] for item in found.data["items"]} == set(labels)
    assert set(found.data["map"]["texts"]) == {f"'{TRICK}"}


def test_the_figures_stand_beside_the_baseline(tmp_path: Path) -> None:
    (table,) = written(tmp_path, names())[1].data["figures"]
    assert (table["protocol"], table["baseline"]) == ("all", "frozen backbone")
    assert table["metrics"] == ["Recall@1", "Recall@2", "MAP@R", "R-precision"]
    assert table["about"] == "6 queries in 6 items."
    frozen, trained = table["rows"]
    assert [cell[0] for cell in frozen["cells"]] == pytest.approx([66.667] * 4)
    assert trained["cells"] == [[100, 100, 100]] * 4
    (gain,) = table["gains"]
    assert gain["model"] == "trained" and gain["cells"][0][0] == pytest.approx(33.333)
    assert gain["cells"][0][1:] == [0, 100]


def test_one_class_has_no_intervals_to_show(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, "One class", [], {"all": {"one": figures(np.array([1, 0, 1]), np.zeros(3))}})
    data = Page(path.read_text(encoding="utf-8")).data
    assert data["figures"][0]["rows"][0]["cells"] == [[66.667, None, None]] * 3
    assert data["figures"][0]["gains"] == []


def test_a_page_without_parts_has_none(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, "Bare", [], {"all": {"one": figures(np.array([1, 0]), np.array([0, 1]))}})
    assert set(Page(path.read_text(encoding="utf-8")).data) == {"title", "sentences", "intervals", "figures"}


def test_all_parts_are_there(tmp_path: Path) -> None:
    history = [{"epoch": 0, "validation": 0.5}, {"epoch": 1, "validation": 0.7, "terms": {"triplet": 0.1}}]
    _, found = written(tmp_path, names(), training=training_curves(history, history[1]))
    assert set(found.data) == PARTS | {"title", "sentences", "intervals", "figures", "model", "training"}
    assert found.data["training"]["best"] == {"epoch": 1, "validation": 0.7, "blend": None, "average": None}


def test_every_item_is_in_the_page_once(tmp_path: Path) -> None:
    items = written(tmp_path, names())[1].data["items"]
    assert sorted(item["item_id"] for item in items) == [f"item-{number}" for number in range(6)]
    encoded = items[0]["picture"].removeprefix("data:image/jpeg;base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert picture.format == "JPEG" and picture.size == (20, 14)  # not made larger


def test_a_number_that_json_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        page({"title": "x", "figures": float("nan")})


def test_long_texts_are_cut(tmp_path: Path) -> None:
    catalog = shop(["a", "a", "b", "b", "c", "c"], text=["word " * 1000] * 6)
    html, found = written(tmp_path, catalog)
    assert {len(item["text"]) for item in found.data["items"]} == {240}
    assert all(len(text) <= 100 and text.endswith("…") for text in found.data["map"]["texts"])
    assert len(html) < 100_000


def test_too_few_items_have_no_map(tmp_path: Path) -> None:
    assert written(tmp_path, shop(["a", "a", "b", "b"]))[1].data["map"] is None


def test_a_protocol_with_a_gallery_is_shown_too(tmp_path: Path) -> None:
    catalog = shop(["a", "a", "b", "b", "c", "c"], domain=["street", "studio"] * 3)
    labels, _ = catalog.label_numbers()
    embeddings = {"trained": color_encoder().embed(catalog.column("image"))}
    across = Protocol("street -> studio", np.array([0, 2, 4]), np.array([1, 3, 5]))
    results = {across.name: {"trained": across.judge(embeddings["trained"], labels, [1])}}
    parts = parts_of(catalog, [across], embeddings, labels, results)
    ids = [item["item_id"] for item in parts["items"]]
    for row in parts["grids"][0]["random"]:
        assert int(ids[row["query"]][-1]) % 2 == 0
        assert [int(ids[number][-1]) % 2 for number, _, _ in row["found"]] == [1, 1, 1]
    assert parts["map"] is None and parts["confusions"]["pairs"] == []
