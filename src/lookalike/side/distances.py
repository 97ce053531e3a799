"""Distances between classes from anything that is known of them: vectors, attributes, a category tree, a given matrix.

Each is what `AdaptiveAdditiveSoftmaxLoss(class_distances=...)` takes: [C, C], in [0, 4], zeros on the diagonal.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata

from lookalike.errors import SideError

#: The largest squared distance of two unit vectors.
MOST = 4.0
#: Classes of which all pairs are ranked; the matrix of more takes over 400 MB.
MOST_RANKED = 10_000


def from_vectors(vectors: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances of unit rows [C, T]; a row of zeros is at 1 from all."""
    squares = (vectors.astype(np.float64) ** 2).sum(axis=1)
    squared = squares[:, None] + squares[None, :] - 2 * vectors.astype(np.float64) @ vectors.astype(np.float64).T
    return _finished(squared)


def ranked(distances: np.ndarray) -> np.ndarray:
    """Each distance replaced by its place among all pairs: uniform in [0, 4], whatever they were [ours].

    Equal distances share the mean of their places.

    Raises:
        SideError: no square matrix, or more than 10,000 classes.
    """
    distances = _checked(distances)
    if len(distances) > MOST_RANKED:
        raise SideError(f"{len(distances):,} classes are too many to rank all pairs; take text.scaling = 'centered'")
    others = ~np.eye(len(distances), dtype=bool)
    places = rankdata(distances[others])
    result = np.zeros(distances.shape)
    result[others] = MOST * (places - 1) / max(len(places) - 1, 1)
    return _finished(result)


def from_attributes(attributes: Mapping[str, Sequence[str | float | None]]) -> np.ndarray:
    """Four times the mean disagreement over the attributes that both classes have (Gower, 1971 [related]).

    Two texts disagree by 0 or 1, two numbers by their distance over the attribute's range. Where two classes share no
    known attribute they get the mean of all other pairs.

    Args:
        attributes: by name, one value a class; None where it is not known.

    Raises:
        SideError: no attribute, or one with another number of values.
    """
    lengths = {name: len(values) for name, values in attributes.items()}
    if not lengths or len(set(lengths.values())) > 1:
        raise SideError(f"attributes need one value for each class; there are {lengths or 'none'}")
    count = next(iter(lengths.values()))
    total, compared = np.zeros((count, count)), np.zeros((count, count))
    for values in attributes.values():
        known = np.array([value is not None for value in values])
        both = known[:, None] & known[None, :]
        total += np.where(both, _disagreement(values), 0)
        compared += both
    mean = np.divide(total, compared, out=np.full(total.shape, np.nan), where=compared > 0)
    others = ~np.eye(count, dtype=bool) & (compared > 0)
    middling = float(mean[others].mean()) if others.any() else 0.25
    return _finished(MOST * np.where(compared > 0, mean, middling))


def from_tree(paths: Sequence[str], separator: str = "/") -> np.ndarray:
    """Four times 1 - 2 s / (a + b): paths of a and b steps that begin with the same s (Wu & Palmer, 1994 [related]).

    Args:
        paths: one a class, from the root: "clothes/shoes/boots".
        separator: between the steps.

    Raises:
        SideError: a path is empty.
    """
    steps = [[step.strip() for step in path.split(separator) if step.strip()] for path in paths]
    if not all(steps):
        raise SideError(f"class {steps.index([])} has an empty path; give each class one like 'clothes/shoes/boots'")
    depth = np.array([len(path) for path in steps])
    shared = np.zeros((len(steps), len(steps)))
    for level in range(depth.max(initial=0)):
        numbers: dict[tuple[str, ...], int] = {}
        # A path that is too short for this level shares it with none.
        prefix = [numbers.setdefault(tuple(p[: level + 1]), len(numbers)) if len(p) > level else -1 for p in steps]
        reached = np.array(prefix)
        shared += (reached[:, None] == reached[None, :]) & (reached >= 0)
    return _finished(MOST * (1 - 2 * shared / (depth[:, None] + depth[None, :])))


def from_matrix(matrix: np.ndarray) -> np.ndarray:
    """A given matrix, scaled down to [0, 4] if it holds larger distances; it need not be symmetric.

    Raises:
        SideError: not square, not finite, negative, or not zero on the diagonal.
    """
    distances = _checked(matrix)
    if not np.isfinite(distances).all() or (distances < 0).any():
        raise SideError("a matrix of class distances holds negative, infinite or NaN numbers; each must be 0 or more")
    if np.diagonal(distances).any():
        raise SideError("a matrix of class distances must be zero on its diagonal: a class is at 0 from itself")
    largest = distances.max(initial=0)
    return _finished(distances * (MOST / largest) if largest > MOST else distances)


def _disagreement(values: Sequence[str | float | None]) -> np.ndarray:
    """[C, C] in [0, 1]; anything where a value is not known."""
    if all(value is None or isinstance(value, int | float) for value in values):
        numbers = np.array([0 if value is None else float(value) for value in values])
        known = numbers[[value is not None for value in values]]
        span = float(np.ptp(known)) if len(known) else 0.0
        return np.asarray(np.abs(numbers[:, None] - numbers[None, :]) / (span or 1))
    _, codes = np.unique([str(value) for value in values], return_inverse=True)
    return np.asarray(codes[:, None] != codes[None, :], dtype=np.float64)


def _checked(matrix: np.ndarray) -> np.ndarray:
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise SideError(f"class distances must be [C, C], not {list(matrix.shape)}")
    return matrix


def _finished(distances: np.ndarray) -> np.ndarray:
    result = distances.clip(0, MOST).astype(np.float32)
    np.fill_diagonal(result, 0)
    return result
