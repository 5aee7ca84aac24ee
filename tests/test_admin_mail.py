"""Emails about errors to DJANGO_ADMINS: once a minute per error group, without secrets, without delaying requests."""

import logging
import socket
from time import monotonic, perf_counter

import pytest

from api.tasks import selectors
from tests.logs import wait_until
from tests.smtp import mail_server


@pytest.fixture
def _mailing(log_to, settings):
    settings.ADMINS = [("Tech", "tech@example.com")]
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "127.0.0.1"
    log_to(mail_admins=True)


@pytest.fixture
def inbox(_mailing, settings):
    with mail_server() as server:
        settings.EMAIL_PORT = server.port
        yield server


@pytest.fixture
def failing_client(manager, monkeypatch):
    """Return a manager's client whose task list raises an error."""
    monkeypatch.setattr(selectors.rules, "rows", lambda *_: 1 / 0)
    manager.raise_request_exception = False
    return manager


def test_error_email_has_traceback_and_no_secrets(inbox, failing_client, settings):
    response = failing_client.get(
        "/api/tasks/", {"search": "password=canary-1"}, headers={"Cookie": "sessionid=canary-2"}
    )

    wait_until(lambda: inbox.mails)
    (mail,) = inbox.mails
    assert mail.recipients == ["tech@example.com"]
    assert "Subject: [Cosmo test] ERROR: Unhandled exception" in mail.text
    assert "ZeroDivisionError" in mail.text
    assert response.headers["X-Request-ID"] in mail.text
    for secret in ("canary", failing_client.tokens["access"], settings.SECRET_KEY):
        assert secret not in mail.text


def test_equal_errors_are_emailed_once_a_minute_with_a_count(inbox, failing_client, monkeypatch):
    for _ in range(5):
        failing_client.get("/api/tasks/")
    logging.getLogger("api").error("Another error")
    wait_until(lambda: len(inbox.mails) == 2)
    in_a_minute = monotonic() + 60
    monkeypatch.setattr("backend.logs.repeats.time.monotonic", lambda: in_a_minute)
    failing_client.get("/api/tasks/")
    wait_until(lambda: len(inbox.mails) == 3)

    assert "4 more of these" in inbox.mails[2].text


def test_security_record_is_not_emailed(inbox, client, db):
    client.get("/api/tasks/", headers={"Host": "evil.example.com"})
    logging.getLogger("api").error("An error")

    wait_until(lambda: inbox.mails)
    assert len(inbox.mails) == 1
    assert "An error" in inbox.mails[0].text


def test_multiline_message_has_a_single_line_subject(inbox):
    logging.getLogger("api").error("It broke\r\nBcc: everybody@example.com")

    wait_until(lambda: inbox.mails)
    (mail,) = inbox.mails
    assert mail.recipients == ["tech@example.com"]
    assert "Subject: [Cosmo test] ERROR: It broke??Bcc: everybody@example.com" in mail.text


@pytest.mark.usefixtures("_mailing")
def test_hanging_mail_server_delays_no_request(failing_client, settings):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = silent.getsockname()[1], 2
        started = perf_counter()
        statuses = [failing_client.get("/api/tasks/").status_code for _ in range(5)]
        for number in range(200):  # more errors than the queue can hold
            logging.getLogger(f"api.fault{number}").error("An error")

    assert statuses == [500] * 5
    assert perf_counter() - started < 2
