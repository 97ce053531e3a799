"""Like this, but red: how to mix a picture with words. Three ways, over the weight of the words.

    lookalike train --catalog fashion.parquet --item-id row_number --run runs/fashion
    python benchmarks/mixing.py fashion.parquet --run runs/fashion

A query is the picture of a test item and the name of a color that it has not, of which the test split has at least ten
items of the same category. Of the ten best matches: how many have that color, the category of the picture, both.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lookalike import Catalog, Encoder
from lookalike.encoders.cache import cached_features
from lookalike.search.query import mixed
from lookalike.search.searcher import SAMPLE

Mix = Callable[[np.ndarray, np.ndarray, float], np.ndarray]
WEIGHTS = [round(0.1 * step, 1) for step in range(11)]
K = 10


def queries_of(colors: list[str], categories: list[str], count: int) -> list[tuple[int, str]]:
    """(row of the picture, wanted color), drawn with a fixed seed."""
    plenty = Counter(zip(categories, colors, strict=True))
    wanted = {category: [c for (kind, c), n in plenty.items() if kind == category and n > K] for category in categories}
    rng = np.random.default_rng(0)
    queries = []
    for row in rng.permutation(len(colors)):
        others = sorted(set(wanted[categories[row]]) - {colors[row]})
        if others:
            queries.append((int(row), str(rng.choice(others))))
    return queries[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalog", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--item-id", default="row_number")
    parser.add_argument("--color", default="colour", help="column with the name of the color")
    parser.add_argument("--category", default="category")
    parser.add_argument("--queries", type=int, default=1000)
    given = parser.parse_args()

    catalog = Catalog.read(given.catalog, item_id=given.item_id)
    encoder = Encoder.load(given.run)
    features = cached_features(encoder, catalog)
    test = np.array([catalog.column("split")[row] == "test" for row in features.rows])
    rows = features.rows[test]
    items = encoder.embed_feature_array(features.embeddings[test])
    colors = np.array([str(catalog.column(given.color)[row]) for row in rows])
    categories = np.array([str(catalog.column(given.category)[row]) for row in rows])
    names = sorted(set(colors))
    words = dict(zip(names, encoder.embed_words(names), strict=True))
    mean, sample = items.mean(axis=0), items[np.linspace(0, len(items) - 1, SAMPLE).astype(int)]

    def unit(vector: np.ndarray) -> np.ndarray:
        return vector / np.linalg.norm(vector)

    ways: dict[str, Mix] = {
        "plain sum": lambda picture, text, weight: (1 - weight) * picture + weight * text,
        "centered": lambda picture, text, weight: (1 - weight) * unit(picture - mean) + weight * text,
        "units of spread": lambda picture, text, weight: mixed(picture, text, weight, sample),
    }
    queries = queries_of(colors.tolist(), categories.tolist(), given.queries)
    asked = np.array([row for row, _ in queries])
    wanted = np.array([color for _, color in queries])
    print(f"{len(queries):,} queries, {len(items):,} items, {len(names)} colors\n")
    print("| words_weight | " + " | ".join(f"{way}: color | category | both" for way in ways) + " |")
    print("|---|" + "---|" * 3 * len(ways))
    for weight in WEIGHTS:
        line = []
        for mix in ways.values():
            vectors = np.stack([mix(items[row], words[color], weight) for row, color in queries])
            scores = vectors.astype(np.float32) @ items.T
            scores[np.arange(len(asked)), asked] = -np.inf
            best = np.argpartition(-scores, K, axis=1)[:, :K]
            right = colors[best] == wanted[:, None]
            same = categories[best] == categories[asked][:, None]
            line += [f"{100 * share.mean():.1f}" for share in (right, same, right & same)]
        print(f"| {weight} | " + " | ".join(line) + " |", flush=True)


if __name__ == "__main__":
    main()
