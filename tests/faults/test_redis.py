"""Redis is down, frozen or flushed: the login throttle, logins and emails still work."""

import time
from contextlib import contextmanager

import pytest

from tests.faults.redis_server import redis_server
from tests.live.server import serving
from tests.logs import wait_until
from tests.smtp import mail_server

pytestmark = pytest.mark.fault
ATTEMPTS = 5  # of one account from one IP address
WORKERS = 2


@pytest.fixture
def broker(tmp_path):
    with redis_server(tmp_path) as running:
        yield running


@pytest.fixture
def server(tmp_path, variables, portfolio, broker):
    with serving(variables | {"REDIS_URL": broker.url}, tmp_path / "console") as running:
        running.passwords = portfolio.passwords
        yield running


@contextmanager
def away(broker):
    broker.stop()
    try:
        yield
    finally:
        broker.start()


@contextmanager
def frozen(broker):
    with broker.frozen():
        yield


@contextmanager
def flushed(broker):
    broker.flush()
    yield


def attempt(server, username: str, password: str = "wrong") -> int:
    return server.request("POST", "/api/auth/login/", json={"username": username, "password": password}).status_code


def probes(server) -> dict[str, int]:
    return {name: server.request("GET", f"/api/health/{name}").status_code for name in ("", "live/", "ready/")}


@pytest.mark.parametrize("trouble", [away, frozen, flushed])
def test_login_and_throttle_work_without_delay_during_redis_outage(server, broker, trouble):
    locked, free = "maria.manager", "daniel.manager"
    before = [attempt(server, locked) for _ in range(ATTEMPTS - 1)]

    with trouble(broker):
        began = time.monotonic()
        during = [attempt(server, locked), attempt(server, locked), attempt(server, locked, server.passwords[locked])]
        signed_in = attempt(server, free, server.passwords[free])
        mail = server.request("POST", "/api/auth/password/reset/", json={"email": f"{free}@cosmo.example"})
        seconds = time.monotonic() - began
        seen = probes(server)

    wait_until(lambda: set(probes(server).values()) == {200}, seconds=5)
    assert before == [401] * (ATTEMPTS - 1)
    assert during == [401, 429, 429]
    assert signed_in == 200
    assert mail.status_code == 200
    assert seconds < 3  # five of these hash a password
    expected = 200 if trouble is flushed else 503
    assert seen == {"": 200, "live/": 200, "ready/": expected}
    told = server.logs.entries("error", event="health_check_failed")
    assert {entry["check"] for entry in told} == (set() if trouble is flushed else {"cache"})
    assert len(told) <= 2 * WORKERS
    assert server.logs.entries("info", event="unhandled_exception") == []


def test_emails_are_delivered_without_the_broker(tmp_path, variables, broker):
    with mail_server() as sink:
        variables = variables | {
            "REDIS_URL": broker.url,
            "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "EMAIL_HOST": "127.0.0.1",
            "EMAIL_PORT": str(sink.port),
        }
        with serving(variables, tmp_path / "console") as server, broker.frozen():
            began = time.monotonic()
            server.request("POST", "/api/auth/password/reset/", json={"email": "maria.manager@cosmo.example"})
            seconds = time.monotonic() - began
            wait_until(lambda: any("maria.manager@cosmo.example" in mail.recipients for mail in sink.mails), seconds=15)

    assert seconds < 1
