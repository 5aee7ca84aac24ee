"""Sessions and tokens: lifetimes, rotation and what ends them."""

from datetime import timedelta

import jwt
import pytest
import time_machine
from django.conf import settings
from django.utils import timezone

from api.audit.models import AuditEntry
from api.models import Session
from tests import factories
from tests.conftest import client_of


def refresh(client, token):
    return client.post("/api/auth/refresh/", {"refresh": token})


def is_signed_in(caller) -> bool:
    return caller.get("/api/auth/me/").status_code == 200


def after(**time):
    return time_machine.travel(timezone.now() + timedelta(**time))


def test_access_token_expires_after_five_minutes(manager):
    with after(minutes=4, seconds=55):
        assert is_signed_in(manager)
    with after(minutes=5, seconds=5):
        response = manager.get("/api/auth/me/")
        assert (response.status_code, response.json()["code"]) == (401, "token_not_valid")
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_refresh_returns_new_tokens_and_invalidates_the_old_one(client, manager):
    response = refresh(client, manager.tokens["refresh"])

    assert response.status_code == 200
    assert set(response.json()) == {"access", "refresh"}
    assert refresh(client, manager.tokens["refresh"]).status_code == 401
    assert refresh(client, response.json()["refresh"]).status_code == 200


def test_refresh_token_reused_soon_is_only_rejected(client, manager):
    new = refresh(client, manager.tokens["refresh"]).json()
    with after(seconds=9):
        assert refresh(client, manager.tokens["refresh"]).status_code == 401
        assert refresh(client, new["refresh"]).status_code == 200
    assert not AuditEntry.objects.filter(event="token_reuse").exists()


def test_refresh_token_reused_late_ends_the_session(client, manager):
    new = refresh(client, manager.tokens["refresh"]).json()
    with after(seconds=11):
        assert refresh(client, manager.tokens["refresh"]).status_code == 401
        assert refresh(client, new["refresh"]).status_code == 401
        assert not is_signed_in(manager)
    assert AuditEntry.objects.get(event="token_reuse").actor_id == manager.user.pk


def test_reuse_of_an_older_generation_is_judged_by_its_own_rotation_time(client, manager):
    first = manager.tokens["refresh"]
    second = refresh(client, first).json()["refresh"]
    with after(seconds=20):
        third = refresh(client, second).json()["refresh"]
        assert refresh(client, second).status_code == 401
        assert Session.objects.get().ended_at is None
        assert refresh(client, first).status_code == 401
        assert refresh(client, third).status_code == 401
        assert Session.objects.get().ended_at is not None


def test_session_expires_after_seven_idle_or_thirty_total_days(client, manager):
    with after(days=7, seconds=5):
        assert refresh(client, manager.tokens["refresh"]).status_code == 401
    token = manager.tokens["refresh"]
    for day in range(6, 30, 6):
        with after(days=day):
            token = refresh(client, token).json()["refresh"]
    with after(days=29, hours=23):
        token = refresh(client, token).json()["refresh"]
    with after(days=30, seconds=5):
        assert refresh(client, token).status_code == 401


def test_logout_ends_only_this_session(client, manager):
    other_client = client_of(manager.user)

    assert manager.post("/api/auth/logout/").status_code == 204

    assert not is_signed_in(manager)
    assert refresh(client, manager.tokens["refresh"]).status_code == 401
    assert is_signed_in(other_client)


def test_logout_everywhere_ends_all_sessions(client, manager):
    other_client, somebody_else = client_of(manager.user), client_of(factories.user())

    assert manager.post("/api/auth/logout-all/").status_code == 204

    assert not is_signed_in(manager)
    assert not is_signed_in(other_client)
    assert refresh(client, other_client.tokens["refresh"]).status_code == 401
    assert is_signed_in(somebody_else)


def test_users_list_and_end_their_sessions(client, db):
    person = factories.user()
    for device in ("Phone/1.0", "Laptop/2.0"):
        credentials = {"username": person.username, "password": factories.PASSWORD}
        response = client.post("/api/auth/login/", credentials, headers={"User-Agent": device}, REMOTE_ADDR="192.0.2.9")
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {response.json()['access']}")

    listed = client.get("/api/auth/sessions/").json()["results"]

    assert [(row["device"], row["is_current"]) for row in listed] == [("Laptop/2.0", True), ("Phone/1.0", False)]
    assert listed[0]["ip_address"] == "192.0.2.9"
    assert set(listed[0]) == {"id", "ip_address", "device", "since", "last_seen", "is_current"}
    assert client.delete(f"/api/auth/sessions/{listed[1]['id']}/").status_code == 204
    assert [row["device"] for row in client.get("/api/auth/sessions/").json()["results"]] == ["Laptop/2.0"]
    assert client.delete(f"/api/auth/sessions/{listed[1]['id']}/").status_code == 404


def test_expired_session_is_not_listed(manager):
    with after(days=8):
        other_client = client_of(manager.user)
        listed = other_client.get("/api/auth/sessions/").json()["results"]
        assert [row["is_current"] for row in listed] == [True]
        assert other_client.head("/api/auth/sessions/?page=1").status_code == 200


def test_sessions_of_other_users_are_hidden(manager, superuser):
    session = manager.get("/api/auth/sessions/").json()["results"][0]

    assert superuser.delete(f"/api/auth/sessions/{session['id']}/").status_code == 404
    assert len(superuser.get("/api/auth/sessions/").json()["results"]) == 1
    assert is_signed_in(manager)


NEW_PASSWORD = "another fine password"


@pytest.mark.parametrize(
    ("who", "change"),
    [
        (
            "the user",
            lambda target, _: target.post(
                "/api/auth/password/change/",
                {"current_password": factories.PASSWORD, "new_password": NEW_PASSWORD},
            ),
        ),
        (
            "the user",
            lambda target, _: target.patch(
                "/api/auth/me/", {"email": "new@example.com", "current_password": factories.PASSWORD}
            ),
        ),
        ("a superuser", lambda target, boss: boss.patch(f"/api/users/{target.user.pk}/", {"role": "viewer"})),
        ("a superuser", lambda target, boss: boss.patch(f"/api/users/{target.user.pk}/", {"email": "n@example.com"})),
        ("a superuser", lambda target, boss: boss.patch(f"/api/users/{target.user.pk}/", {"is_active": False})),
        ("a superuser", lambda target, boss: boss.delete(f"/api/users/{target.user.pk}/")),
    ],
    ids=["password", "own email", "role", "email", "disabled", "deleted"],
)
def test_identity_changes_end_all_sessions(client, manager, superuser, who, change):
    other_client = client_of(manager.user)

    assert change(manager, superuser).status_code in {200, 204}

    for caller in (manager, other_client):
        assert not is_signed_in(caller)
        assert refresh(client, caller.tokens["refresh"]).status_code == 401
    assert is_signed_in(superuser)
    assert Session.objects.filter(user=manager.user, ended_at=None).count() == 0


def test_name_change_ends_no_session(manager):
    manager.patch("/api/auth/me/", {"first_name": "New"})

    assert is_signed_in(manager)


def forged(token: str, *, key: str = settings.JWT_SIGNING_KEY, algorithm: str = "HS256", **claims) -> str:
    payload = jwt.decode(token, options={"verify_signature": False}) | claims
    return jwt.encode(payload, key if algorithm != "none" else None, algorithm)


@pytest.mark.parametrize(
    "forge",
    [
        lambda tokens: forged(tokens["access"], key="k" * 64),
        lambda tokens: forged(tokens["access"], algorithm="none"),
        lambda tokens: forged(tokens["access"], algorithm="HS512"),
        lambda tokens: forged(tokens["access"], aud="another-service"),
        lambda tokens: forged(tokens["access"], iss="another-service"),
        lambda tokens: forged(tokens["access"], epoch=1),
        lambda tokens: forged(tokens["access"], sid="00000000-0000-4000-8000-000000000000"),
        lambda tokens: forged(tokens["access"], sid="nonsense"),
        lambda tokens: forged(tokens["access"], sid=7),
        lambda tokens: forged(tokens["access"], sid=None),
        lambda tokens: tokens["refresh"],
        lambda tokens: tokens["access"][:-4],
        lambda _: "a.b.c",
        lambda _: "\x00",
        lambda _: "ü",
    ],
)
def test_forged_access_token_is_rejected(client, manager, forge):
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {forge(manager.tokens)}")

    response = client.get("/api/auth/me/")

    assert (response.status_code, response.json()["code"]) == (401, "token_not_valid")
    assert is_signed_in(manager)


@pytest.mark.parametrize(
    "forge",
    [
        lambda tokens: tokens["access"],
        lambda tokens: forged(tokens["refresh"], key="k" * 64),
        lambda tokens: forged(tokens["refresh"], gen=2),
        lambda tokens: forged(tokens["refresh"], gen="1"),
        lambda tokens: forged(tokens["refresh"], gen=None),
        lambda tokens: forged(tokens["refresh"], sid="nonsense"),
        lambda _: "nonsense",
        lambda _: "ü" * 500,
    ],
)
def test_forged_refresh_token_is_rejected(client, manager, forge):
    response = refresh(client, forge(manager.tokens))

    assert (response.status_code, response.json()["code"]) == (401, "token_not_valid")
    assert is_signed_in(manager)
