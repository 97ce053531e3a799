"""What LanceDB and the disk complain of, told so that a stranger knows what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from lookalike.errors import LookalikeError, StoredIndexError

#: What the system calls a lack of room: disk full, file over the limit, quota exceeded.
_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
_NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def told(folder: Path, doing: str) -> Iterator[None]:
    """Turn what goes wrong inside into a StoredIndexError about the index in `folder`, which could not be `doing`."""
    try:
        yield
    except LookalikeError:
        raise
    except Exception as error:
        # What panics on damaged files comes as a class that no module offers.
        known = isinstance(error, (RuntimeError, ValueError, OSError, pa.ArrowException))
        if not known and type(error).__name__ != "RustPanic":
            raise
        # The trace of the database names its own source files; its first line says all there is to know.
        raise StoredIndexError(f"the index at {folder} could not be {doing}: {_reason(error)}") from error


def is_gone(error: Exception) -> bool:
    """Whether a file of the index was tidied away by another process while it was read."""
    return "not found" in str(error).lower() or _has_number(error, (errno.ENOENT,))


def _reason(error: Exception) -> str:
    if _has_number(error, _NO_ROOM):
        return "the disk is full; make room and run it again, what was stored before is intact"
    if _has_number(error, _NO_RIGHT):
        return "writing there is not permitted; check the access rights of the folder"
    first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"{first_line[:300]}; if it stays so, restore the folder from a copy or index again"


def _has_number(error: Exception, numbers: tuple[int, ...]) -> bool:
    # LanceDB gives the system's error number in the text only.
    return getattr(error, "errno", None) in numbers or any(f"(os error {number})" in str(error) for number in numbers)
