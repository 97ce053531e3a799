"""The page in a real browser: what a person does, and what goes wrong."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lookalike import Catalog, Index
from tests.service.conftest import HOSTILE, Server
from tests.service.page import PHONE, expect, names
from tests.service.page import browser as browser
from tests.service.page import opened_index as opened_index
from tests.service.page import page as page


@pytest.fixture(scope="module")
def photo(shop: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    path.write_bytes(shop.column("image")[20])
    return path


def expected(matches: list[Any]) -> list[str]:
    return [match.item_id for match in matches]


def test_a_picture_and_then_words(page: Any, photo: Path, opened_index: Index) -> None:
    page.set_input_files("#file", photo)
    assert names(page) == expected(opened_index.search(image=photo, k=24))
    expect(page.locator("#status")).to_have_text("24 matches, and there are more")
    assert page.locator(".match img").first.evaluate("one => one.complete && one.naturalWidth") == 64
    expect(page.locator("#weight-part")).to_be_hidden()

    page.get_by_label("In words").fill("red dress")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("#weight-part")).to_be_visible()
    mixed = opened_index.search(image=photo, words="red dress", k=24)
    expect(page.locator(".match .name").first).to_contain_text(mixed[0].item_id)
    assert names(page) == expected(mixed)
    with page.expect_response("**/search"):
        page.locator("#weight").fill("1")
    assert names(page) == expected(opened_index.search(image=photo, words="red dress", words_weight=1, k=24))


def test_words_filters_and_groups(page: Any, opened_index: Index) -> None:
    page.get_by_label("In words").fill("red dress")
    page.keyboard.press("Enter")
    assert names(page) == expected(opened_index.search(words="red dress", k=24))
    with page.expect_response("**/search"):
        page.get_by_label("street").check()
    with page.expect_response("**/search"):
        page.get_by_label("price to").fill("50")
        page.keyboard.press("Tab")
    where = "domain = 'street' and price <= 50"
    found = opened_index.search(words="red dress", where=where, k=24)
    assert len(found) > 0
    assert names(page, len(found)) == expected(found)
    expect(page.locator("#filters-count")).to_have_text("2 in use")
    with page.expect_response("**/search"):
        page.get_by_label("One match for each").select_option("label")
    grouped = opened_index.search(words="red dress", where=where, group_by="label", k=24)
    assert names(page, len(grouped)) == expected(grouped)
    assert len(grouped) < len(found)

    with page.expect_response("**/search"):
        page.get_by_label("price from").fill("49.99")
        page.get_by_label("price to").fill("0")
        page.keyboard.press("Tab")
    expect(page.locator("#status")).to_have_text("Nothing fulfils these filters; clear some of them.")
    page.get_by_role("button", name="Clear filters").click()
    names(page)


def test_more_until_there_are_no_more(page: Any, opened_index: Index) -> None:
    page.get_by_label("In words").fill("red")
    page.keyboard.press("Enter")
    for shown in range(48, 145, 24):
        page.get_by_role("button", name="Show more").click()
        names(page, shown)
    assert sorted(names(page, 144)) == sorted(expected(opened_index.search(words="red", k=144)))
    expect(page.locator("#more")).to_be_hidden()
    expect(page.locator("#status")).to_have_text("144 matches")


def test_a_click_searches_from_there_and_back_returns(page: Any, photo: Path, opened_index: Index) -> None:
    page.set_input_files("#file", photo)
    first = names(page)
    page.locator(".match .search").nth(2).click()
    expect(page.locator("#item-name")).to_have_text(f"Like {first[2]}")
    similar = expected(opened_index.search(item_id=first[2], k=24))
    expect(page.locator(".match .name").first).to_contain_text(similar[0])
    assert names(page) == similar
    page.go_back()
    expect(page.locator("#preview")).to_be_visible()
    expect(page.locator(".match .name").first).to_contain_text(first[0])
    assert names(page) == first
    page.go_back()
    expect(page.locator("#welcome")).to_be_visible()
    expect(page.locator(".match")).to_have_count(0)


def test_a_part_of_the_picture_by_pointer_and_by_keys(page: Any, photo: Path, opened_index: Index) -> None:
    page.set_input_files("#file", photo)
    whole = names(page)
    box = page.locator("#frame").bounding_box()
    with page.expect_response("**/search"):
        page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.5)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.75, steps=3)
        page.mouse.up()
    marked = page.locator("#region").evaluate("({style: s}) => [s.left, s.top, s.width, s.height].map(parseFloat)")
    left, top, width, height = (round(percent / 100, 4) for percent in marked)
    region = (left, top, left + width, top + height)
    assert region == pytest.approx((0.25, 0.5, 0.75, 0.75), abs=0.02)
    assert names(page) == expected(opened_index.search(image=photo, region=region, k=24)) != whole

    page.get_by_role("button", name="Whole picture").click()
    expect(page.locator(".match .name").first).to_contain_text(whole[0])
    assert names(page) == whole
    page.locator("#frame").focus()
    with page.expect_response("**/search"):
        page.keyboard.press("Enter")
    with page.expect_response("**/search"):
        page.keyboard.press("ArrowRight")
    moved = opened_index.search(image=photo, region=(0.3, 0.25, 0.8, 0.75), k=24)
    expect(page.locator(".match .name").first).to_contain_text(moved[0].item_id)
    with page.expect_response("**/search"):
        page.keyboard.press("Escape")
    expect(page.locator("#region")).to_be_hidden()


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_a_picture_that_is_dropped_or_pasted(page: Any, photo: Path, opened_index: Index, how: str) -> None:
    give = """([how, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "photo.jpg", { type: "image/jpeg" }));
        const event = how === "drop" ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
        document.getElementById("drop").dispatchEvent(event);
    }"""
    page.evaluate(give, [how, list(photo.read_bytes())])
    assert names(page) == expected(opened_index.search(image=photo, k=24))


def test_what_a_catalog_says_is_only_text(page: Any, shop: Catalog, opened_index: Index) -> None:
    """Ids and labels that are markup or SQL are shown as they are; a dialog would fail the fixture."""
    page.get_by_label("In words").fill(f"red {HOSTILE[0]} dress")
    page.keyboard.press("Enter")
    names(page)
    while page.locator("#more").is_visible():
        page.get_by_role("button", name="Show more").click()
        expect(page.locator("#results")).not_to_have_attribute("aria-busy", "true")
    assert set(names(page, 144)) >= set(HOSTILE)
    assert page.locator(".match script, .match dl img").count() == 0
    page.locator(".match", has_text=HOSTILE[0]).first.locator(".search").click()
    expect(page.locator("#item-name")).to_have_text(f"Like {HOSTILE[0]}")
    assert names(page) == expected(opened_index.search(item_id=HOSTILE[0], k=24))


def test_feedback_is_kept(page: Any, server: Server, photo: Path) -> None:
    page.set_input_files("#file", photo)
    item = names(page)[1]
    up = page.get_by_role("button", name=f"{item} is a good match")
    up.click()
    expect(up).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#status")).to_have_text("Thank you, kept.")
    file = server.process.args[server.process.args.index("--feedback") + 1]
    kept = json.loads(Path(file).read_text().splitlines()[-1])
    assert (kept["item_id"], kept["good"], len(kept["picture"])) == (item, True, 64)


def test_what_goes_wrong_is_said_in_plain_words(page: Any, photo: Path, tmp_path: Path) -> None:
    problem = page.get_by_role("alert")
    (tmp_path / "broken.jpg").write_bytes(photo.read_bytes()[:300])
    page.set_input_files("#file", tmp_path / "broken.jpg")
    expect(problem).to_contain_text("picture is damaged")
    (tmp_path / "notes.txt").write_text("hello")
    page.set_input_files("#file", tmp_path / "notes.txt")
    expect(problem).to_have_text("notes.txt is not a picture.")
    with (tmp_path / "huge.png").open("wb") as huge:
        huge.truncate(17 * 2**20)
    page.set_input_files("#file", tmp_path / "huge.png")
    expect(problem).to_have_text("huge.png is too large; the limit is 16 MiB.")
    page.get_by_role("button", name="Remove").click()
    page.get_by_label("In words").fill("?!")
    page.keyboard.press("Enter")
    expect(problem).to_have_text(re.compile("The text '\\?!' holds no word"))

    busy = {"status": 429, "headers": {"Retry-After": "1"}, "json": {"error": "too many searches at this moment"}}
    page.route("**/search", lambda route: route.fulfill(**busy))
    page.get_by_label("In words").fill("red")
    page.keyboard.press("Enter")
    expect(problem).to_contain_text("Too many searches at this moment")
    page.unroute("**/search")
    page.route("**/search", lambda route: route.abort())
    problem.get_by_role("button", name="Try again").click()
    expect(problem).to_contain_text("The service does not answer. Is it still running?")
    page.unroute("**/search")
    problem.get_by_role("button", name="Try again").click()
    assert len(names(page)) == 24
    expect(problem).to_be_empty()


def test_a_key_is_asked_for(page: Any) -> None:
    refused = {"status": 401, "json": {"error": "this service asks for a key"}}
    accept = lambda route: (  # noqa: E731
        route.continue_() if route.request.headers.get("x-api-key") == "the key" else route.fulfill(**refused)
    )
    page.route("**/about", accept)
    page.route("**/search", accept)
    page.reload()
    for key in ("wrong", "the key"):
        page.get_by_role("textbox", name="Key").fill(key)
        page.get_by_role("button", name="Use it").click()
    expect(page.locator("#about")).to_have_text("144 items")
    page.get_by_label("In words").fill("red")
    page.keyboard.press("Enter")
    assert len(names(page)) == 24


def test_without_a_mouse(page: Any, opened_index: Index) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the matches")).to_be_focused()
    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert reached == ["map-open", "poor-open", "For programs", "file"]
    page.locator("#words").focus()
    page.keyboard.type("red dress")
    page.keyboard.press("Enter")
    first = names(page)
    page.locator("#results").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#item-name")).to_have_text(f"Like {first[0]}")
    unnamed = page.locator("button, input, select, a").evaluate_all(
        """all => all.filter(one => !one.textContent.trim() && !one.getAttribute("aria-label")
            && !(one.labels && one.labels.length)).map(one => one.outerHTML)"""
    )
    assert unnamed == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone(browser: Any, server: Server, photo: Path, scheme: str) -> None:
    """Nothing is wider than the screen, and text can be read on its ground."""
    context = browser.new_context(base_url=server.address, color_scheme=scheme, **PHONE)
    page = context.new_page()
    page.goto("/")
    page.set_input_files("#file", photo)
    names(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.locator(".match").first).to_be_in_viewport()
    contrast = page.evaluate(
        """() => {
        const light = (color) => {
            const [r, g, b] = color.match(/[\\d.]+/g).map((part) => part / 255)
                .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const style = (query) => getComputedStyle(document.querySelector(query));
        const ratio = (text, ground) => {
            const [a, b] = [light(text), light(ground)].sort((x, y) => y - x);
            return (a + 0.05) / (b + 0.05);
        };
        return [
            ratio(style("body").color, style("body").backgroundColor),
            ratio(style("#status").color, style("body").backgroundColor),
            ratio(style(".match dt").color, style(".match").backgroundColor),
            ratio(style(".match .score").color, style(".match").backgroundColor),
            ratio(style(".primary").color, style(".primary").backgroundColor),
        ];
    }"""
    )
    assert min(contrast) >= 4.5, contrast
    context.close()
