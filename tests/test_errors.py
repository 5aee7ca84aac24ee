"""Every error under /api/ is a problem (RFC 9457), whichever layer returns it."""

from http import HTTPStatus

import pytest
from django.core.exceptions import PermissionDenied
from django.db import InternalError, OperationalError
from django.test import Client
from psycopg.errors import ReadOnlySqlTransaction

from api.tasks import selectors
from tests import factories

MEMBERS = ["type", "title", "status", "detail", "code", "request_id", "errors"]


@pytest.fixture(params=[False, True], ids=["DEBUG off", "DEBUG on"])
def _debug(settings, request):
    settings.DEBUG = request.param


def problem(response, status: int, code: str) -> dict:
    body = response.json()
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    assert list(body) == MEMBERS
    assert (body["type"], body["title"], body["status"]) == ("about:blank", HTTPStatus(status).phrase, status)
    assert body["code"] == code
    assert isinstance(body["detail"], str)
    assert body["request_id"] == response.headers["X-Request-ID"]
    return body


@pytest.mark.usefixtures("_debug")
def test_client_errors_are_problems(client, manager, staff):
    task = factories.task(assigned_to=staff.user)
    path = f"/api/tasks/{task.pk}/"

    problem(manager.post("/api/tasks/", {}), 400, "validation_error")
    problem(manager.generic("POST", "/api/tasks/", "{", content_type="application/json"), 400, "parse_error")
    problem(client.get("/api/tasks/"), 401, "not_authenticated")
    problem(staff.delete(path), 403, "permission_denied")
    problem(manager.get("/api/tasks/999999/"), 404, "not_found")
    problem(manager.get("/api/nope/"), 404, "not_found")
    problem(manager.get("/api/tasks"), 404, "not_found")
    problem(manager.get("/api/"), 404, "not_found")
    problem(manager.put(path, {}), 405, "method_not_allowed")
    problem(client.put("/api/health/"), 405, "method_not_allowed")
    problem(manager.post(f"{path}claim/"), 409, "already_assigned")
    problem(manager.patch(path, {}, headers={"If-Match": '"9"'}), 412, "stale_version")
    problem(
        manager.generic("POST", "/api/tasks/", "a" * 2**21, content_type="application/json"), 413, "payload_too_large"
    )
    problem(manager.generic("POST", "/api/tasks/", "a", content_type="text/plain"), 415, "unsupported_media_type")


def error_detail(response, field: str) -> str:
    return {error["field"]: error["detail"] for error in response.json()["errors"]}[field]


def test_ordering_error_lists_allowed_fields(manager):
    assert "due_date" in error_detail(manager.get("/api/tasks/?ordering=due"), "ordering")


def test_choice_filter_error_lists_allowed_values(manager):
    expected = '"done" is not a valid choice. Use one of: pending, in_progress, completed, canceled.'

    assert error_detail(manager.get("/api/tasks/?status=pending&status=done"), "status") == expected


def test_choice_field_error_lists_allowed_values_when_input_is_huge(manager):
    response = manager.post("/api/tasks/", factories.task_body(priority="a" * 10_000))

    assert error_detail(response, "priority").endswith("Use one of: low, medium, high, urgent.")


def test_unknown_parameter_error_lists_allowed_parameters(manager):
    assert "page_size" in error_detail(manager.get("/api/notifications/?size=5"), "size")


def test_read_only_status_error_names_status_endpoint(manager):
    response = manager.patch(f"/api/tasks/{factories.task().pk}/", {"status": "completed"})

    assert "POST /api/tasks/{id}/status/" in error_detail(response, "status")


@pytest.mark.parametrize(("path", "has_hint"), [("/api/tasks", True), ("/api/nope", False), ("/api/nope/", False)])
def test_not_found_suggests_trailing_slash_when_such_url_exists(client, path, has_hint):
    assert ("slash at the end" in problem(client.get(path), 404, "not_found")["detail"]) == has_hint


ACCEPTS = ("text/html", "application/xml", "text/plain;q=0.5", "image/*", "/", ",", "text", "", "a" * 7_000)


@pytest.mark.parametrize("accept", [*ACCEPTS, None])
def test_api_returns_json_for_any_accept_header(manager, accept):
    task = factories.task()
    headers = {} if accept is None else {"Accept": accept}

    for path, status, content_type in (
        ("/api/tasks/", 200, "application/json"),
        (f"/api/tasks/{task.pk}/", 200, "application/json"),
        ("/api/auth/me/", 200, "application/json"),
        ("/api/tasks/999999/", 404, "application/problem+json"),
    ):
        response = manager.get(path, headers=headers)
        assert (response.status_code, response.headers["Content-Type"]) == (status, content_type), path
        response.json()


def test_schema_is_yaml_only_when_accepted(manager):
    def content_type(accept: str) -> str:
        response = manager.get("/api/schema/", headers={"Accept": accept})
        assert response.status_code == 200
        return response.headers["Content-Type"].partition(";")[0]

    assert content_type("application/vnd.oai.openapi") == "application/vnd.oai.openapi"
    assert {content_type(accept) for accept in ACCEPTS} == {"application/json"}


def test_401_names_authentication_scheme(client, db):
    wrong = client.post("/api/auth/login/", {"username": "a", "password": "b"})
    client.credentials(HTTP_AUTHORIZATION="Bearer nonsense")

    for response in (wrong, client.get("/api/tasks/")):
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="api"'


def test_405_lists_allowed_methods(manager):
    for method in ("put", "options"):
        response = getattr(manager, method)(f"/api/tasks/{factories.task().pk}/")
        assert response.status_code == 405
        assert response.headers["Allow"] == "GET, HEAD, PATCH, DELETE"


@pytest.mark.usefixtures("_debug")
@pytest.mark.parametrize("path", ["/api/tasks/", "/api/tasks/summary/"])
def test_server_error_hides_internals(manager, monkeypatch, path):
    manager.raise_request_exception = False
    monkeypatch.setattr(selectors.rules, "rows", lambda *_: 1 / 0)

    response = manager.get(path)

    body = problem(response, 500, "server_error")
    assert "division" not in str(body)


@pytest.mark.usefixtures("_debug")
def test_unreachable_database_returns_503(manager, monkeypatch):
    def fail(*_):
        raise OperationalError("could not connect to server: secret-host")

    monkeypatch.setattr(selectors.rules, "rows", fail)

    response = manager.get("/api/tasks/")

    body = problem(response, 503, "service_unavailable")
    assert response.headers["Retry-After"] == "5"
    assert "secret-host" not in str(body)


def test_read_only_database_returns_503_with_reason(manager, monkeypatch):
    def deny(*_):
        raise InternalError("cannot execute INSERT") from ReadOnlySqlTransaction("cannot execute INSERT")

    monkeypatch.setattr(selectors.rules, "rows", deny)

    response = manager.get("/api/tasks/")

    assert "can only be read" in problem(response, 503, "service_unavailable")["detail"]
    assert response.headers["Retry-After"] == "5"


def test_outage_is_logged_with_cause_and_sends_no_email(manager, monkeypatch, settings, mailoutbox, caplog):
    settings.ADMINS = [("Tech", "tech@example.com")]

    def fail(*_):
        raise OperationalError("could not connect to server: secret-host")

    monkeypatch.setattr(selectors.rules, "rows", fail)

    for _ in range(3):
        manager.get("/api/tasks/")

    assert caplog.text.count("OperationalError: could not connect") == 3
    assert mailoutbox == []


@pytest.mark.parametrize("path", ["/admin/", "/manager/"])
def test_page_returns_503_with_retry_after_when_database_is_unreachable(root, monkeypatch, logs, path):
    def fail(*_, **__):
        raise OperationalError("could not connect to server: secret-host")

    root.raise_request_exception = False
    monkeypatch.setattr("api.accounts.browser_sessions._is_open", fail)

    response = root.get(path)

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert response.headers["Cache-Control"] == "no-store"
    assert b"Cosmo cannot reach its database" in response.content
    assert b"secret-host" not in response.content
    assert len(logs.entries("error", event="database_unavailable")) == 1
    assert logs.entries("error", event="unhandled_exception") == []


def test_denial_returns_503_when_it_cannot_be_audited(staff, monkeypatch):
    def fail(*_, **__):
        raise OperationalError("could not connect")

    monkeypatch.setattr("api.rest.problem_handler.record", fail)

    problem(staff.post("/api/properties/", {}), 503, "service_unavailable")


def test_django_permission_denied_is_problem(manager, monkeypatch):
    def deny(*_):
        raise PermissionDenied("inside")

    monkeypatch.setattr(selectors.rules, "rows", deny)

    assert "inside" not in str(problem(manager.get("/api/tasks/"), 403, "permission_denied"))


def test_browser_session_requires_csrf_token(db):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(factories.user(role="manager"))

    assert browser.get("/api/tasks/").status_code == 200
    response = browser.post("/api/properties/", {"name": "A", "address": "B"}, content_type="application/json")
    assert "CSRF" in problem(response, 403, "permission_denied")["detail"]


def test_logout_everywhere_ends_browser_session(db):
    browser = Client()
    browser.force_login(factories.user(role="manager"))

    assert browser.get("/api/auth/me/").status_code == 200
    assert browser.post("/api/auth/logout-all/", content_type="application/json").status_code == 204
    assert browser.get("/api/auth/me/").status_code == 401


@pytest.mark.parametrize("host", ["evil.example.com", "a b", "127.0.0.1:8000:1"])
def test_unknown_host_is_problem(client, db, host):
    problem(client.get("/api/tasks/", headers={"Host": host}), 400, "bad_request")


@pytest.mark.parametrize(
    ("incoming", "kept"),
    [
        ("abcd1234", True),
        ("A.b_c-9" * 18 + "xy", True),
        ("short", False),
        ("a" * 129, False),
        ("with blank 1", False),
        ("new\nline-1234", False),
        ("ünicode-1234", False),
        ("<script>alert", False),
    ],
)
def test_request_id_is_kept_when_well_formed(client, incoming, kept):
    responses = [client.get("/api/nope/", headers={"X-Request-ID": incoming}) for _ in range(2)]

    ids = {response.headers["X-Request-ID"] for response in responses}
    assert (ids == {incoming}) == kept
    if not kept:
        assert len(ids) == 2
        assert all(len(id_) == 32 for id_ in ids)


def test_api_responses_are_not_cached(manager):
    for path in ("/api/tasks/", "/api/auth/me/", "/api/health/", "/api/schema/"):
        assert manager.get(path).headers["Cache-Control"] == "no-store"


def test_cors_allows_configured_origins_only(client, db, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
    preflight = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,idempotency-key",
    }

    allowed = client.options("/api/tasks/", headers={"Origin": "https://app.example.com"} | preflight)
    other = client.options("/api/tasks/", headers={"Origin": "https://evil.example.com"} | preflight)
    without_preflight = client.get("/api/tasks/", headers={"Origin": "https://app.example.com"})

    assert (allowed.status_code, allowed.headers["Access-Control-Allow-Origin"]) == (200, "https://app.example.com")
    assert "idempotency-key" in allowed.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Origin" not in other.headers
    assert without_preflight.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "X-Request-ID" in without_preflight.headers["Access-Control-Expose-Headers"]
