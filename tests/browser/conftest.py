"""Fixtures for pages in headless Chromium, at the widths of a phone and a desktop."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.live.server import Server, demo_database, environment, manage, serving
from tests.smtp import mail_server

WIDTHS = (390, 1200)
WIDER_THAN = """width => [...document.querySelectorAll("body *")]
    .filter(element => element.getBoundingClientRect().right > width)
    .map(element => element.outerHTML.slice(0, 80))"""
PALE = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
# A folder for screenshots; none are taken if it is empty.
SCREENSHOTS = os.environ.get("SCREENSHOTS_DIR", "")

# A deployed environment without TLS in front of it.
STAGING = {
    "DJANGO_ENVIRONMENT": "staging",
    "ALLOWED_HOSTS": "127.0.0.1",
    "PUBLIC_BASE_URL": "https://cosmo.example.com",
    "DEFAULT_FROM_EMAIL": "cosmo@example.com",
    "TRUSTED_PROXY_COUNT": "0",
    "SECURE_SSL_REDIRECT": "off",
}


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path, "install chromium"
    # Playwright's event loop runs in this thread, so Django would reject synchronous queries.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium) -> Iterator[Page]:
    """Open a tab in a new browser context. Errors in its console fail the test."""
    context = chromium.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(15_000)
    console_errors: list[str] = []
    page.on("console", lambda message: console_errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: console_errors.append(str(error)))
    yield page
    context.close()
    # Responses of 400 and above are logged there, too; tests check statuses themselves.
    assert [line for line in console_errors if "the server responded with a status of" not in line] == []


def look(page: Page, name: str) -> None:
    """Fail if an element is wider than the window or too pale; take screenshots if SCREENSHOTS_DIR is set."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        wide = page.evaluate(WIDER_THAN, width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name}, {width} px: {wide}"
        assert page.evaluate(PALE, "#content *") == [], f"{name}, {width} px"
        if SCREENSHOTS:
            page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}-{width}.png"), full_page=True)


@pytest.fixture(scope="session", params=["development", "staging"])
def site(request, tmp_path_factory) -> Iterator[Server]:
    """Run a server with demo data in two environments: development and staging."""
    folder = tmp_path_factory.mktemp("site")
    values = STAGING if request.param == "staging" else {"DJANGO_ENVIRONMENT": "development"}
    with demo_database(folder) as (database, passwords), mail_server() as mails:
        values |= {"EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend", "EMAIL_HOST": "127.0.0.1"}
        variables = environment(folder, DATABASE_URL=database, EMAIL_PORT=str(mails.port), **values)
        if request.param == "staging":
            manage(variables, "collectstatic", "--noinput", "--verbosity", "0")
        with serving(variables, folder / "console") as running:
            running.passwords = passwords
            running.mails = mails.mails
            yield running
