"""Who is whose positive: by class and by the distance of texts, as masks and by blocks, and the loss on the latter."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from lookalike.errors import LossInputError
from lookalike.losses import AdaptiveTripletLoss
from lookalike.losses.pairs import Margins, sum_over_triplets
from lookalike.losses.relations import NearTexts, Relation, SameClass
from tests.losses import references
from tests.losses.batches import generic


def texts(size: int, seed: int = 0) -> Tensor:
    """Side vectors of which every fifth is missing."""
    vectors = generic(size, 3, seed=seed)[0]
    vectors[::5] = 0
    return vectors


def looped(vectors: Tensor, within: float) -> tuple[list[list[bool]], list[list[bool]]]:
    distances, known = references.distances_of(vectors.tolist()), [any(row) for row in vectors.tolist()]
    size = range(len(vectors))
    positive = [[i != j and known[i] and known[j] and distances[i][j] <= within for j in size] for i in size]
    negative = [[known[i] and known[j] and distances[i][j] > within for j in size] for i in size]
    return positive, negative


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**20), st.integers(1, 14), st.sampled_from([0.2, 1.0, 3.0]), st.integers(1, 15))
def test_blocks_say_what_the_loops_say(seed: int, size: int, within: float, rows: int) -> None:
    near = NearTexts(texts(size, seed), within)
    positive, negative = looped(near.vectors, within)
    assert near.pairs()[0].tolist() == positive and near.pairs()[1].tolist() == negative
    assert_blocks(near, positive, negative, rows)
    labels = torch.randint(3, (size,), generator=torch.Generator().manual_seed(seed)).sort().values + 2**53
    same = SameClass(labels)
    positive, negative = (mask.tolist() for mask in same.pairs())
    assert positive == [[i != j and a == b for j, b in enumerate(labels)] for i, a in enumerate(labels)]
    assert negative == [[a != b for b in labels] for a in labels]
    assert_blocks(same, positive, negative, rows)


def assert_blocks(relation: Relation, positive: list[list[bool]], negative: list[list[bool]], rows: int) -> None:
    """Each anchor with a positive once, with its positives, what is hidden of it, and the number of its triplets."""
    found, triplets = {}, 0
    for _, own, others, hidden, number in relation.blocks(rows):
        for anchor, mates, out in zip(own.flatten().tolist(), others.tolist(), hidden.tolist(), strict=True):
            masked = hidden.dtype == torch.bool
            found[anchor] = (set(mates) - {anchor}, {j for j, o in enumerate(out) if o} if masked else set(out))
        triplets += int(number)
    size = range(len(positive))
    for anchor in size:
        mates = {j for j in size if positive[anchor][j]}
        if anchor not in found:
            assert not mates
            continue
        assert found[anchor] == (mates, {j for j in size if not negative[anchor][j]})
    assert triplets == sum(sum(positive[a]) * sum(negative[a]) for a in size)


@pytest.mark.parametrize("average", ["valid", "active"])
@pytest.mark.parametrize("mining", ["all", "semihard", "hard"])
@pytest.mark.parametrize("size", [11, 60])
def test_loss_without_labels_equals_the_loops(size: int, mining: str, average: str) -> None:
    x, _ = generic(size, 5)
    side = texts(size, seed=3)
    positive, negative = looped(side, 0.8)
    margins = references.text_margins(side.tolist(), 0.1, "stretch")
    distances = references.distances_of(x.tolist())
    gaps = []
    for a in range(size):
        of_anchor = [
            distances[a][p] - distances[a][n] + margins[a][n]
            for p in range(size)
            for n in range(size)
            if positive[a][p] and negative[a][n] and (mining != "semihard" or distances[a][p] < distances[a][n])
        ]
        gaps += [max(of_anchor)] if mining == "hard" and of_anchor else of_anchor
    gaps = [gap for gap in gaps if mining != "semihard" or gap > 0]
    assert len(gaps) > 5
    loss = AdaptiveTripletLoss(0.1, mining, "stretch", average, positive_distance=0.8)
    expected = references.mean_of_hinges(gaps, average)
    assert loss(x, side_vectors=side).item() == pytest.approx(expected, abs=1e-10)


def test_blocks_of_any_size_give_the_same() -> None:
    x, side = generic(40, 5)[0], texts(40)
    totals = [sum_over_triplets(x, NearTexts(side, 0.8), Margins(0.2, 0.3, side), block=b) for b in (2**17, 400, 1)]
    for other in totals[1:]:
        assert torch.stack(other).tolist() == pytest.approx(torch.stack(totals[0]).tolist(), rel=1e-12)
    assert totals[0].valid > totals[0].active > 100


@pytest.mark.parametrize("size", [11, 60])
def test_gradient_without_labels(size: int) -> None:
    side, loss = texts(size), AdaptiveTripletLoss(positive_distance=0.8)
    assert gradcheck(lambda e: loss(e, side_vectors=side), generic(size, 5)[0].requires_grad_())


@pytest.mark.parametrize("mining", ["all", "semihard", "hard", "distance"])
@pytest.mark.parametrize("size", [12, 60])
def test_texts_equal_within_a_class_find_what_the_labels_say(size: int, mining: str) -> None:
    x, y = generic(size)
    side = torch.eye(4)[y]
    torch.manual_seed(0)
    expected = AdaptiveTripletLoss(mining=mining)(x, y, side_vectors=side).item()
    torch.manual_seed(0)
    found = AdaptiveTripletLoss(mining=mining, positive_distance=0.5)(x, side_vectors=side).item()
    assert found == pytest.approx(expected, rel=1e-12) and expected > 0.05


@pytest.mark.parametrize("mining", ["all", "semihard", "hard", "distance"])
@pytest.mark.parametrize("size", [0, 1, 12, 60])
def test_texts_that_say_nothing_give_zero_with_a_graph(size: int, mining: str) -> None:
    x, loss = generic(max(size, 1), 5)[0][:size].requires_grad_(), AdaptiveTripletLoss(0.1, mining, positive_distance=1)
    for side in (torch.zeros(size, 3), torch.ones(size, 3), torch.eye(max(size, 1))[:size]):
        total = loss(x, side_vectors=side)
        assert total == 0
        total.backward()


def test_what_is_needed_and_refused() -> None:
    by_text, by_label = AdaptiveTripletLoss(positive_distance=0.5), AdaptiveTripletLoss()
    assert by_text.inputs == {"labels": False, "side_vectors": True}
    assert by_label.inputs == {"labels": True, "side_vectors": True}
    x, y = generic()
    with pytest.raises(LossInputError, match="needs labels, or a positive_distance by which the texts say"):
        by_label(x, side_vectors=x)
    assert by_text(x, y, side_vectors=x) == by_text(x, 0 * y, side_vectors=x) > 0
    for distance in (0, 4, -1.0, float("nan")):
        with pytest.raises(LossInputError, match=rf"positive_distance .* must lie in \(0, 4\), not {distance}"):
            AdaptiveTripletLoss(positive_distance=distance)
