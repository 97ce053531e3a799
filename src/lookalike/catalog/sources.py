"""Read a catalog's table from a folder, CSV, TSV, Parquet, JSONL or a data set, and say what was understood."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Set
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from lookalike.catalog.images import SUFFIXES
from lookalike.catalog.splits import later_half
from lookalike.errors import CatalogError, did_you_mean

#: Our columns, and the usual names under which sources have them; the first one found is taken.
USUAL_NAMES = {
    "item_id": ("item_id", "id", "sku"),
    "image": ("image", "image_path", "file_name", "filename", "path"),
    "label": ("label", "class", "class_name"),
    "text": ("text", "description", "caption", "title"),
    "domain": ("domain",),
    "split": ("split",),
}
SPLIT_FOLDERS = {
    "train": "train",
    "test": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}
ROW_NUMBER = "row_number"
#: `half:CATALOG`: the first half of the classes trains, the later half tests.
HALF = "half"
SHOWN = 5
#: Where the columns of a folder of pictures come from.
FOLDER_SOURCES = {"item_id": "files", "image": "files", "label": "folders", "split": "folders"}
#: One row of a CSV or JSONL file may be this long.
LONGEST_ROW_BYTES = 32 * 2**20


def read(path: Path, columns: Mapping[str, str | None]) -> tuple[pa.Table, dict[str, str]]:
    """Read the table at `path`, its columns renamed to ours, and which source column each of ours came from."""
    if not path.exists():
        kind, colon, root = str(path).partition(":")
        if colon and root and re.fullmatch(r"[a-z0-9_]{2,}(-part)?", kind):
            return _read_kind(kind, Path(root).expanduser(), columns)  # behind the colon no shell does it
        raise CatalogError(f"there is no catalog at {path}; give a folder of pictures, or a CSV, Parquet or JSONL file")
    if path.is_dir():
        metadata = [path / f"metadata{suffix}" for suffix in READERS if (path / f"metadata{suffix}").exists()]
        if not metadata:
            table, found = _with_our_columns(_read_folder(path), path, columns)
            return table, {ours: FOLDER_SOURCES.get(theirs, theirs) for ours, theirs in found.items()}
        path = metadata[0]
    usual = {name for names in USUAL_NAMES.values() for name in names}
    table = _read_file(path, usual | {name for name in columns.values() if name is not None})
    name, count = Counter(table.column_names).most_common(1)[0] if table.column_names else ("", 0)
    if count > 1:
        raise CatalogError(f"{path} has {count} columns named {name!r}; rename or drop all but one")
    return _with_our_columns(table, path, columns)


def _read_kind(kind: str, root: Path, columns: Mapping[str, str | None]) -> tuple[pa.Table, dict[str, str]]:
    """`cub200:FOLDER` is a published data set, `cub200-part:FOLDER` what is there of it, `half:CATALOG` any catalog."""
    if kind == HALF:
        table, found = read(root, columns)
        if "label" not in found:
            raise CatalogError(f"{root} has no labels; name the column with label=... (--label)")
        split = ["test" if is_test else "train" for is_test in later_half(table.column("label").to_pylist())]
        others = table.drop_columns(["split"]) if "split" in table.column_names else table
        return others.append_column("split", pa.array(split)), found | {"split": "the half of the classes"}
    from lookalike.catalog.benchmarks import BENCHMARKS  # they read tables by this module

    name, _, part = kind.partition("-")
    if name not in BENCHMARKS:
        known = did_you_mean(name, [*BENCHMARKS, HALF])
        raise CatalogError(f"there is no catalog at {kind}:{root}, and no data set {name!r}.{known}")
    return _with_our_columns(BENCHMARKS[name].read(root, partial=bool(part)), root, columns)


def check_table(table: pa.Table, name: str) -> None:
    """Refuse a table without rows, without pictures, or with item ids that are missing or double."""
    if table.num_rows == 0:
        raise CatalogError(f"{name} has no items")
    for column in ("item_id", "image"):
        if column not in table.column_names:
            raise CatalogError(f"{name} has no column {column!r}")
        if table.column(column).null_count:
            row = pc.index(table.column(column).is_null(), True).as_py()
            raise CatalogError(f"{name}, row {row + 1}: {column} is empty; fill it or drop the row")
    _check_ids_unique(table.column("item_id"), name)


def _check_ids_unique(ids: pa.ChunkedArray, name: str) -> None:
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    double = [(item, count) for item, count in Counter(ids.to_pylist()).most_common() if count > 1]
    shown = ", ".join(f"{item!r} ({count} times)" for item, count in double[:SHOWN])
    more = f" and {len(double) - SHOWN} more" if len(double) > SHOWN else ""
    raise CatalogError(
        f"{name}: item_id must be unique, but these are not: {shown}{more}; name another column with item_id=... "
        f"(--item-id), or number the rows with item_id={ROW_NUMBER!r}"
    )


def _read_folder(root: Path) -> pa.Table:
    files = sorted(path for path in root.rglob("*") if _is_picture(path, root))
    if not files:
        raise CatalogError(f"{root} holds no pictures ({', '.join(SUFFIXES)}); expected {root}/CLASS/picture.jpg")
    for file in files:
        if not _is_utf8(file):
            raise CatalogError(f"{str(file)!r}: the name is not UTF-8; rename the file or its folder")
    parts = [file.relative_to(root).parts for file in files]
    table = {"item_id": ["/".join(p) for p in parts], "image": [str(file.resolve()) for file in files]}
    if all(len(p) > 1 and p[0].lower() in SPLIT_FOLDERS for p in parts):
        table["split"] = [SPLIT_FOLDERS[p[0].lower()] for p in parts]
        parts = [p[1:] for p in parts]
    stray = [item for item, p in zip(table["item_id"], parts, strict=True) if len(p) == 1]
    if stray and len(stray) < len(parts):
        raise CatalogError(
            f"{root}: {len(stray)} of {len(parts)} pictures lie outside the class folders, {stray[0]!r} first; "
            "move them into one, or away"
        )
    if not stray:
        table["label"] = ["/".join(p[:-1]) for p in parts]
    return pa.table(table)


def _is_picture(path: Path, root: Path) -> bool:
    # Hidden folders hold copies: .ipynb_checkpoints, .Trash.
    is_hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.suffix.lower() in SUFFIXES and not is_hidden and path.is_file()


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_file(path: Path, texts: Set[str]) -> pa.Table:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise CatalogError(f"{path}: a catalog ends in {', '.join(READERS)} (or is a folder), not in {path.suffix!r}")
    try:
        return reader(path, texts)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        remedy = "; save it as UTF-8" if "utf" in reason.lower() else ""
        raise CatalogError(f"{path} cannot be read as {path.suffix[1:].upper()}: {reason}{remedy}") from None


def _read_csv(path: Path, texts: Set[str]) -> pa.Table:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()
    if not header.strip():
        raise CatalogError(f"{path} is empty; its first line must name the columns")
    is_tabbed = path.suffix.lower() == ".tsv" and "\t" in header
    delimiter = "\t" if is_tabbed else max(",;\t", key=re.sub(r'"[^"]*"', "", header).count)
    # Text stays text: an id "007" must not become the number 7.
    strings = {name: pa.string() for name in texts}
    return pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=LONGEST_ROW_BYTES),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(column_types=strings, strings_can_be_null=False),
    )


def _read_jsonl(path: Path, texts: Set[str]) -> pa.Table:
    options = pyarrow.json.ReadOptions(block_size=LONGEST_ROW_BYTES)
    table = pyarrow.json.read_json(path, options)
    # Arrow takes what looks like a date for one; an id "2024-05-01" must not become "2024-05-01 00:00:00".
    dated = [field.name for field in table.schema if field.name in texts and pa.types.is_timestamp(field.type)]
    if not dated:
        return table
    strings = pa.schema([(name, pa.string()) for name in dated])
    return pyarrow.json.read_json(path, options, pyarrow.json.ParseOptions(explicit_schema=strings))


def _read_parquet(path: Path, texts: Set[str]) -> pa.Table:
    return pq.read_table(path)


#: How a file is read, by its ending; the second argument names the columns that are text whatever they look like.
READERS: dict[str, Callable[[Path, Set[str]], pa.Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
}


def _with_our_columns(
    table: pa.Table, path: Path, columns: Mapping[str, str | None]
) -> tuple[pa.Table, dict[str, str]]:
    if columns.get("item_id") == ROW_NUMBER and ROW_NUMBER not in table.column_names:
        table = table.append_column(ROW_NUMBER, pa.array([str(row) for row in range(table.num_rows)]))
    understood = {ours: _find_column(table, path, ours, wanted) for ours, wanted in columns.items()}
    found = {ours: theirs for ours, theirs in understood.items() if theirs is not None}
    if "image" not in found:
        raise CatalogError(
            f"{path} has no column with the pictures; name it with image=... (--image). "
            f"Its columns: {', '.join(table.column_names)}"
        )
    ours = {name: table.column(theirs) for name, theirs in found.items()}
    ours["image"] = _images(ours["image"], path)
    for name in set(ours) - {"image"}:
        ours[name] = _strings(ours[name], f"{path}: the column {found[name]!r}, read as {name},")
    if "item_id" not in ours:
        ours["item_id"] = pa.chunked_array([pa.array([str(row) for row in range(table.num_rows)])])
        found["item_id"] = ROW_NUMBER
    # A column read under one of our names is not kept twice, unless the user named it: --label category keeps both.
    used = {theirs for name, theirs in found.items() if columns[name] is None or name in ("image", "item_id")}
    others = {name: table.column(name) for name in table.column_names if name not in ours and name not in used}
    return pa.table({name: ours[name] for name in USUAL_NAMES if name in ours} | others), found


def _find_column(table: pa.Table, path: Path, ours: str, wanted: str | None) -> str | None:
    if wanted is not None:
        if wanted not in table.column_names:
            known = did_you_mean(wanted, table.column_names)
            raise CatalogError(f"{path} has no column {wanted!r}, which was to be read as {ours}.{known}")
        return wanted
    return next((name for name in USUAL_NAMES[ours] if name in table.column_names), None)


def _strings(column: pa.ChunkedArray, what: str) -> pa.ChunkedArray:
    """As strings, with empty ones as missing: a CSV cannot say it otherwise."""
    try:
        column = column.cast(pa.string())
    except pa.ArrowException:
        raise CatalogError(f"{what} must hold text, not {column.type}; name another column") from None
    return pc.if_else(pc.equal(pc.utf8_trim_whitespace(column), ""), None, column)


def _images(column: pa.ChunkedArray, path: Path) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):  # pandas' categories
        column = column.cast(column.type.value_type)
    if pa.types.is_struct(column.type):  # {bytes, path}, as Hugging Face data sets store pictures
        names = [column.type.field(number).name for number in range(column.type.num_fields)]
        if "bytes" not in names:
            raise CatalogError(f"{path}: the picture column must hold paths or bytes, not a struct of {names}")
        column = pc.struct_field(column, "bytes")
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return column
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise CatalogError(f"{path}: the picture column must hold paths or bytes, not {column.type}")
    folder = path.resolve().parent
    return pa.chunked_array([pa.array([_resolve(folder, value) for value in column.to_pylist()], pa.string())])


def _resolve(folder: Path, value: str | None) -> str | None:
    if not value:
        return None
    if value.startswith(("http://", "https://")):
        return value  # named by the check, one by one
    return str(folder / value)
