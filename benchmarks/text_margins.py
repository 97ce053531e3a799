"""What text margins buy: losses that differ in their margins alone, over seeds, on classes never seen.

    python benchmarks/text_margins.py grocery.parquet softmax --weights backbone.safetensors

The first column is the baseline, one margin for all: the mean of the adaptive margins over (item, negative). The others
are differences to it, paired by seed, with the 95 % t interval over seeds; bold where it leaves out zero. "wrong text"
is the control: texts permuted among the training products, or among the items where each has its own. Beside Recall@1
and MAP@R stand graded figures of the first 10 answers; texts are compared by TF-IDF there, whatever made the margins.
--also judges the same runs on the test classes of another catalog; --classes trains on fewer, drawn anew by each seed.
"weak" compares labels made from the descriptions, three ways, with the catalog's labels; its losses have text margins.
A run whose directory is finished is not repeated.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from seeds import finished, half_width

from lookalike import Catalog, Recipe, Run
from lookalike.cli.train import parse_settings
from lookalike.evaluation.neighbors import nearest
from lookalike.evaluation.protocol import judge_all
from lookalike.files import write_text
from lookalike.losses import AdaptiveAdditiveSoftmaxLoss, AdaptiveTripletLoss
from lookalike.recipes.build import build_encoder, build_loss, with_image_size
from lookalike.recipes.data import RunData, labeled_items, prepare
from lookalike.recipes.judge import embed_for
from lookalike.side import describe_items, make_text_encoder, texts_of
from lookalike.training.run import RECIPE

NAME = "class_name"
ADDITIVE = "adaptive_additive_softmax"
ATTRIBUTES = ("category", "gender", "colour")
K, MOST_QUERIES = 10, 5000


class Arm(NamedTuple):
    """A column. `mean_of`: the settings whose mean margin is the one margin of this arm."""

    name: str
    settings: dict[str, Any]
    wrong_text: bool = False
    mean_of: dict[str, Any] | None = None


def arms_of(table: str, adaptive: dict[str, Any], sentence: str) -> list[Arm]:
    """The columns of a table, `adaptive` being further settings of the losses with text."""
    fixed, name = ("triplet", "adaptive_triplet") if table in ("triplet", "weak") else ("normalized_softmax", ADDITIVE)
    text = {"loss.name": name, "text.encoder": "tfidf", **adaptive}
    shared = {key: value for key, value in adaptive.items() if key in ("loss.mining", "loss.average", "loss.scale")}
    one = Arm("one margin", {"loss.name": fixed, **shared}, mean_of=text)
    if table == "composed":
        off = {"loss.vertices": 1, "loss.density_margin": 0.0, "loss.density_weight": 0.0}
        base = {"loss.name": "composed", "text.encoder": "tfidf"}
        return [
            one,
            Arm("text", text),
            Arm("orthogonality", base | off | {"loss.text_margins": False}),
            Arm("lines and density", base | {"loss.text_margins": False, "loss.orthogonality": 0.0}),
            Arm("composed", base),
        ]
    if table == "weak":
        weak = {"same text": "same_text", "near texts": "near", "clusters of texts": "clusters"}
        return [Arm("labels", text), *(Arm(name, text | {"weak_labels.how": how}) for name, how in weak.items())]
    arms = [one, Arm("text", text), Arm("wrong text", text, wrong_text=True)]
    if table == "encoders":
        others = {"fastText": {"text.encoder": "fasttext"}, "class names": {"text.column": NAME}}
        if sentence:
            others["sentence model"] = {"text.encoder": "sentence", "text.model": sentence}
        arms = [*arms[:2], *(Arm(other, text | settings) for other, settings in others.items())]
    return arms


def at_most(catalog: Catalog, most: int) -> Catalog:
    """The catalog with at most so many pictures of each label, drawn at random; 0: all."""
    if not most:
        return catalog
    labels, _ = catalog.label_numbers()
    order = np.random.default_rng(0).permutation(len(labels))
    place = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = order[labels[order] == label]
        place[rows] = np.arange(len(rows))
    return catalog.take(np.flatnonzero(place < most))


def with_classes(catalog: Catalog, count: int, seed: int) -> Catalog:
    """The catalog with so many of its classes to train and validate on, drawn by the seed; 0: all. Test stays."""
    if not count:
        return catalog
    labels = np.array(catalog.column("label"), dtype=object)
    is_test = np.array([split == "test" for split in catalog.column("split")])
    chosen = np.random.default_rng(seed).permutation(np.unique(labels[~is_test]))[:count]
    return catalog.take(np.flatnonzero(is_test | np.isin(labels, chosen)))


def with_names(catalog: Catalog) -> Catalog:
    """The catalog with the names of the classes in a column of texts too, which can be permuted."""
    return Catalog(catalog.table.append_column(NAME, catalog.table.column("label")), catalog.name)


def with_wrong_text(catalog: Catalog, column: str, seed: int) -> Catalog:
    """The texts of the training items permuted: among the classes where each has one text, else among the items."""
    texts, labels = np.array(catalog.column(column), dtype=object), catalog.label_numbers()[0]
    rows = np.flatnonzero([split != "test" for split in catalog.column("split")])
    rng = np.random.default_rng(seed)
    of_class = {label: set(texts[rows[labels[rows] == label]]) for label in np.unique(labels[rows]).tolist()}
    if max(map(len, of_class.values())) == 1:
        own = [next(iter(of_class[label])) for label in of_class]
        other = dict(zip(of_class, [own[i] for i in rng.permutation(len(own))], strict=True))
        texts[rows] = [other[label] for label in labels[rows].tolist()]
    else:
        texts[rows] = texts[rng.permutation(rows)]
    place = catalog.table.column_names.index(column)
    return Catalog(catalog.table.set_column(place, column, pa.array(texts.tolist(), pa.string())), catalog.name)


def mean_margin(recipe: Recipe, data: RunData) -> float:
    """The mean of the margins a recipe's loss has over (training item, negative class or item)."""
    labels = data.training_labels
    counts = np.bincount(labels).astype(np.float64)
    texts = texts_of(data.training_catalog, recipe.text.column)
    side = describe_items(data.training_catalog, make_text_encoder(recipe.text.encoder, texts, **recipe.text.arguments))
    loss = build_loss(
        recipe.loss, len(counts), 2, lambda: side.of_classes(labels, len(counts), scaling=recipe.text.scaling)
    )
    if isinstance(loss, AdaptiveTripletLoss):
        beta = loss.base_margin
        slope = 1 / (4 - beta) if loss.scaling == "shrink" else (4 - beta) / 4
        vectors = side.scaled(recipe.text.scaling).vectors.astype(np.float64)
        sums = np.zeros((len(counts), vectors.shape[1]))
        np.add.at(sums, labels, vectors)
        products = (sums.sum(axis=0) ** 2).sum() - (sums**2).sum()
        return float(beta + slope * (2 - 2 * products / (counts.sum() ** 2 - (counts**2).sum())))
    assert isinstance(loss, AdaptiveAdditiveSoftmaxLoss)
    margins = loss.margins(torch.arange(len(counts))).double().sum(dim=1).numpy() / (len(counts) - 1)
    return float(counts @ margins / counts.sum())


def graded(run: Run, data: RunData, protocol: str, vectors: np.ndarray) -> dict[str, float]:
    """How good the first 10 answers are beyond being right or wrong."""
    [chosen] = [p for p in data.test_protocols() if p.name == protocol]
    queries = np.random.default_rng(0).permutation(chosen.queries)[:MOST_QUERIES]
    gallery = chosen.queries if chosen.gallery is None else chosen.gallery
    own = torch.from_numpy(np.searchsorted(gallery, queries)) if chosen.gallery is None else None
    x = torch.from_numpy(run.encoder.embed_feature_array(data.features))
    found, _ = nearest(x[queries], x[gallery], K, exclude=own)
    answers = gallery[found.numpy()]
    result = {}
    for name in ATTRIBUTES:
        if name in data.catalog:
            values = np.array(data.catalog.column(name), dtype=object)
            result[f"same {name}, first {K}"] = float((values[answers] == values[queries][:, None]).mean())
    grades = np.maximum(vectors[queries] @ vectors[gallery].T, 0)
    if own is not None:
        grades[np.arange(len(queries)), own.numpy()] = 0
    discount = 1 / np.log2(np.arange(2, K + 2))
    ideal = -np.sort(-np.partition(grades, -K, axis=1)[:, -K:], axis=1) @ discount
    gain = np.take_along_axis(grades, found.numpy(), axis=1)
    result[f"nDCG@{K} by text"] = float(
        np.nanmean(np.where(ideal > 0, gain @ discount / np.maximum(ideal, 1e-9), np.nan))
    )
    wrong = data.labels[answers] != data.labels[queries][:, None]
    result["text cosine of wrong answers"] = float(gain[wrong].mean())
    return result


def recipe_of(run: Run) -> Recipe:
    return Recipe.load(run.directory / RECIPE)


def retrieval(name: str, figures: Mapping[str, Any]) -> dict[str, float]:
    """The rows of a protocol."""
    return {f"{name}: Recall@1": figures["recall_at_1"], f"{name}: MAP@R": figures["map_at_r"]}


def remembered(path: Path, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    """What was measured before, or is now."""
    if not path.is_file():
        write_text(path, json.dumps(measure(), indent=2))
    return dict(json.loads(path.read_text(encoding="utf-8")))


def judged_on(other: Catalog, run: Run) -> dict[str, float]:
    """Figures of a run on the test classes of a catalog it was not trained on."""
    recipe, stem = recipe_of(run), Path(other.name).stem
    data = prepare(recipe, labeled_items(recipe, other), run.encoder)
    protocols = data.test_protocols()
    results = judge_all(protocols, embed_for(protocols, recipe, data, run.encoder), data.labels, k=[1])
    figures: dict[str, float] = {}
    for protocol, result in results.items():
        figures |= retrieval(f"{stem}, {protocol}", result.to_dict())
    return figures


def data_of(seed: int, base: Recipe, catalog: Catalog) -> RunData:
    """Which items train and test with this seed: the same for all columns."""
    recipe = with_image_size(base.override({"training.seed": seed}), catalog)
    return prepare(recipe, labeled_items(recipe, catalog), build_encoder(recipe.encoder))


def trained(
    arm: Arm, seed: int, base: Recipe, catalog: Catalog, data_of_seed: Callable[[], RunData], directory: Path
) -> Run:
    """The run of a column and a seed; not repeated if it is finished."""

    def wanted() -> tuple[Recipe, Catalog]:
        recipe = base.override({"training.seed": seed, **arm.settings})
        if arm.mean_of:
            margin = mean_margin(base.override({"training.seed": seed, **arm.mean_of}), data_of_seed())
            recipe = recipe.override({"loss.margin": margin})
        return recipe, with_wrong_text(catalog, recipe.text.column, seed) if arm.wrong_text else catalog

    return finished(directory, wanted)


def measures(run: Run, arm: Arm, data_of_seed: Callable[[], RunData], protocol: str) -> dict[str, float]:
    """All figures of one run on the test classes, and on the validation classes, if any, the best Recall@1."""
    data = data_of_seed()
    texts = texts_of(data.catalog, "text")
    figures: dict[str, float] = {}
    for name, figure in run.metrics["test"].items():
        figures |= retrieval(name, figure["trained"])
    figures |= graded(run, data, protocol, make_text_encoder("tfidf", texts, dim=256).encode(texts))
    validation = run.metrics["best"]["validation"]
    figures |= {} if validation is None else {"validation Recall@1": validation}
    return figures | ({"margin": recipe_of(run).loss.arguments["margin"]} if arm.mean_of else {})


def print_table(columns: dict[str, list[dict[str, float]]]) -> None:
    """The baseline in percent, the others as differences to it."""
    (first, baseline), *others = columns.items()
    print(f"| | {first} | " + " | ".join(name for name, _ in others) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for measure in baseline[0]:
        values = {name: 100 * np.array([f.get(measure, np.nan) for f in rows]) for name, rows in columns.items()}
        cells = [f"{values[first].mean():.2f} ± {half_width(values[first]):.2f}"]
        for name, _ in others:
            gains = values[name] - values[first]
            gain, half = gains.mean(), half_width(gains)
            text = "" if np.isnan(gain) else f"{gain:+.2f} ± {half:.2f}"
            cells.append(f"**{text}**" if abs(gain) > half else text)
        print(f"| {measure} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalog", type=Path)
    parser.add_argument("table", choices=["triplet", "softmax", "encoders", "composed", "weak"])
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--weights", default="")
    parser.add_argument("--item-id", default="row_number")
    parser.add_argument("--sentence", default="", help="folder or name of a sentence model")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--most", type=int, default=0, help="pictures of each label; 0: all")
    parser.add_argument("--classes", type=int, default=0, help="to train and validate on; 0: all")
    parser.add_argument("--also", type=Path, nargs="+", default=[], help="other catalogs to judge the runs on")
    parser.add_argument("--graded", default="all", help="the protocol of the graded figures")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="of all columns: PART.KEY=VALUE")
    parser.add_argument("--adaptive", action="append", default=[], help="of the losses with text: PART.KEY=VALUE")
    parser.add_argument("--margin", nargs="+", default=[], help="more columns of one margin: of so much")
    parser.add_argument("--runs", type=Path, default=Path("runs/text_margins"))
    options = parser.parse_args()

    whole = with_names(at_most(Catalog.read(options.catalog, item_id=options.item_id), options.most))
    others = [Catalog.read(path, item_id=options.item_id) for path in options.also]
    base = Recipe.load(options.recipe).override({"encoder.weights": options.weights} | parse_settings(options.settings))
    arms = arms_of(options.table, parse_settings(options.adaptive), options.sentence)
    fixed = arms[0].settings
    arms += [Arm(f"margin {margin}", fixed | {"loss.margin": float(margin)}) for margin in options.margin]
    columns: dict[str, list[dict[str, float]]] = {arm.name: [] for arm in arms}
    for seed in options.seeds:
        catalog = with_classes(whole, options.classes, seed)
        data = cache(partial(data_of, seed, base, catalog))
        for arm in arms:
            settings = base.override(arm.settings).model_dump()
            key = [settings, arm.wrong_text, arm.mean_of, options.most, options.classes, options.graded]
            short = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:8]
            directory = options.runs / f"{options.catalog.stem}-{arm.name.replace(' ', '_')}-{short}-{seed}"
            run = trained(arm, seed, base, catalog, data, directory)
            figures = remembered(directory / "measures.json", partial(measures, run, arm, data, options.graded))
            for other in others:
                kept = directory / f"measures-{Path(other.name).stem}.json"
                figures |= remembered(kept, partial(judged_on, other, run))
            columns[arm.name].append(figures)
    print_table(columns)


if __name__ == "__main__":
    main()
