"""The page in a real browser, for the tests that look at it; without a browser they are skipped."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lookalike import Encoder, Index
from tests.service.conftest import CHROMIUM, Server

if CHROMIUM is None:
    pytest.skip("there is no Chromium on this machine", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="the browser is driven by playwright")
expect = sync_api.expect
expect.set_options(timeout=20_000)  # on a machine that others use too
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    """The page, open; at the end nothing was refused by its own policy and no script has failed."""
    context = browser.new_context(base_url=server.address)
    opened, said = context.new_page(), []
    opened.set_default_timeout(10_000)
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("dialog", lambda dialog: said.append(f"a dialog: {dialog.message}"))
    opened.goto("/")
    expect(opened.locator("#about")).to_have_text("144 items")
    yield opened
    context.close()
    assert [line for line in said if "Failed to load resource" not in line] == []


@pytest.fixture(scope="module")
def opened_index(index: Path, encoder: Encoder) -> Index:
    return Index.open(index, encoder)


def names(page: Any, count: int = 24) -> list[str]:
    """The items on show, when so many are."""
    expect(page.locator("#results")).not_to_have_attribute("aria-busy", "true")
    expect(page.locator(".match")).to_have_count(count)
    return page.locator(".match .name span:first-child").evaluate_all("all => all.map(one => one.textContent)")
