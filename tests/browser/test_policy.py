"""Pages in headless Chromium: they show what they should, and break no line of their Content-Security-Policy."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.live.server import environment, fresh_database, manage, serving

pytestmark = pytest.mark.browser
QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]


class Page:
    """What Chromium made of an address: the document after its scripts ran, and what the console said."""

    def __init__(self, url: str, profile: Path) -> None:
        done = subprocess.run(
            [
                *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", *QUIET),
                *(f"--user-data-dir={profile}", "--enable-logging=stderr", "--virtual-time-budget=10000"),
                *("--dump-dom", url),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        self.document = done.stdout
        self.console = re.findall(r"CONSOLE.*?\] (.*)", done.stderr)


@pytest.fixture(scope="module", params=["development", "staging"])
def site(request, tmp_path_factory):
    """A server in each of two environments: with DEBUG, and as it is deployed."""
    folder = tmp_path_factory.mktemp("site")
    variables = {
        "DJANGO_ENVIRONMENT": request.param,
        "ALLOWED_HOSTS": "127.0.0.1",
        "PUBLIC_BASE_URL": "https://cosmo.example.com",
        "DEFAULT_FROM_EMAIL": "cosmo@example.com",
        "EMAIL_HOST": "127.0.0.1",
        "TRUSTED_PROXY_COUNT": "0",
        "SECURE_SSL_REDIRECT": "off",
    }
    assert shutil.which("chromium"), "install chromium"
    with fresh_database(folder) as database:
        variables = environment(folder, DATABASE_URL=database, **variables)
        manage(variables, "migrate", "--verbosity", "0")
        if request.param == "staging":
            manage(variables, "collectstatic", "--noinput", "--verbosity", "0")
        with serving(variables, folder / "console") as running:
            yield running


def test_the_page_of_the_api_lives_with_its_policy(site, tmp_path):
    page = Page(f"{site.url}/api/docs/", tmp_path)

    if site.environment["DJANGO_ENVIRONMENT"] == "development":
        assert "/api/auth/login/" in page.document
        assert "operation-tag" in page.document or "opblock" in page.document
    else:
        assert "not_authenticated" in page.document
    assert [line for line in page.console if "Content Security Policy" in line] == []


def test_a_page_that_is_not_there_says_so_within_its_policy(site, tmp_path):
    page = Page(f"{site.url}/nowhere/", tmp_path)

    if site.environment["DJANGO_ENVIRONMENT"] == "staging":
        assert "There is nothing at this address" in page.document
        assert "quote this" in page.document
    assert [line for line in page.console if "Content Security Policy" in line] == []
