"""Limits on the log lines of rejected anonymous requests, because anyone can send many of them."""

import json
import logging

import pytest
from django.test import Client

from backend.logs import throttling
from backend.logs.records import MAX_REJECTION

LIMIT = 2_048  # bytes in all log files together
LONG = 'ü"\\' * 700
PROBE = "q=<script>"
LOGIN = "/api/auth/login/"
RESET = f"/accounts/password-reset/confirm/{'a' * 500}/{'b' * 500}/"
JSON = json.dumps({"username": "a", "password": "b"})
REJECTED = [  # method, path, body, headers, status
    ("GET", "/api/tasks/", "", {}, 401),
    ("GET", "/api/tasks/", "", {"HTTP_AUTHORIZATION": f"Bearer {LONG}"}, 401),
    ("POST", f"/api/tasks/{'9' * 18}/status/", "{", {}, 401),
    ("GET", f"/api/{LONG}/", "", {}, 404),
    ("GET", f"/{LONG}.php", "", {}, 404),
    ("GET", f"/admin/{'x' * 1_000}", "", {}, 302),
    ("POST", "/api/health/detailed/", "", {}, 405),
    ("PUT", LOGIN, JSON, {}, 405),
    ("POST", LOGIN, "{", {}, 400),
    ("POST", LOGIN, json.dumps({"x" * 1_000: "x" * 1_000}), {}, 400),
    ("POST", LOGIN, "x" * 20_000, {}, 413),
    ("POST", LOGIN, JSON, {"HTTP_CONTENT_ENCODING": "gzip"}, 415),
    ("POST", LOGIN, JSON, {"HTTP_X_LONG": "x" * 9_000}, 431),
    ("GET", "/", "", {"HTTP_HOST": f"{'h' * 500}.example.com"}, 400),
    ("GET", "/api/tasks/?" + "a&" * 1_001, "", {}, 401),
    ("GET", RESET, "", {"HTTP_HOST": "_"}, 400),
]


@pytest.fixture
def send_anonymously(db, log_to, settings, monkeypatch):
    """Return a function that sends the longest possible request, and returns the response and the bytes logged."""
    monkeypatch.setattr("backend.logs.throttling.event_throttle", throttling.EventThrottle())
    settings.DJANGO_ENVIRONMENT = "production"
    logs = log_to(environment="production")
    browser = Client(raise_request_exception=False, enforce_csrf_checks=True)

    def send(method, path, body="", *, query=PROBE, **headers):
        path, _, given = path.partition("?")
        query = f"{given or 'a=1'}&{query}&{LONG}" if query else ""
        long = {
            "REMOTE_ADDR": "2001:db8:1234:5678:9abc:def0:1234:5678",
            "HTTP_USER_AGENT": LONG,
            "HTTP_X_REQUEST_ID": "a" * 128,
            "QUERY_STRING": query,
        }
        before = sum(path.stat().st_size for path in logs.folder.glob("*.log"))
        response = browser.generic(method, path, body, content_type="application/json", **long | headers)
        return response, sum(path.stat().st_size for path in logs.folder.glob("*.log")) - before

    send.logs = logs
    return send


@pytest.mark.parametrize("query", [PROBE, "q=1"], ids=["probe", "plain"])
@pytest.mark.parametrize(("method", "path", "body", "headers", "status"), REJECTED, ids=lambda value: str(value)[:25])
def test_rejected_anonymous_request_writes_at_most_two_kilobytes(
    send_anonymously, method, path, body, headers, status, query
):
    response, size = send_anonymously(method, path, body, query=query, **headers)

    assert response.status_code == status
    threads = 2 * len("ThreadPoolExecutor-0_0")  # gunicorn's threads have longer names than this test's thread
    assert 0 < size <= LIMIT - threads + 2 * len("MainThread"), send_anonymously.logs.text()


def test_throttled_login_writes_at_most_two_kilobytes(send_anonymously):
    statuses = [send_anonymously("POST", LOGIN, JSON, query="")[0].status_code for _ in range(5)]

    response, size = send_anonymously("POST", LOGIN, JSON, query="")

    assert (statuses, response.status_code) == ([401] * 5, 429)
    assert size <= LIMIT


def test_rejected_request_is_logged_with_path_client_ip_and_user_agent(send_anonymously):
    response, _ = send_anonymously(
        "GET", "/api/tasks/", query="q=1", HTTP_USER_AGENT="Curious/1.0 (of a test, and long)"
    )

    for name in ("security", "performance"):
        (entry,) = send_anonymously.logs.of_request(name, response)
        assert entry["request"]["path"] == "/api/tasks/"
        assert entry["request"]["user_agent"].startswith("Curious/1.0 (of a")
        assert entry["request"]["remote_addr"] == "2001:db8:1234:5678:9abc:def0:1234:5678"


def test_rejected_request_of_a_user_is_logged_completely(manager, logs):
    response = manager.get("/api/tasks/4711/", HTTP_USER_AGENT="Curious/1.0 " * 10)

    (entry,) = logs.of_request("performance", response)
    assert response.status_code == 404
    assert entry["request"]["user_agent"] == "Curious/1.0 " * 10


@pytest.mark.parametrize("host", ["evil.example.com", "_", "a" * 5_000])
def test_invalid_host_is_one_warning_without_a_traceback(send_anonymously, host):
    response, _ = send_anonymously("GET", "/", HTTP_HOST=host)

    (entry,) = send_anonymously.logs.of_request("security", response)
    assert (entry["logger"], entry["level"]) == ("django.security.DisallowedHost", "WARNING")
    assert "exception" not in entry
    assert len(entry["message"]) <= MAX_REJECTION + 3
    assert send_anonymously.logs.of_request("error", response) == []


def test_csrf_failure_is_logged_once_per_file_with_its_reason(send_anonymously):
    response, _ = send_anonymously("POST", "/admin/login/", query="q=1")

    (entry,) = send_anonymously.logs.of_request("security", response)
    assert (entry["message"], entry["reason"]) == ("Permission denied: request refused", "CSRF cookie not set.")
    assert send_anonymously.logs.of_request("error", response) == [entry]
    assert send_anonymously.logs.of_request("info", response) == []


def test_rejected_attack_is_logged_with_its_status(send_anonymously):
    response, _ = send_anonymously("GET", "/api/tasks/")

    (entry,) = send_anonymously.logs.of_request("security", response)
    assert (entry["event"], entry["pattern"], entry["status_code"]) == ("suspicious_pattern", "script_injection", 401)


def test_gunicorn_record_about_an_invalid_request_is_short(logs):
    logging.getLogger("gunicorn.error").warning(f"Invalid request from ip=::1: {LONG}")  # noqa: G004 - as gunicorn does

    assert len(logs.text("info.log").encode()) < 1_000


def test_rejected_request_is_skipped_by_its_full_path(send_anonymously, settings):
    settings.LOG_SKIP_PATHS = ("/accounts/password-reset/confirm/",)

    response, _ = send_anonymously("POST", RESET, query="")

    assert response.status_code == 403
    assert send_anonymously.logs.of_request("performance", response) == []
