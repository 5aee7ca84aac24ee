"""How much a stranger's refused request may write: they send as many as they like."""

import json
import logging

import pytest
from django.test import Client

from backend.logs import throttling
from backend.logs.records import MAX_REFUSAL

LIMIT = 2_048  # bytes in all log files together
LONG = 'ü"\\' * 700
PROBE = "q=<script>"
LOGIN = "/api/auth/login/"
RESET = f"/accounts/password-reset/confirm/{'a' * 500}/{'b' * 500}/"
JSON = json.dumps({"username": "a", "password": "b"})
REFUSED = [  # method, path, body, headers, status
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
def stranger(db, log_to, settings, monkeypatch):
    """Sends what is as long as it may be, from an IPv6 address; returns the response and the bytes in all files."""
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
        answer = browser.generic(method, path, body, content_type="application/json", **long | headers)
        return answer, sum(path.stat().st_size for path in logs.folder.glob("*.log")) - before

    send.logs = logs
    return send


@pytest.mark.parametrize("query", [PROBE, "q=1"], ids=["probe", "plain"])
@pytest.mark.parametrize(("method", "path", "body", "headers", "status"), REFUSED, ids=lambda value: str(value)[:25])
def test_a_refused_request_of_a_stranger_writes_at_most_two_kilobytes(
    stranger, method, path, body, headers, status, query
):
    answer, size = stranger(method, path, body, query=query, **headers)

    assert answer.status_code == status
    threads = 2 * len("ThreadPoolExecutor-0_0")  # gunicorn's have longer names than the one of this test
    assert 0 < size <= LIMIT - threads + 2 * len("MainThread"), stranger.logs.text()


def test_a_throttled_login_writes_at_most_two_kilobytes(stranger):
    statuses = [stranger("POST", LOGIN, JSON, query="")[0].status_code for _ in range(5)]

    answer, size = stranger("POST", LOGIN, JSON, query="")

    assert (statuses, answer.status_code) == ([401] * 5, 429)
    assert size <= LIMIT


def test_a_refused_request_names_its_path_its_client_and_its_user_agent(stranger):
    answer, _ = stranger("GET", "/api/tasks/", query="q=1", HTTP_USER_AGENT="Curious/1.0 (of a stranger, and long)")

    for name in ("security", "performance"):
        (entry,) = stranger.logs.of_request(name, answer)
        assert entry["request"]["path"] == "/api/tasks/"
        assert entry["request"]["user_agent"].startswith("Curious/1.0 (of a")
        assert entry["request"]["remote_addr"] == "2001:db8:1234:5678:9abc:def0:1234:5678"


def test_a_refused_request_of_a_user_is_logged_whole(manager, logs):
    answer = manager.get("/api/tasks/4711/", HTTP_USER_AGENT="Curious/1.0 " * 10)

    (entry,) = logs.of_request("performance", answer)
    assert answer.status_code == 404
    assert entry["request"]["user_agent"] == "Curious/1.0 " * 10


@pytest.mark.parametrize("host", ["evil.example.com", "_", "a" * 5_000])
def test_a_foreign_host_is_one_warning_without_a_traceback(stranger, host):
    answer, _ = stranger("GET", "/", HTTP_HOST=host)

    (entry,) = stranger.logs.of_request("security", answer)
    assert (entry["logger"], entry["level"]) == ("django.security.DisallowedHost", "WARNING")
    assert "exception" not in entry
    assert len(entry["message"]) <= MAX_REFUSAL + 3
    assert stranger.logs.of_request("error", answer) == []


def test_a_csrf_failure_is_logged_once_in_each_file_with_its_reason(stranger):
    answer, _ = stranger("POST", "/admin/login/", query="q=1")

    (entry,) = stranger.logs.of_request("security", answer)
    assert (entry["message"], entry["reason"]) == ("Permission denied: request refused", "CSRF cookie not set.")
    assert stranger.logs.of_request("error", answer) == [entry]
    assert stranger.logs.of_request("info", answer) == []


def test_a_probe_that_is_refused_names_its_status(stranger):
    answer, _ = stranger("GET", "/api/tasks/")

    (entry,) = stranger.logs.of_request("security", answer)
    assert (entry["event"], entry["pattern"], entry["status_code"]) == ("suspicious_pattern", "script_injection", 401)


def test_gunicorns_line_about_a_request_that_it_cannot_read_is_short(logs):
    logging.getLogger("gunicorn.error").warning(f"Invalid request from ip=::1: {LONG}")  # noqa: G004 - as gunicorn does

    assert len(logs.text("info.log").encode()) < 1_000


def test_a_refused_request_is_skipped_by_its_whole_path(stranger, settings):
    settings.LOG_SKIP_PATHS = ("/accounts/password-reset/confirm/",)

    answer, _ = stranger("POST", RESET, query="")

    assert answer.status_code == 403
    assert stranger.logs.of_request("performance", answer) == []
