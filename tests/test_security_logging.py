"""Security headers, security events and their throttle, and the files of each logger."""

import logging

import pytest
from django.test import Client

from backend.logs import throttling
from tests import factories

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-XSS-Protection": "1; mode=block",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@pytest.fixture
def browser(db, settings, logs, monkeypatch):
    settings.ROOT_URLCONF = "tests.failing_urls"
    monkeypatch.setattr("backend.logs.throttling.event_throttle", throttling.EventThrottle())
    return Client(raise_request_exception=False)


def security(logs, response, event) -> list[dict]:
    return [entry for entry in logs.of_request("security", response) if entry.get("event") == event]


@pytest.mark.parametrize("path", ["/api/health/", "/api/tasks/", "/api/nowhere/", "/nowhere/", "/odd/fail/", "/"])
def test_responses_have_security_headers(browser, path):
    response = browser.get(path)

    assert HEADERS.items() <= dict(response.headers).items()
    assert "camera=()" in response.headers["Permissions-Policy"]
    policy = response.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


def test_headers_set_by_a_view_are_kept(browser):
    response = browser.get("/odd/own-headers/")

    assert response.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert response.headers["Content-Security-Policy"] == "sandbox"


def test_hsts_is_sent_over_https(browser, settings):
    settings.SECURE_HSTS_SECONDS = 3600

    assert "Strict-Transport-Security" not in browser.get("/api/health/").headers
    response = browser.get("/api/health/", secure=True)
    assert response.headers["Strict-Transport-Security"].startswith("max-age=3600")


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/static/../../etc/passwd", "path_traversal"),
        ("/static/%2e%2e%2fsecret", "path_traversal"),
        ("/static/%252e%252e%252fsecret", "path_traversal"),
        ("/.env", "dotfile"),
        ("/api/.git/config", "dotfile"),
        ("/api/tasks/?search=%3Cscript%3Ealert(1)%3C/script%3E", "script_injection"),
        ("/api/tasks/?search=x%22+onerror%3Dalert(1)", "script_injection"),
        ("/api/tasks/?search=1'+OR+'1'='1", "sql_injection"),
        ("/api/tasks/?search=1+UNION+ALL+SELECT+password", "sql_injection"),
        ("/api/tasks/?page=1;DROP+TABLE+api_user", "sql_injection"),
        ("/wp-login.php", "code_injection"),
        ("/api/tasks/?search=${jndi:ldap://x}", "code_injection"),
    ],
)
def test_attack_is_logged_with_pattern_route_and_client_ip(browser, logs, path, pattern):
    response = browser.get(path)

    (entry,) = security(logs, response, "suspicious_pattern")
    assert (entry["level"], entry["message"], entry["pattern"]) == ("WARNING", "Suspicious request", pattern)
    assert entry["security"]["category"] == "potential_attack"
    assert entry["ip_address"] == "127.0.0.1"
    assert "route" in entry["request"]


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/security.txt",
        "/api/tasks/?search=O'Brien+or+somebody",
        "/api/tasks/?search=select+union+members",
        "/api/tasks/?search=script",
        "/api/tasks/?search=a..b",
        "/api/tasks/?ordering=-due_date,title&status=pending&status=completed",
    ],
)
def test_ordinary_requests_are_not_suspicious(browser, logs, path):
    assert security(logs, browser.get(path), "suspicious_pattern") == []


def test_event_throttle_logs_sixty_events_and_counts_the_rest(browser, logs, monkeypatch):
    now = 1000.0
    monkeypatch.setattr("backend.logs.throttling.time.monotonic", lambda: now)
    for _ in range(100):
        browser.get("/api/tasks/")
    assert len(logs.entries("security", event="authentication_required")) == 60

    now += 61
    browser.get("/api/health/")  # any request logs the summaries of finished windows

    *_, summary = logs.entries("security", event="authentication_required")
    assert len(logs.entries("security", event="authentication_required")) == 61
    assert (summary["summarized_count"], summary["message"]) == (40, "Authentication required")
    assert (summary["route"], summary["ip_address"]) == ("api/tasks/", "127.0.0.1")
    assert len(logs.entries("performance", status_code=401)) == 100


def test_event_throttle_counts_client_ips_and_routes_apart(browser, logs):
    for number in range(70):
        browser.get("/api/tasks/", REMOTE_ADDR="192.0.2.1")
        browser.get("/api/tasks/" if number else "/api/users/", REMOTE_ADDR="192.0.2.2")

    assert len(logs.entries("security", event="authentication_required")) == 60 + 1 + 60


def test_denials_are_not_throttled(staff, logs, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(70):
            staff.post("/api/properties/", {"name": "A", "address": "B"})

    assert len(logs.entries("security", event="permission_denied")) == 70


LEVELS = [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL]


@pytest.mark.parametrize(
    ("logger", "files"),
    [
        ("api", {"info": 20, "error": 40}),
        ("api.admin", {"info": 20, "error": 40}),
        ("api.tasks.services", {"info": 20, "error": 40}),
        ("django.request", {"info": 20, "error": 40}),
        ("some.library", {"info": 20, "error": 40}),
        ("apiary", {"info": 20, "error": 40}),
        ("api.security", {"security": 20, "error": 40}),
        ("django.security.DisallowedHost", {"security": 20, "error": 40}),
        ("api.performance", {"performance": 20, "error": 40}),
        ("api.digest", {"digest": 20, "digest_err": 40, "error": 40}),
    ],
)
@pytest.mark.parametrize("debug", [False, True], ids=["DEBUG off", "DEBUG on"])
def test_loggers_write_to_their_files(log_to, logger, files, debug):
    logs = log_to(debug=debug, level="DEBUG")
    logging.getLogger(logger).setLevel(logging.NOTSET)

    for level in LEVELS:
        logging.getLogger(logger).log(level, "Something happened")

    expected = {f"{name}.log": [level for level in LEVELS if level >= lowest] for name, lowest in files.items()}
    if debug:
        expected["debug.log"] = [20, 30, 40, 50] if logger.startswith("django.") else LEVELS
    files_of_record = {
        path.name: [logging.getLevelName(entry["level"]) for entry in logs.entries(path.stem)]
        for path in logs.folder.glob("*.log")
        if path.stat().st_size
    }
    assert files_of_record == expected
    assert (logs.folder / "debug.log").exists() is debug


def test_application_security_events_are_in_two_files(logs):
    for name in ("api", "api.admin", "some.library"):
        logging.getLogger(name).info("Something happened", extra={"security_event": "login_success"})

    assert [entry["logger"] for entry in logs.entries("security")] == ["api", "api.admin"]
    assert [entry["logger"] for entry in logs.entries("info")] == ["api", "api.admin", "some.library"]


def test_denials_of_all_loggers_are_in_error_log(logs):
    logging.getLogger("api.admin").warning("Permission denied: Manager attempted direct password change")
    logging.getLogger("api").warning("Something else")

    assert [entry["logger"] for entry in logs.entries("error")] == ["api.admin"]


@pytest.mark.parametrize(("level", "messages"), [("DEBUG", 3), ("INFO", 2), ("WARNING", 1)])
def test_log_level_selects_records(log_to, capsys, level, messages):
    log_to(level=level)

    for number in (logging.DEBUG, logging.INFO, logging.WARNING):
        logging.getLogger("api").log(number, "Something happened")

    assert capsys.readouterr().err.count("Something happened") == messages


def test_console_writes_text_in_development(log_to, manager, capsys):
    log_to(console="text")
    factories.task()

    manager.get("/api/tasks/")
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logging.getLogger("api").exception("It broke", extra={"note": "a\nb\x1b[31m"})

    request, error, *traceback = capsys.readouterr().err.splitlines()
    assert "api.performance Request completed GET /api/tasks/ 200" in request
    assert f"3 queries user {manager.user.pk}" in request
    assert "ERROR   api It broke note=a?b?[31m" in error
    assert traceback[-1].strip() == "ZeroDivisionError: division by zero"
