"""P x K batches: every image in every epoch, P classes with K images each, the same for the same seed and epoch."""

import os
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.catalog.batches import ClassBatches, RandomBatches
from tests.catalog.sampled import check_class_batches

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 5))
LABELS = st.lists(st.integers(-1, 9), max_size=80)
LONG = os.environ.get("LOOKALIKE_LONG") == "1"


@settings(deadline=None, max_examples=300)
@given(LABELS, SHAPES, st.integers(0, 99), st.integers(0, 9), st.sampled_from(["none", "domains", "balanced"]))
def test_every_batch_is_p_times_k_and_every_image_is_used(
    given_labels: list[int], shape: tuple[int, int], seed: int, epoch: int, kind: str
) -> None:
    labels = np.array(given_labels, dtype=np.int64)
    num_classes, num_images = shape
    domains = None if kind == "none" else [("a", "b", None)[(row * seed) % 3] for row in range(len(labels))]
    sampler = ClassBatches(labels, num_classes, num_images, seed, domains, balanced=kind == "balanced")
    batches = list(sampler.epoch(epoch))
    check_class_batches(batches, labels, num_classes, num_images)
    assert len(batches) == len(sampler)
    sizes = -(-np.bincount(labels[labels >= 0]) // num_images)
    if kind != "balanced" and len(batches):
        # No fewer would do: a class is once in a batch, and P of them are.
        assert len(batches) == max(sizes.max(), -(-sizes.sum() // min(num_classes, (sizes > 0).sum())))


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


@pytest.mark.parametrize("sampler", [ClassBatches(np.full(5, -1), 2, 2, 0), RandomBatches(np.full(5, -1), 4, 0)])
def test_no_labels_no_batches(sampler: ClassBatches | RandomBatches) -> None:
    assert list(sampler.epoch(0)) == []
    assert len(sampler) == 0


def test_a_class_meets_all_others_over_the_epochs() -> None:
    labels = np.repeat(np.arange(12), 8)
    sampler = ClassBatches(labels, 3, 4, seed=0)
    met = Counter(
        tuple(sorted({*labels[batch].tolist()} - {0}))
        for epoch in range(200)
        for batch in sampler.epoch(epoch)
        if 0 in labels[batch]
    )
    pairs = Counter(label for both, times in met.items() for label in both for _ in range(times))
    assert {*pairs} == {*range(1, 12)}
    assert max(pairs.values()) < 1.6 * min(pairs.values())
    # Its two groups are not always with the same others.
    (first, second) = [{*labels[batch].tolist()} for batch in sampler.epoch(0) if 0 in labels[batch]]
    assert first != second


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


def test_balanced_batches_hold_the_domains_in_equal_parts() -> None:
    labels = np.repeat(np.arange(8), 12)
    domains = ["street" if row % 12 < 2 else "studio" for row in range(96)]
    batches = list(ClassBatches(labels, 4, 4, seed=0, domains=domains, balanced=True).epoch(0))
    groups = [Counter(domains[row] for row in group) for batch in batches for group in batch.reshape(-1, 4)]
    assert all(group == {"studio": 2, "street": 2} for group in groups)
    # Each studio picture comes once, each street picture five times as often.
    times = Counter(row for batch in batches for row in batch.tolist())
    assert {*(times[row] for row in range(96) if domains[row] == "studio")} == {1}
    assert {*(times[row] for row in range(96) if domains[row] == "street")} == {5}
    # Left to the shares of the domains, as the test can fail, most groups have one street picture or none.
    plain = list(ClassBatches(labels, 4, 4, seed=0, domains=domains).epoch(0))
    assert Counter(domains[row] for batch in plain for row in batch)["street"] < 30


def test_classes_of_one_domain_are_mixed_as_evenly_as_they_can_be() -> None:
    labels = np.repeat(np.arange(40), 4)
    domains = ["street" if label < 20 else "studio" for label in labels]
    batches = list(ClassBatches(labels, 8, 4, seed=0, domains=domains, balanced=True).epoch(0))
    assert [Counter(domains[row] for row in batch) for batch in batches] == [{"street": 16, "studio": 16}] * 5


@settings(deadline=None)
@given(LABELS, st.integers(1, 30), st.integers(0, 99), st.integers(0, 9))
def test_random_batches_are_of_one_size_and_use_every_image(
    given_labels: list[int], size: int, seed: int, epoch: int
) -> None:
    labels = np.array(given_labels, dtype=np.int64)
    known = np.flatnonzero(labels >= 0)
    sampler = RandomBatches(labels, size, seed)
    batches = list(sampler.epoch(epoch))
    assert len(batches) == len(sampler) == -(-len(known) // size)
    assert all(batch.dtype == np.int64 and len(batch) == min(size, len(known)) for batch in batches)
    assert all(len({*batch.tolist()}) == len(batch) for batch in batches)
    rows = [row for batch in batches for row in batch.tolist()]
    assert {*rows} == {*known.tolist()}
    assert [batch.tolist() for batch in RandomBatches(labels, size, seed).epoch(epoch)] == [b.tolist() for b in batches]


def test_random_batches_differ_by_seed_and_epoch() -> None:
    labels = np.zeros(50, dtype=np.int64)
    drawn = {np.concatenate(list(RandomBatches(labels, 7, s).epoch(e))).tobytes() for s in range(3) for e in range(3)}
    assert len(drawn) == 9


@pytest.mark.skipif(not LONG, reason="a million images; LOOKALIKE_LONG=1 runs it")
def test_an_epoch_of_a_million_images_of_a_hundred_thousand_classes_takes_seconds() -> None:
    labels = np.random.default_rng(0).integers(0, 100_000, 1_000_000)
    started = time.process_time()
    assert sum(1 for _ in ClassBatches(labels, 32, 4, seed=0).epoch(0)) > 7000
    assert time.process_time() - started < 20
