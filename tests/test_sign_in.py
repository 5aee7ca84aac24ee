"""Logins and the login throttle."""

from datetime import timedelta
from statistics import median
from time import perf_counter

import pytest
import time_machine
from django.utils import timezone

from api.accounts.services import log_out_everywhere
from api.audit.models import AuditEntry
from api.models import User
from tests import factories

LOGIN = "/api/auth/login/"
WRONG = "not the right one"


@pytest.fixture
def carla(db):
    return factories.user(username="carla", email="carla@example.com", role="staff")


def log_in(client, username="carla", password=factories.PASSWORD, **extra):
    return client.post(LOGIN, {"username": username, "password": password}, **extra)


@pytest.mark.parametrize("name", ["carla", "CARLA", "carla@example.com", "Carla@Example.COM"])
def test_login_accepts_username_or_email_in_any_case(client, carla, name):
    response = log_in(client, name)

    assert response.status_code == 200
    assert set(response.json()) == {"access", "refresh", "user"}
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {response.json()['access']}")
    assert client.get("/api/auth/me/").json() == response.json()["user"]
    carla.refresh_from_db()
    assert carla.last_login is not None


def test_rejected_logins_get_the_same_response(client, carla):
    factories.user(username="gone", is_active=False)

    responses = [log_in(client, password=WRONG), log_in(client, "nobody"), log_in(client, "gone")]

    assert {response.status_code for response in responses} == {401}
    bodies = [response.json() | {"request_id": ""} for response in responses]
    assert bodies[0] == bodies[1] == bodies[2]
    assert bodies[0]["code"] == "wrong_credentials"


@pytest.mark.timing
def test_login_time_does_not_reveal_accounts(real_passwords, client, carla):
    def seconds(name, address):
        start = perf_counter()
        assert log_in(client, name, WRONG, REMOTE_ADDR=address).status_code == 401
        return perf_counter() - start

    addresses = [f"192.0.2.{number}" for number in range(5)]
    existing = median(seconds("carla", address) for address in addresses)
    missing = median(seconds("nobody", address) for address in addresses)

    assert 0.4 < missing / existing < 2.5  # below 0.1 if unknown accounts cause no hashing


@pytest.mark.parametrize("password", [f" {factories.PASSWORD}", f"{factories.PASSWORD} ", factories.PASSWORD.upper()])
def test_password_is_not_trimmed(client, carla, password):
    assert log_in(client, password=password).status_code == 401


def test_passwords_are_hashed_with_argon2id(real_passwords, carla):
    assert carla.password.startswith("argon2$argon2id$v=19$m=47104,t=2,p=1$")


def test_logins_and_failures_are_audited(client, carla):
    log_in(client)
    log_in(client, password=WRONG)

    success, failure = AuditEntry.objects.order_by("id")
    assert (success.event, success.actor_id, success.ip_address) == ("login_success", carla.pk, "127.0.0.1")
    assert (failure.event, failure.actor_id) == ("failed_login", carla.pk)


def test_unknown_login_name_is_stored_only_as_a_hash(client, carla):
    for _ in range(2):
        log_in(client, "my-secret-password")

    entries = list(AuditEntry.objects.values())
    assert "my-secret-password" not in str(entries)
    assert entries[0]["detail"].startswith("unknown account ")
    assert entries[0]["detail"] == entries[1]["detail"]


def fail(client, times, username="carla", **extra):
    return [log_in(client, username, WRONG, **extra).status_code for _ in range(times)]


def test_login_is_throttled_after_five_failures(client, carla):
    assert fail(client, 6) == [401] * 5 + [429]

    rejected = log_in(client)

    assert (rejected.status_code, rejected.json()["code"]) == (429, "too_many_attempts")
    assert 0 < int(rejected.headers["Retry-After"]) <= 15 * 60
    with time_machine.travel(timezone.now() + timedelta(minutes=15, seconds=1)):
        assert log_in(client).status_code == 200
    assert AuditEntry.objects.filter(event="account_locked").count() == 1


def test_rejected_attempt_does_not_prolong_the_lock(client, carla):
    fail(client, 5)
    with time_machine.travel(timezone.now() + timedelta(minutes=14)):
        assert fail(client, 3) == [429] * 3
    with time_machine.travel(timezone.now() + timedelta(minutes=15, seconds=1)):
        assert log_in(client).status_code == 200


def test_failures_in_another_network_do_not_lock_the_user_out(client, carla):
    fail(client, 6, REMOTE_ADDR="192.0.2.66")

    assert log_in(client, REMOTE_ADDR="192.0.2.1").status_code == 200


def test_successful_login_returns_its_attempt(client, carla):
    for _ in range(8):
        assert log_in(client).status_code == 200
    assert fail(client, 4) == [401] * 4
    assert log_in(client).status_code == 200
    assert fail(client, 2) == [401, 429]


def test_network_is_throttled_after_thirty_failures_over_all_accounts(client, carla):
    for number in range(6):
        fail(client, 5, f"nobody{number}")

    assert log_in(client).status_code == 429
    assert log_in(client, REMOTE_ADDR="192.0.2.1").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("post", "/api/auth/password/change/", {"new_password": "another fine password"}),
        ("patch", "/api/auth/me/", {"email": "new@example.com"}),
    ],
)
def test_wrong_current_passwords_are_throttled(client, carla, method, path, body):
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {log_in(client).json()['access']}")

    def attempt(password):
        return getattr(client, method)(path, body | {"current_password": password})

    assert [attempt(WRONG).status_code for _ in range(6)] == [400] * 5 + [429]
    assert attempt(factories.PASSWORD).status_code == 429
    assert log_in(client).status_code == 429
    assert User.objects.get(pk=carla.pk).email == "carla@example.com"


def test_server_error_returns_the_attempt(client, carla, monkeypatch):
    client.raise_request_exception = False
    with monkeypatch.context() as broken:
        broken.setattr(User, "check_password", lambda *_: 1 / 0)
        assert [log_in(client).status_code for _ in range(7)] == [500] * 7

    assert log_in(client).status_code == 200


def test_ipv6_addresses_of_one_network_share_the_limit(client, db):
    user = factories.user()

    responses = [
        client.post(
            "/api/auth/login/", {"username": user.username, "password": "wrong"}, REMOTE_ADDR=f"2001:db8::{number}"
        ).status_code
        for number in range(1, 7)
    ]

    assert responses == [401] * 5 + [429]
    body = {"username": user.username, "password": factories.PASSWORD}
    assert client.post("/api/auth/login/", body, REMOTE_ADDR="2001:db8:0:1::1").status_code == 200


def test_login_fails_when_the_account_changes_during_the_password_check(client, db, monkeypatch):
    user = factories.user()
    check = User.check_password

    def check_and_meanwhile_sign_out(self, raw):
        is_correct = check(self, raw)
        log_out_everywhere(user_id=self.pk)
        return is_correct

    monkeypatch.setattr(User, "check_password", check_and_meanwhile_sign_out)

    response = client.post("/api/auth/login/", {"username": user.username, "password": factories.PASSWORD})

    assert response.status_code == 401
    assert not user.sessions.exists()
