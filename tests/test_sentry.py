"""Sentry: off without a DSN, complete events with one, and no delay of requests."""

import gzip
import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command

from backend import sentry_config
from tests import factories
from tests.live.server import PROJECT, environment, manage, migrate, serving
from tests.logs import wait_until
from tests.secret_forms import CANARY, leaks


def test_sentry_does_nothing_without_a_dsn(settings, db):
    settings.SENTRY_DSN = ""

    assert sentry_config.setup_sentry() is False
    sentry_config.add_user_context(factories.user())
    sentry_config.add_user_context(None)
    sentry_config.add_request_context()
    sentry_config.capture_task_context("send_email_digest", task_args=[7])


@pytest.mark.parametrize("dsn", ["https://no-dsn", "https://k@[::1/1", "https://k@host:abc/1", "nonsense"])
def test_invalid_dsn_is_reported_and_startup_continues(settings, capsys, dsn):
    settings.SENTRY_DSN = dsn

    assert sentry_config.setup_sentry() is False
    assert capsys.readouterr().err == "SENTRY_DSN cannot be parsed; error tracking is off.\n"
    assert [message.id for message in run_checks() if message.id == "backend.W001"] == ["backend.W001"]


class Sentry:
    """A local Sentry server: the bodies it received, its status and its delay."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.status = 200
        self.delay = 0.0
        self.dsn = ""

    def events(self, kind: str = "event") -> list[dict]:
        """Return the received events, or the transactions."""
        events = []
        for body in self.bodies:
            lines = body.split("\n")  # the envelope's header, then a header and a payload for each item
            for header, payload in zip(lines[1::2], lines[2::2], strict=False):
                if json.loads(header)["type"] == kind:
                    events.append(json.loads(payload))
        return events

    def of_request(self, response: Any, kind: str = "event") -> list[dict]:
        """Return the events of the request with this response."""
        request_id = response.headers["X-Request-ID"]
        return [event for event in self.events(kind) if event.get("tags", {}).get("request_id") == request_id]


@pytest.fixture(scope="module")
def sentry_server():
    running = Sentry()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(running.delay)
            running.bodies.append(
                (gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body).decode()
            )
            self.send_response(running.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        running.dsn = f"http://key@127.0.0.1:{server.server_port}/1"
        yield running
        server.shutdown()
        thread.join()


@pytest.fixture
def sentry(sentry_server):
    yield sentry_server
    sentry_server.status, sentry_server.delay = 200, 0.0


@pytest.fixture(scope="module")
def failing_server(tmp_path_factory, sentry_server):
    """Run gunicorn with views that fail on demand, and send every trace."""
    folder = tmp_path_factory.mktemp("service")
    variables = environment(folder, SENTRY_DSN=sentry_server.dsn, SENTRY_TRACES_SAMPLE_RATE="1.0")
    variables |= {"DJANGO_SETTINGS_MODULE": "tests.failing_settings", "WEB_CONCURRENCY": "1"}
    migrate(variables)
    with serving(variables, folder / "console") as running:
        yield running


def test_events_contain_user_task_and_release(tmp_path, sentry):
    code = (
        "import sentry_sdk; from api.models import User; from backend import sentry_config as s;"
        "s.add_user_context(User(pk=42, role='manager', email='private' + '@example.com'));"
        "s.capture_task_context('send_email_digest', task_args=[42]);"
        "sentry_sdk.capture_message('It works'); sentry_sdk.flush()"
    )

    manage(environment(tmp_path, SENTRY_DSN=sentry.dsn, APP_VERSION="2.3.4"), "shell", "--verbosity", "0", "-c", code)

    event = next(body for body in sentry.bodies if "It works" in body)
    assert '"user":{"id":"42","role":"manager"}' in event
    assert '"release":"2.3.4"' in event
    assert '"environment":"test"' in event
    assert "send_email_digest" in event
    assert "private@example.com" not in event


def test_server_error_is_sent_once_with_its_request_and_without_secrets(failing_server, sentry):
    canary = "canary-4417-secret"
    response = failing_server.request(
        "POST",
        f"/odd/leak/?token={canary}",
        json={"password": canary, "nested": {"secret": canary}},
        headers={"Authorization": f"Bearer {canary}", "Cookie": f"sessionid={canary}", "X-Api-Key": canary},
    )
    assert response.status_code == 500
    wait_until(lambda: len(sentry.of_request(response)) >= 3)
    marker = failing_server.request("GET", "/odd/fail/")
    wait_until(lambda: sentry.of_request(marker))

    # The view logged two errors and raised a third one, which is logged as well.
    logged, queried, event = sentry.of_request(response)
    assert logged["logentry"]["message"] == "Raw"
    assert queried["logentry"]["message"] == "A query failed"
    assert len(event["tags"]["trace_id"]) == 32
    assert event["transaction"] == "/odd/leak/"
    assert event["request"]["method"] == "POST"
    assert event["exception"]["values"][-1]["type"] == "ValueError"
    assert canary not in "".join(sentry.bodies)


def test_no_form_of_a_secret_is_sent(failing_server, sentry):
    baggage = f"sentry-trace_id={'a' * 32},sentry-transaction=password%3D{CANARY}"
    headers = {"sentry-trace": f"{'a' * 32}-{'b' * 16}-1", "baggage": baggage}
    response = failing_server.request("GET", f"/odd/leak-forms/?search=summerhouse&token={CANARY}", headers=headers)
    assert response.status_code == 500
    wait_until(lambda: len(sentry.of_request(response)) >= 3 and sentry.of_request(response, "transaction"))

    events = sentry.of_request(response)
    assert [event.get("logentry", {}).get("message") for event in events][:2] == [
        "All of %s, %s",
        "Named %(password)s %(what)s",
    ]
    assert len(events[0]["breadcrumbs"]["values"]) == 100  # the latest breadcrumbs; extra contains the earlier secrets
    assert all(
        "params" not in event.get("logentry", {}) and "sys.argv" not in event.get("extra", {}) for event in events
    )
    sent = "".join(sentry.bodies)
    assert leaks(sent) == []
    assert "4417}" not in sent
    assert "summerhouse" not in sent


@pytest.mark.parametrize("job", ["cleanup", "deliver_mail"])
def test_failed_job_is_sent_once_with_its_name(tmp_path, sentry, job):
    variables = environment(tmp_path, SENTRY_DSN=sentry.dsn, APP_VERSION=job)  # the database has no tables

    done = subprocess.run(
        [sys.executable, "manage.py", job], cwd=PROJECT, env=variables, capture_output=True, check=False
    )

    assert done.returncode == 1
    (event,) = [event for event in sentry.events() if event["release"] == job]
    assert event["tags"]["task"] == job
    assert event["contexts"]["task"]["name"] == job
    assert event["logentry"]["message"] == "Job failed"


def test_trace_has_its_route_and_statements_without_values(failing_server, sentry):
    name = "nobody-4417"
    response = failing_server.request("POST", "/api/auth/login/", json={"username": name, "password": "wrong"})
    wait_until(lambda: sentry.of_request(response, "transaction"))

    (transaction,) = sentry.of_request(response, "transaction")
    assert transaction["transaction"] == "/api/auth/login/"
    assert transaction["transaction_info"] == {"source": "route"}
    statements = [span for span in transaction["spans"] if span["op"] == "db"]
    assert statements[0]["description"].startswith("SELECT")
    assert all(span["start_timestamp"] < span["timestamp"] for span in statements)
    assert name not in "".join(sentry.bodies)


def test_health_and_metrics_requests_are_not_traced(failing_server, sentry):
    for path in ("/api/health/", "/api/health/live/", "/metrics", "/api/tasks/"):
        failing_server.request("GET", path)
    wait_until(lambda: "/api/tasks/" in "".join(sentry.bodies))
    marker = failing_server.request("GET", "/api/users/")
    wait_until(lambda: sentry.of_request(marker, "transaction"))

    urls = "".join(event["request"]["url"] + " " for event in sentry.events("transaction"))
    assert "/api/tasks/" in urls
    assert "/api/health/" not in urls
    assert "/metrics" not in urls


@pytest.mark.timing
def test_failing_sentry_does_not_delay_requests(failing_server, sentry):
    times = []
    for status, delay in [(500, 0.0)] * 10 + [(200, 2.0)] * 10:
        sentry.status, sentry.delay = status, delay
        started = time.perf_counter()
        assert failing_server.request("POST", "/odd/leak/", json={}).status_code == 500
        times.append(time.perf_counter() - started)

    assert sorted(times)[15] < 0.5


@pytest.mark.timing
def test_unreachable_sentry_does_not_delay_requests(tmp_path):
    variables = environment(tmp_path, SENTRY_DSN="http://key@127.0.0.1:1/1", SENTRY_TRACES_SAMPLE_RATE="1.0")
    variables |= {"DJANGO_SETTINGS_MODULE": "tests.failing_settings", "WEB_CONCURRENCY": "1"}
    times = []
    with serving(variables, tmp_path / "console") as failing_server:
        for _ in range(20):
            started = time.perf_counter()
            assert failing_server.request("GET", "/odd/fail/").status_code == 500
            times.append(time.perf_counter() - started)

    assert sorted(times)[15] < 0.5


def test_command_prints_the_response_of_the_server(sentry, settings, capsys):
    settings.SENTRY_DSN = sentry.dsn

    call_command("sentry_test")

    printed = capsys.readouterr().out
    event = sentry.events()[-1]
    assert printed == f"Event {event['event_id']}: the server returned 200 OK.\n"
    sentry.status = 403
    with pytest.raises(CommandError, match="the server returned 403"):
        call_command("sentry_test")
    settings.SENTRY_DSN = "http://key@127.0.0.1:1/1"
    with pytest.raises(CommandError, match=r"cannot be reached \(Connection refused\)"):
        call_command("sentry_test")
    settings.SENTRY_DSN = ""
    with pytest.raises(CommandError, match="is not set"):
        call_command("sentry_test")
