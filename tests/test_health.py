"""The probes GET /api/health/, /live/ and /ready/."""

import re
import threading
import time

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from backend import health
from tests.live.server import environment, serving
from tests.logs import wait_until

PROBES = ["/api/health/", "/api/health/live/", "/api/health/ready/"]


@pytest.fixture(autouse=True)
def new_checks(monkeypatch):
    """Replace the checks, so that no result of another test is shared."""
    for name in ("DATABASE", "CACHE", "MIGRATIONS"):
        check = getattr(health, name)
        monkeypatch.setattr(health, name, health.Check(check.name, check._attempt))


def break_check(monkeypatch, name: str, error: Exception | None = None, hangs: threading.Event | None = None) -> None:
    def attempt() -> None:
        if hangs is not None:
            hangs.wait(10)
        if error is not None:
            raise error

    monkeypatch.setattr(health, name, health.Check(name.lower(), attempt))


@pytest.mark.parametrize("path", PROBES)
@pytest.mark.parametrize("host", ["localhost", "10.0.0.7:8000", "anything.example.com"])
def test_probes_return_200_for_any_host_and_plain_http(client, db, settings, host, path):
    settings.SECURE_SSL_REDIRECT = True
    settings.APP_VERSION = "2.3.4"

    response = client.get(path, headers={"Host": host})

    assert response.status_code == 200
    body = response.json()
    assert list(body) == ["status", "timestamp", "service", "version"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body.pop("timestamp"))
    assert body == {"status": "healthy", "service": "cosmo-backend", "version": "2.3.4"}
    assert response.headers["Cache-Control"] == "no-store"


def test_other_urls_redirect_to_https(client, settings):
    settings.SECURE_SSL_REDIRECT = True

    assert client.get("/api/tasks/").status_code == 301


@pytest.mark.parametrize("path", PROBES)
def test_probes_allow_get_and_head_only(client, db, path):
    assert client.head(path).status_code == 200
    for method in ("post", "put", "patch", "delete", "options"):
        assert getattr(client, method)(path).status_code == 405


def test_liveness_checks_no_dependency(client, db, monkeypatch):
    for name in ("DATABASE", "CACHE", "MIGRATIONS"):
        break_check(monkeypatch, name, RuntimeError())
    with CaptureQueriesContext(connection) as queries:
        assert client.get("/api/health/live/").status_code == 200

    assert len(queries) == 0


@pytest.mark.parametrize(
    ("dependency", "expected"),
    [("DATABASE", [503, 200, 503]), ("CACHE", [200, 200, 503]), ("MIGRATIONS", [200, 200, 503])],
)
def test_probes_return_503_without_internals_when_a_dependency_fails(
    client, db, monkeypatch, logs, dependency, expected
):
    break_check(monkeypatch, dependency, RuntimeError("10.0.0.5 refused"))

    responses = [client.get(path) for path in PROBES]

    assert [response.status_code for response in responses] == expected
    assert responses[2].json()["status"] == "unhealthy"
    assert "refused" not in responses[2].content.decode()
    client.get("/api/health/ready/")
    entry = logs.entry("error", event="health_check_failed")
    assert (entry["check"], entry["reason"]) == (dependency.lower(), "RuntimeError: 10.0.0.5 refused")


def test_hanging_check_is_unhealthy_in_time_and_recovers(client, db, monkeypatch, logs):
    thaw = threading.Event()
    break_check(monkeypatch, "DATABASE", hangs=thaw)
    started = time.monotonic()

    assert client.get("/api/health/").status_code == 503

    assert time.monotonic() - started < 2.5
    thaw.set()
    wait_until(lambda: client.get("/api/health/").status_code == 200, seconds=5)
    assert logs.entry("info", event="health_check_recovered")["check"] == "database"


def test_hundred_probes_share_one_check(client, db, monkeypatch):
    attempts = []
    monkeypatch.setattr(health, "DATABASE", health.Check("database", lambda: attempts.append(1)))

    for _ in range(100):
        client.get("/api/health/")

    assert len(attempts) == 1


def test_readiness_returns_503_when_the_cache_loses_values(client, db, monkeypatch):
    monkeypatch.setattr(type(cache._connections[cache._alias]), "get", lambda *_, **__: None)

    assert client.get("/api/health/ready/").status_code == 503


def test_readiness_returns_503_when_migrations_are_missing(tmp_path):
    with serving(environment(tmp_path), tmp_path / "log") as server:
        responses = [server.request("GET", path).status_code for path in PROBES]

    assert responses == [200, 200, 503]


def test_health_and_readiness_return_503_while_the_drain_file_exists(client, db, settings, tmp_path):
    settings.DRAIN_FILE = tmp_path / "drain"
    settings.DRAIN_FILE.touch()
    assert [client.get(path).status_code for path in PROBES] == [503, 200, 503]

    settings.DRAIN_FILE.unlink()

    assert [client.get(path).status_code for path in PROBES] == [200, 200, 200]


@pytest.mark.fault  # takes some seconds
def test_service_starts_and_returns_503_without_its_database(tmp_path):
    variables = environment(tmp_path, DATABASE_URL="postgres://nobody@127.0.0.1:1/none", DB_POOL_TIMEOUT="1")
    with serving(variables, tmp_path / "log") as server:
        probes = [server.request("GET", path) for path in PROBES]
        login = server.request("POST", "/api/auth/login/", json={"username": "a", "password": "b"})
        anonymous = server.request("GET", "/api/tasks/")

    assert [probe.status_code for probe in probes] == [503, 200, 503]
    assert probes[0].json()["status"] == "unhealthy"
    assert set(probes[0].json()) == {"status", "timestamp", "service", "version"}
    assert (login.status_code, login.json()["code"]) == (503, "service_unavailable")
    assert login.headers["Retry-After"] == "5"
    assert anonymous.status_code == 401
