"""All writers of usernames and emails reject names that the login cannot find, or would find twice."""

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client

from api.models import User
from tests import factories
from tests.conftest import client_of

NAMES = {
    "full width": ("ｋｉｍ", "ｋｉｍ@example.com"),
    "Kelvin sign": ("\u212aim", "\u212aim@example.com"),
    "full-width domain": ("\uff4bim", "lou@ｅxample.com"),
    "Cyrillic": ("k\u0456m", "k\u0456m@example.com"),
    "blank": ("lo u", "lo u@example.com"),
    "no-break space": ("lo\xa0u", "lo\xa0u@example.com"),
    "taken in another case": ("KIM", "KIM@Example.COM"),
}


@pytest.fixture
def kim(db):
    return factories.user(username="kim", email="kim@example.com", role="staff")


@pytest.fixture
def root(db):
    return factories.user(username="root", role="superuser")


def create_in_api(root, values):
    response = client_of(root).post("/api/users/", values | {"role": "staff"})
    assert response.status_code == 400


def patch_in_api(root, values):
    other = factories.user()
    response = client_of(root).patch(f"/api/users/{other.pk}/", values)
    assert response.status_code == 400


def patch_own_profile(root, values):
    if values["email"] == "free@example.com":
        pytest.skip("users cannot change their own username")
    body = {"email": values["email"], "current_password": factories.PASSWORD}
    assert client_of(root).patch("/api/auth/me/", body).status_code == 400


def submit_admin_form(root, values):
    browser = Client()
    browser.force_login(root)
    body = values | {"role": "staff", "department": "general", "timezone": "UTC"}
    assert browser.post("/admin/api/user/add/", body).status_code == 200


def run_createsuperuser(root, values):
    with pytest.raises(CommandError), transaction.atomic():
        call_command("createsuperuser", "--noinput", username=values["username"], email=values["email"])


@pytest.mark.parametrize("field", ["username", "email"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "write", [create_in_api, patch_in_api, patch_own_profile, submit_admin_form, run_createsuperuser]
)
def test_writers_reject_names_that_the_login_normalizes_differently(kim, root, monkeypatch, write, name, field):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", factories.PASSWORD)
    values = {"username": "free", "email": "free@example.com"}
    values[field] = NAMES[name][field == "email"]
    before = set(User.objects.values_list("username", "email"))

    write(root, values)

    after = set(User.objects.exclude(username__startswith="user").values_list("username", "email"))
    assert after <= before


def test_changepassword_finds_users_like_the_login(kim, monkeypatch, capsys):
    monkeypatch.setattr("getpass.getpass", lambda prompt: "another fine password")

    call_command("changepassword", "\u3000ＫＩＭ ")

    assert "The password of kim was set." in capsys.readouterr().out
