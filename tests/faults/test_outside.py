"""The mail server and Sentry are down or frozen: clients of Cosmo notice nothing."""

import time
from contextlib import contextmanager

import pytest

from tests.live.server import serving
from tests.logs import wait_until
from tests.smtp import free_port, silent_server

pytestmark = pytest.mark.fault


@contextmanager
def nobody():
    yield free_port()


@pytest.mark.parametrize("there", [nobody, silent_server], ids=["away", "silent"])
def test_requests_are_not_delayed_and_no_email_is_lost(tmp_path, variables, portfolio, there):
    with there() as mail_port, there() as sentry_port:
        variables = variables | {
            "DJANGO_SETTINGS_MODULE": "tests.failing_settings",  # has a URL that fails
            "DJANGO_ADMINS": "Tech:tech@example.com",
            "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "EMAIL_HOST": "127.0.0.1",
            "EMAIL_PORT": str(mail_port),
            "EMAIL_TIMEOUT": "1",
            "SENTRY_DSN": f"http://key@127.0.0.1:{sentry_port}/1",
            "SENTRY_TRACES_SAMPLE_RATE": "1.0",
        }
        with serving(variables, tmp_path / "console") as server:
            email = {"email": "maria.manager@cosmo.example"}
            began = time.monotonic()
            resets = [server.request("POST", "/api/auth/password/reset/", json=email) for _ in range(10)]
            faults = [server.request("POST", "/odd/leak/", json={}) for _ in range(10)]
            seconds = time.monotonic() - began
            wait_until(lambda: server.logs.entries("info", event="mail_delayed"), seconds=10)
            ending = time.monotonic()
        ending = time.monotonic() - ending

    print(f"{seconds / 20 * 1000:.0f} ms per request; ended in {ending:.1f} s")  # noqa: T201 - pytest -rP shows it
    assert {answer.status_code for answer in resets} == {200}
    assert {answer.status_code for answer in faults} == {500}
    assert seconds < 3
    assert ending < 20
    assert len(server.logs.entries("error", event="unhandled_exception")) == 10
    states = portfolio.cluster.execute(
        "SELECT DISTINCT state FROM api_outgoingmail WHERE kind = 'password_reset'", portfolio.name
    )
    assert {state for (state,) in states} <= {"queued", "sending"}
    assert states
