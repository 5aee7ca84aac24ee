"""Sentry: off without a DSN, never in the way, and real with one."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.core.checks import run_checks

from backend import sentry_config
from tests import factories
from tests.live.server import environment, manage


def test_without_a_dsn_nothing_happens(settings, db):
    settings.SENTRY_DSN = ""

    assert sentry_config.setup_sentry() is False
    sentry_config.add_user_context(factories.user())
    sentry_config.add_user_context(None)
    sentry_config.add_request_context()
    sentry_config.capture_task_context("send_email_digest", task_args=[7])


@pytest.mark.parametrize("dsn", ["https://no-dsn", "https://k@[::1/1", "https://k@host:abc/1", "nonsense"])
def test_a_broken_dsn_is_told_and_stops_nothing(settings, capsys, dsn):
    settings.SENTRY_DSN = dsn

    assert sentry_config.setup_sentry() is False
    assert capsys.readouterr().err == "SENTRY_DSN cannot be parsed; error tracking is off.\n"
    assert [message.id for message in run_checks() if message.id == "backend.W001"] == ["backend.W001"]


@pytest.fixture
def envelopes():
    """A Sentry of our own: (its DSN, the bodies that it got)."""
    bodies: list[str] = []

    class Sentry(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.append((gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Sentry) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://key@127.0.0.1:{server.server_port}/1", bodies
        server.shutdown()
        thread.join()


def test_with_a_dsn_events_arrive_with_user_task_and_release(tmp_path, envelopes):
    dsn, bodies = envelopes
    code = (
        "import sentry_sdk; from api.models import User; from backend import sentry_config as s;"
        "s.add_user_context(User(pk=42, role='manager', email='private' + '@example.com'));"
        "s.capture_task_context('send_email_digest', task_args=[42]);"
        "sentry_sdk.capture_message('It works'); sentry_sdk.flush()"
    )

    manage(environment(tmp_path, SENTRY_DSN=dsn, APP_VERSION="2.3.4"), "shell", "--verbosity", "0", "-c", code)

    event = next(body for body in bodies if "It works" in body)
    assert '"user":{"id":"42","role":"manager"}' in event
    assert '"release":"2.3.4"' in event
    assert '"environment":"test"' in event
    assert "send_email_digest" in event
    assert "private@example.com" not in event
