"""GET /api/health/, as a load balancer asks it."""

import re

import pytest

from tests.live.server import environment, serving


@pytest.mark.parametrize("host", ["localhost", "10.0.0.7:8000", "anything.example.com"])
def test_it_answers_by_any_name_and_in_plain_http(client, db, settings, host):
    settings.SECURE_SSL_REDIRECT = True
    settings.APP_VERSION = "2.3.4"

    answer = client.get("/api/health/", headers={"Host": host})

    assert answer.status_code == 200
    body = answer.json()
    assert list(body) == ["status", "timestamp", "service", "version"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body.pop("timestamp"))
    assert body == {"status": "healthy", "service": "cosmo-backend", "version": "2.3.4"}
    assert answer.headers["Cache-Control"] == "no-store"


def test_other_addresses_are_sent_to_https(client, settings):
    settings.SECURE_SSL_REDIRECT = True

    assert client.get("/api/tasks/").status_code == 301


def test_it_can_be_asked_with_head_and_with_nothing_else(client, db):
    assert client.head("/api/health/").status_code == 200
    for method in ("post", "put", "patch", "delete", "options"):
        assert getattr(client, method)("/api/health/").status_code == 405


def test_without_its_database_the_service_says_so_and_goes_on(tmp_path):
    variables = environment(tmp_path, DATABASE_URL="postgres://nobody@127.0.0.1:1/none", DB_POOL_TIMEOUT="1")
    with serving(variables, tmp_path / "log") as server:
        health = server.request("GET", "/api/health/")
        login = server.request("POST", "/api/auth/login/", json={"username": "a", "password": "b"})
        stranger = server.request("GET", "/api/tasks/")

    assert health.status_code == 503
    assert health.json()["status"] == "unhealthy"
    assert set(health.json()) == {"status", "timestamp", "service", "version"}
    assert (login.status_code, login.json()["code"]) == (503, "service_unavailable")
    assert login.headers["Retry-After"] == "5"
    assert stranger.status_code == 401
