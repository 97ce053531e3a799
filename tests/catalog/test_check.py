"""The report: every problem has its sentence, and a sound catalog has none."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from lookalike.catalog import Catalog
from tests.pictures import draw, encoded

PICTURES = [encoded(draw("bag", number)) for number in range(4)]


def items(images: list[bytes] = PICTURES, **columns: object) -> Catalog:
    return Catalog(pa.table({"item_id": list("abcdefgh")[: len(images)], "image": images, **columns}), "shop.csv")


def test_a_sound_catalog_has_no_problems(shop: Catalog) -> None:
    report = shop.check()
    assert (report.rows, report.classes, report.problems, report.usable) == (12, 4, [], True)
    assert report.images_per_class == {"min": 3, "median": 3, "max": 3}
    assert report.understood == shop.understood


def test_what_is_not_there_is_not_counted() -> None:
    report = items().check()
    assert (report.classes, report.images_per_class, report.missing_label, report.missing_text) == (None,) * 4
    assert (report.splits, report.domains, report.problems) == ({}, {}, [])


def test_unreadable_pictures_are_named_and_make_it_unusable(tmp_path: Path) -> None:
    lost = str(tmp_path / "lost.png")
    report = Catalog(pa.table({"item_id": ["a", "b"], "image": [lost, "https://shop.example/b.png"]})).check()
    assert report.usable is False
    assert report.unreadable[0] == ("a", f"{lost}: there is no such file")
    assert "not fetched from the network" in report.unreadable[1][1]
    assert report.problems == ["2 pictures cannot be read; they are left out of training and of an index"]
    damaged = items([PICTURES[0], PICTURES[1][:60]]).check()
    assert [item for item, _ in damaged.unreadable] == ["b"]


def test_tiny_pictures() -> None:
    sizes = [(32, 32), (31, 400), (400, 31)]
    report = items([encoded(draw("bag", size=size)) for size in sizes]).check()
    assert report.tiny == ["b", "c"]
    assert report.problems == ["2 pictures have a side under 32 px"]
    assert report.usable


def test_duplicates_across_labels_and_splits() -> None:
    one, two = PICTURES[:2]
    images = [one, one, two, two, PICTURES[2], PICTURES[2], PICTURES[3], PICTURES[3]]
    labels = ["k", "k", "k", "m", "n", None, "n", "n"]
    splits = ["train", "train", "train", "train", "test", "test", "validation", "test"]
    report = items(images, label=labels, split=splits).check()
    assert report.duplicates == [["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"]]
    assert report.duplicates_across_labels == 1  # one without a label contradicts nothing
    assert report.duplicates_across_splits == 1
    assert report.problems == [
        "4 groups of items share the very same picture",
        "1 of these groups carry different labels: label noise",
        "1 of these groups are in train and in test: the test figures will be too good",
        "1 items have no label",
    ]


def test_the_same_file_twice_is_a_duplicate_of_paths_and_of_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(PICTURES[0])
    report = Catalog.read(tmp_path).check()
    assert report.duplicates == [["a.png", "b.png"]]


def test_classes_in_train_and_test() -> None:
    report = items(label=["x", "x", "y", "y"], split=["train", "test", "train", "train"]).check()
    assert report.classes_in_train_and_test == ["x"]
    assert "1 classes are both in train and in test: metric learning is judged on classes never" in report.problems[0]
    unlabeled = items(label=["x", None, "y", None], split=["train", "test", "test", "train"]).check()
    assert unlabeled.classes_in_train_and_test == []


@pytest.mark.parametrize("splits", [["train"] * 4, ["test"] * 4, ["query", "gallery", "gallery", None]])
def test_splits_without_train_or_test(splits: list[str | None]) -> None:
    report = items(label=["x", "x", "y", "y"], split=splits).check()
    assert report.classes_in_train_and_test == []
    assert sum(report.splits.values()) == 4


def test_gaps_in_texts_and_labels() -> None:
    report = items(label=["x", "x", None, "y"], text=["t", None, None, None], domain=["d", "d", "e", None]).check()
    assert (report.missing_label, report.missing_text, report.classes_with_one_image) == (1, 3, 1)
    assert report.problems == ["3 items have no text", "1 items have no label"]
    assert report.domains == {"d": 2, "e": 1, "None": 1}


def test_classes_nothing_can_be_learned_or_judged_from() -> None:
    assert items(label=["x"] * 4).check().problems == ["there is one class only: a loss needs at least two"]
    alone = items(label=list("wxyz")).check()
    assert alone.problems == ["every class has one picture: retrieval cannot be judged, since no query has a match"]


def test_the_report_is_ready_for_json() -> None:
    catalog = items([*PICTURES[:3], b"x"], label=["x", "x", "y", None], split=["train", "test", None, "test"])
    report = json.loads(json.dumps(catalog.check().to_dict()))
    assert report["usable"] is False
    assert report["splits"] == {"train": 1, "test": 2, "None": 1}
    assert report["unreadable"][0][0] == "d"


def test_checking_changes_nothing(shop: Catalog) -> None:
    before = shop.table
    shop.check()
    assert shop.table.equals(before)
