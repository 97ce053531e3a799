"""Who may ask, how much and how often."""

import pytest

from lookalike.service import Limits, Settings
from lookalike.service.guards import Rate
from tests.service.conftest import MakeClient
from tests.service.test_search import check_refused

KEY = "a-key-of-sixteen-or-more"
OPEN = ("/", "/health", "/docs", "/openapi.json", "/page/page.js", "/page/page.css")


def test_without_a_key_nothing_is_told(make_client: MakeClient) -> None:
    client = make_client(Settings(api_keys=("another-key-of-sixteen", KEY), writable=True))
    for given in ({}, {"authorization": "Bearer wrong"}, {"x-api-key": KEY[:-1]}, {"authorization": f"Basic {KEY}"}):
        for path in ("/about", "/metrics", "/items/a", "/similar/a", "/items/a/thumbnail"):
            answer = client.get(path, headers=given)
            check_refused(answer, 401, "this service asks for a key")
            assert answer.headers["www-authenticate"] == "Bearer"
        check_refused(client.post("/search", json={"words": "red"}, headers=given), 401)
        check_refused(client.delete("/items/a", headers=given), 401)
    for path in OPEN:
        assert client.get(path).status_code == 200
    for given in ({"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}, {"authorization": f"bearer {KEY}"}):
        assert client.get("/about", headers=given).status_code == 200
        assert client.post("/search", json={"words": "red"}, headers=given).status_code == 200


def test_pages_of_other_sites_are_not_served(make_client: MakeClient) -> None:
    client = make_client(Settings(writable=True))
    for origin in (
        "https://evil.example",
        "null",
        "http://testserver.evil.example",
        "http://[",
        "http://testserver:81",
    ):
        answer = client.delete("/items/nobody", headers={"origin": origin})
        check_refused(answer, 403, "pages of other sites")
        check_refused(client.post("/search", json={"words": "red"}, headers={"origin": origin}), 403)
    check_refused(client.delete("/items/nobody", headers={"origin": "http://testserver"}), 404)
    allowed = client.get("/about", headers={"origin": "https://evil.example"}).headers
    assert not [name for name in allowed if name.startswith("access-control")]
    preflight = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    assert client.options("/search", headers=preflight).status_code == 403


def test_a_name_that_is_not_ours(make_client: MakeClient) -> None:
    client = make_client(Settings(hosts=("localhost", "[::1]")))
    for host in ("localhost", "localhost:8000", "LOCALHOST", "[::1]:8000", "[::1]"):
        assert client.get("/about", headers={"host": host}).status_code == 200
    for host in ("evil.example", "localhost.evil.example", "localhost:8000@evil.example", "", "[::2]:8000"):
        check_refused(client.get("/about", headers={"host": host}), 421, "--allow-host")
        assert client.get("/", headers={"host": host}).status_code == 421


def test_every_answer_has_the_security_headers(make_client: MakeClient) -> None:
    client = make_client(Settings(Limits(max_body_bytes=100)))
    answers = [
        *(client.get(path) for path in ("/", "/docs", "/about", "/nowhere", "/items/x")),
        client.post("/search", content=b"x" * 101),
        client.post("/search", json={}),
    ]
    assert {answer.status_code for answer in answers} == {200, 404, 413, 422}
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/about").headers["cache-control"] == "no-store"


def test_pages_hold_no_script_of_their_own(make_client: MakeClient) -> None:
    client = make_client()
    for path in ("/", "/docs"):
        page = client.get(path).text
        assert page.count("<script") == page.count('<script type="module" src="/page/')
        assert "style=" not in page
        assert "://" not in page.replace("http://www.w3.org", "")
    for name in ("api", "filters", "map", "map_drawing", "matches", "page", "picture", "poor"):
        source = client.get(f"/page/{name}.js")
        assert source.headers["content-type"].startswith("text/javascript")
        for unsafe in ("innerHTML", "outerHTML", "insertAdjacent", "eval(", "document.write", "http://", "https://"):
            assert unsafe not in source.text


def test_docs_name_every_route(make_client: MakeClient) -> None:
    client = make_client()
    page = client.get("/docs").text
    paths = client.get("/openapi.json").json()["paths"]
    assert len(paths) >= 8
    for path, methods in paths.items():
        for method in methods:
            assert f"{method.upper()} {path}" in page


@pytest.mark.parametrize("is_said", [True, False])
def test_a_long_body_is_refused(make_client: MakeClient, is_said: bool) -> None:
    client = make_client(Settings(Limits(max_body_bytes=2**20)))
    parts = (b'{"words": "', b"r" * 2**20, b'"}')
    kind = {"content-type": "application/json"}
    body = b"".join(parts) if is_said else iter(parts)  # the latter comes in chunks, without a length
    check_refused(client.post("/search", content=body, headers=kind), 413, "the limit is 1 MiB")


def test_so_many_requests_a_minute(make_client: MakeClient) -> None:
    client = make_client(Settings(Limits(requests_per_minute=5)))
    answers = [client.get("/about") for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    check_refused(answers[-1], 429, "too many requests from your address")
    assert client.get("/health").status_code == 200


def test_the_rate_of_each_client_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("lookalike.service.guards.time.monotonic", lambda: now)
    monkeypatch.setattr("lookalike.service.guards.REMEMBERED", 2)
    rate = Rate(2)
    assert [rate.allows("a") for _ in range(3)] == [True, True, False]
    assert rate.allows("b")
    now += 31
    assert [rate.allows("a") for _ in range(2)] == [True, False]
    for client in ("b", "c"):  # a is forgotten, and begins anew
        assert rate.allows(client)
    assert len(rate._left) == 2
    assert rate.allows("a")


def test_metrics_count_routes_and_not_paths(make_client: MakeClient) -> None:
    client = make_client()
    for path in ("/items/a", "/items/b", "/made-up-1", "/made-up-2"):
        client.get(path)
    client.request("MADEUP", "/about")
    text = client.get("/metrics").text
    assert 'lookalike_requests_total{method="GET",route="/items/{item_id:path}",status="404"} 2.0' in text
    assert "made-up" not in text
    assert "MADEUP" not in text
    assert "lookalike_items 144.0" in text
