"""/api/auth/me/ and one's own password."""

import pytest

from api.audit.models import AuditEntry
from api.models import User
from tests import factories

CHANGE = "/api/auth/password/change/"
NEW = "another fine password"


def fields_of(answer) -> list[str]:
    return [error["field"] for error in answer.json()["errors"]]


def test_people_edit_their_own_profile(staff):
    changes = {
        "first_name": "Carla",
        "last_name": "Mendes",
        "phone_number": "+1 212 555 0100",
        "timezone": "Europe/Lisbon",
        "digest_opt_out": True,
    }

    answer = staff.patch("/api/auth/me/", changes)

    assert answer.status_code == 200
    assert changes.items() <= answer.json().items()
    assert staff.get("/api/auth/me/").json() == answer.json()
    assert staff.get(f"/api/users/{staff.user.pk}/").json() == answer.json()


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
def test_what_others_decide_is_refused_and_audited(staff, path, field, value):
    before = User.objects.filter(pk=staff.user.pk).values().get()

    answer = staff.patch(path.format(staff.user.pk), {"first_name": "New", field: value})

    assert answer.status_code == 403
    assert AuditEntry.objects.get().event == "permission_denied"
    assert User.objects.filter(pk=staff.user.pk).values().get() == before


def test_a_new_email_needs_the_current_password(client, staff):
    without = staff.patch("/api/auth/me/", {"email": "new@example.com"})
    wrong = staff.patch("/api/auth/me/", {"email": "new@example.com", "current_password": "wrong"})

    assert [(answer.status_code, fields_of(answer)) for answer in (without, wrong)] == [(400, ["current_password"])] * 2
    right = staff.patch("/api/auth/me/", {"email": "new@example.com", "current_password": factories.PASSWORD})
    assert (right.status_code, right.json()["email"]) == (200, "new@example.com")


def test_not_even_a_superuser_changes_his_email_without_his_password(superuser):
    answer = superuser.patch(f"/api/users/{superuser.user.pk}/", {"email": "new@example.com"})

    assert (answer.status_code, fields_of(answer)) == (403, ["email"])
    assert User.objects.get().email == superuser.user.email


def test_the_same_email_needs_no_password(staff):
    assert staff.patch("/api/auth/me/", {"email": staff.user.email, "first_name": "New"}).status_code == 200


def test_the_email_of_somebody_else_is_taken_in_any_case(staff):
    factories.user(email="taken@example.com")

    answer = staff.patch("/api/auth/me/", {"email": "Taken@Example.com", "current_password": factories.PASSWORD})

    assert (answer.status_code, fields_of(answer)) == (400, ["email"])
    assert answer.json()["errors"][0]["code"] == "unique"


def test_a_changed_password_is_the_only_one_that_works(client, staff):
    answer = staff.post(CHANGE, {"current_password": factories.PASSWORD, "new_password": NEW})

    assert answer.status_code == 204
    login = {"username": staff.user.username}
    assert client.post("/api/auth/login/", login | {"password": factories.PASSWORD}).status_code == 401
    assert client.post("/api/auth/login/", login | {"password": NEW}).status_code == 200
    entry = AuditEntry.objects.get(event="password_changed")
    assert (entry.actor_id, entry.object_id, entry.changes) == (staff.user.pk, staff.user.pk, {})


def test_the_current_password_must_be_right(staff):
    answer = staff.post(CHANGE, {"current_password": "wrong", "new_password": NEW})

    assert (answer.status_code, fields_of(answer)) == (400, ["current_password"])
    assert answer.json()["code"] == "wrong_password"


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
def test_weak_passwords_are_refused_by_name(client, staff, password, accepted):
    staff.user.username = "carla.mendes"
    staff.user.save()

    answer = staff.post(CHANGE, {"current_password": factories.PASSWORD, "new_password": password})

    if accepted:
        assert answer.status_code == 204, answer.content
        assert client.post("/api/auth/login/", {"username": "carla.mendes", "password": password}).status_code == 200
    else:
        assert (answer.status_code, fields_of(answer)) == (400, ["new_password"])
