"""User journeys through both admin sites and the password pages."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import look
from tests.logs import wait_until

pytestmark = pytest.mark.browser
NEW = "a new and longer passphrase"


def sign_in(page: Page, site, path: str, username: str, password: str = "") -> None:
    page.goto(f"{site.url}{path}/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password or site.passwords[username])
    page.get_by_label("Password").press("Enter")


def mailed_link(site, kind: str) -> str:
    """Return the path of the link in the latest email with this subject."""
    wait_until(lambda: site.mails and kind in site.mails[-1].message["Subject"])
    return re.search(r"https?://[^/]+(/accounts/password-reset/confirm/\S+)", site.mails[-1].plain)[1]


def test_login_page_rejects_a_wrong_password_and_links_to_the_other_site(site, page):
    page.goto(f"{site.url}/admin/")
    look(page, "sign-in")
    sign_in(page, site, "/admin", "root.admin", "wrong")
    expect(page.get_by_text("is wrong, or your account uses another site")).to_be_visible()
    page.get_by_role("link", name="Cosmo Manager").click()
    expect(page).to_have_title(re.compile("Cosmo Manager"))


def test_superuser_opens_dashboard_lists_and_task(site, page):
    sign_in(page, site, "/admin", "root.admin")
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    look(page, "start")
    page.get_by_role("link", name="overdue").click()
    expect(page.locator("#result_list")).to_be_visible()
    look(page, "tasks")
    page.locator("#result_list tbody th a").first.click()
    expect(page.get_by_role("heading", name="History", exact=True)).to_be_visible()
    look(page, "task")
    for model in ("property", "user", "outgoingmail", "notification", "auditentry", "session"):
        page.goto(f"{site.url}/admin/api/{model}/")
        look(page, model)


def test_task_is_created_with_autocomplete_fields(site, page):
    sign_in(page, site, "/manager", "maria.manager")
    page.goto(f"{site.url}/manager/api/task/add/")
    page.get_by_label("Title").fill("\"'><img src=x onerror=document.title='broken'>")
    page.get_by_label("Task type").select_option("laundry")
    page.locator("#id_property + .select2").click()
    page.locator(".select2-search__field").last.fill("a")
    page.locator(".select2-results__option[aria-selected]").first.wait_for()  # not "Searching..."
    page.keyboard.press("Enter")
    expect(page.locator(".select2-dropdown")).to_have_count(0)
    page.locator("#id_due_date_0").fill("2030-05-31")
    page.locator("#id_due_date_1").fill("15:00:00")
    look(page, "add-task")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
    assert "broken" not in page.title()


def test_bulk_action_shows_a_message_per_task(site, page):
    sign_in(page, site, "/manager", "maria.manager")
    page.goto(f"{site.url}/manager/api/task/?status__exact=completed")
    page.locator("tbody .action-select").nth(0).check()
    page.locator("tbody .action-select").nth(1).check()
    page.locator("select[name=action]").select_option(label="Reopen")
    page.get_by_role("button", name=re.compile("Go|Run")).click()
    expect(page.locator(".messagelist .success")).to_have_count(2)
    look(page, "bulk")


def test_manager_sends_a_reset_email_from_the_denial_page(site, page):
    sign_in(page, site, "/manager", "maria.manager")
    page.goto(f"{site.url}/manager/api/user/?role__exact=staff")
    page.locator("#result_list tbody th a").first.click()
    look(page, "user-for-a-manager")
    user_url = page.url
    page.goto(user_url.replace("/change/", "/password/"))
    expect(page.get_by_text("Managers cannot set passwords")).to_be_visible()
    look(page, "blocked")
    page.get_by_role("button", name=re.compile("a password reset email")).click()
    expect(page.get_by_text("a password reset email is queued")).to_be_visible()
    path = mailed_link(site, "set a new password")
    wait_until(lambda: "Last password reset email: sent" in _reloaded(page, user_url))
    page.goto(f"{site.url}/admin/")
    expect(page.get_by_text("Your site is Cosmo Manager")).to_be_visible()
    look(page, "wrong-site")
    assert path


def _reloaded(page: Page, url: str) -> str:
    page.goto(url)
    return page.content()


def test_superuser_sets_a_password_and_ends_sessions(site, page):
    sign_in(page, site, "/admin", "root.admin")
    page.goto(f"{site.url}/admin/api/user/?role__exact=viewer")
    page.locator("#result_list tbody th a").first.click()
    look(page, "user-for-a-superuser")
    page.get_by_role("link", name="Set password").click()
    look(page, "set-password")
    page.get_by_label("New password").fill(NEW)
    page.get_by_label("Repeat password").fill(NEW)
    page.keyboard.press("Enter")
    expect(page.get_by_text("was set. All their sessions have ended")).to_be_visible()
    page.get_by_role("button", name="End all sessions").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("all sessions have ended")).to_be_visible()


def test_password_is_reset_by_the_emailed_link(site, page):
    page.goto(f"{site.url}/manager/login/")
    page.get_by_role("link", name=re.compile("Forgotten")).click()
    look(page, "forgotten")
    page.get_by_label("Email address").fill("tom.manager@cosmo.example")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Check your email")).to_be_visible()
    look(page, "asked")

    page.goto(site.url + mailed_link(site, "set a new password"))
    assert page.url.endswith("/set-password/")
    look(page, "confirm")
    page.get_by_label("New password").fill("short")
    page.get_by_label("Repeat password").fill("short")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Use at least 12 characters")).to_be_visible()
    page.get_by_label("New password").fill(NEW)
    page.get_by_label("Repeat password").fill(NEW)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Password set")).to_be_visible()
    look(page, "done")

    sign_in(page, site, "/manager", "tom.manager", NEW)
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    page.goto(f"{site.url}/manager/password_change/")
    look(page, "own-password")
