"""GET /api/health/detailed/, for the person on call."""

import threading
import time

import pytest

from api.operations import service_status
from api.operations.business_counts import BusinessCounts
from api.operations.job_schedule import JOBS
from backend import health
from tests import factories
from tests.admin_sites import browser_of
from tests.conftest import client_of
from tests.logs import wait_until

PATH = "/api/health/detailed/"


@pytest.fixture(autouse=True)
def new_checks(monkeypatch):
    """Replace checks and counts, so that no result of another test is shared."""
    monkeypatch.setattr(service_status, "BUSINESS_COUNTS", BusinessCounts())
    for name in ("DATABASE", "CACHE"):
        check = getattr(health, name)
        monkeypatch.setattr(health, name, health.Check(check.name, check._attempt))


def shape(value):
    return {key: shape(inner) for key, inner in value.items()} if isinstance(value, dict) else None


@pytest.mark.django_db(transaction=True)
def test_detailed_health_has_every_key_of_the_specification():
    manager_client = client_of(factories.user(role="manager"))
    factories.task()
    wait_until(lambda: manager_client.get(PATH).json()["metrics"]["application"]["tasks"]["total"] == 1)

    body = manager_client.get(PATH).json()

    assert body["status"] == "healthy"
    assert shape(body["checks"]) == {
        "database": {"healthy": None, "duration_ms": None},
        "cache": {"healthy": None, "duration_ms": None},
        "filesystem": {"healthy": None, "disk_free_percent": None},
    }
    assert shape(body["metrics"]["system"]) == {"cpu": {"usage_percent": None}, "memory": {"usage_percent": None}}
    application = body["metrics"]["application"]
    assert application["tasks"] == {"total": 1, "overdue": 0}
    assert application["users"]["active_24h"] == 1
    assert application["mail"] == {"queued": 0, "failed": 0, "unknown": 0, "oldest_queued_seconds": 0}
    assert application["jobs"].keys() == {"queued", *JOBS}
    assert application["jobs"]["cleanup"] == {"runs": 0, "failures": 0, "last_success": None}
    assert body["logs"]["info.log"].keys() == {"written", "dropped", "size_bytes", "last_error"}
    assert body["versions"].keys() == {"application", "django", "python"}
    assert body["uptime_seconds"] >= 0


def test_detailed_health_is_open_to_managers_superusers_and_the_token(client, db, settings):
    settings.HEALTH_TOKEN = "a-token-of-machines"

    assert client.get(PATH).status_code == 401
    assert client.get(PATH, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.get(PATH, headers={"Authorization": "Bearer a-token-of-machines"}).status_code == 200
    assert browser_of(factories.user(role="manager")).get(PATH).status_code == 200
    denied = browser_of(factories.user(role="staff")).get(PATH, headers={"Host": "10.0.0.7"})
    assert (denied.status_code, denied.headers["Content-Type"]) == (403, "application/problem+json")


@pytest.mark.parametrize("accept", ["text/html", "text/plain", "application/xml", "/", ",", "text", "*/*", ""])
def test_detailed_health_is_json_for_every_accept_header(manager, accept):
    response = manager.get(PATH, headers={"Accept": accept})

    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
    assert response.json()["status"] == "healthy"


def test_status_is_degraded_without_cache_and_unhealthy_without_database(manager, monkeypatch):
    def fail() -> None:
        raise RuntimeError("10.0.0.5 refused")

    monkeypatch.setattr(health, "CACHE", health.Check("cache", fail))
    degraded = manager.get(PATH)
    monkeypatch.setattr(health, "DATABASE", health.Check("database", fail))
    unhealthy = manager.get(PATH)

    assert (degraded.status_code, degraded.json()["status"]) == (200, "degraded")
    assert (unhealthy.status_code, unhealthy.json()["status"]) == (503, "unhealthy")
    assert degraded.json()["checks"]["cache"]["healthy"] is False


def test_status_is_degraded_when_a_log_file_cannot_be_written(manager, log_to, tmp_path):
    (tmp_path / "file").touch()
    log_to(tmp_path / "file" / "logs")

    body = manager.get(PATH).json()

    assert body["status"] == "degraded"
    assert "NotADirectoryError" in body["logs"]["info.log"]["last_error"]


def test_status_is_degraded_when_the_disk_fails(manager, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr("api.operations.service_status.shutil.disk_usage", fail)

    response = manager.get(PATH)

    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["checks"]["filesystem"] == {"healthy": False, "disk_free_percent": None}


@pytest.mark.timing
def test_detailed_health_does_not_wait_for_counts(manager, monkeypatch):
    slow = threading.Event()
    monkeypatch.setattr("api.operations.business_counts.count", lambda: slow.wait(5) and {})
    manager.get(PATH)
    started = time.perf_counter()

    body = manager.get(PATH).json()

    assert time.perf_counter() - started < 0.2
    slow.set()
    assert body["metrics"]["application"]["tasks"] == {"total": None, "overdue": None}
