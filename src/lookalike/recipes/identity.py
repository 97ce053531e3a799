"""What makes a run this run: its recipe, its catalog, its backbone. Only the same is gone on with."""

import json
import os
from typing import Any

from lookalike.catalog import Catalog
from lookalike.catalog.images import describe_source
from lookalike.encoders import Encoder
from lookalike.files import sha256
from lookalike.recipes.recipe import Recipe

#: Settings of [training] that change nothing of the result.
FREE = {"checkpoint_minutes", "trackers", "pack_pictures"}


def identity_of(recipe: Recipe, catalog: Catalog, encoder: Encoder, *, judge_test: bool) -> dict[str, Any]:
    """Everything a run depends on, ready for JSON. Files a recipe names, beside weights, are taken to be unchanged."""
    settings = recipe.model_dump(mode="json", exclude={"training": FREE})
    return settings | {
        "catalog": catalog_digest(catalog),
        "backbone": encoder.backbone_fingerprint,
        "judge_test": judge_test,
    }


def catalog_digest(catalog: Catalog) -> str:
    """Of every column; of a picture that is a file, its path, size and time count, not its content."""
    columns = []
    for name in sorted(catalog.table.column_names):
        values = catalog.table.column(name)
        if name == "image":
            columns.append(sha256(*(_picture_state(scalar.as_py()) for scalar in values)))
        else:
            columns.append(sha256(name.encode(), json.dumps(values.to_pylist(), default=str).encode()))
    return sha256(*(column.encode() for column in columns))


def _picture_state(source: bytes | str) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        found = os.stat(source)
    except (OSError, ValueError):
        return describe_source(source).encode()
    return f"{source} {found.st_size} {found.st_mtime_ns}".encode()
