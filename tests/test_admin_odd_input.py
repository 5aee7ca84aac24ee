"""Input that no page of the admin sites sends: it never causes a server error."""

import pytest
from django.conf import settings
from django.test import Client

from tests.admin_sites import ADMIN

pytestmark = pytest.mark.usefixtures("nothing_leaves")

MODELS = ["user", "task", "property", "outgoingmail", "auditentry", "notification", "session"]
HUGE = "9" * 40
IDS = ["0", "-1", "abc", HUGE, "_5F", "%00", "1;2"]
PAGES = ["change/", "history/", "delete/", "password/", "password-reset/", "end-sessions/", ""]
QUERIES = [
    *("p=abc", "p=99999", "o=zzz", "o=99.99", "q=%00", f"q={'x' * 3000}", "all=", "e=1", "_facets=True", "_popup=1"),
    *("due=zz", "assigned=zz", "deleted=zz", "status__exact=%00", "role__exact=x", "is_active__exact=7"),
    "due_date__year=2026",
    "due_date_from=abc",
    "due_date_to=%00",
    "due_date_from=2026-13-01",
    "due_date_from=2026-02-30&due_date_to=2026-01-01",
    "due_date_from=0001-01-01",
    "due_date_to=9999-12-31",
    f"due_date_to={HUGE}",
    "created_at_from=2200-12-31&created_at_to=1900-01-01",
    "created_at_from=0001-01-01",
    "created_at_to=9999-12-31",
    f"created_at_from={HUGE}",
    *("object_id=abc", f"object_id={HUGE}", "request_id=%00", "read_at__isempty=7", "id__in=1,2,x"),
    *(
        "status__regex=[",
        "role__regex=(",
        "is_active__regex=(",
        "kind__regex=(",
        "priority__range=1",
        "object_id__gt=x",
    ),
    *("_changelist_filters=%00", "_to_field=password", "property__id__exact=abc", "password__startswith=a"),
]
ACTIONS = [
    {"action": "x", "_selected_action": ["abc"]},
    {"action": "start", "_selected_action": ["abc"]},
    {"action": "assign", "_selected_action": ["1"], "assigned_to": HUGE},
    {"action": "activate", "_selected_action": [HUGE]},
    {"action": "end", "_selected_action": ["no-uuid"]},
    {"action": "try_again", "_selected_action": ["\x00"]},
    {"action": "export", "_selected_action": ["x"]},
    {"action": "delete_selected", "_selected_action": ["x"]},
    {"action": "start", "select_across": "1", "_selected_action": ["1"], "index": "abc"},
    {"_save": "1", "form-TOTAL_FORMS": "x"},
]
FORMS = {
    "/api/task/add/": [
        {"title": "\x00", "due_date_0": "x"},
        {"title": "t", "property": "abc", "assigned_to": HUGE, "dependencies": ["x", HUGE]},
        {"title": "t", "task_type": "cleaning", "priority": "2", "due_date_0": "9999-12-31", "due_date_1": "23:59"},
        {"title": "t", "task_type": "cleaning", "priority": "2", "due_date_0": "0001-01-01", "due_date_1": "00:00"},
    ],
    "/api/user/add/": [{"username": "a\x00", "email": "a\x00@example.com", "role": "staff"}, {"username": "x" * 4000}],
    "/api/property/add/": [{"name": "x\x00", "owners": ["abc", HUGE]}],
    "/password_change/": [{"current_password": "\x00", "new_password1": "\x00" * 20, "new_password2": "\x00" * 20}],
    "/login/": [{"username": "\x00", "password": "\x00"}, {"username": "a" * 10_000, "password": "b" * 10_000}],
}


@pytest.fixture(params=[ADMIN])  # both sites share the code
def browse(request, browsers, one_of_each):
    """Return a function that sends a request as the site's user and fails on a server error."""
    browser = browsers[request.param]
    browser.raise_request_exception = False
    task = one_of_each["task"]

    def browse(method: str, path: str, body=None) -> int:
        values = {"property": task.property_id, **body} if body and "add" in path else body
        response = getattr(browser, method)(request.param + path, values)
        assert response.status_code < 500, (method, path, body)
        return int(response.status_code)

    return browse


@pytest.mark.parametrize("model", MODELS)
def test_invalid_ids_cause_no_server_error(browse, model):
    for pk in IDS:
        for page in PAGES:
            for method in ("get", "post"):
                assert browse(method, f"/api/{model}/{pk}/{page}") in {302, 403, 404, 405}


@pytest.mark.parametrize("model", MODELS)
def test_unusual_query_strings_cause_no_server_error(browse, model):
    for query in QUERIES:
        browse("get", f"/api/{model}/?{query}")


@pytest.mark.parametrize("model", MODELS)
def test_actions_on_missing_rows_cause_no_server_error(browse, model):
    for body in ACTIONS:
        browse("post", f"/api/{model}/", body)


@pytest.mark.parametrize("path", FORMS)
def test_malformed_forms_cause_no_server_error(browse, path):
    for body in FORMS[path]:
        is_too_large = path == "/login/" and len(str(body)) > settings.SMALL_BODY
        assert browse("post", path, body) in ({413} if is_too_large else {200, 302})


@pytest.mark.parametrize(
    "query",
    [
        *(
            "due_date=abc",
            "property=%00",
            "assigned_to=abc",
            "dependencies=x",
            "owners=x",
            "role=superuser",
            "email=%00",
        ),
        *("_changelist_filters=%00", "_popup=1&_to_field=password", "_to_field=id&_popup=x", "is_active=x"),
    ],
)
def test_form_prefill_parameters_cause_no_server_error(browse, query):
    for model in ("task", "property", "user"):
        browse("get", f"/api/{model}/add/?{query}")


def test_autocomplete_of_unknown_fields_causes_no_server_error(browse):
    for query in (
        *("", "app_label=api", "app_label=api&model_name=task&field_name=zzz", "app_label=x&model_name=y&field_name=z"),
        *("app_label=api&model_name=task&field_name=assigned_to&term=%00&page=abc",),
        *("app_label=api&model_name=task&field_name=title",),
    ):
        browse("get", f"/autocomplete/?{query}")


@pytest.mark.parametrize(
    "end", ["%00/x", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5/x-y", "MQ/zzzzzzzzzzzzzzzzzzzzz-x", "8J-YgA/x"]
)
def test_malformed_email_links_cause_no_server_error(client, db, end):
    browser = Client(raise_request_exception=False)
    for method in ("get", "post"):
        assert getattr(browser, method)(f"/accounts/password-reset/confirm/{end}/").status_code in {200, 404}
    uid, token = end.split("/")
    body = {"uid": uid, "token": token, "new_password": "a new and longer passphrase"}
    assert client.post("/api/auth/password/reset/confirm/", body).status_code == 400
