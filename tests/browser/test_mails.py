"""Mails as a mail program shows them, and the page to which their links lead."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from api.mail.delivery import deliver_due
from tests import factories
from tests.browser.conftest import look
from tests.live.server import manage

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
HOSTILE = "\"'><img src=x onerror=document.title='broken'> {{7*7}} \u202e" + "W" * 100


@pytest.fixture
def house(monkeypatch, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    monkeypatch.setattr("api.mail.background.wake", lambda: None)
    return factories.property_(name="Sea View 4")


def test_a_digest_fits_a_telephone_and_a_desk_and_runs_nothing(house, page, mailoutbox):
    manager = factories.user(role="manager", first_name="Maria")
    for title, hours in (("Change the linen", -30), (HOSTILE, -1), ("Mow the lawn", 3), ("Check the boiler", 30)):
        factories.task(
            title=title[:200], property=house, assigned_to=manager, due_date=timezone.now() + timedelta(hours=hours)
        )
    call_command("send_email_digest", "--user", str(manager.pk))

    deliver_due()

    page.set_content(mailoutbox[0].alternatives[0].content)
    page.get_by_text("{{7*7}}").first.wait_for()
    assert page.title().startswith("Cosmo: 2 overdue")
    look(page, "digest")


def test_a_notification_fits_a_telephone_and_a_desk_and_runs_nothing(house, page, mailoutbox, manager):
    person = factories.user(role="staff")
    body = factories.task_body(property=house.pk, assigned_to=person.pk, priority="urgent", title=HOSTILE)
    assert manager.post("/api/tasks/", body).status_code == 201

    deliver_due()

    page.set_content(mailoutbox[0].alternatives[0].content)
    page.get_by_text("This urgent task is yours now.").wait_for()
    page.get_by_role("heading", name="{{7*7}}").wait_for()
    look(page, "notification")


STOP_URL = """
from api.models import User
from api.users.unsubscribe import List, stop_url
user = User.objects.create(username="ada", email="ada@example.com")
print(stop_url(user, List.DIGEST))
"""
OPTED_OUT = "from api.models import User; print(User.objects.get(username='ada').digest_opt_out)"


def test_the_link_in_a_mail_asks_and_one_click_stops_it(site, page):
    url = manage(site.environment, "shell", "--verbosity", "0", "-c", STOP_URL).strip()
    path = url.removeprefix("https://cosmo.example.com").removeprefix("http://localhost:8000")

    page.goto(site.url + path)
    page.get_by_role("heading", name="Stop the daily digest?").wait_for()
    look(page, "unsubscribe")
    assert manage(site.environment, "shell", "--verbosity", "0", "-c", OPTED_OUT).strip() == "False"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    page.get_by_role("heading", name="You do not get the daily digest any more").wait_for()
    assert manage(site.environment, "shell", "--verbosity", "0", "-c", OPTED_OUT).strip() == "True"
    look(page, "unsubscribed")
