"""Devices: the cookie and its row."""

from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.tokens import default_token_generator
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from rest_framework.test import APIClient

from api.models import Device
from tests import factories
from tests.conftest import client_of

LOGIN = "/api/auth/login/"


@pytest.fixture
def ada(db):
    return factories.user(username="ada", role="superuser")


@pytest.fixture
def bob(db):
    return factories.user(username="bob", role="staff")


def log_in(client, user, password=factories.PASSWORD):
    return client.post(LOGIN, {"username": user.username, "password": password})


def sign_in_on_a_page(browser, user, password=factories.PASSWORD):
    return browser.post("/admin/login/", {"username": user.username, "password": password})


@pytest.mark.parametrize(("new_client", "sign_in"), [(APIClient, log_in), (Client, sign_in_on_a_page)])
def test_login_sets_a_device_cookie_that_is_stored_as_a_hash(ada, new_client, sign_in):
    client = new_client(headers={"user-agent": "Mozilla/5.0 (X11)"})

    cookie = sign_in(client, ada).cookies["device"]

    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    assert cookie["max-age"] == 365 * 24 * 3600
    (row,) = Device.objects.values()
    assert (row["user_id"], row["user_agent"]) == (ada.pk, "Mozilla/5.0 (X11)")
    assert len(cookie.value) == 43
    assert cookie.value not in str(row)


@pytest.mark.parametrize(("new_client", "sign_in"), [(APIClient, log_in), (Client, sign_in_on_a_page)])
def test_failed_login_sets_no_device_cookie(ada, new_client, sign_in):
    assert "device" not in sign_in(new_client(), ada, "wrong").cookies
    assert not Device.objects.exists()


@pytest.mark.parametrize(("new_client", "sign_in"), [(APIClient, log_in), (Client, sign_in_on_a_page)])
def test_second_login_renews_the_device(ada, new_client, sign_in):
    client = new_client()
    first = sign_in(client, ada).cookies["device"].value
    later = timezone.now() + timedelta(days=100)

    with time_machine.travel(later, tick=False):
        assert sign_in(client, ada).cookies["device"].value == first

    device = Device.objects.get()
    assert (device.last_seen_at, device.created_at < later) == (later, True)


def test_accounts_on_one_browser_share_its_device_cookie(ada, bob):
    family = APIClient()
    values = [log_in(family, user).cookies["device"].value for user in (ada, bob, ada, bob)]

    assert len(set(values)) == 1
    assert list(Device.objects.order_by("pk").values_list("user_id", flat=True)) == [ada.pk, bob.pk]
    assert len(set(Device.objects.values_list("key_hash", flat=True))) == 1


def test_unknown_device_cookie_is_replaced(client, ada):
    client.cookies["device"] = planted = "A" * 43

    assert log_in(client, ada).cookies["device"].value != planted
    assert Device.objects.count() == 1


@pytest.mark.parametrize("value", ["", "x", "A" * 42, "A" * 44, "A" * 8_000, "\x00" * 43, "é" * 43, "A" * 42 + "\n"])
def test_malformed_device_cookie_causes_no_query(client, ada, value):
    def statements(client):
        with CaptureQueriesContext(connection) as queries:
            assert log_in(client, ada).status_code == 200
        return len(queries)

    client.cookies["device"] = value

    assert statements(client) == statements(APIClient())


@pytest.mark.parametrize("how", ["disabled", "set by a superuser", "reset by a link"])
def test_reset_and_disabling_forget_devices(ada, bob, how):
    family = APIClient()
    before = log_in(family, ada).cookies["device"].value
    log_in(family, bob)
    root = client_of(factories.user(role="superuser"))
    if how == "disabled":
        assert root.delete(f"/api/users/{ada.pk}/").status_code == 204
    elif how == "reset by a link":
        ada.refresh_from_db()
        uid, token = urlsafe_base64_encode(force_bytes(ada.pk)), default_token_generator.make_token(ada)
        body = {"uid": uid, "token": token, "new_password": "another fine password"}
        assert APIClient().post("/api/auth/password/reset/confirm/", body).status_code == 204
    else:
        browser, twice = Client(), dict.fromkeys(("new_password1", "new_password2"), "another fine password")
        browser.force_login(root.user)
        assert browser.post(f"/admin/api/user/{ada.pk}/password/", twice).status_code == 302

    assert not Device.objects.exists()
    assert log_in(family, bob).cookies["device"].value != before


def test_password_change_keeps_devices(ada):
    browser = Client()
    sign_in_on_a_page(browser, ada)
    new = "another fine password"
    body = {"current_password": factories.PASSWORD, "new_password1": new, "new_password2": new}

    assert browser.post("/admin/password_change/", body).status_code == 302
    assert Device.objects.filter(user=ada).exists()


def test_cleanup_deletes_devices_unused_for_a_year(ada, bob):
    now = timezone.now()
    with time_machine.travel(now - timedelta(days=366)):
        log_in(APIClient(), ada)
    with time_machine.travel(now - timedelta(days=364)):
        log_in(APIClient(), bob)

    call_command("cleanup")

    assert [device.user for device in Device.objects.all()] == [bob]
