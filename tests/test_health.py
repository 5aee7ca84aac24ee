"""GET /api/health/, /live/ and /ready/, as load balancers ask them."""

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
def fresh(monkeypatch):
    """Nothing is known from other tests."""
    for name in ("DATABASE", "CACHE", "MIGRATIONS"):
        check = getattr(health, name)
        monkeypatch.setattr(health, name, health.Check(check.name, check._attempt))


def broken(monkeypatch, name: str, error: Exception | None = None, hangs: threading.Event | None = None) -> None:
    def attempt() -> None:
        if hangs is not None:
            hangs.wait(10)
        if error is not None:
            raise error

    monkeypatch.setattr(health, name, health.Check(name.lower(), attempt))


@pytest.mark.parametrize("path", PROBES)
@pytest.mark.parametrize("host", ["localhost", "10.0.0.7:8000", "anything.example.com"])
def test_they_answer_by_any_name_and_in_plain_http(client, db, settings, host, path):
    settings.SECURE_SSL_REDIRECT = True
    settings.APP_VERSION = "2.3.4"

    answer = client.get(path, headers={"Host": host})

    assert answer.status_code == 200
    body = answer.json()
    assert list(body) == ["status", "timestamp", "service", "version"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body.pop("timestamp"))
    assert body == {"status": "healthy", "service": "cosmo-backend", "version": "2.3.4"}
    assert answer.headers["Cache-Control"] == "no-store"


def test_other_addresses_are_sent_to_https(client, settings):
    settings.SECURE_SSL_REDIRECT = True

    assert client.get("/api/tasks/").status_code == 301


@pytest.mark.parametrize("path", PROBES)
def test_they_can_be_asked_with_head_and_with_nothing_else(client, db, path):
    assert client.head(path).status_code == 200
    for method in ("post", "put", "patch", "delete", "options"):
        assert getattr(client, method)(path).status_code == 405


def test_liveness_touches_nothing(client, db, monkeypatch):
    for name in ("DATABASE", "CACHE", "MIGRATIONS"):
        broken(monkeypatch, name, RuntimeError())
    with CaptureQueriesContext(connection) as queries:
        assert client.get("/api/health/live/").status_code == 200

    assert len(queries) == 0


@pytest.mark.parametrize(
    ("what", "expected"), [("DATABASE", [503, 200, 503]), ("CACHE", [200, 200, 503]), ("MIGRATIONS", [200, 200, 503])]
)
def test_what_does_not_work_is_told_without_a_word_about_the_inside(client, db, monkeypatch, logs, what, expected):
    broken(monkeypatch, what, RuntimeError("10.0.0.5 refused"))

    answers = [client.get(path) for path in PROBES]

    assert [answer.status_code for answer in answers] == expected
    assert answers[2].json()["status"] == "unhealthy"
    assert "refused" not in answers[2].content.decode()
    client.get("/api/health/ready/")
    entry = logs.entry("error", event="health_check_failed")
    assert (entry["check"], entry["reason"]) == (what.lower(), "RuntimeError: 10.0.0.5 refused")


def test_what_hangs_is_unhealthy_in_time_and_well_again_by_itself(client, db, monkeypatch, logs):
    thaw = threading.Event()
    broken(monkeypatch, "DATABASE", hangs=thaw)
    started = time.monotonic()

    assert client.get("/api/health/").status_code == 503

    assert time.monotonic() - started < 2.5
    thaw.set()
    wait_until(lambda: client.get("/api/health/").status_code == 200, seconds=5)
    assert logs.entry("info", event="health_check_recovered")["check"] == "database"


def test_a_hundred_askers_are_one_query(client, db, monkeypatch):
    tried = []
    monkeypatch.setattr(health, "DATABASE", health.Check("database", lambda: tried.append(1)))

    for _ in range(100):
        client.get("/api/health/")

    assert len(tried) == 1


def test_a_real_cache_that_loses_what_it_got_is_not_ready(client, db, monkeypatch):
    monkeypatch.setattr(type(cache._connections[cache._alias]), "get", lambda *_, **__: None)

    assert client.get("/api/health/ready/").status_code == 503


def test_a_database_without_its_migrations_is_not_ready(tmp_path):
    with serving(environment(tmp_path), tmp_path / "log") as server:
        answers = [server.request("GET", path).status_code for path in PROBES]

    assert answers == [200, 200, 503]


def test_while_the_file_of_the_drain_is_there_others_are_asked(client, db, settings, tmp_path):
    settings.DRAIN_FILE = tmp_path / "drain"
    settings.DRAIN_FILE.touch()
    assert [client.get(path).status_code for path in PROBES] == [503, 200, 503]

    settings.DRAIN_FILE.unlink()

    assert [client.get(path).status_code for path in PROBES] == [200, 200, 200]


@pytest.mark.fault  # takes some seconds
def test_without_its_database_the_service_says_so_and_goes_on(tmp_path):
    variables = environment(tmp_path, DATABASE_URL="postgres://nobody@127.0.0.1:1/none", DB_POOL_TIMEOUT="1")
    with serving(variables, tmp_path / "log") as server:
        probes = [server.request("GET", path) for path in PROBES]
        login = server.request("POST", "/api/auth/login/", json={"username": "a", "password": "b"})
        stranger = server.request("GET", "/api/tasks/")

    assert [probe.status_code for probe in probes] == [503, 200, 503]
    assert probes[0].json()["status"] == "unhealthy"
    assert set(probes[0].json()) == {"status", "timestamp", "service", "version"}
    assert (login.status_code, login.json()["code"]) == (503, "service_unavailable")
    assert login.headers["Retry-After"] == "5"
    assert stranger.status_code == 401
