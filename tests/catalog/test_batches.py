"""P x K batches: every image in every epoch, P classes with K images each, the same for the same seed and epoch."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.catalog.batches import ClassBatches

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 5))


@settings(deadline=None)
@given(st.lists(st.integers(-1, 9), max_size=80), SHAPES, st.integers(0, 99), st.integers(0, 9))
def test_every_batch_is_p_times_k_and_every_image_is_used(
    given_labels: list[int], shape: tuple[int, int], seed: int, epoch: int
) -> None:
    labels = np.array(given_labels, dtype=np.int64)
    num_classes, num_images = shape
    batches = list(ClassBatches(labels, num_classes, num_images, seed).epoch(epoch))
    known = np.flatnonzero(labels >= 0)
    assert {row for batch in batches for row in batch.tolist()} == {*known.tolist()}
    present = len({*labels[known].tolist()})
    for batch in batches:
        assert batch.dtype == np.int64
        per_class = Counter(labels[batch].tolist())
        assert len(per_class) == min(num_classes, present)
        assert {*per_class.values()} == {num_images}
        # Each class stands together: image k of class p is row p * K + k.
        assert (labels[batch].reshape(-1, num_images) == labels[batch][::num_images, None]).all()


def test_a_class_repeats_an_image_only_if_it_must() -> None:
    labels = np.repeat([0, 1, 2], [2, 4, 7])
    batches = list(ClassBatches(labels, 3, 4, seed=1).epoch(0))
    groups = [group.tolist() for batch in batches for group in batch.reshape(-1, 4)]
    of_two = [group for group in groups if group[0] < 2]
    assert all(Counter(group) == {0: 2, 1: 2} for group in of_two)
    assert all(len({*group}) == 4 for group in groups if group not in of_two)


def test_a_very_unbalanced_catalog_mixes_its_big_class_all_through() -> None:
    labels = np.array([0] * 400 + [1] * 4 + [2] * 4 + [3] * 4)
    batches = list(ClassBatches(labels, 4, 4, seed=0).epoch(0))
    assert len(batches) == 100
    assert all(len({*labels[batch].tolist()}) == 4 for batch in batches)
    assert {*np.concatenate(batches).tolist()} == {*range(412)}


def test_big_classes_do_not_pile_up_at_the_end() -> None:
    labels = np.concatenate([np.repeat(np.arange(20), 40), np.repeat(np.arange(20, 220), 4)])
    batches = list(ClassBatches(labels, 8, 4, seed=0).epoch(0))
    big = np.array([(labels[batch] < 20).mean() for batch in batches])
    quarters = [part.mean() for part in np.array_split(big, 4)]
    assert max(quarters) - min(quarters) < 0.25


def test_the_number_of_batches_is_about_what_len_says() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 50, 1000)
    sampler = ClassBatches(labels, 8, 4, seed=0)
    assert [len(list(sampler.epoch(epoch))) for epoch in range(5)] == pytest.approx([len(sampler)] * 5, rel=0.05)


def test_no_labels_no_batches() -> None:
    assert list(ClassBatches(np.full(5, -1), 2, 2, seed=0).epoch(0)) == []


def test_seed_and_epoch_decide_the_batches_and_nothing_else() -> None:
    labels = np.repeat(np.arange(10), 7)

    def drawn(seed: int, epoch: int) -> bytes:
        return np.concatenate(list(ClassBatches(labels, 4, 3, seed).epoch(epoch))).tobytes()

    assert drawn(1, 2) == drawn(1, 2)
    assert len({drawn(seed, epoch) for seed in range(3) for epoch in range(3)}) == 9
    # An epoch does not depend on those drawn before, so that a resumed run goes on as the first would have.
    sampler = ClassBatches(labels, 4, 3, seed=1)
    [list(sampler.epoch(epoch)) for epoch in range(2)]
    assert np.concatenate(list(sampler.epoch(2))).tobytes() == drawn(1, 2)


def test_the_images_of_a_group_come_from_all_domains() -> None:
    labels = np.repeat(np.arange(6), 24)
    domains = ["studio" if row % 24 < 12 else "street" for row in range(len(labels))]
    batches = list(ClassBatches(labels, 3, 4, seed=0, domains=domains).epoch(0))
    groups = [Counter(domains[row] for row in group) for batch in batches for group in batch.reshape(-1, 4)]
    assert all(group == {"studio": 2, "street": 2} for group in groups)
    # Without domains it is left to chance, so the test above can fail.
    plain = list(ClassBatches(labels, 3, 4, seed=0).epoch(0))
    assert any(
        Counter(domains[row] for row in group)["studio"] != 2 for batch in plain for group in batch.reshape(-1, 4)
    )


def test_a_rare_domain_is_spread_over_the_groups() -> None:
    labels = np.zeros(32, dtype=np.int64)
    domains = ["street" if row < 4 else "studio" for row in range(32)]
    batches = list(ClassBatches(np.concatenate([labels, labels + 1]), 2, 8, seed=3, domains=domains * 2).epoch(0))
    rare = [sum(domains[row % 32] == "street" for row in group) for batch in batches for group in batch.reshape(-1, 8)]
    assert rare == [1] * 8
