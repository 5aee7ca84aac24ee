"""Pages work under their Content-Security-Policy."""

import pytest

from tests.browser.conftest import look

pytestmark = pytest.mark.browser


def is_deployed(site) -> bool:
    return site.environment["DJANGO_ENVIRONMENT"] == "staging"


def test_api_docs_respect_the_content_security_policy(site, page):
    page.goto(f"{site.url}/api/docs/")

    if is_deployed(site):
        assert "not_authenticated" in page.content()
    else:
        page.get_by_text("/api/auth/login/").first.wait_for()


def test_missing_page_explains_itself(site, page):
    page.goto(f"{site.url}/nowhere/")

    if is_deployed(site):
        page.get_by_role("heading", name="Page not found").wait_for()
        assert "include this request id" in page.content()
        look(page, "not-found")
