"""Password resets, invitations and password changes."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from api.mail.delivery import deliver_due
from api.models import AuditEntry, OutgoingMail, User
from tests import factories
from tests.admin_sites import ADMIN, MANAGER, browser_of, messages_of
from tests.conftest import client_of
from tests.smtp import mail_server

NEW = "a new and longer passphrase"
TWICE = {"new_password1": NEW, "new_password2": NEW}
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def smtp(settings, monkeypatch):
    """Run a mail server. Emails are sent when a test calls deliver_due()."""
    monkeypatch.setattr("api.mail.delivery_thread.schedule_delivery", lambda: None)
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "127.0.0.1"
    with mail_server() as server:
        settings.EMAIL_PORT = server.port
        yield server


@pytest.fixture
def ada(db) -> User:
    return factories.user(username="ada", email="ada@example.com", role="staff")


@pytest.fixture
def root(db):
    return browser_of(factories.user(username="root", role="superuser"), headers={"user-agent": "Mozilla/5.0"})


@pytest.fixture
def boss(db):
    return browser_of(factories.user(username="boss", role="manager"), headers={"user-agent": "Mozilla/5.0"})


def request_reset(email: str) -> None:
    assert Client().post("/api/auth/password/reset/", {"email": email}, "application/json").status_code == 200


def link(smtp) -> str:
    """Deliver due emails; return the path of the link in the latest one."""
    deliver_due()
    return re.search(r"http://localhost:8000(/accounts/password-reset/confirm/\S+)", smtp.mails[-1].plain)[1]


def parts(path: str) -> dict[str, str]:
    uid, token = path.strip("/").split("/")[-2:]
    return {"uid": uid, "token": token}


def confirm(path: str, password: str = NEW):
    return Client().post(
        "/api/auth/password/reset/confirm/", parts(path) | {"new_password": password}, "application/json"
    )


def link_of(smtp, email: str = "ada@example.com") -> str:
    request_reset(email)
    return link(smtp)


def can_sign_in(user: User, password: str) -> bool:
    body = {"username": user.username, "password": password}
    return Client().post("/api/auth/login/", body, "application/json").status_code == 200


# --- By an emailed link


def test_reset_ends_all_sessions_and_signs_nobody_in(ada, smtp):
    phone, browser = client_of(ada), browser_of(factories.user(role="superuser", username="x"))
    path = link_of(smtp)

    response = confirm(path)

    assert response.status_code == 204
    assert not response.cookies
    assert can_sign_in(ada, NEW)
    assert not can_sign_in(ada, factories.PASSWORD)
    assert phone.get("/api/auth/me/").status_code == 401
    assert phone.post("/api/auth/refresh/", {"refresh": phone.tokens["refresh"]}).status_code == 401
    assert browser.get("/admin/").status_code == 200
    deliver_due()
    assert smtp.mails[-1].message["Subject"] == "Cosmo: your password was changed"


def test_reset_link_is_neither_stored_nor_logged(ada, smtp, logs):
    path = link_of(smtp)
    token = parts(path)["token"]
    Client().get(path)
    confirm(path)

    for model in (OutgoingMail, AuditEntry):
        assert token not in str(list(model.objects.values()))
    assert token not in logs.text()
    assert "password-reset/confirm" in logs.text()


def test_reset_request_gets_the_same_response_when_the_account_is_unknown(ada, smtp):
    responses = [
        Client().post("/api/auth/password/reset/", {"email": email}, "application/json")
        for email in ("ada@example.com", "nobody@example.com", "nonsense", factories.user(is_active=False).email)
    ]

    assert {(response.status_code, response.content) for response in responses} == {(200, responses[0].content)}
    deliver_due()
    assert [mail.recipients for mail in smtp.mails] == [["ada@example.com"]]
    assert set(OutgoingMail.objects.values_list("state", flat=True)) == {"sent"}


def test_reset_request_causes_the_same_statements_for_known_and_unknown_accounts(ada):
    shapes = []
    for email in ("ada@example.com", "nobody@example.com"):
        with CaptureQueriesContext(connection) as queries:
            request_reset(email)
        shapes.append([re.sub(r"'[^']*'|\d+|NULL", "?", query["sql"].partition("VALUES")[0]) for query in queries])

    assert shapes[0] == shapes[1]


def test_reset_request_ignores_the_case_of_the_email(ada, smtp):
    assert link_of(smtp, "ADA@Example.com")
    assert smtp.mails[-1].recipients == ["ada@example.com"]


def test_reset_link_uses_the_configured_base_url(ada, smtp, settings):
    settings.ALLOWED_HOSTS = ["*"]
    Client().post(
        "/api/auth/password/reset/",
        {"email": ada.email},
        "application/json",
        headers={"host": "evil.example", "x-forwarded-host": "evil.example"},
    )
    deliver_due()
    assert "evil.example" not in smtp.mails[-1].text

    settings.FRONTEND_URL = "https://app.example.com"
    request_reset(ada.email)
    deliver_due()
    assert "https://app.example.com/password-reset/confirm/" in smtp.mails[-1].text


def test_anonymous_reset_emails_are_limited(ada, smtp):
    for _ in range(5):
        request_reset(ada.email)
        deliver_due()

    assert len(smtp.mails) == 3


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("used", "invalid or used"),
        ("expired", "expired"),
        ("forged", "invalid or used"),
        ("weak", "weak password"),
        ("gone", "disabled account"),
    ],
)
def test_rejected_link_is_explained_only_in_audit_trail_and_log(ada, smtp, logs, case, reason):
    path, password = link_of(smtp), NEW
    later = timedelta()
    if case == "used":
        confirm(path)
    if case == "expired":
        later = timedelta(hours=1, minutes=1)
    if case == "forged":
        path = path[:-2] + ("a" if path[-2] != "a" else "b") + "/"
    if case == "weak":
        password = "short"
    if case == "gone":
        User.objects.filter(pk=ada.pk).update(is_active=False)

    with time_machine.travel(timezone.now() + later):
        response = confirm(path, password)

    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == ("new_password" if case == "weak" else "token")
    target = None if reason == "invalid or used" else ada.pk
    entry = AuditEntry.objects.get(event="password_reset_failed")
    assert (entry.object_id, entry.detail) == (target, reason)
    line = logs.entry("security", event="password_reset_failed")
    assert (line["reason"], line.get("target_user_id"), line["level"]) == (reason, target, "WARNING")


def test_link_is_invalid_after_an_email_change(ada, smtp):
    path = link_of(smtp)
    User.objects.filter(pk=ada.pk).update(email="new@example.com")

    assert confirm(path).status_code == 400


# --- On the web pages


def test_password_is_reset_on_the_web_pages(ada, smtp):
    browser = Client(enforce_csrf_checks=True)
    page = browser.get("/accounts/password-reset/")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.content.decode())[1]
    sent_page = browser.post(
        "/accounts/password-reset/", {"email": ada.email, "csrfmiddlewaretoken": token}, follow=True
    )
    assert "we have sent it a link" in sent_page.content.decode()

    first = browser.get(link(smtp))
    assert first.status_code == 302
    assert first.headers["Location"].endswith("/set-password/")
    assert first.headers["Referrer-Policy"] == "no-referrer"
    form = browser.get(first.headers["Location"])
    assert form.headers["Referrer-Policy"] == "no-referrer"
    assert "no-store" in form.headers["Cache-Control"]

    def send(one, two):
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.content.decode())[1]
        body = {"new_password1": one, "new_password2": two, "csrfmiddlewaretoken": token}
        return browser.post(first.headers["Location"], body)

    assert "The passwords differ." in send(NEW, NEW + "x").content.decode()
    assert "at least 12 characters" in send("short", "short").content.decode()
    assert send(NEW, NEW).headers["Location"] == "/accounts/password-reset/done/"
    assert can_sign_in(ada, NEW)
    assert browser.get("/admin/").status_code == 302
    again = browser.get(first.headers["Location"])
    assert "Link not valid" in again.content.decode()


def test_opening_a_link_changes_nothing(ada, smtp):
    path = link_of(smtp)
    Client().get(path, follow=True)

    assert can_sign_in(ada, factories.PASSWORD)
    path = link_of(smtp)
    assert confirm(path).status_code == 204


# --- By administrators


@pytest.mark.parametrize("site", [ADMIN, MANAGER])
def test_reset_button_sends_an_email_and_records_its_requester(root, boss, ada, smtp, logs, site):
    browser = {ADMIN: root, MANAGER: boss}[site]
    path = f"{site}/api/user/{ada.pk}/password-reset/"
    assert browser.get(path).status_code == 405
    assert not OutgoingMail.objects.exists()

    page = browser.post(path, follow=True)

    assert messages_of(page) == ["Ada: a password reset email is queued."]
    assert not logs.entries("info", event="password_reset_email_sent")
    deliver_due()
    line = logs.entry("info", event="password_reset_email_sent")
    assert line["message"] == f"Password reset email sent to ada@example.com by {browser.user.username}"
    assert (line["logger"], line["level"]) == ("api.admin", "INFO")
    assert (line["user_id"], line["target_user_id"]) == (browser.user.pk, ada.pk)
    assert (line["ip_address"], line["user_agent"]) == ("127.0.0.1", "Mozilla/5.0")
    entry = AuditEntry.objects.get(event="password_reset_email_sent")
    assert (entry.actor_id, entry.object_id, entry.ip_address) == (browser.user.pk, ada.pk, "127.0.0.1")
    user_page = browser.get(f"{site}/api/user/{ada.pk}/change/").content.decode()
    assert "Last password reset email: sent" in user_page
    assert "Password reset email sent" in user_page


def test_failed_reset_email_is_reported(boss, smtp, logs):
    gone = factories.user(email="refused@example.com", role="staff")
    boss.post(f"/manager/api/user/{gone.pk}/password-reset/")

    deliver_due()

    line = logs.entry("info", event="password_reset_email_failed")
    assert (line["user_id"], line["target_user_id"], line["level"]) == (boss.user.pk, gone.pk, "WARNING")
    assert "No such user" in line["reason"]
    assert not logs.entries("info", event="password_reset_email_sent")
    assert "Last password reset email: failed" in boss.get(f"/manager/api/user/{gone.pk}/change/").content.decode()


def test_bulk_reset_reports_the_result_for_each_user(boss, ada, smtp):
    off = factories.user(username="off", role="staff", is_active=False)
    body = {"action": "send_reset_email", "_selected_action": [ada.pk, off.pk]}

    page = boss.post("/manager/api/user/", body, follow=True)

    assert sorted(messages_of(page)) == [
        "Ada: a password reset email is queued.",
        "Off: not done. off is disabled. Activate the account first.",
    ]
    deliver_due()
    assert len(smtp.mails) == 1


def test_user_without_a_password_gets_an_invitation(boss, smtp):
    guest = factories.user(username="guest", password="!", email="guest@example.com")
    boss.post(f"/manager/api/user/{guest.pk}/password-reset/")

    path = link(smtp)

    assert smtp.mails[-1].message["Subject"] == "Cosmo: your account is ready"
    assert confirm(path).status_code == 204
    assert can_sign_in(guest, NEW)


def test_superuser_sets_a_password_directly(root, ada, smtp, logs):
    phone = client_of(ada)
    path = f"/admin/api/user/{ada.pk}/password/"
    assert root.get(path).status_code == 200
    assert "at least 12" in root.post(path, {"new_password1": "short", "new_password2": "short"}).content.decode()

    page = root.post(path, {"new_password1": NEW, "new_password2": NEW}, follow=True)

    assert messages_of(page) == ["The password of ada was set. All their sessions have ended."]
    assert can_sign_in(ada, NEW)
    assert phone.get("/api/auth/me/").status_code == 401
    line = logs.entry("info", event="password_changed")
    assert (line["logger"], line["user_id"], line["target_user_id"]) == ("api.admin", root.user.pk, ada.pk)
    assert "admin" in line["logger"]
    deliver_due()
    assert smtp.mails[-1].recipients == ["ada@example.com"]


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("who", ["boss", "root"])
def test_manager_site_denies_setting_passwords(boss, root, ada, logs, method, who):
    browser = {"boss": boss, "root": root}[who]

    page = getattr(browser, method)(
        f"/manager/api/user/{ada.pk}/password/", {"new_password1": NEW, "new_password2": NEW}
    )

    assert page.status_code == 403
    assert "Send ada a password reset email" in page.content.decode()
    assert can_sign_in(ada, factories.PASSWORD)
    line = logs.entry("error", event="permission_denied")
    role = browser.user.role
    assert line["message"] == f"Permission denied: {role.capitalize()} attempted direct password change"
    assert (line["logger"], line["level"], line["user_role"]) == ("api.admin", "WARNING", role)
    assert (line["attempted_action"], line["ip_address"]) == ("password_change", "127.0.0.1")
    assert line["target_user_id"] == ada.pk
    assert AuditEntry.objects.get(event="permission_denied").object_id == ada.pk
    shown = boss.get(f"/manager/api/user/{ada.pk}/change/").context["password_events"]
    assert [(entry.event, entry.actor_id) for entry in shown] == [("permission_denied", browser.user.pk)]


def test_manager_is_denied_and_audited_at_the_superuser_url(boss, ada, logs):
    assert (
        boss.post(f"/admin/api/user/{ada.pk}/password/", {"new_password1": NEW, "new_password2": NEW}).status_code
        == 403
    )

    assert logs.entry("security", event="permission_denied")["attempted_action"] == "password_change"
    assert can_sign_in(ada, factories.PASSWORD)


# --- By the users themselves


@pytest.mark.parametrize("site", [ADMIN, MANAGER])
def test_own_password_is_changed_with_the_current_one(root, boss, site, smtp, logs):
    browser = {ADMIN: root, MANAGER: boss}[site]
    path = f"{site}/password_change/"
    wrong = {"current_password": "wrong", "new_password1": NEW, "new_password2": NEW}
    assert "This is not your current password." in browser.post(path, wrong).content.decode()

    response = browser.post(path, wrong | {"current_password": factories.PASSWORD})

    assert response.headers["Location"] == f"{site}/login/"
    assert browser.get(f"{site}/").status_code == 302
    assert can_sign_in(browser.user, NEW)
    line = logs.entry("security", event="password_changed")
    assert (line["logger"], line["user_id"]) == ("api.security", browser.user.pk)
    refused = logs.entry("info", event="form_validation")
    assert (refused["form"], refused["refused"]) == (
        "password_change",
        [{"field": "current_password", "code": "wrong_password"}],
    )


def test_current_password_attempts_are_limited(boss):
    body = {"current_password": "wrong", "new_password1": NEW, "new_password2": NEW}
    responses = [boss.post("/manager/password_change/", body).status_code for _ in range(6)]

    assert responses == [200] * 5 + [429]


def test_every_audited_reset_has_a_log_line(boss, ada, smtp, logs):
    boss.post(f"/manager/api/user/{ada.pk}/password-reset/")
    confirm(link(smtp))

    events = ["password_reset_requested", "password_reset_email_sent", "password_reset_completed"]
    assert (
        list(AuditEntry.objects.filter(event__startswith="password").order_by("pk").values_list("event", flat=True))
        == events
    )
    lines = [line["event"] for line in logs.entries("security") if line.get("event", "").startswith("password")]
    assert lines == events
