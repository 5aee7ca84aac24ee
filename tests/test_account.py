"""The own profile (/api/auth/me/) and the own password."""

import pytest

from api.audit.models import AuditEntry
from api.models import User
from tests import factories

CHANGE = "/api/auth/password/change/"
NEW = "another fine password"


def fields_of(response) -> list[str]:
    return [error["field"] for error in response.json()["errors"]]


def test_users_edit_their_own_profile(staff):
    changes = {
        "first_name": "Carla",
        "last_name": "Mendes",
        "phone_number": "+1 212 555 0100",
        "timezone": "Europe/Lisbon",
        "digest_opt_out": True,
    }

    response = staff.patch("/api/auth/me/", changes)

    assert response.status_code == 200
    assert changes.items() <= response.json().items()
    assert staff.get("/api/auth/me/").json() == response.json()
    assert staff.get(f"/api/users/{staff.user.pk}/").json() == response.json()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("role", "superuser"),
        ("department", "laundry"),
        ("username", "boss"),
        ("is_active", False),
        ("password", NEW),
    ],
)
@pytest.mark.parametrize("path", ["/api/auth/me/", "/api/users/{}/"])
def test_protected_field_of_own_profile_is_denied_and_audited(staff, path, field, value):
    before = User.objects.filter(pk=staff.user.pk).values().get()

    response = staff.patch(path.format(staff.user.pk), {"first_name": "New", field: value})

    assert response.status_code == 403
    assert AuditEntry.objects.get().event == "permission_denied"
    assert User.objects.filter(pk=staff.user.pk).values().get() == before


def test_new_email_requires_the_current_password(client, staff):
    without = staff.patch("/api/auth/me/", {"email": "new@example.com"})
    wrong = staff.patch("/api/auth/me/", {"email": "new@example.com", "current_password": "wrong"})

    assert [(response.status_code, fields_of(response)) for response in (without, wrong)] == [
        (400, ["current_password"])
    ] * 2
    right = staff.patch("/api/auth/me/", {"email": "new@example.com", "current_password": factories.PASSWORD})
    assert (right.status_code, right.json()["email"]) == (200, "new@example.com")


def test_new_email_requires_the_current_password_of_superusers(superuser):
    response = superuser.patch(f"/api/users/{superuser.user.pk}/", {"email": "new@example.com"})

    assert (response.status_code, fields_of(response)) == (403, ["email"])
    assert User.objects.get().email == superuser.user.email


def test_unchanged_email_requires_no_password(staff):
    assert staff.patch("/api/auth/me/", {"email": staff.user.email, "first_name": "New"}).status_code == 200


def test_email_of_another_user_is_rejected_in_any_case(staff):
    factories.user(email="taken@example.com")

    response = staff.patch("/api/auth/me/", {"email": "Taken@Example.com", "current_password": factories.PASSWORD})

    assert (response.status_code, fields_of(response)) == (400, ["email"])
    assert response.json()["errors"][0]["code"] == "unique"


def test_password_change_invalidates_the_old_password(client, staff):
    response = staff.post(CHANGE, {"current_password": factories.PASSWORD, "new_password": NEW})

    assert response.status_code == 204
    login = {"username": staff.user.username}
    assert client.post("/api/auth/login/", login | {"password": factories.PASSWORD}).status_code == 401
    assert client.post("/api/auth/login/", login | {"password": NEW}).status_code == 200
    entry = AuditEntry.objects.get(event="password_changed")
    assert (entry.actor_id, entry.object_id, entry.changes) == (staff.user.pk, staff.user.pk, {})


def test_password_change_requires_the_current_password(staff):
    response = staff.post(CHANGE, {"current_password": "wrong", "new_password": NEW})

    assert (response.status_code, fields_of(response)) == (400, ["current_password"])
    assert response.json()["code"] == "wrong_password"


@pytest.mark.parametrize(
    ("password", "accepted"),
    [
        ("x7#kQ2!mZp9", False),
        ("x7#kQ2!mZp9w", True),
        ("  7#kQ2!mZp  ", True),
        ("kQ2!" * 32, True),
        ("kQ2!" * 32 + "w", False),
        ("passwordpassword", True),
        ("administrator", False),
        ("carla.mendes", False),
        ("x7#kQ2!mZp\x009w", False),
        ("🦞🐚🦀🐙🦑🐡🐠🐟🐬🐳🐋🦈", True),
    ],
)
def test_weak_password_is_rejected_with_its_field(client, staff, password, accepted):
    staff.user.username = "carla.mendes"
    staff.user.save()

    response = staff.post(CHANGE, {"current_password": factories.PASSWORD, "new_password": password})

    if accepted:
        assert response.status_code == 204, response.content
        assert client.post("/api/auth/login/", {"username": "carla.mendes", "password": password}).status_code == 200
    else:
        assert (response.status_code, fields_of(response)) == (400, ["new_password"])
