"""performance.log has one line per request, written when the response is closed, without loading the session."""

import logging

import pytest
from django.test import Client

from backend.telemetry.memory import MemoryGrowthDetector
from tests import factories


@pytest.fixture
def browser(db, settings, logs):
    settings.ROOT_URLCONF = "tests.failing_urls"
    return Client(raise_request_exception=False)


def line_of(logs, response) -> dict:
    (entry,) = logs.of_request("performance", response)
    return entry


def test_request_line_has_the_request_and_its_costs(manager, logs):
    factories.task()

    response = manager.get("/api/tasks/?page_size=5")

    entry = line_of(logs, response)
    assert (entry["level"], entry["event"], entry["message"]) == ("INFO", "request", "Request completed")
    assert entry["request"] == {
        "id": response.headers["X-Request-ID"],
        "method": "GET",
        "path": "/api/tasks/",
        "route": "api/tasks/",
        "user_id": manager.user.pk,
        "user_agent": "",
        "remote_addr": "127.0.0.1",
    }
    assert (entry["status_code"], entry["bytes"]) == (200, len(response.content))
    assert entry["database"]["queries_count"] == 3
    assert entry["database"]["slow_queries"] == []
    assert set(entry["memory"]) == {"usage_mb", "growth_mb"}


def test_stream_is_logged_at_its_end_with_all_bytes_and_queries(browser, logs):
    response = browser.get("/odd/stream/")
    assert logs.of_request("performance", response) == []

    assert b"".join(response.streaming_content) == b"12345" * 3

    entry = line_of(logs, response)
    assert (entry["bytes"], entry["database"]["queries_count"]) == (15, 3)


def test_stream_is_logged_when_the_client_disconnects(browser, logs):
    response = browser.get("/odd/stream/")
    next(iter(response.streaming_content))

    response.close()

    assert line_of(logs, response)["bytes"] == 5
    response.close()
    assert len(logs.of_request("performance", response)) == 1


def test_request_is_a_warning_from_the_threshold_on(browser, logs, settings):
    settings.SLOW_REQUEST_THRESHOLD = 40

    slow, fast = browser.get("/odd/slow/"), browser.get("/odd/own-headers/")

    entry = line_of(logs, slow)
    assert (entry["level"], entry["message"]) == ("WARNING", "Slow request detected")
    assert entry["performance"]["duration_ms"] >= 40
    assert entry["performance"]["category"] == "slow"
    assert line_of(logs, fast)["level"] == "INFO"


def test_slow_query_is_logged_with_sql_and_location_without_parameters(browser, logs, settings):
    settings.SLOW_QUERY_THRESHOLD = 5

    entry = line_of(logs, browser.get("/odd/slow-query/"))

    assert entry["performance"]["slow_query"] is True
    (query,) = entry["database"]["slow_queries"]
    assert query["duration_ms"] >= 5
    assert "%s" in query["sql"]
    assert "300000" not in str(entry)


def test_slow_query_names_the_location_in_our_code(manager, logs, settings):
    settings.SLOW_QUERY_THRESHOLD = 0

    database = line_of(logs, manager.get("/api/tasks/"))["database"]

    queries = database["slow_queries"]
    assert len(queries) == database["queries_count"] == 3
    assert all(query["at"].startswith("api/") for query in queries)
    assert any("api/tasks/" in query["at"] for query in queries)


def test_ten_equal_queries_are_a_likely_n_plus_one(browser, logs):
    entry = line_of(logs, browser.get("/odd/n-plus-one/"))

    assert entry["database"]["queries_count"] == 12
    (repeated,) = entry["database"]["likely_n_plus_one"]
    assert repeated["count"] == 12
    assert "api_user" in repeated["sql"]


def test_request_log_names_the_user_only_if_the_session_was_read(browser, logs):
    person = factories.user(role="manager")
    browser.force_login(person)

    untouched, touched = browser.get("/odd/own-headers/"), browser.get("/api/auth/me/")

    assert "Cookie" not in untouched.headers.get("Vary", "")
    assert line_of(logs, untouched)["database"]["queries_count"] == 0
    assert line_of(logs, untouched)["request"]["user_id"] is None
    assert line_of(logs, touched)["request"]["user_id"] == person.pk


def test_request_log_does_not_read_the_body(browser):
    response = browser.post("/odd/unread/", b"x" * 1000, content_type="text/plain")

    assert response.status_code == 403 or response.content == b"False"


def test_health_requests_are_logged_unless_their_path_is_skipped(browser, logs, settings):
    written = browser.get("/api/health/")
    settings.LOG_SKIP_PATHS = ("/api/health/", "/static/")
    skipped, other = browser.get("/api/health/"), browser.get("/api/tasks/")

    assert line_of(logs, written)["status_code"] == 200
    assert logs.of_request("performance", skipped) == []
    assert line_of(logs, other)["status_code"] == 401


TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("header", "is_taken"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", True),
        (f"cc-{TRACE}-b7ad6b7169203331-01-what-the-future-will-be-like", True),
        (f"ff-{TRACE}-b7ad6b7169203331-01", False),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-b7ad6b7169203331-01", False),
        ("nonsense", False),
    ],
)
def test_trace_continues_when_its_parent_is_well_formed(browser, logs, header, is_taken):
    entry = line_of(logs, browser.get("/api/health/", headers={"traceparent": header}))

    assert len(entry["trace_id"]) == 32
    assert (entry["trace_id"] == TRACE) is is_taken


def test_records_after_a_request_do_not_belong_to_it(browser, logs):
    browser.get("/api/health/")

    logging.getLogger("api").info("Later")

    assert "request" not in logs.entry("info", message="Later")


def test_memory_growth_is_logged_once_until_memory_falls(browser, logs, settings, monkeypatch):
    monkeypatch.setattr("backend.telemetry.memory.memory_growth", MemoryGrowthDetector())
    settings.MEMORY_GROWTH_THRESHOLD = 50
    for used in (100, 149, 150, 170, 120, 151):
        monkeypatch.setattr("backend.telemetry.memory.resident_mb", lambda used=used: float(used))
        browser.get("/api/health/live/")

    warnings = logs.entries("performance", event="memory_growth")

    assert [entry["memory"]["usage_mb"] for entry in warnings] == [150.0, 151.0]
    assert {entry["level"] for entry in warnings} == {"WARNING"}


def test_memory_growth_at_the_threshold_is_logged_once_until_memory_falls_clearly(browser, logs, settings, monkeypatch):
    monkeypatch.setattr("backend.telemetry.memory.memory_growth", MemoryGrowthDetector())
    settings.MEMORY_GROWTH_THRESHOLD = 50
    for used in (100, 151, 149, 150, 146, 152, 144, 153):
        monkeypatch.setattr("backend.telemetry.memory.resident_mb", lambda used=used: float(used))
        browser.get("/api/health/live/")

    warnings = logs.entries("performance", event="memory_growth")

    assert [entry["memory"]["usage_mb"] for entry in warnings] == [151.0, 153.0]
