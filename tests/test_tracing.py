"""Traces: ids in every log record and background job, and OpenTelemetry spans if an endpoint is configured."""

import gzip
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest
from django.core.checks import run_checks
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests import factories
from tests.live.server import PROJECT, environment, manage, migrate, serving
from tests.logs import wait_until
from tests.smtp import mail_server

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """A receiver of OTLP over HTTP."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.url = ""

    def spans(self, trace: str = TRACE) -> dict[str, object]:
        """Return the spans of one trace as {name: span}."""
        spans = {}
        for body in self.bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    spans |= {span.name: span for span in scope.spans if span.trace_id.hex() == trace}
        return spans


@pytest.fixture(scope="module")
def collector():
    running = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            running.bodies.append(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        running.url = f"http://127.0.0.1:{server.server_port}"
        yield running
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def traced_server(tmp_path_factory, collector):
    """Run gunicorn with span export and a local mail server."""
    folder = tmp_path_factory.mktemp("service")
    with mail_server() as smtp:
        variables = environment(
            folder,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_BSP_SCHEDULE_DELAY="200",
            EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend",
            EMAIL_HOST="127.0.0.1",
            EMAIL_PORT=str(smtp.port),
            WEB_CONCURRENCY="1",
        )
        variables.pop("REDIS_URL", None)  # the web process sends emails
        migrate(variables)
        manage(variables, "shell", "--verbosity", "0", "-c", MAKE_ADA)
        with serving(variables, folder / "console") as running:
            yield running


MAKE_ADA = """
from api.models import User
User.objects.create_user("ada", "ada@example.com", "a long enough passphrase", role="staff")
"""


def attributes_of(span) -> dict[str, object]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}


def send_traced(traced_server, method: str, path: str, **kwargs):
    return traced_server.request(method, path, headers={"traceparent": f"00-{TRACE}-{CALLER}-01"}, **kwargs)


def test_request_span_belongs_to_the_trace_of_its_caller_and_has_statements(traced_server, collector):
    response = send_traced(
        traced_server, "POST", "/api/auth/login/", json={"username": "ada", "password": "a long enough passphrase"}
    )
    wait_until(lambda: "POST api/auth/login/" in collector.spans())

    span = collector.spans()["POST api/auth/login/"]
    attributes = attributes_of(span)
    assert span.parent_span_id.hex() == CALLER
    assert attributes["http.response.status_code"] == response.status_code == 200
    assert attributes["cosmo.request_id"] == response.headers["X-Request-ID"]
    assert attributes["user.id"] == response.json()["user"]["id"]
    (line,) = traced_server.logs.of_request("performance", response)
    assert (line["trace_id"], line["span_id"]) == (TRACE, span.span_id.hex())
    query = collector.spans()["SELECT"]
    assert query.parent_span_id == span.span_id
    assert "api_user" in attributes_of(query)["db.query.text"]
    assert "ada" not in attributes_of(query)["db.query.text"]


def test_email_belongs_to_the_trace_of_its_request(traced_server, collector):
    response = send_traced(traced_server, "POST", "/api/auth/password/reset/", json={"email": "ada@example.com"})
    wait_until(lambda: "deliver mail" in collector.spans())

    spans = collector.spans()
    assert spans["deliver mail"].parent_span_id == spans["POST api/auth/password/reset/"].span_id
    line = traced_server.logs.entry("info", event="mail_sent")
    assert (line["trace_id"], line["request"]["id"]) == (TRACE, response.headers["X-Request-ID"])
    assert line["span_id"] == spans["deliver mail"].span_id.hex()


def test_secret_link_is_in_no_span(traced_server, collector):
    canary = "c4nary-" + "0123456789abcdef" * 2
    send_traced(traced_server, "GET", f"/accounts/password-reset/MQ/{canary}/")
    send_traced(traced_server, "GET", f"/api/tasks/?token={canary}")
    wait_until(lambda: "GET api/tasks/" in collector.spans())

    assert canary.encode() not in b"".join(collector.bodies)


def test_health_and_metrics_requests_are_not_traced(traced_server, collector):
    send_traced(traced_server, "GET", "/api/health/")
    send_traced(traced_server, "GET", "/metrics")
    send_traced(traced_server, "GET", "/api/users/")
    wait_until(lambda: "GET api/users/" in collector.spans())

    assert not [name for name in collector.spans() if "health" in name or "metrics" in name]


@pytest.mark.fault  # takes some seconds
def test_unreachable_collector_does_not_delay_requests(tmp_path):
    variables = environment(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    migrate(variables)
    times = []
    with serving(variables, tmp_path / "console") as traced_server:
        for _ in range(30):
            started = time.perf_counter()
            assert traced_server.request("GET", "/api/tasks/").status_code == 401
            times.append(time.perf_counter() - started)

    assert sorted(times)[25] < 0.3


def test_opentelemetry_and_celery_are_not_imported_when_unconfigured(tmp_path):
    variables = environment(tmp_path, REDIS_URL="", CELERY_BROKER_URL="")
    code = (
        "from django.test import Client; import sys; Client().get('/api/tasks/');"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'celery', 'kombu'))])"
    )
    command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", code]
    done = subprocess.run(command, cwd=PROJECT, env=variables, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_worker_starts_opentelemetry_after_the_fork_when_an_endpoint_is_set(tmp_path, collector):
    overrides = {"DJANGO_SETTINGS_MODULE": "tests.failing_settings", "WEB_CONCURRENCY": "1"}
    variables = environment(tmp_path, **overrides)
    with serving(variables, tmp_path / "console") as traced_server:
        traced_server.request("GET", "/odd/slow/")
        untraced = traced_server.request("GET", "/odd/modules/").json()
    variables = environment(tmp_path, **overrides, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    with serving(variables, tmp_path / "console") as traced_server:
        traced = traced_server.request("GET", "/odd/modules/").json()
        # The master process must have no OpenTelemetry thread.
        master = psutil.Process(traced_server.process.pid).num_threads()

    assert untraced["modules"] == []
    assert not [name for name in untraced["threads"] if "Otel" in name]
    assert "opentelemetry.sdk.trace" in traced["modules"]
    assert [name for name in traced["threads"] if "Otel" in name]
    assert master == 1


def test_endpoint_without_packages_is_reported_and_startup_continues(settings, client, monkeypatch):
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:4318"
    monkeypatch.setattr("backend.telemetry.tracing.find_spec", lambda name: None)

    assert [message.id for message in run_checks() if message.id == "backend.W004"] == ["backend.W004"]
    assert client.get("/api/tasks/").status_code == 401


def test_log_records_outside_requests_share_one_trace(logs, db):
    import logging

    from backend.logging_config import API

    factories.user()
    logging.getLogger(API).info("One")
    logging.getLogger(API).info("Two")

    first, second = logs.entries("info")[-2:]
    assert re.fullmatch("[0-9a-f]{32}", first["trace_id"])
    assert re.fullmatch("[0-9a-f]{16}", first["span_id"])
    assert (first["trace_id"], first["span_id"]) == (second["trace_id"], second["span_id"])
