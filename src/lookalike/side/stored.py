"""A text encoder as a folder: text_encoder.json with checksums, beside it the files of its model; no pickle."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lookalike.errors import SideError
from lookalike.files import sha256, write_text

CONFIG = "text_encoder.json"
FORMAT = 1


def write_folder(folder: Path, config: dict[str, Any], write: Callable[[Path], None] | None = None) -> None:
    """Write the folder aside, then put it in place of what stands there.

    Args:
        folder: of the encoder.
        config: what is needed to load it; `kind` names the class.
        write: puts the model's files into a folder; none for a model kept elsewhere.
    """
    folder = folder.resolve()
    aside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        if write is not None:
            write(aside)
        checksums = {file.name: sha256(file.read_bytes()) for file in sorted(aside.iterdir()) if file.is_file()}
        write_text(aside / CONFIG, json.dumps({"format": FORMAT, "files": checksums} | config, indent=2))
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def read_folder(folder: Path) -> dict[str, Any]:
    """The configuration, once every file beside it is seen to be whole.

    Raises:
        SideError: no text encoder there, one of another format, or a damaged one.
    """
    if not (folder / CONFIG).exists():
        raise SideError(f"there is no text encoder in {folder} (no {CONFIG}); give a folder that save() made")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        found = {name: sha256((folder / name).read_bytes()) for name in config["files"]}
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise SideError(f"the text encoder in {folder} is damaged ({error}); save it again") from None
    if config.get("format") != FORMAT:
        raise SideError(f"the text encoder in {folder} has format {config.get('format')}; this version reads {FORMAT}")
    for name, checksum in config["files"].items():
        if found[name] != checksum:
            raise SideError(f"{folder / name} is damaged (its checksum is wrong); save the text encoder again")
    return dict(config)


def check_fingerprint(config: dict[str, Any], found: str, model: str) -> None:
    """Refuse a model kept elsewhere that is no longer the one the vectors were made with.

    Raises:
        SideError: its fingerprint differs.
    """
    if found != config["fingerprint"]:
        raise SideError(
            f"{model} is not the model this text encoder was saved with (its content differs); "
            "restore it there, or train again"
        )
