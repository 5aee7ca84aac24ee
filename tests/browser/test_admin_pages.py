"""Both admin sites and the pages about passwords, used as people do."""

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
    """The path of the link in the mail of this subject that came last."""
    wait_until(lambda: site.mails and kind in site.mails[-1].message["Subject"])
    return re.search(r"https?://[^/]+(/accounts/password-reset/confirm/\S+)", site.mails[-1].plain)[1]


def test_the_sign_in_page(site, page):
    page.goto(f"{site.url}/admin/")
    look(page, "sign-in")
    sign_in(page, site, "/admin", "root.admin", "wrong")
    expect(page.get_by_text("is wrong, or this is not the site for your account")).to_be_visible()
    page.get_by_role("link", name="Cosmo Manager").click()
    expect(page).to_have_title(re.compile("Cosmo Manager"))


def test_a_superuser_sees_what_needs_attention_and_walks_the_lists(site, page):
    sign_in(page, site, "/admin", "root.admin")
    expect(page.get_by_role("heading", name="What needs attention")).to_be_visible()
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


def test_a_task_is_made_with_the_fields_that_complete_themselves(site, page):
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


def test_a_bulk_action_says_what_it_did(site, page):
    sign_in(page, site, "/manager", "maria.manager")
    page.goto(f"{site.url}/manager/api/task/?status__exact=completed")
    page.locator("tbody .action-select").nth(0).check()
    page.locator("tbody .action-select").nth(1).check()
    page.locator("select[name=action]").select_option(label="Reopen")
    page.get_by_role("button", name=re.compile("Go|Run")).click()
    expect(page.locator(".messagelist .success")).to_have_count(2)
    look(page, "bulk")


def test_a_manager_meets_the_blocked_page_and_sends_a_mail_instead(site, page):
    sign_in(page, site, "/manager", "maria.manager")
    page.goto(f"{site.url}/manager/api/user/?role__exact=staff")
    page.locator("#result_list tbody th a").first.click()
    look(page, "user-for-a-manager")
    address = page.url
    page.goto(address.replace("/change/", "/password/"))
    expect(page.get_by_text("Passwords are not set here")).to_be_visible()
    look(page, "blocked")
    page.get_by_role("button", name=re.compile("a reset mail")).click()
    expect(page.get_by_text("a mail with a link is on its way")).to_be_visible()
    path = mailed_link(site, "set a new password")
    wait_until(lambda: "Last mail with a link: sent" in _reloaded(page, address))
    page.goto(f"{site.url}/admin/")
    expect(page.get_by_text("Your site is Cosmo Manager")).to_be_visible()
    look(page, "wrong-site")
    assert path


def _reloaded(page: Page, address: str) -> str:
    page.goto(address)
    return page.content()


def test_a_superuser_sets_a_password_and_ends_sessions(site, page):
    sign_in(page, site, "/admin", "root.admin")
    page.goto(f"{site.url}/admin/api/user/?role__exact=viewer")
    page.locator("#result_list tbody th a").first.click()
    look(page, "user-for-a-superuser")
    page.get_by_role("link", name="Set password").click()
    look(page, "set-password")
    page.get_by_label("New password").fill(NEW)
    page.get_by_label("The same again").fill(NEW)
    page.keyboard.press("Enter")
    expect(page.get_by_text("is set, and his sessions are ended")).to_be_visible()
    page.get_by_role("button", name="End all sessions").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("all sessions are ended")).to_be_visible()


def test_a_forgotten_password_is_set_by_the_link_of_the_mail(site, page):
    page.goto(f"{site.url}/manager/login/")
    page.get_by_role("link", name=re.compile("Forgotten")).click()
    look(page, "forgotten")
    page.get_by_label("Email").fill("tom.manager@cosmo.example")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Look into your mail")).to_be_visible()
    look(page, "asked")

    page.goto(site.url + mailed_link(site, "set a new password"))
    assert page.url.endswith("/set-password/")
    look(page, "confirm")
    page.get_by_label("New password").fill("short")
    page.get_by_label("The same again").fill("short")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Use at least 12 characters")).to_be_visible()
    page.get_by_label("New password").fill(NEW)
    page.get_by_label("The same again").fill(NEW)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your password is set")).to_be_visible()
    look(page, "done")

    sign_in(page, site, "/manager", "tom.manager", NEW)
    expect(page.get_by_role("heading", name="What needs attention")).to_be_visible()
    page.goto(f"{site.url}/manager/password_change/")
    look(page, "own-password")
