"""The page in a real browser: it draws without a complaint, answers to hands, and asks for nothing else."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.catalog import Catalog
from lookalike.evaluation.curves import training_curves
from lookalike.evaluation.maps import map_part
from lookalike.evaluation.protocol import Protocol
from lookalike.evaluation.report import parts_of, write_report
from tests.evaluation.browser import CHROMIUM, Browser
from tests.evaluation.shops import shop

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install chromium to look at the page")

TRICK = "</script><script>window.tricked = true</script><img src=x onerror='window.tricked = true'>"
CLASSES = [f"class {number}" for number in range(5)]
SECTIONS = ["figures", "curves", "pictures", "confusions", "map", "similarity", "geometry"]
MAP = "document.querySelector('.atlas canvas')"
SEARCH = "document.querySelector('[type=search]')"


def a_page(path: Path, catalog: Catalog, spread: float = 0.5) -> Path:
    """A page with every part."""
    labels, _ = catalog.label_numbers()
    rng = np.random.default_rng(0)
    centers, noise = rng.normal(size=(labels.max() + 1, 16)), rng.normal(size=(len(labels), 16))
    embeddings = {
        name: (centers[labels] + size * noise).astype(np.float32)
        for name, size in (("frozen backbone", 2 * spread), ("trained", spread))
    }
    protocol = Protocol("all", np.arange(len(labels)))
    results = {"all": {name: protocol.judge(x, labels, (1, 2, 4)) for name, x in embeddings.items()}}
    history = [{"epoch": n, "validation": 0.5 + 0.1 * n, "terms": {"triplet": 1 / (n + 1)}} for n in range(3)]
    table = {"classes": 5, "dim": 4, "mean_squared_cosine": 0.1, "max_abs_cosine": 0.5, "floor": 0.0625}
    lines = {"classes": 5, "mean_length": 0.3, "mean_variance": 0.1, "variances": [0.0, 0.5, 0.5, 0.0]}
    parts = {"training": training_curves(history, history[2]), "geometry": {"proxies": [table], "lines": [lines]}}
    parts |= parts_of(catalog, [protocol], embeddings, labels, results)
    write_report(path, f"A shop {TRICK}", ["It helped.", TRICK], results, parts)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = CLASSES * 20
    catalog = shop(labels, text=[TRICK] * 100, domain=["street", "studio"] * 50)
    return a_page(tmp_path_factory.mktemp("small") / "report.html", catalog, spread=1.5)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def brightness(png: bytes) -> float:
    return float(np.median(np.asarray(Image.open(io.BytesIO(png)).convert("L"))))


@pytest.mark.parametrize("size", [(1200, 900), (390, 844)], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_draws_everything(browser: Browser, small: Path, size: tuple[int, int], scheme: str) -> None:
    browser.open(small, *size, scheme)
    assert browser.problems == [] and browser.requests == [small.as_uri()]
    assert browser.run("[...document.querySelectorAll('section')].map((part) => part.id)") == SECTIONS
    assert browser.run("[...document.querySelectorAll('nav a')].map((link) => link.hash)") == [
        f"#{s}" for s in SECTIONS
    ]
    assert browser.run("document.querySelectorAll('.chart svg').length") == 7
    assert browser.run("[...document.querySelectorAll('.line, .area')].every((one) => one.getTotalLength() > 50)")
    assert browser.run("[...document.images].length > 40 && [...document.images].every((one) => one.naturalWidth > 0)")
    assert browser.run("[...document.images].every((one) => one.alt)")
    assert not browser.run("/NaN|undefined|null/.test(document.body.innerText)")
    assert browser.run("document.documentElement.scrollWidth") == size[0]  # nothing reaches beyond the screen
    shade = brightness(browser.screenshot())
    assert shade > 200 if scheme == "light" else shade < 60


def test_what_a_catalog_says_is_not_run(browser: Browser, small: Path) -> None:
    browser.open(small)
    assert browser.run("window.tricked") is None
    assert browser.run("document.querySelector('h1').textContent") == f"A shop {TRICK}"
    assert TRICK in browser.run("document.querySelector('main').innerText")


def test_the_policy_stops_what_would_load_or_run(browser: Browser, small: Path) -> None:
    browser.open(small)
    browser.run(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'window.tricked = true'}))"
    )
    assert browser.run("fetch('https://example.org/').then(() => 'sent', () => 'refused')") == "refused"
    image = "Object.assign(new Image(), {onerror: () => done('refused'), onload: () => done('sent')})"
    assert browser.run(f"new Promise((done) => {{ {image}.src = 'https://example.org/x.png'; }})") == "refused"
    assert browser.run("window.tricked") is None
    for rule in ("script-src", "connect-src", "img-src"):
        assert any(rule in problem and "Content Security Policy" in problem for problem in browser.problems)
    assert browser.requests == [small.as_uri()]


def test_the_theme_can_be_changed(browser: Browser, small: Path) -> None:
    browser.open(small, scheme="light")
    browser.run("document.getElementById('theme').click()")
    assert brightness(browser.screenshot()) < 60
    browser.run("document.getElementById('theme').click()")
    assert brightness(browser.screenshot()) > 200


def test_best_and_worst_queries_are_a_click_away(browser: Browser, small: Path) -> None:
    browser.open(small)
    shown = (
        "[...document.querySelectorAll('.answers .about')].map((row) => row.textContent.match(/MAP@R ([\\d.]+)/)[1])"
    )
    figures = {}
    for kind in ("best", "worst"):
        browser.run(f"document.querySelector('.tabs button[value={kind}]').click()")
        figures[kind] = [float(value) for value in browser.run(shown)]
    assert len(figures["best"]) == 6 and min(figures["best"]) > max(figures["worst"])
    assert browser.run("document.querySelectorAll('.answers .wrong').length") > 6


def test_a_picture_opens_larger_with_what_is_known(browser: Browser, small: Path) -> None:
    browser.open(small)
    browser.run("document.querySelector('.answers .tile').click()")
    assert browser.run("document.getElementById('item').open")
    assert TRICK in browser.run("document.getElementById('item').innerText")
    browser.press("Escape")
    assert not browser.run("document.getElementById('item').open")


def test_the_map_is_searched_by_keys(browser: Browser, small: Path) -> None:
    browser.open(small)
    browser.run(f"{SEARCH}.focus()")
    for letter in "class 3":
        browser.press(letter)
    assert browser.run("document.querySelector('.tools small').textContent") == "20 of 100"
    search = f"{SEARCH}.dispatchEvent(new Event('input')), document.querySelector('.tools small').textContent"
    for text, found in (("ITEM-7", 11), ("tricked = TRUE", 100), ("nothing", 0), (" class 3 ", 20)):
        assert browser.run(f"{SEARCH}.value = '{text}', {search}") == f"{found} of 100"
    browser.press("Enter")
    assert "class 3" in browser.run("document.querySelector('.chosen').innerText")
    assert browser.run("document.querySelectorAll('.alike button').length") == 6
    browser.run("document.querySelector('.alike button').click()")
    assert browser.run("document.querySelectorAll('.chosen').length") == 1
    assert browser.problems == []


def painted(browser: Browser) -> str:
    """What the map shows, after its next frame."""
    frames = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    return str(browser.run(f"{frames}.then(() => {MAP}.toDataURL())"))


def test_the_map_is_zoomed_and_moved(browser: Browser, small: Path) -> None:
    browser.open(small)
    browser.run("document.getElementById('map').scrollIntoView()")
    box = browser.run(
        f"(() => {{ const b = {MAP}.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; }})()"
    )
    x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
    views = [painted(browser)]
    browser("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=200)
    assert browser.run("scrollY") > 0 and painted(browser) == views[0]  # until it is clicked, the wheel is the page's
    browser.run("document.getElementById('map').scrollIntoView()")
    browser.run(f"{MAP}.focus()")
    before = browser.run("scrollY")
    browser("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=-200)
    views.append(painted(browser))
    assert browser.run("scrollY") == before
    for key in ("+", "ArrowLeft", "ArrowUp", "-"):
        browser.press(key)
        views.append(painted(browser))
    assert len(set(views)) == len(views)
    browser.press("0")
    assert painted(browser) == views[0]
    browser.run("document.querySelector('.zoom button').click()")
    assert painted(browser) != views[0]


def test_other_colors_and_no_pictures(browser: Browser, small: Path) -> None:
    browser.open(small)
    views = [painted(browser)]
    for way in ("right", "domain"):
        select = "document.querySelector('.tools select')"
        browser.run(f"{select}.value = '{way}'; {select}.dispatchEvent(new Event('change'))")
        views.append(painted(browser))
    legend = browser.run("document.querySelector('#map .legend').innerText")
    browser.run("document.querySelector('.tools [type=checkbox]').click()")
    views.append(painted(browser))
    assert len(set(views)) == 4 and legend.split() == ["street", "studio"]


def test_fifty_thousand_items_open(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Fewer are laid out and pictured than usual: what is tried here is what the browser does with as many items.
    monkeypatch.setattr("lookalike.evaluation.maps.LAID_OUT", 500)
    labels = [f"class {number % 6}" for number in range(50_000)]
    path = write_many(tmp_path / "report.html", shop(labels, text=["a text of some words"] * 50_000))
    assert path.stat().st_size < 25_000_000
    browser.open(path)
    assert browser.problems == [] and browser.requests == [path.as_uri()]
    browser.run(f"{SEARCH}.value = 'class 3'; {SEARCH}.dispatchEvent(new Event('input'))")
    assert browser.run("document.querySelector('.tools small').textContent") == "8,333 of 50,000"
    assert brightness(browser.screenshot()) > 200


def write_many(path: Path, catalog: Catalog) -> Path:
    """A page with a map alone."""
    labels, _ = catalog.label_numbers()
    noise = np.random.default_rng(0).normal(size=(len(labels), 8))
    embeddings = (np.eye(6, 8)[labels] + 0.2 * noise).astype(np.float32)
    part = map_part(catalog, np.arange(len(labels)), embeddings, {})
    write_report(path, "Many", [], {}, {"map": part, "model": "trained"})
    return path
