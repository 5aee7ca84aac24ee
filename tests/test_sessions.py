"""Sessions and tokens: how long they are good, and what ends them."""

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


def test_an_access_token_is_good_for_five_minutes(manager):
    with after(minutes=4, seconds=55):
        assert is_signed_in(manager)
    with after(minutes=5, seconds=5):
        answer = manager.get("/api/auth/me/")
        assert (answer.status_code, answer.json()["code"]) == (401, "token_not_valid")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_refreshing_gives_new_tokens_and_kills_the_old_one(client, manager):
    answer = refresh(client, manager.tokens["refresh"])

    assert answer.status_code == 200
    assert set(answer.json()) == {"access", "refresh"}
    assert refresh(client, manager.tokens["refresh"]).status_code == 401
    assert refresh(client, answer.json()["refresh"]).status_code == 200


def test_an_old_token_that_comes_back_soon_is_only_refused(client, manager):
    new = refresh(client, manager.tokens["refresh"]).json()
    with after(seconds=9):
        assert refresh(client, manager.tokens["refresh"]).status_code == 401
        assert refresh(client, new["refresh"]).status_code == 200
    assert not AuditEntry.objects.filter(event="token_reuse").exists()


def test_an_old_token_that_comes_back_late_ends_the_session(client, manager):
    new = refresh(client, manager.tokens["refresh"]).json()
    with after(seconds=11):
        assert refresh(client, manager.tokens["refresh"]).status_code == 401
        assert refresh(client, new["refresh"]).status_code == 401
        assert not is_signed_in(manager)
    assert AuditEntry.objects.get(event="token_reuse").actor_id == manager.user.pk


def test_the_grandmother_of_a_fresh_token_is_late_though_its_mother_is_not(client, manager):
    first = manager.tokens["refresh"]
    second = refresh(client, first).json()["refresh"]
    with after(seconds=20):
        third = refresh(client, second).json()["refresh"]
        assert refresh(client, second).status_code == 401
        assert Session.objects.get().ended_at is None
        assert refresh(client, first).status_code == 401
        assert refresh(client, third).status_code == 401
        assert Session.objects.get().ended_at is not None


def test_a_session_lives_seven_days_unless_it_is_refreshed_and_thirty_days_at_most(client, manager):
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


def test_signing_out_ends_this_session_and_no_other(client, manager):
    elsewhere = client_of(manager.user)

    assert manager.post("/api/auth/logout/").status_code == 204

    assert not is_signed_in(manager)
    assert refresh(client, manager.tokens["refresh"]).status_code == 401
    assert is_signed_in(elsewhere)


def test_signing_out_everywhere_ends_every_session(client, manager):
    elsewhere, somebody_else = client_of(manager.user), client_of(factories.user())

    assert manager.post("/api/auth/logout-all/").status_code == 204

    assert not is_signed_in(manager)
    assert not is_signed_in(elsewhere)
    assert refresh(client, elsewhere.tokens["refresh"]).status_code == 401
    assert is_signed_in(somebody_else)


def test_people_see_where_they_are_signed_in_and_end_it_there(client, db):
    person = factories.user()
    for device in ("Phone/1.0", "Laptop/2.0"):
        credentials = {"username": person.username, "password": factories.PASSWORD}
        answer = client.post("/api/auth/login/", credentials, headers={"User-Agent": device}, REMOTE_ADDR="192.0.2.9")
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {answer.json()['access']}")

    listed = client.get("/api/auth/sessions/").json()["results"]

    assert [(row["device"], row["is_current"]) for row in listed] == [("Laptop/2.0", True), ("Phone/1.0", False)]
    assert listed[0]["ip_address"] == "192.0.2.9"
    assert set(listed[0]) == {"id", "ip_address", "device", "since", "last_seen", "is_current"}
    assert client.delete(f"/api/auth/sessions/{listed[1]['id']}/").status_code == 204
    assert [row["device"] for row in client.get("/api/auth/sessions/").json()["results"]] == ["Laptop/2.0"]
    assert client.delete(f"/api/auth/sessions/{listed[1]['id']}/").status_code == 404


def test_a_session_that_ran_out_is_not_listed(manager):
    with after(days=8):
        elsewhere = client_of(manager.user)
        listed = elsewhere.get("/api/auth/sessions/").json()["results"]
        assert [row["is_current"] for row in listed] == [True]
        assert elsewhere.head("/api/auth/sessions/?page=1").status_code == 200


def test_nobody_sees_or_ends_the_sessions_of_others(manager, superuser):
    session = manager.get("/api/auth/sessions/").json()["results"][0]

    assert superuser.delete(f"/api/auth/sessions/{session['id']}/").status_code == 404
    assert len(superuser.get("/api/auth/sessions/").json()["results"]) == 1
    assert is_signed_in(manager)


NEW_PASSWORD = "another fine password"


@pytest.mark.parametrize(
    ("who", "change"),
    [
        (
            "himself",
            lambda person, _: person.post(
                "/api/auth/password/change/",
                {"current_password": factories.PASSWORD, "new_password": NEW_PASSWORD},
            ),
        ),
        (
            "himself",
            lambda person, _: person.patch(
                "/api/auth/me/", {"email": "new@example.com", "current_password": factories.PASSWORD}
            ),
        ),
        ("a superuser", lambda person, boss: boss.patch(f"/api/users/{person.user.pk}/", {"role": "viewer"})),
        ("a superuser", lambda person, boss: boss.patch(f"/api/users/{person.user.pk}/", {"email": "n@example.com"})),
        ("a superuser", lambda person, boss: boss.patch(f"/api/users/{person.user.pk}/", {"is_active": False})),
        ("a superuser", lambda person, boss: boss.delete(f"/api/users/{person.user.pk}/")),
    ],
    ids=["password", "own email", "role", "email", "disabled", "deleted"],
)
def test_what_changes_who_somebody_is_ends_all_his_sessions(client, manager, superuser, who, change):
    elsewhere = client_of(manager.user)

    assert change(manager, superuser).status_code in {200, 204}

    for caller in (manager, elsewhere):
        assert not is_signed_in(caller)
        assert refresh(client, caller.tokens["refresh"]).status_code == 401
    assert is_signed_in(superuser)
    assert Session.objects.filter(user=manager.user, ended_at=None).count() == 0


def test_a_new_name_ends_nothing(manager):
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
def test_a_token_that_we_did_not_make_is_refused(client, manager, forge):
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {forge(manager.tokens)}")

    answer = client.get("/api/auth/me/")

    assert (answer.status_code, answer.json()["code"]) == (401, "token_not_valid")
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
def test_a_refresh_token_that_we_did_not_make_is_refused(client, manager, forge):
    answer = refresh(client, forge(manager.tokens))

    assert (answer.status_code, answer.json()["code"]) == (401, "token_not_valid")
    assert is_signed_in(manager)
