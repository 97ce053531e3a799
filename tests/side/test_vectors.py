"""Side vectors of items and of classes."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.catalog import Catalog
from lookalike.errors import SideError
from lookalike.side import FastTextEncoder, SideVectors, describe_items
from lookalike.side.scaling import scaled


def unit_rows(count: int, dim: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def side_of(vectors: np.ndarray) -> SideVectors:
    return SideVectors([str(number) for number in range(len(vectors))], vectors, "test")


def of_classes_in_loops(vectors: np.ndarray, labels: list[int], num_classes: int, center: bool) -> list[list[float]]:
    """The definition, in plain Python."""
    dim = vectors.shape[1]
    means: dict[int, list[float]] = {}
    for label in range(num_classes):
        rows = [row for row, its in zip(vectors.tolist(), labels, strict=True) if its == label and any(row)]
        if rows:
            means[label] = [sum(row[i] for row in rows) / len(rows) for i in range(dim)]
    if center:
        middle = [sum(mean[i] for mean in means.values()) / len(means) for i in range(dim)]
        means = {label: [mean[i] - middle[i] for i in range(dim)] for label, mean in means.items()}
    result = []
    for label in range(num_classes):
        mean = means.get(label, [0.0] * dim)
        length = sum(value * value for value in mean) ** 0.5
        result.append([value / length if length > 1e-12 else 0.0 for value in mean])
    return result


@given(st.lists(st.integers(-1, 4), min_size=6, max_size=25), st.booleans(), st.integers(0, 99))
def test_class_vectors_are_those_of_the_definition(labels: list[int], center: bool, seed: int) -> None:
    vectors = unit_rows(len(labels), 4, seed)
    vectors[np.random.default_rng(seed).random(len(labels)) < 0.2] = 0
    described = {label for label, row in zip(labels, vectors, strict=True) if label >= 0 and row.any()}
    if len(described) < 2:
        with pytest.raises(SideError):
            side_of(vectors).of_classes(np.array(labels), 5)
        return
    found = side_of(vectors).of_classes(np.array(labels), 5, scaling="centered" if center else "raw")
    expected = np.array(of_classes_in_loops(vectors, labels, 5, center))
    assert found == pytest.approx(expected, abs=1e-5)
    assert expected.any()


def test_centering_takes_out_what_all_share() -> None:
    common = np.array([[10, 1, 0], [10, 0, 1], [10, -1, -1]], dtype=np.float32)
    side = side_of(common / np.linalg.norm(common, axis=1, keepdims=True))
    plain = side.of_classes(np.arange(3), 3, scaling="raw")
    centered = side.of_classes(np.arange(3), 3)
    assert (plain @ plain.T).min() > 0.97
    assert (centered @ centered.T)[~np.eye(3, dtype=bool)].max() < 0


def test_a_class_without_text_is_zero_and_known_tells_items() -> None:
    vectors = unit_rows(6, 3)
    vectors[[1, 4, 5]] = 0
    side = side_of(vectors)
    assert side.known.tolist() == [True, False, True, True, False, False]
    found = side.of_classes(np.array([0, 0, 1, 1, 2, 2]), 3)
    assert not found[2].any()
    assert np.linalg.norm(found[:2], axis=1) == pytest.approx(1, abs=1e-6)
    assert (found.dtype, found.shape) == (np.float32, (3, 3))


def test_equal_descriptions_everywhere_are_no_direction() -> None:
    side = side_of(np.repeat(unit_rows(1, 4), 6, axis=0))
    assert not side.of_classes(np.array([0, 0, 1, 1, 2, 2]), 3).any()


@pytest.mark.parametrize(("described", "count"), [([0, 1], 1), ([], 0)])
def test_fewer_than_two_described_classes(described: list[int], count: int) -> None:
    vectors = np.zeros((4, 3), np.float32)
    vectors[described] = unit_rows(len(described), 3)
    with pytest.raises(SideError) as caught:
        side_of(vectors).of_classes(np.array([0, 0, 1, 1]), 2)
    assert str(caught.value).startswith(f"{count} of 2 classes have a description; text margins need at least two")
    assert "fill the text column, or choose a loss without text (loss.name = 'normalized_softmax')" in str(caught.value)


@pytest.mark.parametrize("shape", [(3, 4), (2,), (2, 2, 2)])
def test_vectors_must_fit_the_items(shape: tuple[int, ...]) -> None:
    with pytest.raises(SideError, match="2 items have side vectors of shape"):
        SideVectors(["a", "b"], np.zeros(shape, np.float32), "test")


def shop(**columns: list[str | None]) -> Catalog:
    return Catalog(pa.table({"item_id": ["a", "b", "c"], "image": [b"1", b"2", b"3"], **columns}), "shop.csv")


def test_items_are_described_by_a_model_of_their_own_texts() -> None:
    texts = ["red wool coat", None, "blue leather bag"]
    side = describe_items(shop(text=texts), dim=6, epochs=2)
    own = FastTextEncoder.fit(texts, 6, 2)
    assert (side.item_ids, side.maker) == (["a", "b", "c"], own.fingerprint)
    assert np.array_equal(side.vectors, own.encode(texts))
    assert side.known.tolist() == [True, False, True]


def test_items_can_be_described_by_a_given_encoder() -> None:
    class Lengths:
        dim, fingerprint = 2, "lengths"

        def encode(self, texts: list[str | None]) -> np.ndarray:
            return np.array([[len(text or ""), 0] for text in texts], np.float32)

    side = describe_items(shop(text=["abc", None, "d"]), Lengths())
    assert (side.vectors[:, 0].tolist(), side.maker) == ([3, 0, 1], "lengths")


def test_items_can_be_described_by_the_names_of_their_classes() -> None:
    catalog = shop(label=["red boot", "red boot", "blue bag"])
    side = describe_items(catalog, column="label", dim=6, epochs=2)
    assert np.array_equal(side.vectors[0], side.vectors[1])
    assert not np.array_equal(side.vectors[0], side.vectors[2])
    with pytest.raises(SideError, match=r"shop.csv has no kind column; set text.column to one it has, or choose"):
        describe_items(catalog, column="kind")


def test_item_vectors_are_scaled_together() -> None:
    vectors = unit_rows(5, 3)
    vectors[2] = 0
    side = side_of(vectors).scaled("centered")
    assert np.array_equal(side.vectors, scaled(vectors, "centered"))
    assert side.known.tolist() == [True, True, False, True, True]
    assert side.maker != "test"


def test_a_catalog_without_texts() -> None:
    with pytest.raises(SideError, match=r"shop.csv has no text column; name it with text=... \(--text\), or choose"):
        describe_items(shop())
    with pytest.raises(SideError, match="hold no word"):
        describe_items(shop(text=pa.array([None] * 3, pa.string())))
