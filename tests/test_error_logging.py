"""Each error is logged once. API clients get a problem document, and browsers a page with the request id."""

import pytest
from django.test import Client


@pytest.fixture
def browser(db, settings, logs):
    settings.ROOT_URLCONF = "tests.failing_urls"
    return Client(raise_request_exception=False)


def test_error_in_a_view_is_logged_once_with_its_request(browser, logs):
    response = browser.get("/odd/fail/?a=1&token=canary-1", headers={"Referer": "https://example.com/?token=canary-2"})

    (entry,) = logs.of_request("error", response)
    assert (entry["logger"], entry["event"], entry["message"]) == ("api", "unhandled_exception", "Unhandled exception")
    assert entry["exception"]["type"] == "builtins.ValueError"
    assert "in fail" in entry["exception"]["traceback"]
    assert entry["request"]["route"] == "odd/fail/"
    assert entry["request_data"]["query"] == {"a": ["1"], "token": "[redacted]"}
    assert logs.text().count("Traceback") == 2  # in error.log and in info.log
    assert "canary" not in logs.text()


def test_error_in_a_middleware_is_logged_once(browser, logs, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.failing_urls.FailingMiddleware"]
    browser = Client(raise_request_exception=False)

    response = browser.get("/api/tasks/")

    assert response.status_code == 500
    (entry,) = logs.of_request("error", response)
    assert entry["exception"]["message"] == "a middleware broke"
    assert response.json()["request_id"] == entry["request"]["id"]


@pytest.mark.parametrize(
    ("path", "grep", "event"),
    [
        ("/odd/fail-reverse/", "NoReverseMatch", "no_reverse_match"),
        ("/odd/fail-template/", "template.*error", "template_error"),
    ],
)
def test_page_errors_match_the_documented_greps(browser, logs, path, grep, event):
    response = browser.get(path)

    (entry,) = logs.of_request("error", response)
    assert entry["event"] == event
    assert entry.get("template") == ("odd/page.html" if event == "template_error" else None)
    assert response.headers["X-Request-ID"] in logs.grep(f'grep "{grep}" logs/error.log')


def test_error_response_is_a_problem_for_api_clients_and_a_page_for_browsers(browser):
    program, person = browser.get("/api/odd/fail/"), browser.get("/odd/fail/")

    assert program.headers["Content-Type"] == "application/problem+json"
    assert person.headers["Content-Type"] == "text/html; charset=utf-8"
    assert person.headers["X-Request-ID"] in person.content.decode()
    for response in (program, person):
        assert response.status_code == 500
        assert b"it broke" not in response.content


@pytest.mark.parametrize(
    ("path", "headers", "status", "sentence"),
    [
        ("/nowhere/", {}, 404, "Page not found"),
        ("/odd/slow/", {"Host": "evil.example.com"}, 400, "This request cannot be understood"),
        ("/odd/fail/", {}, 500, "Something went wrong on our side"),
    ],
)
def test_rejections_have_their_pages(browser, path, headers, status, sentence):
    response = browser.get(path, headers=headers)

    assert response.status_code == status
    assert response.headers["X-Request-ID"] in response.content.decode()
    assert sentence in response.content.decode()


def test_form_without_csrf_token_is_rejected_with_a_page_and_logged(db, settings, logs):
    settings.ROOT_URLCONF = "tests.failing_urls"
    browser = Client(enforce_csrf_checks=True)

    response = browser.post("/odd/slow/", {"a": 1})

    assert response.status_code == 403
    assert "You may not do this" in response.content.decode()
    (entry,) = [e for e in logs.of_request("security", response) if e["logger"] == "api.security"]
    assert entry["message"].startswith("Permission denied")


def test_database_outage_is_logged_once_with_its_cause(manager, logs, monkeypatch):
    from django.db import OperationalError

    from api.tasks import selectors

    def away(*_):
        raise OperationalError("connection to server at postgres://cosmo:canary@db failed")

    monkeypatch.setattr(selectors.rules, "rows", away)

    response = manager.get("/api/tasks/")

    assert response.status_code == 503
    (entry,) = logs.of_request("error", response)
    assert (entry["event"], entry["message"]) == ("database_unavailable", "Database unavailable")
    assert "canary" not in logs.text()
