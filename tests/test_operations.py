"""The operations page and the log page of both sites: contents and access."""

import html
import logging
import re
from pathlib import Path

import pytest
from django.test import Client
from django.urls import get_resolver

from api.models import AuditEntry
from api.operations import error_groups, request_stats, service_status
from api.operations.source_locations import view_location
from tests import factories
from tests.admin_sites import ADMIN, MANAGER, browser_of
from tests.conftest import client_of
from tests.live.server import PROJECT

SITES = [ADMIN, MANAGER]
# Audit events are logged when their transaction commits.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("nothing_leaves")]


@pytest.fixture
def logs(logs, settings):
    """Let the pages read the log files of this test."""
    settings.LOGS_DIR = logs.folder
    return logs


def text_of(page) -> str:
    """Return the visible text of a page."""
    without_style = re.sub(r"<(script|style).*?</\1>", "", page.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", without_style)))


def open_page(browser: Client, site: str, status: int = 200, **query) -> str:
    path = f"{site}/operations/logs/" if query else f"{site}/operations/"
    page = browser.get(path, query)
    assert page.status_code == status
    return text_of(page)


def records_of(page) -> list[str]:
    """Return the messages of the records on a log page."""
    return [text.strip() for text in re.findall(r'<span class="ops-message">([^<]*)', page.content.decode())]


def fail(client, monkeypatch) -> None:
    """Send a request whose view raises an exception."""
    with monkeypatch.context() as patch:
        patch.setattr("api.tasks.views.visible_tasks", lambda *_, **__: {}["broken"])
        client.raise_request_exception = False
        assert client.get("/api/tasks/").status_code == 500


def test_page_shows_statistics_of_last_hour(logs, browsers, manager, monkeypatch):
    for _ in range(3):
        manager.get("/api/properties/")
    fail(manager, monkeypatch)

    page = open_page(browsers[MANAGER], MANAGER)

    assert "Requests per minute 4" in page
    assert "Errors per minute 1" in page
    assert "The service is up. 1 request in the last hour failed." in page
    assert re.search(r"GET /api/properties/ p95 \d+ ms 3 requests, slowest \d+ ms, \d+\.0 queries per request", page)
    assert "api/properties/views.py:" in page
    assert "PropertyViewSet.list" in page


def test_error_group_links_to_its_records(logs, browsers, manager, monkeypatch):
    for _ in range(3):
        fail(manager, monkeypatch)
    logging.getLogger("api").error("Something else")

    page = browsers[MANAGER].get(f"{MANAGER}/operations/")

    assert re.search(r"KeyError 3 ×, last .*? api/tasks/\w+\.py:\d+ \w+", text_of(page))
    assert "Something else 1 ×" in text_of(page)
    links = re.findall(r'href="([^"]*file=error[^"]*)"', page.content.decode())
    messages = [records_of(browsers[MANAGER].get(html.unescape(link))) for link in links]
    assert sorted(messages, key=len) == [["Something else"], ["Unhandled exception"] * 3]


def test_slow_query_is_shown_with_source_location(logs, browsers, manager, settings):
    settings.SLOW_QUERY_THRESHOLD = 0
    manager.get("/api/tasks/summary/")

    # Redaction can take a location such as sessions.py:65 for a secret.
    assert re.search(r"slow query, \d+ ms at (api|backend)/[\w/]+\.py:\S+ \w+", open_page(browsers[MANAGER], MANAGER))


def test_page_shows_security_events_without_routine_events(logs, browsers, client):
    factories.user(username="ada", role="staff")
    client.post("/api/auth/login/", {"username": "ada", "password": "wrong"}, REMOTE_ADDR="192.0.2.9")

    page = open_page(browsers[MANAGER], MANAGER)

    assert re.search(r"Failed login attempt · user \d+ · 192\.0\.2\.9 · request", page)
    assert "Admin access" not in page


@pytest.mark.parametrize("site", SITES)
def test_page_is_shown_without_log_files(tmp_path, settings, browsers, site):
    settings.LOGS_DIR = tmp_path / "not-there"

    page = open_page(browsers[site], site)

    assert "No requests yet." in page
    assert "All systems work." in page
    assert "No matching records." in open_page(browsers[site], site, level="ERROR")


def test_page_states_its_range_when_truncated(logs, browsers, manager, monkeypatch):
    manager.get("/api/tasks/")
    path = logs.folder / "performance.log"
    (line,) = path.read_text().splitlines()
    at = re.search(r'"timestamp":"([^"]*)"', line)[1]
    past = [line.replace(at, f"{at[:11]}{at[11:13]}:{at[14:16]}:00.{number:06d}Z") for number in range(2_000)]
    older = [entry.replace(at[:16], _minutes_before(at, 30)) for entry in past]
    path.write_text("\n".join([*older, line]) + "\n")

    monkeypatch.setattr(request_stats, "SECONDS", 60)  # the byte limit is tested here
    assert "Covers the last" not in open_page(browsers[MANAGER], MANAGER)
    monkeypatch.setattr(request_stats, "MAX_BYTES", 100_000)
    assert re.search(r"Covers the last (29|30) minutes : the log has more lines", open_page(browsers[MANAGER], MANAGER))


def _minutes_before(timestamp: str, minutes: int) -> str:
    from datetime import datetime, timedelta

    return f"{datetime.fromisoformat(timestamp) - timedelta(minutes=minutes):%Y-%m-%dT%H:%M}"


def test_failures_are_shown_first(logs, browsers, monkeypatch):
    broken = {"healthy": False, "duration_ms": 2000}
    monkeypatch.setattr(
        service_status,
        "checks",
        lambda: {"database": broken, "cache": broken, "filesystem": broken | {"disk_free_percent": 1.5}},
    )
    monkeypatch.setattr(
        service_status, "logs", lambda: {"info.log": {"dropped": 3, "last_error": "No space left on device"}}
    )

    page = open_page(browsers[MANAGER], MANAGER)

    assert "Database: does not respond. Cache: does not work. Log disk: 1.5 % free." in page
    assert "Log files: info.log: No space left on device." in page
    assert "All systems work" not in page


def test_request_link_shows_records_of_all_files_oldest_first(logs, browsers, manager):
    task = factories.task()
    manager.delete(f"/api/tasks/{task.pk}/")
    browser = browsers[MANAGER]
    page = browser.get(f"{MANAGER}/operations/logs/?text=task_deleted").content.decode()
    (link,) = set(re.findall(r'href="(\?request_id=[^"]*)"', page))

    page = browser.get(f"{MANAGER}/operations/logs/{html.unescape(link)}")

    assert records_of(page) == ["Task deleted", "Request completed"]


@pytest.mark.parametrize("site", SITES)
def test_older_pages_reach_first_record(logs, browsers, site):
    for number in range(120):
        logging.getLogger("api").info("Counted", extra={"number": number})
    numbers, path = [], f"{site}/operations/logs/?event=&text=Counted"
    while path:
        page = browsers[site].get(path)
        numbers += re.findall(r"<dt>number</dt><dd>(\d+)</dd>", page.content.decode())
        older = re.search(r'href="([^"]*)" rel="next"', page.content.decode())
        path = f"{site}/operations/logs/{html.unescape(older[1])}" if older else ""

    assert numbers == [str(number) for number in range(119, -1, -1)]


def test_hostile_log_lines_are_escaped(logs, browsers):
    hostile = "<script>alert(1)</script>\x1b[2J\u202e'\"&"
    try:
        raise ValueError(hostile)
    except ValueError:
        logging.getLogger("api").exception("<b>bold</b>", extra={hostile: hostile, "onclick": [hostile] * 3})

    for path in ("operations/", "operations/logs/?level=ERROR"):
        page = browsers[ADMIN].get(f"{ADMIN}/{path}").content.decode()
        assert "<script>alert" not in page
        assert "<b>bold" not in page
        assert not set("\x1b\u202e") & set(page)
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert page.count("&lt;script&gt;alert(1)") > 2


@pytest.mark.parametrize(
    "query",
    [
        {"user": "ada"},
        {"user": "9" * 40},
        {"level": "LOUD"},
        {"file": "../../etc/passwd"},
        {"logger": "api security"},
        {"request_id": "x"},
        {"text": "x" * 201},
        {"after": "yesterday"},
        {"before": "0001-01-01T00:00:00"},
        {"after": "9999-12-31T23:59:59"},
        {"older": "first"},
        {"older": "2026-05-31T12:00:00.000000Z~-1"},
    ],
)
def test_invalid_search_returns_400_with_message(logs, browsers, query):
    page = open_page(browsers[ADMIN], ADMIN, status=400, **query)

    assert "Correct the marked fields" in page
    assert not AuditEntry.objects.filter(event="logs_read").exists()


@pytest.mark.parametrize("older", ["9999-99-99T99:99:99.000000Z", "0000-00-00T00:00:00Z~999999999"])
def test_forged_cursor_causes_no_error(logs, browsers, older):
    logging.getLogger("api").info("Here")

    open_page(browsers[ADMIN], ADMIN, older=older)


def test_search_is_audited_without_secrets(logs, root):
    root.get(f"{ADMIN}/operations/logs/")
    root.get(f"{ADMIN}/operations/")
    assert not AuditEntry.objects.filter(event="logs_read").exists()

    root.get(f"{ADMIN}/operations/logs/", {"file": "security", "user": "7", "text": "password=hunter2hunter2"})

    entry = AuditEntry.objects.get(event="logs_read")
    assert entry.actor_id == root.user.pk
    assert entry.detail == "file=security user=7 text=password=[redacted]"
    line = logs.entry("security", event="logs_read")
    assert line["user_id"] == root.user.pk
    assert line["detail"].startswith(entry.detail)
    assert line["security"]["category"] == "privileged_access"
    assert "hunter2" not in logs.text()


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("path", ["operations/", "operations/logs/"])
def test_users_without_permission_are_denied_and_audited(db, site, path):
    staff = browser_of(factories.user(role="staff"))

    assert staff.get(f"{site}/{path}").status_code == 403
    assert AuditEntry.objects.get(event="permission_denied").detail == path.strip("/").replace("/", "_")
    assert "/login/?next=" in Client().get(f"{site}/{path}").headers["Location"]


@pytest.mark.parametrize("site", SITES)
def test_start_page_links_to_operations_page_and_post_returns_405(browsers, site):
    assert f'href="{site}/operations/"' in browsers[site].get(f"{site}/").content.decode()
    assert browsers[site].post(f"{site}/operations/logs/").status_code == 405


@pytest.fixture
def superuser_records(logs, browsers, monkeypatch) -> dict[str, str]:
    """Log requests of and about superusers and failed admin logins. Return search criteria that find them."""
    superuser_client = client_of(factories.user(username="chief", role="superuser"))
    erased = factories.user(username="erased", role="superuser")
    task = factories.task()
    superuser_client.get("/api/tasks/", headers={"X-Request-ID": "request-of-chief"})
    superuser_client.delete(f"/api/tasks/{task.pk}/")
    fail(superuser_client, monkeypatch)
    client = Client()
    client.post("/api/auth/login/", {"username": "chief", "password": "wrong"}, content_type="application/json")
    client.post("/admin/login/", {"username": "nobody", "password": "wrong"})
    logging.getLogger("api").info("About the superuser", extra={"target_user_id": superuser_client.user.pk})
    logging.getLogger("api").error("About an erased superuser", extra={"user_id": erased.pk})
    logging.getLogger("api").info("As text", extra={"user_id": str(superuser_client.user.pk)})
    erased.delete()
    logging.getLogger("api").info("Harmless")
    return {"user": str(superuser_client.user.pk), "request_id": "request-of-chief", "text": "about the superuser"}


def test_superuser_sees_records_of_superusers(superuser_records, root):
    page = open_page(root, ADMIN)

    assert "About an erased superuser" in page
    assert "Failed login attempt" in page
    for name, value in superuser_records.items():
        assert records_of(root.get(f"{ADMIN}/operations/logs/", {name: value}))


@pytest.mark.parametrize("site", SITES)
def test_manager_site_hides_records_of_superusers(superuser_records, browsers, site):
    browser = browsers[site]  # a superuser is a manager there

    page = browser.get(f"{MANAGER}/operations/")
    text = text_of(page)

    assert "Errors per minute 0" in text
    assert "Requests per minute 1" in text
    assert "GET /api/tasks/" not in text
    assert "Errors in the last day None." in text
    assert "Failed login attempt" not in text
    assert "Form validation failed" not in text
    for name, value in superuser_records.items():
        assert records_of(browser.get(f"{MANAGER}/operations/logs/", {name: value})) == []
    visible = records_of(browser.get(f"{MANAGER}/operations/logs/", {"file": "info"}))
    assert visible == ["Harmless", "User login successful"]


def test_records_of_former_superuser_stay_hidden_from_managers(logs, browsers, superuser):
    superuser_client = client_of(factories.user(username="chief", role="superuser"))
    path = f"/api/users/{superuser_client.user.pk}/"
    superuser_client.get("/api/tasks/", headers={"X-Request-ID": "request-of-chief"})
    logging.getLogger("api").info("About them", extra={"target_user_id": superuser_client.user.pk})

    superuser.patch(path, {"role": "manager"})
    logging.getLogger("api").info("About a manager", extra={"target_user_id": superuser_client.user.pk})

    messages = records_of(browsers[MANAGER].get(f"{MANAGER}/operations/logs/", {"user": str(superuser_client.user.pk)}))
    assert messages == ["About a manager"]
    assert (
        len(records_of(browsers[ADMIN].get(f"{ADMIN}/operations/logs/", {"user": str(superuser_client.user.pk)}))) >= 3
    )


def test_every_route_has_source_location():
    from api.operations import source_locations

    get_resolver()
    locations = {route: view_location("GET", route) for route in source_locations._views()}

    assert len(locations) > 100
    assert [route for route, location in locations.items() if not location] == []
    own_locations = [location for location in locations.values() if location.startswith(("api/", "backend/"))]
    assert len(own_locations) > 60
    for location in own_locations:
        path, _, line = location.partition(" ")[0].partition(":")
        code = Path(PROJECT / path).read_text().splitlines()[int(line) - 1]
        assert code.lstrip().startswith(("def ", "class ", "@", "async "))
    assert view_location("DELETE", "api/tasks/<id:pk>/").endswith("TaskViewSet.destroy")
    assert view_location("GET", "nowhere/") == ""


def test_error_groups_stop_at_byte_limit(logs, browsers, monkeypatch):
    for number in range(400):
        logging.getLogger("api").error("Broken", extra={"filling": f"{number} " * 1_000})
    monkeypatch.setattr(error_groups, "MAX_BYTES", 0)
    path = logs.folder / "error.log"
    lines = path.read_text().splitlines()
    at = re.search(r'"timestamp":"([^"]*)"', lines[0])[1]
    lines[:300] = [
        re.sub(r'"timestamp":"[^"]{16}', f'"timestamp":"{_minutes_before(at, 60)}', line) for line in lines[:300]
    ]
    path.write_text("\n".join(lines) + "\n")

    page = open_page(browsers[ADMIN], ADMIN)

    assert "Covers the time since" in page
    assert 100 <= int(re.search(r"Broken (\d+) ×", page)[1]) < 400
