"""Queries beside their nearest neighbors, as numbers and as a sheet of pictures."""

import numpy as np
import pytest
from PIL import ImageColor

from lookalike.catalog import Catalog
from lookalike.evaluation import Protocol
from lookalike.evaluation.figures import QUERY, RIGHT, WRONG, Row, neighbor_rows, neighbor_sheet
from tests.evaluation.shops import shop

LABELS = np.array([0, 0, 1, 1, 2, 2])
EMBEDDINGS = np.array([[1, 0], [1, 0.1], [1, 0.15], [0.5, 1], [0, 1], [-1, 0.3]], dtype=np.float32)
ALL = Protocol("all", np.arange(6))


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
