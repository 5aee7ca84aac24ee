"""The admin sites by keyboard, and in dark mode."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import look
from tests.browser.test_admin_pages import sign_in

pytestmark = pytest.mark.browser

# The elements that Tab should reach, in page order.
STOPS = """() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")]
    .filter(e => e.tabIndex >= 0 && !e.disabled && e.type !== "hidden" && e.checkVisibility({visibilityProperty: true}))
    .map(e => { e.dataset.stop ||= Math.random(); return e.dataset.stop; })"""
# The visible style of the focused element.
LOOKS = """stop => { const e = document.querySelector(`[data-stop="${stop}"]`), s = getComputedStyle(e);
    const inner = e.querySelector("*") ? getComputedStyle(e.querySelector("*")) : s;
    return [s.outlineStyle === "none" ? "none" : s.outline, s.boxShadow, s.borderColor, s.backgroundColor, s.color,
        s.textDecorationLine, inner.boxShadow, inner.outline].join("|"); }"""
FOCUSED = "() => document.activeElement.dataset.stop || document.activeElement.outerHTML.slice(0, 200)"
NAME = "stop => document.querySelector(`[data-stop='${stop}']`).outerHTML.slice(0, 120)"


def walk(page: Page, name: str) -> None:
    """Fail unless Tab reaches all elements in page order with a visible focus."""
    stops = page.evaluate(STOPS)
    page.evaluate("document.activeElement.blur()")
    before = {stop: page.evaluate(LOOKS, stop) for stop in stops}
    reached, unseen = [], []
    for number in range(len(stops)):
        if number == 0:
            page.locator(f"[data-stop='{stops[0]}']").focus()
        else:
            page.keyboard.press("Tab")
        stop = page.evaluate(FOCUSED)
        reached.append(stop)
        if stop in before and page.evaluate(LOOKS, stop) == before[stop]:
            unseen.append(page.evaluate(NAME, stop))
    assert reached == stops, f"{name}: {[page.evaluate(NAME, stop) for stop in stops if stop not in reached]}"
    assert unseen == [], name


def test_keyboard_reaches_every_control(site, page):
    page.goto(f"{site.url}/manager/login/")
    walk(page, "sign-in")
    sign_in(page, site, "/manager", "aisha.manager")
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    walk(page, "start")
    for model in ("task", "user", "auditentry"):
        page.goto(f"{site.url}/manager/api/{model}/?q=zzzz")
        walk(page, model)
    page.goto(f"{site.url}/manager/api/user/?role__exact=staff")
    page.locator("#result_list tbody th a").first.click()
    expect(page.get_by_role("heading", name="Change user")).to_be_visible()
    walk(page, "user")
    page.goto(page.url.replace("/change/", "/password/"))
    walk(page, "blocked")


def test_first_tab_stop_skips_the_header(site, page):
    sign_in(page, site, "/manager", "aisha.manager")
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    page.keyboard.press("Tab")
    link = page.get_by_role("link", name="Skip to main content")
    expect(link).to_be_focused()
    expect(link).to_be_in_viewport()

    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    assert page.evaluate("document.activeElement.closest('#content-start') !== null")


def test_pages_are_legible_in_dark_mode(site, page):
    page.emulate_media(color_scheme="dark")
    page.goto(f"{site.url}/manager/")
    look(page, "sign-in-dark")
    sign_in(page, site, "/manager", "aisha.manager")
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    for path, name in (("/", "start"), ("/api/task/", "tasks"), ("/api/user/?role__exact=staff", "users")):
        page.goto(f"{site.url}/manager{path}")
        look(page, f"{name}-dark")
    page.locator("#result_list tbody th a").first.click()
    expect(page.get_by_role("heading", name="Change user")).to_be_visible()
    look(page, "user-dark")
    page.goto(page.url.replace("/change/", "/password/"))
    look(page, "blocked-dark")
