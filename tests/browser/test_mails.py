"""Emails as HTML pages, and the unsubscribe page."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from api.accounts.password_reset import send_reset
from api.accounts.services import admin_set_password
from api.mail.delivery import deliver_due
from tests import factories
from tests.browser.conftest import PALE, look
from tests.live.server import manage

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
HOSTILE = "\"'><img src=x onerror=document.title='broken'> {{7*7}} \u202e" + "W" * 100
NAMES = (HOSTILE, "\u05e0\u05d9\u05e7\u05d9\u05d5\u05df \u05d7\u05d3\u05e8\u05d9\u05dd 12", "Change the linen")


@pytest.fixture
def hostile_property(monkeypatch, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    settings.PUBLIC_BASE_URL = "https://cosmo.example.com/" + "path" * 30
    monkeypatch.setattr("api.mail.delivery_thread.schedule_delivery", lambda: None)
    return factories.property_(name=HOSTILE)


def look_in_light_and_dark(page, name: str) -> None:
    page.emulate_media(color_scheme="light")
    look(page, name)
    assert page.evaluate(PALE, "body *") == []
    page.emulate_media(color_scheme="dark")
    look(page, f"{name}-dark")
    assert page.evaluate(PALE, "body *") == []


def test_digest_email_is_responsive_and_runs_no_code(hostile_property, page, mailoutbox):
    manager = factories.user(role="manager", first_name=HOSTILE[:140], timezone="America/Argentina/ComodRivadavia")
    other = factories.property_(name="Sea View 4")
    for number, hours in enumerate((-30, -1, 3, 30, 31, 200)):
        factories.task(
            title=NAMES[number % 3],
            property=hostile_property if number % 2 else other,
            assigned_to=manager,
            due_date=timezone.now() + timedelta(hours=hours),
            priority=4 if number % 2 else 2,
            status="in_progress" if number == 1 else "pending",
        )
    factories.task(property=hostile_property, title=HOSTILE, due_date=timezone.now() - timedelta(days=3))
    call_command("send_email_digest", "--user", str(manager.pk))

    page.set_content(mailoutbox[0].alternatives[0].content)
    page.get_by_text("{{7*7}}").first.wait_for()
    assert page.title().startswith("Cosmo: 2 overdue")
    assert page.locator("img").count() == 0
    look_in_light_and_dark(page, "digest")


def test_notification_email_is_responsive_and_runs_no_code(hostile_property, page, mailoutbox, manager):
    user = factories.user(role="staff")
    body = factories.task_body(property=hostile_property.pk, assigned_to=user.pk, priority="urgent", title=HOSTILE)
    assert manager.post("/api/tasks/", body).status_code == 201

    deliver_due()

    page.set_content(mailoutbox[0].alternatives[0].content)
    page.get_by_text("This urgent task is now assigned to you.").wait_for()
    page.get_by_role("heading", name="{{7*7}}").wait_for()
    look_in_light_and_dark(page, "notification")


UNSUBSCRIBE_URL = """
from api.models import User
from api.accounts.unsubscribe import MailingList, unsubscribe_url
user = User.objects.create(username="ada", email="ada@example.com")
print(unsubscribe_url(user, MailingList.DIGEST))
"""
OPTED_OUT = "from api.models import User; print(User.objects.get(username='ada').digest_opt_out)"


def test_unsubscribe_page_confirms_and_can_be_undone(site, page):
    url = manage(site.environment, "shell", "--verbosity", "0", "-c", UNSUBSCRIBE_URL).strip()
    path = url.removeprefix("https://cosmo.example.com").removeprefix("http://localhost:8000")

    page.goto(site.url + path)
    page.get_by_role("heading", name="Unsubscribe from the daily digest?").wait_for()
    look(page, "unsubscribe")
    assert manage(site.environment, "shell", "--verbosity", "0", "-c", OPTED_OUT).strip() == "False"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    page.get_by_role("heading", name="Unsubscribed from the daily digest").wait_for()
    assert manage(site.environment, "shell", "--verbosity", "0", "-c", OPTED_OUT).strip() == "True"
    look_in_light_and_dark(page, "unsubscribed")
    page.get_by_role("button", name="Subscribe again").click()
    page.get_by_role("heading", name="Subscribed to the daily digest").wait_for()
    assert manage(site.environment, "shell", "--verbosity", "0", "-c", OPTED_OUT).strip() == "False"
    look_in_light_and_dark(page, "subscribed")


@pytest.mark.parametrize("kind", ["password_reset", "invitation", "password_changed"])
def test_password_emails_escape_hostile_names(kind, page, settings, monkeypatch, mailoutbox):
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    monkeypatch.setattr("api.mail.delivery_thread.schedule_delivery", lambda: None)
    password = {"password": "!"} if kind == "invitation" else {}
    user = factories.user(first_name=HOSTILE[:150], last_name="O'Hara & Sons", **password)
    if kind == "password_changed":
        admin_set_password(actor=None, user_id=user.pk, new_password="a new and longer passphrase")
    else:
        send_reset(actor=factories.user(role="superuser"), user_id=user.pk)

    deliver_due()

    (mail,) = mailoutbox
    assert "\"'><img src=x" in mail.body
    assert "O'Hara & Sons" in mail.body
    page.set_content(mail.alternatives[0].content)
    page.get_by_text("{{7*7}}").first.wait_for()
    assert "broken" not in page.title()
    assert page.locator("img").count() == 0
    look(page, kind)
