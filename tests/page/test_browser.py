"""The page in a real browser: live, filters, each state, keyboard, accessible names, and nothing on the console."""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bizspan import names
from bizspan.kpi import KPI, Count, operations
from bizspan.lens import Lens, Response
from bizspan.page import Action, add_page
from tests.page.shop import DAY, event, fill, sold

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("playwright", reason="Playwright is not installed")
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="there is no Chromium: apt install chromium"),
]
PAGES = ("/", "/features", "/funnel", "/technical", "/kpis", "/events")
# Whatever one can reach has a name; what is a picture says what it shows; ids are there once.
REACHED = "a, button, input, select, summary, [role], svg, figure"
UNNAMED = """reached => [...document.querySelectorAll(reached)].filter(each => {
  if (each.closest("[aria-hidden=true]") || each.type === "hidden") return false;
  const labels = each.labels ? [...each.labels].map(l => l.textContent).join("") : "";
  return !(each.getAttribute("aria-label") || each.getAttribute("aria-labelledby") || labels || each.textContent).trim()
    && each.id !== "live";
}).map(each => each.outerHTML.slice(0, 120))"""
TWICE = """() => { const ids = [...document.querySelectorAll("[id]")].map(each => each.id);
  return ids.filter((id, at) => ids.indexOf(id) !== at); }"""


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    """Debian's Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@contextmanager
def opened(browser: Browser, **options: Any) -> Generator[tuple[Page, list[str]]]:
    """A page, and what its console says."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(10_000)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        yield page, said
    finally:
        context.close()


def sell(lens: Lens, uid: str, minor: int) -> None:
    facts = {names.OPERATION_NAME: "checkout", names.OPERATION_OUTCOME: names.SUCCESS, names.SEGMENT: "smb"}
    event(lens.intake, uid, time.time_ns(), {**facts, **sold(minor, "EUR")})


def test_the_first_event_appears_by_itself(browser: Browser, lens: Lens) -> None:
    """
    The empty page turns into figures, and these grow, without loading the page again; what was opened stays open.
    """
    with opened(browser) as (page, said):
        page.goto(lens.url)
        page.get_by_text("Waiting for the first event").wait_for()
        page.locator('.live[data-state="live"]').wait_for()
        page.evaluate("window.same = true")

        sell(lens, "a", 4_200)
        page.locator("#now").get_by_text("42.00").wait_for()
        page.locator("#now summary").click()
        sell(lens, "b", 800)
        page.locator("#now").get_by_text("50.00").wait_for()

        assert page.evaluate("window.same")
        assert page.locator("#now details").evaluate("each => each.open")
        assert page.locator("#series canvas").count() >= 3
    assert [] == said


def test_a_pause_holds_the_figures(browser: Browser, lens: Lens) -> None:
    """
    Until one goes on; then they are new at once.
    """
    sell(lens, "a", 100)
    with opened(browser) as (page, said):
        page.goto(lens.url)
        page.locator('.live[data-state="live"]').wait_for()
        page.get_by_role("button", name="Pause").click()
        with page.expect_event("console", predicate=lambda message: message.text == "heard"):
            page.evaluate("""() => { const source = new EventSource("/live");
                source.addEventListener("change", () => { console.log("heard"); source.close(); });
                return new Promise(done => source.addEventListener("open", done)); }""")
            sell(lens, "b", 200)
        assert 0 == page.locator("#now").get_by_text("3.00 EUR", exact=True).count()

        page.get_by_role("button", name="Go on").click()
        page.locator("#now").get_by_text("3.00 EUR", exact=True).wait_for()
    assert [] == said


def test_filters_stand_in_the_address(browser: Browser, lens: Lens) -> None:
    """
    A chosen one and one clicked in a table; each can be removed, and going back brings the former figures.
    """
    fill(lens.intake, visits=300)
    with opened(browser) as (page, said):
        page.goto(f"{lens.url}/?{DAY}")
        everything = page.locator(".tile", has_text="Operations").locator(".figure").inner_text()
        page.locator("#f-segment").select_option("smb")
        page.get_by_role("button", name="Apply").click()
        page.wait_for_url("**segment=smb**")
        page.locator("#country").get_by_role("link", name="DE", exact=True).click()
        page.wait_for_url("**country=DE**")

        assert f"{lens.url}/?period=2026-09-21..2026-09-23&segment=smb&country=DE" == page.url
        assert everything != page.locator(".tile", has_text="Operations").locator(".figure").inner_text()
        page.get_by_role("link", name="Remove the filter segment smb").click()
        page.get_by_role("link", name="Remove the filter country DE").click()
        page.wait_for_url(f"{lens.url}/?period=2026-09-21..2026-09-23")
        assert everything == page.locator(".tile", has_text="Operations").locator(".figure").inner_text()
        page.go_back()
        page.wait_for_url("**country=DE")
    assert [] == said


# What a finger has to meet: with the padding, and what is not on the screen left out.
SMALL = """() => [...document.querySelectorAll("a, button, input, select, summary")].filter(each => {
  const box = each.getBoundingClientRect();
  return each.type !== "hidden" && each.className !== "skip" && box.width && (box.height < 24 || box.width < 24);
}).map(each => each.outerHTML.slice(0, 120))"""


def test_a_finger_meets_each_control_on_a_phone(browser: Browser, tmp_path: Path) -> None:
    """
    None is lower or narrower than 24 pixels, on any page, also where all is opened.
    """
    rate = KPI("orders", Count(operations("checkout")), owner="ann", meaning="m", by=("country",))
    with Lens(tmp_path / "lens.db") as lens:
        add_page(lens, [rate])
        lens.start(0)
        fill(lens.intake, visits=120)
        with opened(browser, viewport={"width": 390, "height": 844}) as (page, _):
            for path in (*PAGES, "/funnel?steps=product.view,cart.add,checkout", "/?segment=smb&country=DE"):
                page.goto(f"{lens.url}{path}{'&' if '?' in path else '?'}{DAY}")
                for each in page.locator("details").all():
                    each.evaluate("each => each.open = true")
                assert [] == page.evaluate(SMALL), path
            page.goto(f"{lens.url}/events?{DAY}")
            page.locator("td a").first.click()
            page.wait_for_url("**/trace/**")
            assert [] == page.evaluate(SMALL)


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)], ids=["light", "dark", "phone"]
)
def test_every_page_can_be_read(browser: Browser, lens: Lens, tmp_path: Path, scheme: Any, width: int) -> None:
    """
    In light, in dark, and on a phone: nothing is wider than the screen, all has a name, and the console is silent.
    """
    fill(lens.intake, visits=120)
    with opened(browser, color_scheme=scheme, viewport={"width": width, "height": 844}) as (page, said):
        for path in (*PAGES, "/funnel?steps=product.view,cart.add,checkout"):
            page.goto(f"{lens.url}{path}{'&' if '?' in path else '?'}{DAY}")
            page.locator('.live[data-state="live"]').wait_for()
            for each in page.locator("main details").all():
                each.evaluate("each => each.open = true")
            page.screenshot(path=tmp_path / "page.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            assert [] == page.evaluate(UNNAMED, REACHED), path
            assert [] == page.evaluate(TWICE), path
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ("rgb(18, 22, 20)" if scheme == "dark" else "rgb(247, 247, 244)") == ground
    assert [] == said


def test_the_keyboard_is_enough(browser: Browser, lens: Lens) -> None:
    """
    The skip link comes first and leads to the figures; each focus is visible; a figure opens by Enter.
    """
    fill(lens.intake, visits=60)
    with opened(browser) as (page, said):
        page.goto(f"{lens.url}/?{DAY}")
        page.keyboard.press("Tab")
        assert "Skip to the figures" == page.evaluate("document.activeElement.textContent")
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert "SUMMARY" == page.evaluate("document.activeElement.tagName")
        assert "solid" == page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.parentElement.open")
    assert [] == said


def test_hostile_values_run_nothing(browser: Browser, lens: Lens) -> None:
    """
    Neither in figures, nor in charts, nor after an update.
    """
    value = "\"><img src=x onerror='window.hit=1'><script>window.hit=1</script>"
    facts = {names.OPERATION_NAME: value, names.OPERATION_OUTCOME: "success", names.SEGMENT: value}
    for number, uid in enumerate(("a", "b")):
        event(
            lens.intake, uid, time.time_ns() - (1 - number) * 120 * 10**9, {**facts, **sold(1, value[:40])},
            resource={"service.version": f"{number}{value}"},
        )  # fmt: skip
    with opened(browser) as (page, said):
        page.goto(lens.url)
        page.locator('.live[data-state="live"]').wait_for()
        sell(lens, "c", 100)
        page.locator("#now").get_by_text("1.00 EUR", exact=True).wait_for()

        assert page.evaluate("window.hit") is None
        assert 0 == page.locator("main img, main script").count()
    assert [] == said


def test_one_logs_in_by_the_link(browser: Browser, tmp_path: Path) -> None:
    """
    And the page is live behind the cookie; without it, the form takes the token.
    """
    with Lens(tmp_path / "lens.db", token="s3cret") as lens:
        add_page(lens)
        lens.start(0)
        with opened(browser) as (page, said):
            page.goto(lens.url + lens.page_path)
            page.wait_for_url(f"{lens.url}/")
            page.locator('.live[data-state="live"]').wait_for()
            sell(lens, "a", 4_200)
            page.locator("#now").get_by_text("42.00").wait_for()
        assert [] == said
        with opened(browser) as (page, _):
            page.goto(lens.url)
            page.get_by_label("Token").fill("s3cret")
            page.get_by_role("button", name="Log in").click()
            page.locator("#now").get_by_text("42.00").wait_for()


@pytest.mark.parametrize("token", ["", "s3cret"])
def test_buttons_are_pressed_by_keyboard(browser: Browser, tmp_path: Path, token: str) -> None:
    """
    They have a name and a sentence; what was done is said, and the console is silent, with and without a token.
    """
    done: list[str] = []

    def roll_back() -> str:
        done.append("x")
        return "rolled back to 1.4"

    action = Action("roll-back", "Roll back", "All get the old one.", roll_back)
    with Lens(tmp_path / "lens.db", token=token) as lens:
        add_page(lens, actions=[action])
        lens.start(0)
        sell(lens, "a", 4_200)
        with opened(browser) as (page, said):
            page.goto(lens.url + lens.page_path)
            page.wait_for_url(f"{lens.url}/")
            page.locator('.live[data-state="live"]').wait_for()
            button = page.get_by_role("button", name="Roll back")
            assert "All get the old one." == button.evaluate(
                "each => document.getElementById(each.getAttribute('aria-describedby')).textContent"
            )
            button.focus()
            sell(lens, "b", 800)
            page.locator("#now").get_by_text("50.00").wait_for()
            page.keyboard.press("Enter")
            page.get_by_role("status").filter(has_text="Roll back: rolled back to 1.4").wait_for()

            assert (["x"], f"{lens.url}/#actions") == (done, page.url)
            page.reload()
            page.get_by_role("status").filter(has_text="rolled back to 1.4").wait_for()
            assert [] == page.evaluate(UNNAMED, REACHED)
            assert [] == page.evaluate(TWICE)
        assert (["x"], []) == (done, said)


def test_a_page_of_another_site_presses_no_button(browser: Browser, tmp_path: Path) -> None:
    """
    A form of its own that is sent to the lens does nothing, and the browser shows why.
    """
    done: list[str] = []

    def kill() -> str:
        done.append("x")
        return "dead"

    action = Action("kill", "kill -9", "It dies.", kill)
    with Lens(tmp_path / "lens.db") as lens, Lens(tmp_path / "other.db") as other:
        add_page(lens, actions=[action])
        lens.start(0)
        evil = (
            f'<form method="post" action="{lens.url}/do/kill"><input name="token" value="0"><button>Win</button></form>'
        )
        other.routes.add("GET", "/win", lambda _: Response(evil.encode(), "text/html"))
        other.start(0)
        with opened(browser) as (page, _):
            page.goto(f"{other.url}/win")
            page.get_by_role("button", name="Win").click()
            page.get_by_text("This was not pressed on the page of this lens").wait_for()
    assert [] == done


def test_a_lens_that_has_gone_is_told(browser: Browser, tmp_path: Path) -> None:
    """
    The figures stay, and it is said that they are not live.
    """
    with opened(browser) as (page, _):
        with Lens(tmp_path / "lens.db") as lens:
            add_page(lens)
            lens.start(0)
            sell(lens, "a", 4_200)
            page.goto(lens.url)
            page.locator('.live[data-state="live"]').wait_for()
        page.get_by_text("waiting for the lens").wait_for()

        assert page.locator("#now").get_by_text("42.00").is_visible()
