"""Queries that found nothing like them: kept only where that is asked for, bounded, and shown with how scores drift."""

import io
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import ExifTags, Image

from lookalike import Catalog, Encoder
from lookalike.errors import StoredIndexError
from lookalike.service import Limits, Settings
from lookalike.service.scores import BINS, _bin, _quantile
from tests.service.conftest import MakeClient
from tests.service.test_search import check_refused


def strange(number: int) -> bytes:
    """A picture like none in the shop, with a place and a camera in its EXIF."""
    pixels = np.random.default_rng(number).integers(0, 255, (700, 900, 3), np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Model.value] = "A camera of mine"
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", exif=exif)
    return file.getvalue()


def poor_of(client: TestClient, **page: int) -> Any:
    answer = client.get("/poor-queries", params=page)
    assert answer.status_code == 200, answer.text
    return answer.json()


def until_own_is_known(client: TestClient) -> float:
    end = time.monotonic() + 30
    while (edge := poor_of(client)["drift"]["poor_below"]) is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    return float(edge)


@pytest.fixture
def threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    """The untrained eyes of the test's encoder find everything alike: every picture but the shop's own is poor."""
    monkeypatch.setattr("lookalike.service.scores.POOR_SHARE", 0.999)
    monkeypatch.setattr("lookalike.service.scores.ENOUGH", 3)


def ask(client: TestClient, picture: bytes, **fields: str) -> None:
    assert client.post("/search", files={"image": picture}, data=fields).status_code == 200


def test_nothing_is_kept_unless_asked_for(client: TestClient) -> None:
    check_refused(client.get("/poor-queries"), 403, "--keep-poor-queries FOLDER")
    check_refused(client.get("/poor-queries/a/picture"), 403)
    assert not client.get("/about").json()["poor_queries"]


@pytest.mark.usefixtures("threshold")
def test_poor_queries_are_kept_and_good_ones_are_not(make_client: MakeClient, shop: Catalog, tmp_path: Path) -> None:
    client = make_client(Settings(poor_queries=tmp_path / "poor"))
    edge = until_own_is_known(client)
    ask(client, shop.column("image")[20])  # in the index: best score 1
    for fields in ({"words": "red"}, {"where": "price > 0"}, {"offset": "5"}):  # their scores say other things
        ask(client, strange(1), **fields)
    assert poor_of(client)["kept"] == 0
    for number in range(2, 5):
        ask(client, strange(number))
        ask(client, strange(number))  # the same question, answered from memory, is no other one
    said = poor_of(client)
    assert said["kept"] == len(said["queries"]) == 3
    assert client.get("/about").json()["poor_queries"]
    for query in said["queries"]:
        assert (query["kind"], query["words"]) == ("picture", None)
        assert query["best"] < edge
        picture = client.get(f"/poor-queries/{query['name']}/picture")
        kept = Image.open(io.BytesIO(picture.content))
        assert max(kept.size) <= 512
        assert not kept.getexif()
    assert [query["name"] for query in poor_of(client, k=1, offset=1)["queries"]] == [said["queries"][1]["name"]]
    (day,) = said["drift"]["days"]
    assert (day["kind"], day["queries"], day["poor"]) == ("picture", 4, 0.75)
    for name in ("../scores", "scores", "20260101T000000000000-00000000", "%2e%2e%2fscores"):
        check_refused(client.get(f"/poor-queries/{name}/picture"), 404)


@pytest.mark.usefixtures("threshold")
def test_words_are_judged_by_the_words_before(make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client(Settings(poor_queries=tmp_path / "poor"))
    asked = ("red dress", "red", "dress", "dress dress red", "red red dress")
    best = [client.post("/search", json={"words": words}).json()["matches"][0]["score"] for words in asked]
    said = poor_of(client)
    poor = [place for place in (3, 4) if best[place] < max(best[:place]) - 0.01]
    assert {asked[place] for place in poor} <= {query["words"] for query in said["queries"]} <= set(asked[3:])
    assert [(day["kind"], day["queries"]) for day in said["drift"]["days"]] == [("words", 5)]


@pytest.mark.usefixtures("threshold")
def test_what_is_kept_is_bounded_and_survives(make_client: MakeClient, encoder: Encoder, tmp_path: Path) -> None:
    folder = tmp_path / "poor"
    limits = Limits(max_poor_queries=3)
    client = make_client(Settings(limits, poor_queries=folder))
    until_own_is_known(client)
    for number in range(5):
        ask(client, strange(number))
    names = [query["name"] for query in poor_of(client)["queries"]]
    assert len(names) == 3
    assert len(list(folder.glob("*.jpg"))) == len(list(folder.glob("2*.json"))) == 3
    client.__exit__(None, None, None)

    again = make_client(Settings(limits, poor_queries=folder))
    assert [query["name"] for query in poor_of(again)["queries"]] == names
    assert poor_of(again)["drift"]["days"][0]["queries"] == 5
    (folder / f"{names[0]}.json").unlink()  # by hand
    (folder / f"{names[1]}.json").write_text("{")
    assert [query["name"] for query in poor_of(again)["queries"]] == names[2:]
    small = make_client(Settings(Limits(max_poor_bytes=10_000), poor_queries=tmp_path / "small"))
    until_own_is_known(small)
    for number in range(5):
        ask(small, strange(number))
    assert 0 < poor_of(small)["kept"] < 5
    assert sum(file.stat().st_size for file in (tmp_path / "small").glob("2*")) <= 10_000


@pytest.mark.usefixtures("threshold")
def test_a_query_that_cannot_be_kept_is_answered(
    make_client: MakeClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client(Settings(poor_queries=tmp_path / "poor"))
    until_own_is_known(client)
    shutil.rmtree(tmp_path / "poor")
    (tmp_path / "poor").write_text("")  # in the place of the folder
    ask(client, strange(1))
    assert "a query could not be kept" in caplog.text
    (tmp_path / "poor").unlink()


def test_scores_of_another_model_are_forgotten(make_client: MakeClient, tmp_path: Path) -> None:
    days = {"2026-01-01 picture": {"150": 7}}
    for fingerprint, remembered in (("0" * 64, 0), (None, 1)):
        client = make_client(Settings(poor_queries=tmp_path))
        if fingerprint is None:
            fingerprint = json.loads((tmp_path / "scores.json").read_text())["fingerprint"]
        client.__exit__(None, None, None)
        (tmp_path / "scores.json").write_text(json.dumps({"fingerprint": fingerprint, "own": {}, "days": days}))
        again = make_client(Settings(poor_queries=tmp_path))
        assert len(poor_of(again)["drift"]["days"]) == remembered
        again.__exit__(None, None, None)


def test_a_folder_that_cannot_be_written(make_client: MakeClient, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoredIndexError, match=r"queries cannot be kept in .*name a folder"):
        make_client(Settings(poor_queries=tmp_path / "file"))


def test_quantiles_of_a_histogram() -> None:
    scores = np.random.default_rng(0).uniform(-0.5, 1, 5000)
    bins = np.bincount([_bin(score) for score in scores], minlength=BINS)
    for share in (0.05, 0.5, 0.95):
        assert _quantile(bins, share) == pytest.approx(np.quantile(scores, share), abs=2 / BINS)
    assert (_bin(-1.001), _bin(1.001)) == (0, BINS - 1)
