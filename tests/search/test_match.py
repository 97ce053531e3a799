from dataclasses import FrozenInstanceError

import pytest

from lookalike.search import Match


def test_repr_is_compact() -> None:
    match = Match(1, "a-7", 0.93449, {"label": "dress", "text": "a" * 90, "price": 9.5, "size": None}, b"\xff" * 5000)
    assert repr(match) == f"Match(1, 'a-7', 0.934, label='dress', text='{'a' * 36}..., price=9.5)"


def test_it_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Match(1, "a", 1.0, {}, None).rank = 2  # type: ignore[misc]
