"""The model of the index that is there now: another may take its place while searches are under way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from lookalike.errors import LookalikeError, StoredIndexError
from lookalike.index import LanceIndex
from lookalike.index.faults import told
from lookalike.index.lance import TABLE
from lookalike.index.models import ENCODER, Opened, sweep
from lookalike.search import Index
from lookalike.search.intake import PictureEncoder
from lookalike.service.batching import BatchedEncoder
from lookalike.service.limits import Settings
from lookalike.service.poor import PoorQueries


class Model:
    """An index as one encoder made it, for many threads. Its rows stay while this is open."""

    def __init__(self, root: Path, given: PictureEncoder | None, settings: Settings, on_batch: Callable[[int], None]):
        self.opened = Opened(root)
        sweep(root)
        self.folder = self.opened.folder
        encoder: PictureEncoder = given or _load(self.folder / ENCODER)
        self.opened.manifest.check_encoder(encoder.fingerprint, encoder.describe())
        self.stored = LanceIndex.open(self.folder, self.opened.check_current)
        kept = settings.poor_queries
        #: None where none are kept
        self.poor = PoorQueries(kept, settings.limits, encoder.fingerprint, self.stored) if kept else None
        self.has_words = getattr(encoder, "words", True) is not None
        self.encoder = BatchedEncoder(encoder, settings.limits.max_batch, on_batch)
        # Not opened once more: its rows would be twice in memory.
        self.index = Index(self.encoder, self.stored, self.opened)
        self.users, self.is_former = 0, False

    def version(self) -> tuple[str, ...]:
        """Names what is in the index now: another process may write to it.

        Raises:
            StoredIndexError: the index cannot be read.
        """
        with told(self.folder, "read"):
            files = sorted(file.name for file in (self.folder / f"{TABLE}.lance" / "_versions").iterdir())
        manifest = self.opened.manifest
        return manifest.fingerprint, manifest.created, str(manifest.model), *files

    def close(self) -> None:
        """Let go of the rows, and write down what was counted."""
        self.encoder.close()
        if self.poor is not None:
            self.poor.scores.close()
        self.opened.close()


class Current:
    """The model that searches use. One that was replaced answers those that began with it, and is then closed."""

    def __init__(self, root: Path, encoder: PictureEncoder | None, settings: Settings, on_batch: Callable[[int], None]):
        self._root, self._settings, self._on_batch = root, settings, on_batch
        self._lock, self._opening = Lock(), Lock()
        self._model = Model(root, encoder, settings, on_batch)

    @contextmanager
    def using(self) -> Iterator[Model]:
        """The model, whole until the end of the block.

        Raises:
            StoredIndexError: there is no index any more, or what is there now cannot be opened; with the cause.
        """
        try:
            self._follow()
        except LookalikeError as error:
            raise StoredIndexError(f"the index was replaced, and cannot be opened: {error}") from error
        with self._lock:
            model = self._model
            model.users += 1
        try:
            yield model
        finally:
            with self._lock:
                model.users -= 1
            self._close_if_done(model)

    def close(self) -> None:
        """Close the model; nobody uses it by now."""
        self._model.close()

    def _follow(self) -> None:
        """Open the model that took the place of ours; meanwhile others go on with ours, if it is still there."""
        former = self._model
        if not former.opened.is_stale:
            return
        is_kept = Opened(self._root).folder != former.folder
        if not self._opening.acquire(blocking=not is_kept):
            return
        try:
            if self._model is not former:
                return
            if former.poor is not None:  # the next one counts in the same file
                former.poor.scores.close()
            model = self._open()
            with self._lock:
                self._model, former.is_former = model, True
            self._close_if_done(former)
        finally:
            self._opening.release()

    def _open(self) -> Model:
        while True:
            now = Opened(self._root)
            try:
                return Model(self._root, None, self._settings, self._on_batch)
            except LookalikeError:
                if not now.is_stale:
                    raise

    def _close_if_done(self, model: Model) -> None:
        with self._lock:
            if model.users or not model.is_former:
                return
            model.is_former = False  # by one thread only
        model.close()


def _load(folder: Path) -> PictureEncoder:
    from lookalike.encoders import Encoder  # only here, since it brings torch

    return Encoder.load(folder)
