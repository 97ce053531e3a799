"""The tree drawn is the tree there is, and an unknown name gets the nearest known ones."""

import inspect

import pytest

from lookalike import errors
from lookalike.errors import LookalikeError, did_you_mean


def drawn_tree() -> dict[str, str]:
    """Child -> parent, read off the drawing in the module's docstring."""
    assert errors.__doc__ is not None
    lines = errors.__doc__.splitlines()
    start = lines.index("LookalikeError")
    parents, path = {}, ["LookalikeError"]
    for line in lines[start + 1 : lines.index("", start)]:
        depth = (len(line) - len(line.lstrip(" │├└─"))) // 4
        name = line.lstrip(" │├└─").split()[0]
        path[depth:] = [name]
        parents[name] = path[depth - 1]
    return parents


def test_the_drawing_is_the_tree() -> None:
    classes = [
        member for _, member in inspect.getmembers(errors, inspect.isclass) if member.__module__ == errors.__name__
    ]
    built = {kind.__name__: kind.__bases__[0].__name__ for kind in classes if kind is not LookalikeError}
    assert drawn_tree() == built
    assert len(built) >= 10


def test_every_error_is_also_a_usual_one() -> None:
    children = LookalikeError.__subclasses__()
    assert children
    assert all(issubclass(kind, (ValueError, RuntimeError)) for kind in children)


@pytest.mark.parametrize(
    ("given", "known", "end"),
    [
        ("tripet", ["triplet", "proxy_anchor"], " Did you mean 'triplet'?"),
        ("Triplet", ["triplet", "proxy_anchor"], " Did you mean 'triplet'?"),
        ("prodct", ["Product", "Price"], " Did you mean 'Product' or 'Price'?"),
        ("label", ["labels", "label_2"], " Did you mean 'labels' or 'label_2'?"),
        ("zebra", ["b", "a"], " Known: a, b."),
        ("zebra", [], ""),
        ("", ["a"], " Known: a."),
    ],
)
def test_the_end_of_the_sentence(given: str, known: list[str], end: str) -> None:
    assert did_you_mean(given, known) == end
    assert did_you_mean(given, iter(known)) == end


def test_long_lists_are_cut() -> None:
    assert did_you_mean("zebra", [f"{number:03}" for number in range(100)]).count(",") == 19
