"""/api/users/: permissions to create, change and disable users."""

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from api.audit.models import AuditEntry
from api.models import User
from tests import factories

ROLES = ["superuser", "manager", "staff", "viewer"]
BODY = {"username": "new.person", "email": "new@example.com", "role": "staff"}


def fields_of(response) -> list[str]:
    return [error["field"] for error in response.json()["errors"]]


@pytest.mark.parametrize("role", ROLES)
def test_managers_create_staff_and_viewers_and_superusers_create_all_roles(manager, superuser, role):
    by_manager = manager.post("/api/users/", BODY | {"role": role})
    by_superuser = superuser.post("/api/users/", {"username": "other", "email": "other@example.com", "role": role})

    assert by_manager.status_code == (201 if role in {"staff", "viewer"} else 403)
    assert by_superuser.status_code == 201
    assert User.objects.filter(username=BODY["username"]).exists() == (by_manager.status_code == 201)
    assert AuditEntry.objects.filter(event="permission_denied").count() == (by_manager.status_code == 403)


@pytest.mark.parametrize("new_role", ROLES)
@pytest.mark.parametrize("role", ROLES)
def test_managers_change_only_roles_below_their_own(manager, role, new_role):
    user = factories.user(role=role)

    response = manager.patch(f"/api/users/{user.pk}/", {"role": new_role})

    below = {"staff", "viewer"}
    expected = 404 if role == "superuser" else 200 if role in below and new_role in below else 403
    assert response.status_code == expected
    user.refresh_from_db()
    assert user.role == (new_role if expected == 200 else role)


def test_user_created_by_a_manager_has_no_password(client, manager):
    manager.post("/api/users/", BODY)

    user = User.objects.get(username=BODY["username"])
    assert not user.has_usable_password()
    login = {"username": BODY["username"], "password": user.password}
    assert client.post("/api/auth/login/", login).status_code == 401


def test_only_superusers_set_a_password_and_only_for_new_users(client, manager, superuser):
    body = BODY | {"password": factories.PASSWORD}

    assert manager.post("/api/users/", body).status_code == 403
    assert not User.objects.filter(username=BODY["username"]).exists()
    created = superuser.post("/api/users/", body)

    assert created.status_code == 201
    assert "password" not in created.json()
    login = {"username": BODY["username"], "password": factories.PASSWORD}
    assert client.post("/api/auth/login/", login).status_code == 200
    path = f"/api/users/{created.json()['id']}/"
    assert manager.patch(path, {"password": "x"}).status_code == 403
    assert (superuser.patch(path, {"password": "x"}).status_code) == 400
    weak = superuser.post("/api/users/", BODY | {"username": "b", "email": "b@example.com", "password": "weak"})
    assert (weak.status_code, fields_of(weak)) == (400, ["password"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "with@sign"),
        ("username", "with blank"),
        ("username", "ünicode"),
        ("username", ""),
        ("username", "TAKEN"),
        ("email", "no-address"),
        ("email", ""),
        ("email", "Taken@Example.com"),
        ("role", "owner"),
        ("department", "kitchen"),
        ("timezone", "Mars/Olympus"),
        ("timezone", "../../etc/passwd"),
        ("phone_number", "call me"),
    ],
)
def test_invalid_value_is_rejected_with_its_field(manager, field, value):
    factories.user(username="taken", email="taken@example.com")
    user = factories.user(role="staff")

    created = manager.post("/api/users/", BODY | {field: value})
    changed = manager.patch(f"/api/users/{user.pk}/", {field: value})

    assert [(response.status_code, fields_of(response)) for response in (created, changed)] == [(400, [field])] * 2
    assert not User.objects.filter(username=BODY["username"]).exists()


def test_last_active_superuser_cannot_be_disabled_or_demoted(superuser):
    factories.user(role="superuser", is_active=False)
    path = f"/api/users/{superuser.user.pk}/"

    responses = [
        superuser.delete(path),
        superuser.patch(path, {"is_active": False}),
        superuser.patch(path, {"role": "manager"}),
    ]

    assert [(response.status_code, response.json()["code"]) for response in responses] == [(409, "last_superuser")] * 3
    factories.user(role="superuser")
    assert superuser.delete(path).status_code == 204


def test_reactivated_user_has_no_open_sessions(client, manager):
    user = factories.user(role="staff")
    path = f"/api/users/{user.pk}/"
    login = {"username": user.username, "password": factories.PASSWORD}

    assert manager.delete(path).status_code == 204
    assert manager.get(path).json()["is_active"] is False
    assert client.post("/api/auth/login/", login).status_code == 401
    assert manager.patch(path, {"is_active": True}).status_code == 200
    assert client.post("/api/auth/login/", login).status_code == 200
    events = AuditEntry.objects.filter(object_type="user", object_id=user.pk).order_by("id")
    assert [entry.event for entry in events] == ["user_disabled", "user_enabled"]


def test_change_of_role_and_name_writes_an_event_for_each(superuser):
    user = factories.user(role="staff", first_name="Old")

    superuser.patch(f"/api/users/{user.pk}/", {"role": "manager", "first_name": "New"})

    changes = {entry.event: entry.changes for entry in AuditEntry.objects.filter(object_id=user.pk)}
    assert changes == {"role_changed": {"role": ["staff", "manager"]}, "user_updated": {"first_name": ["Old", "New"]}}


@pytest.mark.parametrize("role", ROLES)
def test_flags_follow_the_role(role, db):
    user = factories.user(role=role)
    assert (user.is_superuser, user.is_staff) == (role == "superuser", role in {"superuser", "manager"})

    user.role = "manager"
    user.save(update_fields=["role"])
    user.refresh_from_db()
    assert (user.is_superuser, user.is_staff) == (False, True)


@pytest.mark.parametrize("flags", [{"is_superuser": True}, {"is_staff": True}, {"role": "superuser"}, {"email": ""}])
def test_database_rejects_flags_that_contradict_the_role(flags, db):
    user = factories.user(role="staff")

    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=user.pk).update(**flags)


def test_createsuperuser_creates_a_superuser(client, db, monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", factories.PASSWORD)
    call_command("createsuperuser", "--noinput", username="root", email="root@example.com", verbosity=0)

    response = client.post("/api/auth/login/", {"username": "root", "password": factories.PASSWORD})

    assert response.json()["user"]["role"] == "superuser"
    assert list(AuditEntry.objects.filter(event="user_created").values_list("actor_label", "changes")) == [
        ("system", {"role": [None, "superuser"]})
    ]


def test_changepassword_ends_all_sessions_and_is_audited(manager, client, monkeypatch, capsys):
    typed = iter(["weak", "weak", "a new long password", "another", "a new long password", "a new long password"])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))

    call_command("changepassword", manager.user.username)

    assert manager.get("/api/auth/me/").status_code == 401
    body = {"username": manager.user.username, "password": "a new long password"}
    assert client.post("/api/auth/login/", body).status_code == 200
    entry = AuditEntry.objects.get(event="password_changed")
    assert (entry.actor_label, entry.object_id) == ("system", manager.user.pk)
    assert "The passwords differ." in capsys.readouterr().err


def test_email_with_non_ascii_letters_is_rejected(superuser):
    body = {"username": "bo", "email": "bo@münchen.example", "role": "viewer"}

    response = superuser.post("/api/users/", body)

    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "email")
    assert superuser.post("/api/users/", body | {"email": "bo@xn--mnchen-3ya.example"}).status_code == 201


def test_user_with_tasks_or_sessions_cannot_be_erased(manager):
    creator = factories.task().created_by

    for user in (creator, manager.user):
        with pytest.raises(ProtectedError):
            user.delete()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("role=staff", {"carla", "mike"}),
        ("department=cleaning", {"carla"}),
        ("is_active=false", {"mike"}),
        ("search=MENDES", {"carla"}),
        ("search=mike%40", {"mike"}),
        ("role=superuser", set()),
    ],
)
def test_user_list_is_filtered_and_searched(manager, query, expected):
    factories.user(username="carla", last_name="Mendes", role="staff", department="cleaning")
    factories.user(username="mike", email="mike@example.com", role="staff", is_active=False)
    factories.user(username="root", role="superuser")

    users = manager.get(f"/api/users/?{query}").json()["results"]

    assert {row["username"] for row in users} == expected


def test_user_list_is_ordered_by_name(manager):
    for name in ("zoe", "anna"):
        factories.user(username=name)

    usernames = [row["username"] for row in manager.get("/api/users/?ordering=-username").json()["results"]]

    assert usernames == sorted(usernames, reverse=True)
    assert manager.get("/api/users/?ordering=password").status_code == 400
