"""What sentence models and static ones share: where they are, and texts they can read."""

from pathlib import Path
from typing import Literal

from lookalike.errors import SideError

Pooling = Literal["", "mean", "cls", "max"]


def refuse_missing(name: str) -> None:
    """Refuse a path that is not there before it is taken for a name on the Hub.

    Raises:
        SideError: it looks like a path, and there is no such folder.
    """
    if not name:
        raise SideError("name the text model: text.model = a folder, or a name on the Hugging Face Hub")
    looks_like_path = name.startswith((".", "/", "~", "\\")) or name.count("/") > 1
    if looks_like_path and not Path(name).is_dir():
        raise SideError(f"there is no folder {name!r}; text.model is a folder with a model, or a name on the Hub")


def readable(text: str | None) -> str:
    """The text as UTF-8 can hold it, without NULs; half a pair of surrogates becomes a question mark."""
    return (text or "").replace("\0", " ").encode("utf-8", "replace").decode()
