"""The losses as plain Python floats and loops: slow, and as near to the formulas as code can be. No torch here."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

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
    slope: float | None = None,
    curve: str = "linear",
    by_item: bool = False,
) -> float:
    """L = -1/B sum_i log( e^{s cos_iy} / (e^{s cos_iy} + sum_{c != y} e^{s (cos_ic + M_yc)}) ); by item: M_ic."""
    total = 0.0
    for i, (x, y) in enumerate(zip(embeddings, labels, strict=True)):
        own = math.exp(scale * cosine(x, proxies[y]))
        others = 0.0
        for c in range(len(proxies)):
            distance = distances[i if by_item else y][c]
            margin = adaptive_margin(distance, base_margin, direction, slope, curve)
            others += math.exp(scale * (cosine(x, proxies[c]) + margin)) if c != y else 0.0
        total += math.log1p(others / own)
    return total / len(labels) if labels else 0.0


def adaptive_margin(
    distance: float, base_margin: float, direction: str, slope: float | None = None, curve: str = "linear"
) -> float:
    """M = beta + a g(d), of another class, a = 1 / (4 - beta); `similar` takes 4 - d for d."""
    d = distance if direction == "dissimilar" else 4 - distance
    g = {"linear": d, "sqrt": 2 * math.sqrt(max(d, 0)), "square": d * d / 4}[curve]
    return base_margin + (1 / (4 - base_margin) if slope is None else slope) * g


def text_distances(left: Matrix, right: Matrix) -> list[list[float]]:
    """2 - 2 cos, which is the squared distance of unit vectors, and 2 where there is no text."""
    return [[2 - 2 * cosine_or_zero(a, b) for b in right] for a in left]


def margin_softmax(
    unit_rows: Matrix, labels: Sequence[int], proxies: Matrix, scale: float, own: Sequence[float], margins: Matrix
) -> float:
    """L = 1/B sum_i log( 1 + sum_{c != y} e^{s (cos_ic + M_ic - cos_iy + m_i)} ), however large s is."""
    total = 0.0
    for i, (x, y) in enumerate(zip(unit_rows, labels, strict=True)):
        cosines = [cosine_or_zero(x, p) for p in proxies]
        above = [scale * (cosines[c] + margins[i][c] - cosines[y] + own[i]) for c in range(len(proxies)) if c != y]
        highest = max(0.0, *above)
        total += highest + math.log(math.exp(-highest) + sum(math.exp(z - highest) for z in above))
    return total / len(labels) if labels else 0.0


def distances_of(vectors: Matrix) -> list[list[float]]:
    """d_jk = |t_j - t_k|^2 of unit vectors."""
    t = [unit(row) for row in vectors]
    return [[squared_distance(a, b) for b in t] for a in t]


def unit(vector: Vector) -> list[float]:
    length = math.sqrt(sum(x * x for x in vector))
    return [x / (length or 1.0) for x in vector]  # zeros stay zeros


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


def density(embeddings: Matrix, bandwidth: float) -> float:
    """rho = mean_{i != j} exp(-|x_i - x_j|^2 / (2 h^2)) of the items of one class; 0 of fewer than two."""
    x = [unit(row) for row in embeddings]
    kernels = [
        math.exp(-squared_distance(x[i], x[j]) / (2 * bandwidth**2))
        for i in range(len(x))
        for j in range(len(x))
        if i != j
    ]
    return sum(kernels) / len(kernels) if kernels else 0.0


def line_vertices(proxy: Vector, steps: Matrix) -> list[list[float]]:
    """The vertices a class is drawn through: their mean is the unit proxy, from one to the next it is a step."""
    vertices = [[0.0] * len(proxy)]
    for step in steps:
        vertices.append([a + b for a, b in zip(vertices[-1], step, strict=True)])
    mean = [sum(column) / len(vertices) for column in zip(*vertices, strict=True)]
    return [[p + a - m for p, a, m in zip(unit(proxy), vertex, mean, strict=True)] for vertex in vertices]


def nearest_on_line(embedding: Vector, vertices: Matrix) -> tuple[float, float]:
    """S, the cosine to the nearest point of a segment, of all segments the largest; and the place of it in [0, 1]."""
    x, found = unit(embedding), []
    for k, (start, end) in enumerate(itertools.pairwise(vertices)):
        step = [b - a for a, b in zip(start, end, strict=True)]
        along = sum((a - b) * c for a, b, c in zip(x, start, step, strict=True))
        tau = min(1.0, max(0.0, along / (sum(a * a for a in step) + 1e-6)))
        point = [a + tau * b for a, b in zip(start, step, strict=True)]
        found.append((cosine_or_zero(x, point), (k + tau) / (len(vertices) - 1)))
    return max(found, key=lambda one: one[0])


def density_aware_line(
    embeddings: Matrix,
    labels: Sequence[int],
    lines: Sequence[Matrix],
    running: Vector,
    settings: Mapping[str, float],
    more: Callable[[int, int], float] = lambda label, c: 0.0,
) -> dict[str, float]:
    """The terms of the loss, without their weights. `lines` are the vertices of each class.

    `more(y, c)` is added to the similarity of an item of class y and another class c.
    """
    members = {c: [x for x, y in zip(embeddings, labels, strict=True) if y == c] for c in set(labels)}
    dense = {c: density(items, settings["bandwidth"]) if len(items) > 1 else running[c] for c, items in members.items()}
    softmax, crowding, ends, lengths, scale = 0.0, [], [], [], settings["scale"]
    for x, y in zip(embeddings, labels, strict=True):
        margin = settings["base_margin"] + settings["density_margin"] * (1 - dense[y])
        similarities = [nearest_on_line(x, line)[0] for line in lines]
        own = math.exp(scale * (similarities[y] - margin))
        others = sum(math.exp(scale * (close + more(y, c))) for c, close in enumerate(similarities) if c != y)
        softmax -= math.log(own / (own + others)) / len(labels)
    for c, items in members.items():
        if len(items) < 2:
            continue
        crowding.append(max(0.0, dense[c] - settings["max_density"]) ** 2)
        places = [nearest_on_line(x, lines[c])[1] for x in items]
        mean = sum(places) / len(places)
        variance = sum((place - mean) ** 2 for place in places) / len(places)
        ends.append(max(0.0, settings["min_variance"] - variance))
        squares = [squared_distance(unit(a), unit(b)) for i, a in enumerate(items) for b in items[:i]]
        long = sum(math.sqrt(squared_distance(a, b)) for a, b in itertools.pairwise(lines[c]))
        lengths.append((long - settings["length"] * math.sqrt(sum(squares) / len(squares))) ** 2)
    return {"softmax": softmax} | {
        name: sum(values) / len(values) if values else 0.0
        for name, values in (("density", crowding), ("sub_modes", ends), ("length", lengths))
    }
