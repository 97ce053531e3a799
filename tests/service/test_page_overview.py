"""The map and the poor queries in a real browser, with 144 items and with 100,000."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike import Catalog, Index
from tests.service.conftest import HOSTILE, Server
from tests.service.page import PHONE, expect, names
from tests.service.page import browser as browser
from tests.service.page import opened_index as opened_index
from tests.service.page import page as page

MANY = 100_000


@pytest.fixture
def on_map(page: Any) -> Iterator[Any]:
    """The page with its map open and drawn."""
    page.get_by_role("button", name="Map", exact=True).click()
    expect(page.locator("#map-status")).to_contain_text("144 of 144 items in view", timeout=100_000)
    return page


def answered(page: Any, path: str) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate("path => fetch(path).then((said) => said.json())", path)
    return found


def places(said: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(said["places"]), "<u2").reshape(-1, 2) / 65535


def colors(page: Any) -> int:
    """How many pixels of the canvas are painted."""
    return int(
        page.evaluate(
            """() => { const canvas = document.getElementById("map");
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let painted = 0; for (let at = 3; at < data.length; at += 4) painted += data[at] > 200; return painted; }"""
        )
    )


def test_a_click_on_the_map_searches_from_there(on_map: Any, opened_index: Index, tmp_path: Path) -> None:
    assert colors(on_map) > 1000
    on_map.screenshot(path=tmp_path / "map.png")
    said = answered(on_map, "/map")
    box = on_map.locator("#map").bounding_box()
    size = min(box["width"], box["height"]) * 0.94
    at = (places(said) - 0.5) * size
    alone = np.argsort(np.linalg.norm(at[:, None] - at[None], axis=2) + 1e9 * np.eye(144), axis=1)[:, 0]
    item = int(np.argmax(np.linalg.norm(at - at[alone], axis=1)))  # the one with most room
    x, y = box["x"] + box["width"] / 2 + at[item, 0], box["y"] + box["height"] / 2 + at[item, 1]
    on_map.mouse.click(x, y)
    name = said["ids"][item]
    expect(on_map.locator("#item-name")).to_have_text(f"Like {name}")
    assert names(on_map) == [match.item_id for match in opened_index.search(item_id=name, k=24)]
    expect(on_map.locator("#map-status")).to_contain_text("24 matches ringed")
    assert on_map.locator("#item-picture").evaluate("one => one.decode().then(() => one.naturalWidth)") == 64


def test_filters_are_seen_on_the_map(on_map: Any, shop: Catalog) -> None:
    on_map.get_by_label("Color by").select_option("domain")
    assert sorted(on_map.locator("#map-names li").all_inner_texts()) == ["street", "studio"]
    with on_map.expect_response("**/map/items?where=*"):
        on_map.get_by_label("street", exact=True).check()
    street = shop.column("domain").count("street")
    expect(on_map.locator("#map-status")).to_contain_text(f"{street} of 144 items in view")
    on_map.get_by_role("button", name="Clear filters").click()
    expect(on_map.locator("#map-status")).to_contain_text("144 of 144 items in view")


def test_the_map_without_a_mouse(on_map: Any) -> None:
    said = answered(on_map, "/map")
    on_map.locator("#map").focus()
    on_map.keyboard.press("ArrowRight")
    nearest = said["ids"][int(np.argmin(np.linalg.norm(places(said) - (0.65, 0.5), axis=1)))]
    on_map.keyboard.press("Enter")
    expect(on_map.locator("#item-name")).to_have_text(f"Like {nearest}")
    on_map.locator("#map").focus()
    for _ in range(4):
        on_map.keyboard.press("+")
    expect(on_map.locator("#map-status")).not_to_contain_text("144 of 144")
    on_map.keyboard.press("0")
    expect(on_map.locator("#map-status")).to_contain_text("144 of 144")
    on_map.get_by_text("Items in the middle, as a list").click()
    first = on_map.locator("#map-list button").first
    name = first.inner_text()
    first.focus()
    on_map.keyboard.press("Enter")
    expect(on_map.locator("#item-name")).to_have_text(f"Like {name}")
    assert on_map.locator("#map").get_attribute("aria-label") == "Map of the catalog"


def test_dragging_and_the_wheel(on_map: Any) -> None:
    box = on_map.locator("#map").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    on_map.mouse.move(*middle)
    on_map.mouse.wheel(0, -1500)
    expect(on_map.locator("#map-status")).not_to_contain_text("144 of 144")
    on_map.mouse.down()
    on_map.mouse.move(middle[0] + 150, middle[1], steps=5)
    on_map.mouse.up()
    expect(on_map.locator("#from-item")).to_be_hidden()  # a drag is no click
    on_map.get_by_role("button", name="Whole map").click()
    expect(on_map.locator("#map-status")).to_contain_text("144 of 144")
    assert on_map.locator("#from-item").is_hidden()


def test_100_000_items_are_drawn_in_time(page: Any, tmp_path: Path) -> None:
    """A frame of the whole map, all points in view, takes less than a tenth of a second on a busy machine."""
    rng = np.random.default_rng(0)
    centers = rng.uniform(0.1, 0.9, (40, 2))
    at = (centers[rng.integers(0, 40, MANY)] + rng.normal(scale=0.03, size=(MANY, 2))).clip(0, 1)
    codes = rng.integers(0, 5, MANY).astype(np.uint8)
    encode = lambda array: base64.b64encode(array.tobytes()).decode()  # noqa: E731
    said = {
        "state": "ready", "items": MANY, "of": MANY, "ids": [f"item-{row}" for row in range(MANY)],
        "places": encode((at * 65535).astype("<u2")),
        "columns": [{"name": "kind", "values": list("abcde"), "codes": encode(codes)}],
    }  # fmt: skip
    page.route("**/map", lambda route: route.fulfill(body=json.dumps(said), content_type="application/json"))
    page.route("**/thumbnail", lambda route: route.fulfill(status=404, json={"error": "none"}))
    page.get_by_role("button", name="Map", exact=True).click()
    expect(page.locator("#map-status")).to_contain_text("100,000 of 100,000 items in view")
    page.get_by_label("Color by").select_option("kind")
    frames = page.evaluate(
        """async () => {
        const canvas = document.getElementById("map");
        const frame = () => new Promise((done) => requestAnimationFrame(done));
        const times = [];
        for (let turn = 0; turn < 15; turn++) {
            canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: turn % 2 ? 5 : -5, cancelable: true }));
            const begun = performance.now();
            await frame(); // ours was asked for before this one, so it is drawn by now
            times.push(performance.now() - begun);
            await frame();
        }
        return times.sort((one, other) => one - other);
    }"""
    )
    assert frames[len(frames) // 2] < 100, frames
    page.get_by_role("button", name="Zoom in").click(click_count=4)
    expect(page.locator("#map-status")).to_contain_text("of 100,000 items in view")
    page.get_by_label("In words").fill("red")
    page.keyboard.press("Enter")
    names(page)
    page.screenshot(path=tmp_path / "many.png")


def test_on_a_phone_the_map_fits(browser: Any, server: Server, tmp_path: Path) -> None:
    context = browser.new_context(base_url=server.address, color_scheme="dark", **PHONE)
    phone = context.new_page()
    phone.goto("/")
    phone.get_by_role("button", name="Map", exact=True).tap()
    expect(phone.locator("#map-status")).to_contain_text("144 of 144 items in view", timeout=100_000)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    expect(phone.locator("#map-part")).to_be_in_viewport()
    phone.screenshot(path=tmp_path / "phone.png")
    phone.get_by_role("button", name="Poor queries").tap()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


def test_poor_queries_are_shown_and_asked_again(page: Any, shop: Catalog, tmp_path: Path) -> None:
    words = HOSTILE[0]
    queries = [
        {"name": "20260101T000000000000-00000001", "time": "2026-01-01T10:00:00+00:00", "kind": "words",
         "words": f"red {words}", "best": 0.12, "nearest": "a"},
        {"name": "20260101T000000000000-00000000", "time": "2026-01-01T09:00:00+00:00", "kind": "picture",
         "words": None, "best": 0.31, "nearest": "b"},
    ]  # fmt: skip
    days = [
        {"day": "2026-01-02", "kind": "picture", "queries": 50, "median": 0.4, "lowest": 0.1, "poor": 0.6},
        {"day": "2026-01-01", "kind": "picture", "queries": 50, "median": 0.8, "lowest": 0.6, "poor": 0.04},
    ]
    drift = {"expected_poor": 0.05, "own_median": 0.9, "poor_below": 0.5, "days": days}
    page.route("**/poor-queries", lambda route: route.fulfill(json={"kept": 2, "queries": queries, "drift": drift}))
    page.route("**/picture", lambda route: route.fulfill(body=shop.column("image")[20], content_type="image/jpeg"))
    page.get_by_role("button", name="Poor queries").click()
    expect(page.locator("#poor-status")).to_have_text("The last 2 of 2.")
    expect(page.locator("#poor-drift tr").first).to_have_class("drift")
    expect(page.locator("#poor-drift tr").nth(1)).not_to_have_class("drift")
    expect(page.locator("#poor-expected")).to_contain_text("Poor: below 0.50, as 5 % of the index's own items are")
    page.get_by_role("button", name=f"red {words}").click()
    names(page)
    assert page.locator("#words").input_value() == f"red {words}"
    expect(page.locator("#poor-list img")).to_have_count(1)
    page.get_by_role("button", name="A picture, 2026-01-01").click()
    expect(page.locator("#preview")).to_be_visible()
    assert page.locator("#words").input_value() == ""
    names(page)
    page.screenshot(path=tmp_path / "poor.png")


def test_poor_queries_of_the_service_itself(page: Any) -> None:
    page.get_by_role("button", name="Poor queries").click()
    expect(page.locator("#poor-status")).to_have_text("None so far.")
    assert page.locator("#poor-status").is_visible()
