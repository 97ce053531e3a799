"""Which encoder made the vectors of an index: vectors of two encoders must never meet."""

import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lookalike.errors import StoredIndexError
from lookalike.files import write_text

#: 2: with `model`, checksums and versions. An index of format 1 is read, and gets checksums with its next items.
FORMAT = 2
NAME = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The first page of an index: what wrote it, in which format."""

    #: sha256 of the encoder's weights and settings, hex
    fingerprint: str
    #: the encoder in one line, for people
    encoder: str
    #: length of a vector
    dim: int
    #: when the index was made, ISO 8601, UTC
    created: str
    #: of the index directory; one of a later program may mean something we do not know
    format: int = FORMAT
    #: which of the models that this index has had; its folder has the rows and the encoder
    model: int = 0

    @classmethod
    def of(cls, fingerprint: str, encoder: str, dim: int) -> "Manifest":
        """The manifest of an index made now."""
        return cls(fingerprint, encoder, dim, datetime.now(UTC).isoformat(timespec="seconds"))

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """The manifest of the index in `folder`.

        Raises:
            StoredIndexError: there is no index, its manifest is damaged, or a later program wrote it.
        """
        path = Path(folder) / NAME
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise StoredIndexError(f"there is no index at {folder}; make one with `lookalike index`") from None
        except OSError as error:
            raise StoredIndexError(f"{path} cannot be read ({error.strerror}); check its access rights") from None
        except ValueError as error:  # not JSON, or not UTF-8
            raise _damaged(path, str(error)) from None
        return cls._checked(content, path)

    @classmethod
    def _checked(cls, given: object, path: Path) -> "Manifest":
        if not isinstance(given, dict):
            raise _damaged(path, f"it holds a {type(given).__name__}")
        version = given.get("format")
        if isinstance(version, int) and version > FORMAT:
            raise StoredIndexError(
                f"{path} has format {version}, and this version of lookalike reads up to {FORMAT}; update lookalike"
            )
        content: dict[str, Any] = {"model": 0} | given
        for field in fields(cls):
            if not isinstance(content.get(field.name), field.type):  # type: ignore[arg-type]
                raise _damaged(path, f"{field.name} is {content.get(field.name)!r}")
        return cls(**{field.name: content[field.name] for field in fields(cls)})

    def write(self, folder: Path) -> None:
        """Write it into `folder`, whole or not at all."""
        write_text(Path(folder) / NAME, json.dumps(asdict(self), indent=2) + "\n")

    def folder(self, root: Path) -> Path:
        """Where the rows and the encoder are, of the index at `root`: the first model is there itself."""
        return Path(root) / f"model-{self.model}" if self.model else Path(root)

    def check_encoder(self, fingerprint: str, encoder: str) -> None:
        """Refuse the vectors of another encoder.

        Raises:
            StoredIndexError: the fingerprint differs.
        """
        if fingerprint != self.fingerprint:
            raise StoredIndexError(
                f"the index was made by encoder {self.fingerprint[:12]} ({self.encoder}), and this is "
                f"{fingerprint[:12]} ({encoder}): their vectors cannot be compared; "
                "use the run the index was made with, or index again"
            )


def _damaged(path: Path, reason: str) -> StoredIndexError:
    return StoredIndexError(f"{path} is damaged ({reason}); restore it from a copy, or index the catalog again")
