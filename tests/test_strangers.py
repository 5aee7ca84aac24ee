"""Anonymous requests write few permanent rows, and name a user only with a valid signature."""

import json
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.tokens import default_token_generator
from django.test import Client
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from api.accounts.unsubscribe import MailingList, unsubscribe_url
from api.models import AuditEntry, Device, OutgoingMail, User
from tests import factories

NEW = "a new and longer passphrase"
CONFIRM, RESET = "/api/auth/password/reset/confirm/", "/api/auth/password/reset/"
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("nothing_leaves")]


@pytest.fixture
def ada(db) -> User:
    return factories.user(username="ada", email="ada@example.com", role="staff")


def uid_of(user: User) -> str:
    return urlsafe_base64_encode(force_bytes(user.pk))


def link_of(user: User, token: str = "") -> str:
    return f"/accounts/password-reset/confirm/{uid_of(user)}/{token or default_token_generator.make_token(user)}/"


def wrong_link_of(user: User) -> str:
    return link_of(user, "d0abcd-" + "0" * 32)


def confirm(user: User, token: str, password: str = NEW, **extra):
    body = {"uid": uid_of(user), "token": token, "new_password": password}
    return Client().post(CONFIRM, json.dumps(body), "application/json", **extra)


def anonymous_requests(ada: User) -> dict[str, tuple[str, str, dict]]:
    return {
        "login with an unknown name": ("POST", "/api/auth/login/", {"username": "nobody", "password": "wrong"}),
        "login with a known name": ("POST", "/api/auth/login/", {"username": "ada", "password": "wrong"}),
        "login page": ("POST", "/admin/login/", {"username": "ada", "password": "wrong"}),
        "reset request": ("POST", RESET, {"email": "ada@example.com"}),
        "reset request for an unknown email": ("POST", RESET, {"email": "nobody@example.com"}),
        "reset page": ("POST", "/accounts/password-reset/", {"email": "ada@example.com"}),
        "wrong link": ("GET", wrong_link_of(ada), {}),
        "wrong link with HEAD": ("HEAD", wrong_link_of(ada), {}),
        "wrong link with POST": ("POST", wrong_link_of(ada), {}),
        "wrong link of an unknown user": ("GET", "/accounts/password-reset/confirm/OTk5/a-b/", {}),
        "second page before the first": ("POST", link_of(ada, "set-password"), {}),
        "wrong link in the API": ("POST", CONFIRM, {"uid": uid_of(ada), "token": "a-b", "new_password": NEW}),
        "wrong refresh token": ("POST", "/api/auth/refresh/", {"refresh": "a.b.c"}),
        "wrong unsubscribe link": ("POST", "/unsubscribe/a:b/", {}),
        "opened unsubscribe link": ("GET", unsubscribe_url(ada, MailingList.DIGEST), {}),
        "admin page": ("GET", "/admin/api/user/", {}),
        "logout without a session": ("POST", "/admin/logout/", {}),
        "metrics": ("GET", "/metrics", {}),
        "detailed health": ("GET", "/api/health/detailed/", {}),
        "own account": ("GET", "/api/auth/me/", {}),
        "deleting a user": ("DELETE", f"/api/users/{ada.pk}/", {}),
    }


KINDS = list(anonymous_requests(User(pk=1, email="a")))
NAMING = {"reset request", "reset page"}  # a reset request names its user by design


@pytest.mark.parametrize("kind", KINDS)
def test_anonymous_requests_write_few_permanent_rows(ada, kind):
    method, path, body = anonymous_requests(ada)[kind]
    data: dict = {"data": body}
    if method == "POST" and path.startswith("/api/"):
        data = {"data": json.dumps(body), "content_type": "application/json"}

    for number in range(40):
        # Other IP addresses of the network and other user agents share its counters.
        browser = Client(REMOTE_ADDR=f"2001:db8::{number + 1:x}", HTTP_USER_AGENT=f"Mozilla/{number}")
        getattr(browser, method.lower())(path, **data)

    rows = AuditEntry.objects.all()
    assert rows.count() <= 31
    if method in {"GET", "HEAD"}:
        assert not rows
    if kind not in NAMING:
        assert not rows.exclude(object_id=None)
    assert OutgoingMail.objects.count() <= 5
    assert not Device.objects.exists()


# --- Reset links


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize("make_link", [wrong_link_of, link_of], ids=["wrong", "expired"])
def test_opening_an_invalid_link_is_logged_but_not_audited(ada, logs, method, make_link):
    path = make_link(ada)

    with time_machine.travel(timezone.now() + timedelta(hours=2)):
        getattr(Client(), method)(path)

    assert not AuditEntry.objects.exists()
    line = logs.entry("security", event="password_reset_failed")
    assert (line["level"], line["message"]) == ("WARNING", "Password reset failed")
    assert line["reason"] == ("expired" if make_link is link_of else "invalid or used")
    assert line["security"] == {
        "event_type": "password_reset_failed",
        "category": "authentication",
        "severity": "medium",
    }
    assert "target_user_id" not in line
    assert "password_reset_failed" in logs.grep('grep "password.*reset" logs/security.log')


@pytest.mark.parametrize("kind", ["forged", "used", "of another user", "of a changed password", "malformed"])
def test_link_without_valid_signature_is_audited_without_a_user(ada, logs, kind):
    token = default_token_generator.make_token(ada)
    if kind == "forged":
        token = token[:-1] + ("a" if token[-1] != "a" else "b")
    elif kind == "used":
        assert confirm(ada, token).status_code == 204
    elif kind == "of another user":
        token = default_token_generator.make_token(factories.user())
    elif kind == "of a changed password":
        ada.set_password(NEW)
        ada.save()
    else:
        token = "zzzzzzzzzzzzzz-\u00e9"

    assert confirm(ada, token).status_code == 400

    entry = AuditEntry.objects.get(event="password_reset_failed")
    assert (entry.object_id, entry.object_label, entry.detail) == (None, "", "invalid or used")
    assert "target_user_id" not in logs.entry("security", event="password_reset_failed")


@pytest.mark.parametrize("page", [False, True])
@pytest.mark.parametrize("make_link", [wrong_link_of, link_of], ids=["wrong", "expired"])
def test_using_an_invalid_link_is_audited_with_its_user(ada, make_link, page):
    path = make_link(ada)

    with time_machine.travel(timezone.now() + timedelta(hours=2)):
        if page:
            Client().post(path, {"new_password1": NEW, "new_password2": NEW})
        else:
            confirm(ada, path.strip("/").rpartition("/")[2])

    entry = AuditEntry.objects.get()
    expected = (ada.pk, "expired") if make_link is link_of else (None, "invalid or used")
    assert (entry.event, entry.object_id, entry.detail) == ("password_reset_failed", *expected)


def test_anonymous_requests_cannot_hide_events_of_a_user(ada, boss):
    boss.post(f"/manager/api/user/{ada.pk}/password-reset/")
    for number in range(20):
        Client().get(wrong_link_of(ada), REMOTE_ADDR=f"192.0.2.{number}")
        confirm(ada, "a-b", REMOTE_ADDR=f"192.0.2.{number}")

    events = boss.get(f"/manager/api/user/{ada.pk}/change/").context["password_events"]
    assert [entry.event for entry in events] == ["password_reset_requested"]


def open_link(user: User, **extra):
    return Client().get(wrong_link_of(user), **extra)


def submit_link(user: User, **extra):
    return Client().post(wrong_link_of(user), {"new_password1": NEW, "new_password2": NEW}, **extra)


@pytest.mark.parametrize("attempt", [open_link, submit_link, lambda user, **extra: confirm(user, "a-b", **extra)])
def test_invalid_links_are_throttled_per_network(ada, logs, attempt):
    valid = link_of(ada)
    for _ in range(30):
        assert attempt(ada).status_code in {200, 400}

    rejected = attempt(ada)

    assert rejected.status_code == 429
    assert 0 < int(rejected.headers["Retry-After"]) <= 15 * 60
    assert "no-store" in rejected.headers["Cache-Control"]
    assert "Rate limit exceeded" in [entry["message"] for entry in logs.entries("security")]
    assert Client().get(valid).status_code == 429
    body = {"username": "ada", "password": factories.PASSWORD}
    assert Client().post("/api/auth/login/", body, "application/json").status_code == 429
    assert Client().get(valid, REMOTE_ADDR="192.0.2.1").status_code == 302


def test_valid_link_is_not_counted(ada):
    path, browser = link_of(ada), Client()
    for _ in range(20):
        assert browser.get(path).status_code == 302
        assert browser.get(link_of(ada, "set-password")).status_code == 200
        assert confirm(ada, path.strip("/").rpartition("/")[2], "short").status_code == 400

    body = {"new_password1": NEW, "new_password2": NEW}
    assert browser.post(link_of(ada, "set-password"), body).headers["Location"] == "/accounts/password-reset/done/"


# --- Reset requests


@pytest.mark.parametrize("page", [False, True])
def test_reset_request_above_the_limit_gets_the_same_response_and_writes_nothing(ada, logs, page):
    def request_reset(email, **extra):
        if page:
            response = Client().post("/accounts/password-reset/", {"email": email}, **extra)
        else:
            response = Client().post(RESET, json.dumps({"email": email}), "application/json", **extra)
        headers = {name: value for name, value in response.headers.items() if name != "X-Request-ID"}
        return response.status_code, headers, response.content

    addresses = {"ada@example.com": "192.0.2.1", "nobody@example.com": "192.0.2.2"}
    with time_machine.travel(timezone.now(), tick=False):  # the Expires header contains the time
        responses = [
            request_reset(email, REMOTE_ADDR=address) for email, address in addresses.items() for _ in range(8)
        ]

    assert all(response == responses[0] for response in responses)
    assert AuditEntry.objects.filter(event="password_reset_requested").count() == 10
    assert OutgoingMail.objects.filter(user_id=ada.pk).count() == 5
    assert len(logs.entries("security", event="password_reset_failed", reason="too many requests")) == 6
    body = {"username": "ada", "password": factories.PASSWORD}
    assert Client().post("/api/auth/login/", body, "application/json", REMOTE_ADDR="192.0.2.1").status_code == 200


@pytest.mark.parametrize("email", ["ADA@example.com", "ａｄａ＠ｅｘａｍｐｌｅ．ｃｏｍ", " ada@example.com\u3000"])
def test_reset_request_finds_emails_like_the_login(ada, email):
    Client().post(RESET, json.dumps({"email": email}), "application/json")

    assert OutgoingMail.objects.get().user_id == ada.pk


def test_reset_request_ignores_usernames(ada):
    Client().post(RESET, json.dumps({"email": "ada"}), "application/json")

    assert not OutgoingMail.objects.filter(user_id=ada.pk).exists()


def test_unsubscribe_link_is_throttled(ada):
    url = unsubscribe_url(ada, MailingList.DIGEST)
    responses = [Client().post(url, {"again": ""} if number % 2 else {}).status_code for number in range(8)]

    assert responses == [200] * 5 + [429] * 3
    assert AuditEntry.objects.filter(object_id=ada.pk).count() == 5
