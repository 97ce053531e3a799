"""Who queries whom: among all held-out items, within a domain, and across domains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from lookalike.catalog import Catalog
from lookalike.encoders import Encoder, embed_catalog
from lookalike.errors import EvaluationError
from lookalike.evaluation.retrieval import Retrieval, retrieval_metrics

POOLED = "all"
QUERY, GALLERY = "query", "gallery"


@dataclass(frozen=True)
class Protocol:
    """Queries and the gallery they search, as row numbers of a catalog; no gallery: they search among themselves."""

    name: str
    queries: np.ndarray
    gallery: np.ndarray | None = None

    @property
    def rows(self) -> np.ndarray:
        """All rows that must be embedded."""
        return self.queries if self.gallery is None else np.union1d(self.queries, self.gallery)

    def judge(self, embeddings: np.ndarray, labels: np.ndarray, k: Sequence[int]) -> Retrieval:
        """Metrics of this protocol; `embeddings` [N, D] and `labels` [N] are those of the whole catalog."""
        if self.gallery is None:
            return retrieval_metrics(embeddings[self.queries], labels[self.queries], k=k)
        return retrieval_metrics(
            embeddings[self.queries], labels[self.queries], embeddings[self.gallery], labels[self.gallery], k=k
        )


def protocols_for(catalog: Catalog, held_out: np.ndarray, visible: np.ndarray | None = None) -> list[Protocol]:
    """The protocols that make sense for these held-out items.

    Where a `role` column says who is "query" and who is "gallery" (DeepFashion In-Shop), that is the one protocol.
    Else "all" pools them. With several domains there is one for each domain among itself ("street -> street") and each
    ordered pair ("street -> studio"), the latter also with the training classes in the gallery ("... of all classes").
    Those in which no query has anything to find are left out.

    Args:
        catalog: with labels.
        held_out: bool [N], items of classes never seen in training.
        visible: bool [N], items that may be searched at all; all by default. What chooses a model must not see the
            test items, not even as distractors.

    Raises:
        EvaluationError: no protocol has a query with anything to find.
    """
    labels, _ = catalog.label_numbers()
    known = labels >= 0 if visible is None else (labels >= 0) & visible
    candidates = [Protocol(POOLED, np.flatnonzero(held_out & known))]
    roles = np.array(catalog.column("role") if "role" in catalog else [None] * len(catalog), dtype=object)
    if {QUERY, GALLERY} <= {*roles[held_out]}:
        queries, gallery = (np.flatnonzero(held_out & known & (roles == role)) for role in (QUERY, GALLERY))
        candidates = [Protocol(f"{QUERY} -> {GALLERY}", queries, gallery)]
    elif "domain" in catalog:
        domains = np.array(catalog.column("domain"), dtype=object)
        names = sorted({name for name in domains[held_out] if name is not None})
        for source, target in product(names, names) if len(names) > 1 else ():
            queries = np.flatnonzero(held_out & known & (domains == source))
            if source == target:
                candidates.append(Protocol(f"{source} -> {target}", queries))
                continue
            gallery, everything = held_out & known & (domains == target), known & (domains == target)
            candidates.append(Protocol(f"{source} -> {target}", queries, np.flatnonzero(gallery)))
            if everything.sum() > gallery.sum():
                name = f"{source} -> {target} of all classes"
                candidates.append(Protocol(name, queries, np.flatnonzero(everything)))
    usable = [protocol for protocol in candidates if _has_a_match(protocol, labels)]
    if not usable:
        raise EvaluationError(
            f"{catalog.name}: no held-out item has another of its class to find; retrieval needs two pictures a class"
        )
    return usable


def judge_all(
    protocols: Sequence[Protocol], embeddings: np.ndarray, labels: np.ndarray, k: Sequence[int]
) -> dict[str, Retrieval]:
    """Metrics of every protocol by its name."""
    return {protocol.name: protocol.judge(embeddings, labels, k) for protocol in protocols}


def evaluate(encoder: Encoder, catalog: Catalog, k: Sequence[int] = (1, 2, 4, 8), batch_size: int = 64) -> Retrieval:
    """Embed a catalog and judge the retrieval of its items among themselves, or of its gallery by its queries.

    If it has a split with test items, only those are judged: training items say nothing of unseen classes.

    Raises:
        CatalogError: it has no labels.
        EvaluationError: no item has another of its class to find.
    """
    catalog, _ = held_out_part(catalog)
    catalog.label_numbers()  # refuses before the long work
    embedded = embed_catalog(encoder, catalog, batch_size)
    catalog = catalog.take(embedded.rows)
    labels, _ = catalog.label_numbers()
    return protocols_for(catalog, labels >= 0)[0].judge(embedded.embeddings, labels, k)


def judge_models(
    models: Mapping[str, Encoder], catalog: Catalog, k: Sequence[int], batch_size: int = 64
) -> dict[str, dict[str, Retrieval]]:
    """Judge several encoders on the test items of a catalog, or on all of them if it has no split.

    Returns:
        protocol name -> model name -> figures.

    Raises:
        CatalogError: the catalog has no labels.
        EvaluationError: no query has anything to find.
    """
    return embed_models(models, catalog, batch_size).judge(k)


@dataclass(frozen=True)
class ModelEmbeddings:
    """What several models make of the items that some protocols look at.

    Attributes:
        catalog: those items, N of them.
        labels: int64 [N].
        protocols: who queries whom, as rows of that catalog.
        embeddings: model name -> float32 [N, D].
    """

    catalog: Catalog
    labels: np.ndarray
    protocols: list[Protocol]
    embeddings: dict[str, np.ndarray]

    def judge(self, k: Sequence[int]) -> dict[str, dict[str, Retrieval]]:
        """The figures: protocol name -> model name."""
        return {
            protocol.name: {name: protocol.judge(x, self.labels, k) for name, x in self.embeddings.items()}
            for protocol in self.protocols
        }


def embed_models(models: Mapping[str, Encoder], catalog: Catalog, batch_size: int = 64) -> ModelEmbeddings:
    """Embed the test items of a catalog, or all if it has no split, with several encoders.

    Raises:
        CatalogError: the catalog has no labels.
        EvaluationError: no query has anything to find.
    """
    # Training items are embedded only where a protocol has them as distractors.
    needed = [protocol.rows for protocol in _protocols_of(catalog)]
    catalog = catalog.take(np.unique(np.concatenate(needed)))
    embedded = {name: embed_catalog(encoder, catalog, batch_size) for name, encoder in models.items()}
    catalog = catalog.take(next(iter(embedded.values())).rows)
    labels, _ = catalog.label_numbers()
    embeddings = {name: found.embeddings for name, found in embedded.items()}
    return ModelEmbeddings(catalog, labels, _protocols_of(catalog), embeddings)


def _protocols_of(catalog: Catalog) -> list[Protocol]:
    labels, _ = catalog.label_numbers()
    has_test = held_out_part(catalog)[1]
    return protocols_for(catalog, np.array(catalog.column("split")) == "test" if has_test else labels >= 0)


def held_out_part(catalog: Catalog) -> tuple[Catalog, bool]:
    """The test items, or the whole catalog if it has none; and whether it has."""
    if "split" in catalog and "test" in catalog.column("split"):
        return catalog.where(split="test"), True
    return catalog, False


def _has_a_match(protocol: Protocol, labels: np.ndarray) -> bool:
    queries = labels[protocol.queries]
    if protocol.gallery is not None:
        return bool(np.isin(queries, labels[protocol.gallery]).any())
    return bool((np.unique(queries, return_counts=True)[1] > 1).any())
