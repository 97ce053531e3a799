"""Batches of classes that are hard to tell apart: neighbors together, every image used, the same for the same seed."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.catalog import near_batches
from lookalike.catalog.batches import ClassBatches
from lookalike.catalog.near_batches import NeighborBatches, by_category, by_vectors
from tests.catalog.sampled import check_class_batches

CATEGORIES = np.arange(10) % 3
ANGLES = np.linspace(0, np.pi, 10)
ORDERS = {
    "category": by_category(CATEGORIES),
    "vectors": by_vectors(np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32)),
    "no texts": by_vectors(np.zeros((10, 3), np.float32)),
}


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.integers(-1, 9), max_size=80),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.integers(0, 99),
    st.integers(0, 9),
    st.sampled_from([*ORDERS]),
    st.booleans(),
)
def test_every_batch_is_p_times_k_and_every_image_is_used(
    given_labels: list[int], shape: tuple[int, int], seed: int, epoch: int, order: str, in_blocks: bool
) -> None:
    labels = np.array(given_labels, dtype=np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_batches, "BLOCK", 4 if in_blocks else 2048)
        sampler = NeighborBatches(labels, *shape, seed, ORDERS[order])
        batches = list(sampler.epoch(epoch))
        assert [batch.tolist() for batch in NeighborBatches(labels, *shape, seed, ORDERS[order]).epoch(epoch)] == [
            batch.tolist() for batch in batches
        ]
    check_class_batches(batches, labels, *shape)
    assert len(batches) == len(sampler)


def test_seed_and_epoch_decide_the_batches_and_nothing_else() -> None:
    labels = np.repeat(np.arange(10), 7)

    def drawn(seed: int, epoch: int) -> bytes:
        return np.concatenate(list(NeighborBatches(labels, 4, 3, seed, ORDERS["vectors"]).epoch(epoch))).tobytes()

    assert drawn(1, 2) == drawn(1, 2)
    assert len({drawn(seed, epoch) for seed in range(3) for epoch in range(3)}) == 9


def test_a_batch_is_of_one_category_where_its_classes_fill_batches() -> None:
    labels = np.repeat(np.arange(60), 8)
    categories = np.random.default_rng(0).permutation(np.repeat(np.arange(5), 12))

    def purity(sampler: NeighborBatches | ClassBatches) -> float:
        return float(np.mean([len({*categories[labels[batch]].tolist()}) == 1 for batch in sampler.epoch(3)]))

    assert purity(NeighborBatches(labels, 4, 4, 0, by_category(categories))) == 1
    assert purity(ClassBatches(labels, 4, 4, 0)) < 0.1
    # Of 12 classes, batches of 8 are of two categories at most.
    mixed = NeighborBatches(labels, 8, 4, 0, by_category(categories)).epoch(0)
    assert all(len({*categories[labels[batch]].tolist()}) <= 2 for batch in mixed)


def test_categories_do_not_follow_one_another() -> None:
    labels = np.repeat(np.arange(200), 4)
    categories = np.arange(200) // 100
    batches = NeighborBatches(labels, 5, 4, 0, by_category(categories)).epoch(0)
    seen = [int(categories[labels[batch[0]]]) for batch in batches]
    assert 5 < sum(one != other for one, other in pairwise(seen)) < 35


def test_the_classes_of_a_batch_are_the_nearest_left_to_one_of_them() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((30, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order = by_vectors(vectors)(np.arange(30), 5, np.random.default_rng(1))
    assert sorted(order.tolist()) == [*range(30)]
    for start in range(0, 30, 5):
        similarity = vectors[order[start:]] @ vectors[order[start]]
        assert similarity[1:5].min() >= similarity[5:].max(initial=-1)
        assert (np.diff(similarity[1:5]) <= 0).all()


def test_many_classes_in_blocks_come_near_to_that(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((100, 16))
    vectors = (np.repeat(centers, 8, axis=0) + 0.1 * rng.standard_normal((800, 16))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def together(order: np.ndarray) -> float:
        cluster = order.reshape(-1, 8) // 8
        return float(np.mean([np.bincount(row).max() / 8 for row in cluster]))

    exact = by_vectors(vectors)(np.arange(800), 8, np.random.default_rng(1))
    assert together(exact) == 1
    monkeypatch.setattr(near_batches, "BLOCK", 64)
    blocks = by_vectors(vectors)(np.arange(800), 8, np.random.default_rng(1))
    assert sorted(blocks.tolist()) == [*range(800)]
    assert together(blocks) > 0.6
    assert together(rng.permutation(800)) < 0.3


@pytest.mark.parametrize("make", [by_category, by_vectors])
def test_class_numbers_without_images_are_passed_over(make: Callable[..., near_batches.Order]) -> None:
    labels = np.repeat([2, 5, 7], 6)
    order = make(np.arange(10) % 2 if make is by_category else np.eye(10, dtype=np.float32))
    batches = list(NeighborBatches(labels, 2, 3, 0, order).epoch(0))
    check_class_batches(batches, labels, 2, 3)
