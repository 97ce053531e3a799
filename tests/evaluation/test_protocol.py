"""Who queries whom, and encoders judged by it."""

import numpy as np
import pytest

from lookalike.catalog import Catalog
from lookalike.encoders import Embedded, Encoder, embed_catalog
from lookalike.errors import CatalogError, EvaluationError
from lookalike.evaluation import Protocol, evaluate, protocols_for, retrieval_metrics
from lookalike.evaluation import protocol as protocol_module
from lookalike.evaluation.protocol import judge_all, judge_models
from tests.evaluation.shops import color_encoder, shop

LABELS = ["a", "a", "b", "b", "c", "c", "d", "d"]
DOMAINS = ["street", "studio"] * 4


def names(protocols: list[Protocol]) -> list[str]:
    return [protocol.name for protocol in protocols]


def held_out(catalog: Catalog, *classes: str) -> np.ndarray:
    return np.isin(np.array(catalog.column("label"), dtype=object), classes)


def test_without_domains_the_held_out_items_search_among_themselves() -> None:
    catalog = shop(LABELS)
    (pooled,) = protocols_for(catalog, held_out(catalog, "c", "d"))
    assert pooled.name == "all" and pooled.gallery is None
    assert pooled.queries.tolist() == pooled.rows.tolist() == [4, 5, 6, 7]


def test_one_domain_is_like_none() -> None:
    catalog = shop(LABELS, domain=["studio"] * 8)
    assert names(protocols_for(catalog, held_out(catalog, "c", "d"))) == ["all"]
    # Also where the other domain is seen in training only.
    catalog = shop(LABELS, domain=["street"] * 4 + ["studio"] * 4)
    assert names(protocols_for(catalog, held_out(catalog, "c", "d"))) == ["all"]


def test_two_domains_are_searched_within_and_across() -> None:
    catalog = shop(LABELS * 2, domain=DOMAINS * 2)
    protocols = protocols_for(catalog, held_out(catalog, "c", "d"))
    assert names(protocols) == [
        "all",
        "street -> street",
        "street -> studio",
        "street -> studio of all classes",
        "studio -> street",
        "studio -> street of all classes",
        "studio -> studio",
    ]
    by_name = {protocol.name: protocol for protocol in protocols}
    assert by_name["street -> street"].queries.tolist() == [4, 6, 12, 14]
    assert by_name["street -> street"].gallery is None
    across, beyond = by_name["street -> studio"], by_name["street -> studio of all classes"]
    assert across.queries.tolist() == beyond.queries.tolist() == [4, 6, 12, 14]
    assert across.gallery is not None and across.gallery.tolist() == [5, 7, 13, 15]
    assert beyond.gallery is not None and beyond.gallery.tolist() == [1, 3, 5, 7, 9, 11, 13, 15]
    assert across.rows.tolist() == [4, 5, 6, 7, 12, 13, 14, 15]


def test_nothing_of_all_classes_where_all_are_held_out() -> None:
    catalog = shop(LABELS * 2, domain=DOMAINS * 2)
    found = names(protocols_for(catalog, np.ones(16, dtype=bool)))
    assert found == ["all", "street -> street", "street -> studio", "studio -> street", "studio -> studio"]


def test_protocols_without_a_match_are_left_out() -> None:
    """One picture of each class in each domain: within a domain there is nothing to find."""
    catalog = shop(LABELS, domain=DOMAINS)
    found = names(protocols_for(catalog, np.ones(8, dtype=bool)))
    assert found == ["all", "street -> studio", "studio -> street"]
    # Each class in one domain only: nothing to find across.
    catalog = shop(LABELS, domain=["street"] * 4 + ["studio"] * 4)
    found = names(protocols_for(catalog, np.ones(8, dtype=bool)))
    assert found == ["all", "street -> street", "studio -> studio"]


def test_items_without_label_or_domain_are_not_asked() -> None:
    labels = ["a", "a", "a", None, None, "b", "b"]
    catalog = shop(labels, domain=["x", "y", None, "x", "y", "x", "y"])
    protocols = {protocol.name: protocol for protocol in protocols_for(catalog, np.ones(7, dtype=bool))}
    assert list(protocols) == ["all", "x -> y", "y -> x"]
    assert protocols["all"].queries.tolist() == [0, 1, 2, 5, 6]
    assert protocols["x -> y"].queries.tolist() == [0, 5]
    gallery = protocols["x -> y"].gallery
    assert gallery is not None and gallery.tolist() == [1, 6]


ROLES = [None, None, "query", "gallery", "query", "gallery", "gallery", None]


def test_roles_say_who_queries_whom() -> None:
    catalog = shop(LABELS, role=ROLES, domain=DOMAINS)
    (only,) = protocols_for(catalog, held_out(catalog, "b", "c", "d"))
    assert only.name == "query -> gallery"
    assert only.gallery is not None
    assert (only.queries.tolist(), only.gallery.tolist()) == ([2, 4], [3, 5, 6])
    (fewer,) = protocols_for(catalog, held_out(catalog, "c", "d"))  # what is not held out has no part in it
    assert fewer.gallery is not None
    assert (fewer.queries.tolist(), fewer.gallery.tolist()) == ([4], [5, 6])
    # Validation classes have none, nor is a column of another meaning one.
    assert names(protocols_for(catalog, held_out(catalog, "a")))[0] == "all"
    assert names(protocols_for(shop(LABELS, role=["query"] * 8), np.ones(8, dtype=bool))) == ["all"]


def test_evaluate_asks_the_queries_alone() -> None:
    found = evaluate(color_encoder(), shop(LABELS, role=ROLES), k=[1])
    assert (found.num_queries, found.num_gallery, found.recall_at) == (2, 3, {1: 1.0})


@pytest.mark.parametrize("labels", [["a", "b", "c"], [None, None, "a"]])
def test_nothing_to_find_is_an_error(labels: list[str | None]) -> None:
    catalog = shop(labels)
    sentence = "shop.csv: no held-out item has another of its class to find; retrieval needs two pictures a class"
    with pytest.raises(EvaluationError, match=sentence):
        protocols_for(catalog, np.ones(3, dtype=bool))


def test_nothing_held_out_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="no held-out item has another of its class"):
        protocols_for(shop(LABELS), np.zeros(8, dtype=bool))


def test_a_protocol_judges_its_own_rows_only() -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((20, 4)).astype(np.float32), rng.integers(0, 4, 20)
    x[:3] = np.nan  # not looked at
    among, across = Protocol("among", np.arange(5, 20)), Protocol("across", np.arange(3, 9), np.arange(9, 20))
    found = judge_all([among, across], x, labels, k=[1, 2])
    assert list(found) == ["among", "across"]
    assert found["among"].map_at_r == retrieval_metrics(x[5:], labels[5:]).map_at_r
    assert found["across"].map_at_r == retrieval_metrics(x[3:9], labels[3:9], x[9:], labels[9:]).map_at_r
    assert list(found["across"].recall_at) == [1, 2] and found["across"].num_gallery == 11


def test_evaluate_judges_the_test_items_alone_if_there_are_any() -> None:
    labels = ["a", "a", "b", "b", "c", "c", None]
    splits = ["train"] * 2 + ["test"] * 5
    encoder = color_encoder()
    found = evaluate(encoder, shop(labels, split=splits), k=[1])
    assert (found.num_queries, found.num_gallery, found.recall_at) == (4, 4, {1: 1.0})
    whole = evaluate(encoder, shop(labels), k=[1])
    assert (whole.num_queries, whole.num_gallery, whole.recall_at) == (6, 6, {1: 1.0})
    unsplit = evaluate(encoder, shop(labels, split=["train"] * 7), k=[1])
    assert unsplit.num_queries == 6


def test_evaluate_can_find_a_model_bad() -> None:
    catalog = shop(["a", "b", "a", "b"])
    swapped = Catalog(catalog.table.set_column(1, "image", catalog.table.column("image").take([0, 0, 1, 1])))
    assert evaluate(color_encoder(), swapped, k=[1]).recall_at == {1: 0.0}


def test_a_picture_that_cannot_be_read_is_left_out() -> None:
    catalog = shop(["a", "a", "b", "b", "b"])
    pictures = catalog.column("image")
    pictures[2] = b"no picture"
    index = catalog.table.column_names.index("image")
    broken = Catalog(catalog.table.set_column(index, "image", [pictures]), "shop.csv")
    assert evaluate(color_encoder(), broken, k=[1]).num_queries == 4
    judged = judge_models({"one": color_encoder()}, broken, k=[1])
    assert judged["all"]["one"].query_labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("judge", [evaluate, lambda encoder, catalog: judge_models({"one": encoder}, catalog, [1])])
def test_a_catalog_without_labels_is_refused_before_any_work(judge, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = color_encoder()
    monkeypatch.setattr(encoder, "forward", lambda images: pytest.fail("pictures were embedded"))
    catalog = Catalog(shop(LABELS).table.drop_columns(["label"]), "shop.csv")
    with pytest.raises(CatalogError, match=r"shop\.csv has no column 'label'"):
        judge(encoder, catalog)


def test_models_are_judged_on_the_same_protocols() -> None:
    catalog = shop(LABELS * 2, domain=DOMAINS * 2, split=(["train"] * 4 + ["test"] * 4) * 2)
    models = {"one": color_encoder(0), "other": color_encoder(1)}
    judged = judge_models(models, catalog, k=[1, 3])
    assert list(judged) == [
        "all",
        "street -> street",
        "street -> studio",
        "street -> studio of all classes",
        "studio -> street",
        "studio -> street of all classes",
        "studio -> studio",
    ]
    for found in judged.values():
        assert list(found) == ["one", "other"]
        assert np.array_equal(found["one"].query_numbers, found["other"].query_numbers)
        assert list(found["one"].recall_at) == [1, 3]
    assert judged["street -> studio"]["one"].num_gallery == 4
    assert judged["street -> studio of all classes"]["one"].num_gallery == 8
    assert judged["all"]["one"].recall_at[1] == evaluate(models["one"], catalog).recall_at[1]


def test_models_are_judged_on_everything_without_test_items() -> None:
    judged = judge_models({"one": color_encoder()}, shop([*LABELS, None]), k=[1])
    assert list(judged) == ["all"] and judged["all"]["one"].num_queries == 8


def test_items_no_protocol_looks_at_are_not_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    embedded: list[int] = []

    def counted(encoder: Encoder, catalog: Catalog, batch_size: int) -> Embedded:
        embedded.append(len(catalog))
        return embed_catalog(encoder, catalog, batch_size)

    monkeypatch.setattr(protocol_module, "embed_catalog", counted)
    judge_models({"one": color_encoder()}, shop(LABELS, split=["train"] * 4 + ["test"] * 4), k=[1])
    # With domains the training items of the other domain are distractors, and embedded.
    judge_models({"one": color_encoder()}, shop(LABELS, split=["train"] * 4 + ["test"] * 4, domain=DOMAINS), k=[1])
    assert embedded == [4, 8]
