"""The demo: the whole way from a drawn shop to answers, each step once and kept, so that a second call is quick."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from lookalike.catalog import Catalog
from lookalike.catalog.boutique import draw_boutique
from lookalike.encoders import Encoder, embed_catalog
from lookalike.errors import CatalogError, TrainingError
from lookalike.evaluation.figures import neighbor_rows, neighbor_sheet
from lookalike.evaluation.protocol import POOLED, Protocol, judge_models, protocols_for
from lookalike.evaluation.report import parts_of, write_report
from lookalike.evaluation.retrieval import Retrieval
from lookalike.files import write_text, written_whole
from lookalike.progress import note, progress_bar
from lookalike.recipes.build import frozen_encoder
from lookalike.recipes.recipe import Recipe
from lookalike.recipes.train import train
from lookalike.search import Index, Match
from lookalike.training import Run

LOSSES = ("triplet", "adaptive_additive_softmax")
Results = dict[str, dict[str, Retrieval]]
#: What a shopper on the street asks for; the first two see all, the third has a budget.
FILTERS = (None, None, "price < 60")


def run_demo(
    directory: Path,
    products: int,
    seed: int,
    show_results: Callable[[Results], None],
    show_matches: Callable[[str, list[Match]], None],
) -> Path:
    """Draw the shop, train with two losses, judge, index and search; returns the report.

    Args:
        directory: for everything it makes; a demo made with other arguments is not touched.
        products: how many the shop sells.
        seed: of the shop and the training.
        show_results: given the figures by protocol and model.
        show_matches: given what was asked and what was found, for each of three queries.

    Raises:
        CatalogError: the directory holds something else.
    """
    _claim(directory, {"products": products, "seed": seed})
    shop = _shop(directory / "shop.parquet", products, seed)
    runs = {loss: _run(directory / loss, loss, shop, seed) for loss in LOSSES}
    best = max(runs.values(), key=lambda run: float(run.metrics["best"]["validation"] or 0))

    models = {"untrained": frozen_encoder(best.directory)} | {loss: run.encoder for loss, run in runs.items()}
    results = judge_models({name: model for name, model in models.items() if model is not None}, shop, k=[1, 4])
    show_results(results)

    asked, stock = _set_aside(shop)
    index = _index(directory / "index", best.encoder, stock)
    for row, where in enumerate(FILTERS):
        query = directory / "queries" / f"{row + 1}.png"
        query.parent.mkdir(exist_ok=True)
        asked.image(row).save(query)
        about = f"{query} ({asked.column('text')[row]})" + (f" where {where}" if where else "")
        show_matches(about, index.search(image=query, k=5, where=where))
    return _report(directory, shop, best, results)


def _claim(directory: Path, options: dict[str, int]) -> None:
    """Take an empty directory, or one an earlier call with the same options made."""
    stamp = directory / "demo.json"
    if stamp.exists() and json.loads(stamp.read_text(encoding="utf-8")) == options:
        return
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise CatalogError(f"{directory} is not empty, and no demo with {options}: give another --to, or remove it")
    write_text(stamp, json.dumps(options))


def _shop(path: Path, products: int, seed: int) -> Catalog:
    if not path.exists():
        with progress_bar() as bar:
            task = bar.add_task("drawing the shop", total=products, note="")
            table = draw_boutique(products, seed=seed, show_progress=lambda done, _: bar.update(task, completed=done))
        Catalog(table).write(path)
    shop = Catalog.read(path)
    note(f"{path}: {len(shop):,} pictures of {products} products")
    return shop


def _run(directory: Path, loss: str, shop: Catalog, seed: int) -> Run:
    """Train, or take the run an earlier call finished; one that was stopped is begun again."""
    try:
        return Run.load(directory)
    except TrainingError:
        shutil.rmtree(directory, ignore_errors=True)
    note(f"training with {loss}")
    return train(Recipe.load("demo").override({"loss.name": loss, "training.seed": seed}), shop, directory)


def _set_aside(shop: Catalog) -> tuple[Catalog, Catalog]:
    """Pictures to ask with (one street picture each of three products never trained on), and the stock without them."""
    test = shop.where(split="test", domain="street")
    products = sorted(set(test.column("label")))
    chosen = [products[round(place * (len(products) - 1))] for place in (0.2, 0.5, 0.8)]
    rows = [test.column("label").index(product) for product in chosen]
    asked = test.take(rows)
    kept = pc.invert(pc.is_in(shop.table.column("item_id"), value_set=asked.table.column("item_id").combine_chunks()))
    return asked, Catalog(shop.table.filter(kept), shop.name)


def _index(path: Path, encoder: Encoder, stock: Catalog) -> Index:
    index = Index.open(path, encoder) if path.exists() else Index.create(path, encoder)
    if len(index) < len(stock):
        index.add(stock)
    return index


def _report(directory: Path, shop: Catalog, best: Run, results: Results) -> Path:
    embeddings = embed_catalog(best.encoder, shop).embeddings
    labels, _ = shop.label_numbers()
    protocols = protocols_for(shop, np.array(shop.column("split")) == "test")
    loss = best.metrics["loss"]
    shown = [protocol for protocol in protocols if protocol.name in (POOLED, "street -> studio")]
    parts = parts_of(shop, shown, {loss: embeddings}, labels, results)
    sentences = [
        f"A shop of {len(set(shop.column('label')))} products, drawn by code; half of the pictures are taken in the "
        f"studio, half in the street. {best.metrics['encoder']}, trained from nothing on "
        f"{best.metrics['classes']['training']} products, judged on {best.metrics['classes']['test']} never seen.",
        f"The pictures below are found by the model trained with {loss}, the better one on the validation products.",
    ]
    report = directory / "report.html"
    write_report(report, "The lookalike demo", sentences, results, parts)
    _sheet(directory / "neighbors.png", shop, embeddings, labels, protocols)
    return report


def _sheet(path: Path, shop: Catalog, embeddings: np.ndarray, labels: np.ndarray, protocols: list[Protocol]) -> None:
    """A picture of street queries and what they find in the studio, drawn at random."""
    protocol = next((p for p in protocols if p.name == "street -> studio"), protocols[0])
    queries = np.random.default_rng(1).choice(len(protocol.queries), min(5, len(protocol.queries)), replace=False)
    sheet = neighbor_sheet(shop, neighbor_rows(protocol, embeddings, labels, list(queries)))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    with written_whole(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
