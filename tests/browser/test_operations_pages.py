"""User journeys through the operations pages, on both sites and without scripts."""

import re

import pytest
import requests
from playwright.sync_api import expect

from tests.browser.conftest import look
from tests.browser.test_admin_pages import sign_in
from tests.logs import wait_until

pytestmark = pytest.mark.browser
USERNAMES = {"/admin": "root.admin", "/manager": "maria.manager"}


@pytest.fixture
def traffic(site):
    """Send requests of a user and of programs, one of them with a request id."""
    headers = site.sign_in("daniel.manager", site.passwords["daniel.manager"])
    for path in ["/api/tasks/", "/api/tasks/summary/", "/api/properties/", "/api/users/"] * 3:
        site.request("GET", path, headers=headers)
    site.request("GET", "/api/tasks/", headers={"X-Request-ID": "named-by-its-caller"})
    site.request("GET", "/api/tasks/?q=<script>")  # a warning that names no user
    requests.get(f"{site.url}/api/tasks/", headers={"User-Agent": "<script>alert(1)</script>"}, timeout=30)
    wait_until(lambda: "named-by-its-caller" in site.logs.text("performance.log"))


@pytest.mark.parametrize("path", USERNAMES)
def test_operations_page_leads_into_the_logs(site, page, traffic, path):
    sign_in(page, site, path, USERNAMES[path])
    page.get_by_role("link", name="Operations").click()
    expect(page.get_by_role("heading", name="Last hour")).to_be_visible()
    expect(page.locator(".ops-lights .ops-good")).to_have_count(5)
    expect(page.get_by_role("img", name="Requests per minute")).to_be_visible()
    page.get_by_text("Show as a table").click()
    expect(page.get_by_role("columnheader", name="p95, ms")).to_be_visible()
    look(page, f"operations{path.replace('/', '-')}")

    page.get_by_role("link", name="Logs", exact=True).click()
    page.get_by_label("Text", exact=True).fill("named-by-its-caller")
    page.get_by_label("Text", exact=True).press("Enter")
    page.get_by_role("link", name="request", exact=True).first.click()
    records = page.locator(".ops-records > li")
    expect(records.last).to_contain_text("Request completed")
    records.last.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(records.last.get_by_text("named-by-its-caller")).to_be_visible()
    look(page, f"request{path.replace('/', '-')}")


def test_invalid_log_filters_are_marked_at_their_fields(site, page):
    sign_in(page, site, "/admin", USERNAMES["/admin"])
    page.goto(f"{site.url}/admin/operations/logs/?user=ada&logger=no+such&level=LOUD")
    expect(page.get_by_text("Enter a whole number.")).to_be_visible()
    expect(page.get_by_text("Enter the name of a logger, such as api.security.")).to_be_visible()
    look(page, "logs-nonsense")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_operations_pages_work_without_scripts(site, chromium, traffic, scheme):
    context = chromium.new_context(
        java_script_enabled=False, color_scheme=scheme, viewport={"width": 390, "height": 900}
    )
    page = context.new_page()
    sign_in(page, site, "/manager", USERNAMES["/manager"])
    page.goto(f"{site.url}/manager/operations/")
    expect(page.get_by_role("heading", name="Slowest routes")).to_be_visible()
    page.get_by_role("link", name="Logs", exact=True).click()
    page.get_by_label("Level").select_option("WARNING")
    page.get_by_role("button", name="Show").click()
    page.locator(".ops-records summary").first.click()
    expect(page.locator(".ops-records dl").first).to_be_visible()
    page.get_by_role("link", name="Show all").click()
    first = page.locator(".ops-when").first.inner_text()
    page.get_by_role("link", name="Older").click()
    expect(page.locator(".ops-when").first).not_to_have_text(first)
    expect(page).to_have_url(re.compile("older="))
    context.close()
