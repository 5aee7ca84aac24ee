"""One traceback for each fault, wherever it happened; programs get a problem, people a page with the request id."""

import pytest
from django.test import Client


@pytest.fixture
def browser(db, settings, logs):
    settings.ROOT_URLCONF = "tests.failing_urls"
    return Client(raise_request_exception=False)


def test_a_fault_in_a_view_has_one_traceback_with_its_request(browser, logs):
    answer = browser.get("/odd/fail/?a=1&token=canary-1", headers={"Referer": "https://example.com/?token=canary-2"})

    (entry,) = logs.of_request("error", answer)
    assert (entry["logger"], entry["event"], entry["message"]) == ("api", "unhandled_exception", "Unhandled exception")
    assert entry["exception"]["type"] == "builtins.ValueError"
    assert "in fail" in entry["exception"]["traceback"]
    assert entry["request"]["route"] == "odd/fail/"
    assert entry["request_data"]["query"] == {"a": ["1"], "token": "[redacted]"}
    assert logs.text().count("Traceback") == 2  # in error.log and in info.log
    assert "canary" not in logs.text()


def test_a_fault_in_a_middleware_has_one_traceback_too(browser, logs, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.failing_urls.FailingMiddleware"]
    browser = Client(raise_request_exception=False)

    answer = browser.get("/api/tasks/")

    assert answer.status_code == 500
    (entry,) = logs.of_request("error", answer)
    assert entry["exception"]["message"] == "a middleware broke"
    assert answer.json()["request_id"] == entry["request"]["id"]


@pytest.mark.parametrize(
    ("path", "grep", "event"),
    [
        ("/odd/fail-reverse/", "NoReverseMatch", "no_reverse_match"),
        ("/odd/fail-template/", "template.*error", "template_error"),
    ],
)
def test_faults_of_pages_are_where_the_operator_greps(browser, logs, path, grep, event):
    answer = browser.get(path)

    (entry,) = logs.of_request("error", answer)
    assert entry["event"] == event
    assert entry.get("template") == ("odd/page.html" if event == "template_error" else None)
    assert answer.headers["X-Request-ID"] in logs.grep(f'grep "{grep}" logs/error.log')


def test_programs_get_a_problem_and_people_a_page(browser):
    program, person = browser.get("/api/odd/fail/"), browser.get("/odd/fail/")

    assert program.headers["Content-Type"] == "application/problem+json"
    assert person.headers["Content-Type"] == "text/html; charset=utf-8"
    assert person.headers["X-Request-ID"] in person.content.decode()
    for answer in (program, person):
        assert answer.status_code == 500
        assert b"it broke" not in answer.content


@pytest.mark.parametrize(
    ("path", "headers", "status", "sentence"),
    [
        ("/nowhere/", {}, 404, "Page not found"),
        ("/odd/slow/", {"Host": "evil.example.com"}, 400, "This request cannot be understood"),
        ("/odd/fail/", {}, 500, "Something went wrong on our side"),
    ],
)
def test_each_refusal_has_its_page(browser, path, headers, status, sentence):
    answer = browser.get(path, headers=headers)

    assert answer.status_code == status
    assert answer.headers["X-Request-ID"] in answer.content.decode()
    assert sentence in answer.content.decode()


def test_a_form_without_its_token_is_refused_with_a_page_and_told(db, settings, logs):
    settings.ROOT_URLCONF = "tests.failing_urls"
    browser = Client(enforce_csrf_checks=True)

    answer = browser.post("/odd/slow/", {"a": 1})

    assert answer.status_code == 403
    assert "You may not do this" in answer.content.decode()
    (entry,) = [e for e in logs.of_request("security", answer) if e["logger"] == "api.security"]
    assert entry["message"].startswith("Permission denied")


def test_a_database_that_is_away_is_one_error_with_its_cause(manager, logs, monkeypatch):
    from django.db import OperationalError

    from api.tasks import selectors

    def away(*_):
        raise OperationalError("connection to server at postgres://cosmo:canary@db failed")

    monkeypatch.setattr(selectors.rules, "rows", away)

    answer = manager.get("/api/tasks/")

    assert answer.status_code == 503
    (entry,) = logs.of_request("error", answer)
    assert (entry["event"], entry["message"]) == ("database_unavailable", "Database unavailable")
    assert "canary" not in logs.text()
