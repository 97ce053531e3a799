"""The losses as plain Python floats and loops: slow, and as near to the formulas as code can be. No torch here."""

import math
from collections.abc import Sequence

Vector = Sequence[float]
Matrix = Sequence[Vector]


def triplet(embeddings: Matrix, labels: Sequence[int], margin: float) -> float:
    """L = 1/|A| sum_{a in A} [ max_p d(a,p) - min_n d(a,n) + m ]_+  with squared distances of unit vectors."""
    hinges = triplet_hinges(embeddings, labels, margin)
    return sum(hinges) / len(hinges) if hinges else 0.0


def triplet_hinges(embeddings: Matrix, labels: Sequence[int], margin: float) -> list[float]:
    """The hinge of each anchor that has a positive and a negative."""
    x = [unit(row) for row in embeddings]
    hinges = []
    for a in range(len(x)):
        to_positives = [squared_distance(x[a], x[p]) for p in range(len(x)) if p != a and labels[p] == labels[a]]
        to_negatives = [squared_distance(x[a], x[n]) for n in range(len(x)) if labels[n] != labels[a]]
        if to_positives and to_negatives:
            hinges.append(max(0.0, max(to_positives) - min(to_negatives) + margin))
    return hinges


def cosface(embeddings: Matrix, labels: Sequence[int], proxies: Matrix, scale: float, margin: float = 0.0) -> float:
    """L = -1/B sum_i log( e^{s (cos_iy - m)} / (e^{s (cos_iy - m)} + sum_{c != y} e^{s cos_ic}) ).

    Without a margin it is the normalized softmax.
    """
    total = 0.0
    for x, y in zip(embeddings, labels, strict=True):
        cosines = [cosine(x, p) for p in proxies]
        own = math.exp(scale * (cosines[y] - margin))
        others = sum(math.exp(scale * cosines[c]) for c in range(len(proxies)) if c != y)
        total -= math.log(own / (own + others))
    return total / len(labels) if labels else 0.0


def adaptive_additive_softmax(
    embeddings: Matrix,
    labels: Sequence[int],
    proxies: Matrix,
    distances: Matrix,
    base_margin: float,
    scale: float,
    direction: str,
) -> float:
    """L = -1/B sum_i log( e^{s cos_iy} / (e^{s cos_iy} + sum_{c != y} e^{s (cos_ic + M_yc)}) )."""
    total = 0.0
    for x, y in zip(embeddings, labels, strict=True):
        own = math.exp(scale * cosine(x, proxies[y]))
        others = sum(
            math.exp(scale * (cosine(x, proxies[c]) + adaptive_margin(distances[y][c], base_margin, direction)))
            for c in range(len(proxies))
            if c != y
        )
        total -= math.log(own / (own + others))
    return total / len(labels) if labels else 0.0


def adaptive_margin(distance: float, base_margin: float, direction: str) -> float:
    """M = beta + d / (4 - beta), of another class; `similar` takes 4 - d for d."""
    return base_margin + (distance if direction == "dissimilar" else 4 - distance) / (4 - base_margin)


def distances_of(vectors: Matrix) -> list[list[float]]:
    """d_jk = |t_j - t_k|^2 of unit vectors."""
    t = [unit(row) for row in vectors]
    return [[squared_distance(a, b) for b in t] for a in t]


def unit(vector: Vector) -> list[float]:
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector]


def cosine(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(unit(a), unit(b), strict=True))


def squared_distance(a: Vector, b: Vector) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def mined_triplets(
    embeddings: Matrix, labels: Sequence[int], margins: Matrix, mining: str
) -> list[tuple[int, int, int, float]]:
    """(a, p, n, d(a,p) - d(a,n) + m(a,n)) of all triplets, of the semi-hard window, or the largest of each anchor."""
    d, items = distances_of(embeddings), range(len(labels))
    found = []
    for a in items:
        of_anchor = [
            (a, p, n, d[a][p] - d[a][n] + margins[a][n])
            for p in items
            for n in items
            if p != a and labels[p] == labels[a] and labels[n] != labels[a]
        ]
        if mining == "semihard":
            of_anchor = [(a, p, n, gap) for _, p, n, gap in of_anchor if d[a][p] < d[a][n] < d[a][p] + margins[a][n]]
        if mining == "hard" and of_anchor:
            of_anchor = [max(of_anchor, key=lambda triplet: triplet[3])]
        found += of_anchor
    return found


def mean_of_hinges(gaps: Sequence[float], average: str) -> float:
    """The mean of [gap]_+ over all, or over those above 0."""
    hinges = [max(0.0, gap) for gap in gaps if average == "valid" or gap > 0]
    return sum(hinges) / len(hinges) if hinges else 0.0


def text_margins(side_vectors: Matrix, base: float, scaling: str) -> list[list[float]]:
    """m(a,n) = beta + |t_a - t_n|^2 / (4 - beta); stretch: beta + (4 - beta)/4 |t_a - t_n|^2."""
    slope = 1 / (4 - base) if scaling == "shrink" else (4 - base) / 4
    return [[base + slope * distance for distance in row] for row in distances_of(side_vectors)]


def proxy_anchor(
    embeddings: Matrix, labels: Sequence[int], proxies: Matrix, alpha: float, delta: float
) -> tuple[float, float]:
    """1/|P+| sum_{P+} log(1 + sum_{x of p} e^{-alpha (cos - delta)}),  1/C sum_P log(1 + sum_{x not of p} e^{...})."""
    if not embeddings:
        return 0.0, 0.0
    pulls, pushes = [], []
    for c, p in enumerate(proxies):
        own = [cosine_or_zero(x, p) for x, y in zip(embeddings, labels, strict=True) if y == c]
        others = [cosine_or_zero(x, p) for x, y in zip(embeddings, labels, strict=True) if y != c]
        if own:
            pulls.append(math.log1p(sum(math.exp(-alpha * (cos - delta)) for cos in own)))
        pushes.append(math.log1p(sum(math.exp(alpha * (cos + delta)) for cos in others)))
    return sum(pulls) / len(pulls), sum(pushes) / len(pushes)


def orthogonality(rows: Matrix) -> float:
    """||P P^T - I||_F^2 of the rows as they are."""
    return sum(
        (sum(x * y for x, y in zip(a, b, strict=True)) - (i == j)) ** 2
        for i, a in enumerate(rows)
        for j, b in enumerate(rows)
    )


def cosine_or_zero(a: Vector, b: Vector) -> float:
    """The cosine, 0 with a vector without length."""
    return cosine(a, b) if any(a) and any(b) else 0.0
