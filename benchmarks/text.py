"""Which text encoder, which scaling: how far apart classes are by their words, and whether they look as far apart.

    python benchmarks/text.py grocery.parquet --weights mobilenetv2_100.safetensors --image-size 160
    python benchmarks/text.py fashion.parquet --weights mobilenetv2_100.safetensors --sentence FOLDER

Training classes with two pictures or more. Squared distances of class vectors, in [0, 4]: mean, standard deviation and
hubness; Spearman's correlation with the distances of the classes' mean picture features (frozen, centered).
"""

import argparse
import time

import numpy as np
from scipy.stats import spearmanr

from lookalike import Catalog, Recipe
from lookalike.encoders.cache import cached_features
from lookalike.recipes.build import build_encoder, with_image_size
from lookalike.side import SideVectors, make_text_encoder
from lookalike.side.distances import from_vectors
from lookalike.side.scaling import SCALINGS, hubness


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalog")
    parser.add_argument("--item-id", default="row_number")
    parser.add_argument("--weights", default="")
    parser.add_argument("--image-size", type=int, default=0)
    parser.add_argument("--sentence", default="", help="folder or name of a sentence model")
    parser.add_argument("--clean", nargs="*", default=[])
    options = parser.parse_args()

    catalog = Catalog.read(options.catalog, item_id=options.item_id)
    settings = {"encoder.weights": options.weights, "encoder.image_size": options.image_size}
    recipe = Recipe.load("default").override(settings)
    found = cached_features(build_encoder(with_image_size(recipe, catalog).encoder), catalog)
    rows = np.flatnonzero(np.array(catalog.take(found.rows).column("split")) == "train")
    catalog, pictures = catalog.take(found.rows[rows]), found.embeddings[rows]
    labels, names = catalog.label_numbers()
    counts = np.bincount(labels[labels >= 0], minlength=len(names))
    items = catalog.column("item_id")
    seen = SideVectors(items, pictures, "pictures").of_classes(labels, len(names))[counts >= 2]
    pairs = np.triu_indices(len(seen), 1)
    by_sight = from_vectors(seen)[pairs]

    print(f"{options.catalog}: {len(seen)} classes, clean = {options.clean}\n")
    print("| encoder | scaling | mean | deviation | hubness | correlation | seconds |\n|---|---|---|---|---|---|---|")
    texts = catalog.column("text")
    for name in ["tfidf", "fasttext", *(["sentence"] if options.sentence else [])]:
        begun = time.monotonic()
        encoder = make_text_encoder(name, texts, model=options.sentence, clean=options.clean)
        side = SideVectors(items, encoder.encode(texts), encoder.fingerprint)
        seconds = time.monotonic() - begun
        for scaling in SCALINGS:
            distances = from_vectors(side.of_classes(labels, len(names), scaling=scaling)[counts >= 2])
            of_pairs = distances[pairs]
            print(
                f"| {name} | {scaling} | {of_pairs.mean():.2f} | {of_pairs.std():.2f} | {hubness(distances):.1f} "
                f"| {spearmanr(of_pairs, by_sight)[0]:.2f} | {seconds:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
