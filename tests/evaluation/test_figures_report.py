"""Pictures of results, and the page that holds them."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from lookalike.catalog import Catalog
from lookalike.evaluation import Protocol, protocols_for
from lookalike.evaluation.figures import QUERY, RIGHT, WRONG, Row, neighbor_rows, neighbor_sheet
from lookalike.evaluation.report import grids_html, write_report
from tests.evaluation.shops import color_encoder, figures, shop

LABELS = np.array([0, 0, 1, 1, 2, 2])
EMBEDDINGS = np.array([[1, 0], [1, 0.1], [1, 0.15], [0.5, 1], [0, 1], [-1, 0.3]], dtype=np.float32)
ALL = Protocol("all", np.arange(6))


class Page(HTMLParser):
    """Collects tags and text, and fails on tags that are not closed in order."""

    EMPTY = ("meta", "img", "br", "hr", "link")

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: dict[str, list[str]] = {}
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.text.setdefault(self.open[-1], []).append(data.strip())

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [a for name, a in self.tags if name == tag and attributes.items() <= a.items()]


# Neighbors


def test_rows_hold_catalog_rows_cosines_and_who_is_right() -> None:
    (first, second) = neighbor_rows(ALL, EMBEDDINGS, LABELS, [1, 3], k=3)
    assert (first.query, first.neighbors, first.right) == (1, [2, 0, 3], [False, True, False])
    unit = EMBEDDINGS / np.linalg.norm(EMBEDDINGS, axis=1, keepdims=True)
    assert first.cosines == pytest.approx((unit @ unit[1])[[2, 0, 3]].tolist(), abs=1e-6)
    assert second.query == 3 and second.neighbors[0] == 4


def test_rows_of_a_protocol_with_a_gallery() -> None:
    protocol = Protocol("a -> b", queries=np.array([5, 3]), gallery=np.array([0, 2, 4]))
    (row,) = neighbor_rows(protocol, EMBEDDINGS, LABELS, [1], k=2)
    assert (row.query, row.neighbors, row.right) == (3, [4, 2], [False, True])


def test_no_more_neighbors_than_there_are() -> None:
    assert [len(row.neighbors) for row in neighbor_rows(ALL, EMBEDDINGS, LABELS, [0, 2], k=99)] == [5, 5]
    gallery = Protocol("a -> b", np.array([0]), np.array([1, 2]))
    assert len(neighbor_rows(gallery, EMBEDDINGS, LABELS, [0], k=99)[0].neighbors) == 2


def test_no_queries_no_rows() -> None:
    assert neighbor_rows(ALL, EMBEDDINGS, LABELS, []) == []


def names() -> Catalog:
    return shop(["a", "a", "b", "b", "c", "c"])


def test_a_sheet_has_a_row_per_query_and_frames_that_tell_right_from_wrong() -> None:
    rows = [Row(0, [2, 1], [0.9, 0.8], [False, True]), Row(2, [3], [0.9], [True])]
    size, gap = 40, 6
    sheet = neighbor_sheet(names(), rows, size_px=size, gap_px=gap)
    step = size + 2 * gap
    assert sheet.mode == "RGB" and sheet.size == (3 * step + 2 * gap, 2 * step)

    def frame(line: int, place: int) -> tuple[int, ...]:
        """A point of the frame, of which the picture begins at the gap."""
        return sheet.getpixel((place * step + (2 * gap if place else 0) + gap - 2, line * step + step // 2))

    colors = [[ImageColor.getrgb(color) for color in line] for line in ((QUERY, WRONG, RIGHT), (QUERY, RIGHT))]
    assert [[frame(0, 0), frame(0, 1), frame(0, 2)], [frame(1, 0), frame(1, 1)]] == colors
    assert frame(1, 2) == (255, 255, 255), "no third picture in the second row"


def test_a_sheet_shows_the_pictures_asked_for() -> None:
    catalog = names()
    sheet = neighbor_sheet(catalog, [Row(4, [1], [0.5], [False])], size_px=40)
    for place, item in ((0, 4), (1, 1)):
        middle = sheet.getpixel((place * (52 + 12) + 26 + 6, 26))
        assert middle == catalog.image(item).getpixel((14, 7))
    assert catalog.image(4).getpixel((14, 7)) != catalog.image(1).getpixel((14, 7))


# Report

TRICK = '<script>alert("x")</script>'
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "div"),
    *("table", "tr", "th", "td", "small", "figure", "img", "figcaption"),
}


def written(folder: Path, catalog: Catalog, title: str = "A shop") -> tuple[str, Page]:
    labels, _ = catalog.label_numbers()
    embeddings = color_encoder().embed(catalog.column("image"))
    (protocol,) = protocols_for(catalog, np.ones(len(catalog), dtype=bool))
    trained, frozen = protocol.judge(embeddings, labels, [1, 2]), figures(np.arange(6) % 3 > 0, labels, k=[1, 2])
    results = {"frozen backbone": {"all": frozen}, "trained": {"all": trained}}
    path = folder / "report.html"
    grids = grids_html(catalog, protocol, embeddings, labels, trained)
    write_report(path, title, ["One sentence.", f"Another & {TRICK}."], results, grids)
    html = path.read_text(encoding="utf-8")
    return html, Page(html)


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    html, page = written(tmp_path, names())
    assert not re.search(r"(https?:)?//\w", re.sub(r"base64,[^\"]*", "", html))
    assert not page.all("script") and not page.all("link") and not page.all("iframe") and "@import" not in html
    sources = [image["src"] for image in page.all("img")]
    assert sources and all(source and source.startswith("data:image/jpeg;base64,") for source in sources)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_page_says_what_was_found(tmp_path: Path) -> None:
    _, page = written(tmp_path, names())
    assert page.text["h1"] == page.text["title"] == ["A shop"]
    assert page.text["p"][:2] == ["One sentence.", f"Another & {TRICK}."]
    assert [cell for cell in page.text["th"] if "@" in cell or "-" in cell] == [
        "Recall@1",
        "Recall@2",
        "MAP@R",
        "R-precision",
    ]
    assert [cell for cell in page.text["th"] if "@" not in cell and "-" not in cell] == ["frozen backbone", "trained"]
    assert page.text["td"] == ["66.7"] * 4 + ["100.0"] * 4
    assert len(page.text["small"]) == 8 and page.text["small"][-1] == "100.0 – 100.0"
    assert "6 queries in 6 items, 0 more left out that have nothing to find" in page.text["p"]


def test_the_page_shows_queries_and_what_they_find(tmp_path: Path) -> None:
    _, page = written(tmp_path, names())
    assert [heading for heading in page.text["h3"] if "·" in heading] == [
        "all · Queries drawn at random",
        "all · The worst queries",
    ]
    assert len(page.all("div", **{"class": "row"})) == 12
    assert len(page.all("figure", **{"class": "query"})) == 12
    # Of five others one is right.
    assert len(page.all("figure", **{"class": "right"})) == 12
    assert len(page.all("figure", **{"class": "wrong"})) == 48
    assert page.text["figcaption"].count("query") == 12 and len(page.text["figcaption"]) == 72
    data = page.all("img")[0]["src"]
    assert data is not None
    picture = Image.open(io.BytesIO(base64.b64decode(data.split(",")[1])))
    assert picture.format == "JPEG" and max(picture.size) == 96


def test_the_worst_queries_come_worst_first() -> None:
    catalog = names()
    result = figures(np.ones(6), LABELS)
    result.first_hit[:] = [1, 5, 2, 9, 3, 1]
    worst = grids_html(catalog, ALL, EMBEDDINGS, LABELS, result).split("The worst queries")[1]
    titles = [figure["title"] for figure in Page(f"<h3>{worst}").all("figure", **{"class": "query"})]
    assert titles == ["b", "a", "c", "b", "c", "a"]


def test_what_a_catalog_says_is_text_and_never_markup(tmp_path: Path) -> None:
    labels = [f"a{TRICK}"] * 2 + ['"onload="x'] * 2 + ["$title ${tables} &amp;"] * 2
    catalog = shop(labels, text=[f"'{TRICK}"] * 6, domain=[f'">{TRICK}'] * 6)
    html, page = written(tmp_path, catalog, title=f"{TRICK} $grids")
    assert TRICK not in html
    assert page.all("script") == [] and page.text["h1"] == [f"{TRICK} $grids"]
    assert {tag for tag, _ in page.tags} == TAGS
    assert all(set(figure) == {"class", "title"} for figure in page.all("figure"))
    assert all(set(image) == {"alt", "src"} for image in page.all("img"))
    titles = {figure["title"] for figure in page.all("figure")}
    assert titles == {f"{label} · '{TRICK} · \">{TRICK}" for label in labels}


def test_one_class_has_no_intervals_to_show(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, "One class", [], {"one": {"all": figures(np.array([1, 0, 1]), np.zeros(3))}}, "")
    page = Page(path.read_text(encoding="utf-8"))
    assert page.text["td"] == ["66.7"] * 3 and "small" not in page.text
    assert "nan" not in path.read_text(encoding="utf-8")
