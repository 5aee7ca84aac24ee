"""Invalid input returns 400 with the name of the field, and changes nothing."""

import json

import pytest

from api.models import Property, Task, User
from tests import factories

HUGE = 10**400
MEGABYTE = "a" * 1_000_000
NOT_TEXT = [5, True, ["a"], {"a": 1}, None]
NOT_IDS = ["1", 1.5, True, 0, -1, 2**63, HUGE, [1], {"id": 1}]
NOT_DATE_TIMES = [
    "",
    "tomorrow",
    "2026-05-31",
    "2026-05-31T12:00:00",
    "9999-12-31T23:59:59Z",
    "1999-12-31T23:59:59Z",
    "2101-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "2026-02-30T12:00:00Z",
    "2026-05-31T25:00:00Z",
    5,
    1e300,
    True,
    None,
    ["2026-05-31T12:00:00Z"],
    "2026-05-31T12:00:00Z\x00",
    "２026-05-31T12:00:00Z",
]
TASK = [
    *(("title", value) for value in [*NOT_TEXT, "", "  ", "a" * 201, "a\x00b", "\ud800", MEGABYTE]),
    *(("description", value) for value in [*NOT_TEXT, "a" * 10_001, "\x00", "\udfff"]),
    *(("task_type", value) for value in [*NOT_TEXT, "", "gardening", "\x00", "\ud800", MEGABYTE]),
    *(("priority", value) for value in [*NOT_TEXT, "", "2", "\x00"]),
    *(("property", value) for value in [*NOT_IDS, None, 10**12]),
    *(("assigned_to", value) for value in [*NOT_IDS, 10**12]),
    *(("depends_on", value) for value in [5, "1", None, {"a": 1}, *([value] for value in NOT_IDS), [None], [1] * 101]),
    *(("due_date", value) for value in NOT_DATE_TIMES),
]
PROPERTY = [
    *(("name", value) for value in [*NOT_TEXT, "", "a" * 201, "\x00", "\ud800"]),
    *(("address", value) for value in [*NOT_TEXT, "", "a" * 501]),
    *(("access_notes", value) for value in [5, None, "a" * 10_001, "\x00"]),
    *(("property_type", value) for value in ["castle", 5, None]),
    *(("timezone", value) for value in ["Mars", 5, "", None]),
    *(("owners", value) for value in [5, None, ["1"], [HUGE], [2**63], [0], list(range(1, 52))]),
    *(("is_active", value) for value in ["true", 1, None, []]),
]
USER = [
    *(("username", value) for value in [*NOT_TEXT, "", "a" * 151, "\x00", "\ud800"]),
    *(
        ("email", value)
        for value in [*NOT_TEXT, "", "a", f"{'a' * 250}@example.com", "a\x00@example.com", "\ud800@e.com"]
    ),
    *(("first_name", value) for value in [5, None, "a" * 151, "\x00", "\ud800"]),
    *(("role", value) for value in [*NOT_TEXT, "", "boss"]),
    *(("digest_opt_out", value) for value in ["yes", 0, None]),
]


def short_id(value) -> str:
    return repr(value)[:30]


def error_fields(response) -> set[str]:
    """Return the top-level fields that a 400 response names."""
    assert response.status_code == 400, response.content[:300]
    assert response.headers["Content-Type"] == "application/problem+json"
    return {error["field"].split(".")[0] for error in response.json()["errors"]}


def send(client, method, path, body):
    # Unlike orjson, json.dumps can send lone surrogates and huge numbers.
    return client.generic(method, path, json.dumps(body), content_type="application/json")


@pytest.mark.parametrize(("field", "value"), TASK, ids=short_id)
def test_task_with_invalid_field_is_rejected(manager, field, value):
    task = factories.task()
    body = factories.task_body(property=task.property_id)
    before = Task.objects.values().get()

    assert error_fields(send(manager, "POST", "/api/tasks/", body | {field: value})) == {field}
    assert error_fields(send(manager, "PATCH", f"/api/tasks/{task.pk}/", {field: value})) == {field}
    assert Task.objects.values().get() == before


@pytest.mark.parametrize(("field", "value"), PROPERTY, ids=short_id)
def test_property_with_invalid_field_is_rejected(manager, field, value):
    row = factories.property_()
    before = Property.objects.values().get()

    assert error_fields(send(manager, "POST", "/api/properties/", {"name": "A", "address": "B"} | {field: value})) == {
        field
    }
    assert error_fields(send(manager, "PATCH", f"/api/properties/{row.pk}/", {field: value})) == {field}
    assert Property.objects.values().get() == before


@pytest.mark.parametrize(("field", "value"), USER, ids=short_id)
def test_user_with_invalid_field_is_rejected(superuser, field, value):
    user = factories.user(role="staff")
    before = list(User.objects.order_by("id").values())
    body = {"username": "new", "email": "new@example.com", "role": "staff"}

    assert error_fields(send(superuser, "POST", "/api/users/", body | {field: value})) == {field}
    assert error_fields(send(superuser, "PATCH", f"/api/users/{user.pk}/", {field: value})) == {field}
    assert list(User.objects.order_by("id").values()) == before


@pytest.mark.parametrize("value", [*NOT_TEXT, "", "\x00", "\ud800", "a" * 255], ids=short_id)
@pytest.mark.parametrize("field", ["username", "password"])
def test_login_with_invalid_field_is_rejected(client, db, field, value):
    body = {"username": "a", "password": "b"} | {field: value}

    assert error_fields(send(client, "POST", "/api/auth/login/", body)) == {field}


@pytest.mark.parametrize("name", ["\ud800", "\x00", "a" * 100_000, "__class__", ""], ids=short_id)
def test_field_with_invalid_name_is_rejected(manager, name):
    response = send(manager, "PATCH", f"/api/tasks/{factories.task().pk}/", {name: "a"})

    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, "unknown_field")
    assert len(response.content) < 10_000


def test_error_list_is_limited(manager):
    body = {f"field{number}": number for number in range(150)}

    assert len(send(manager, "POST", "/api/tasks/", body).json()["errors"]) == 100


@pytest.mark.parametrize("depth", [17, 3_000, 100_000])
@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")])
def test_error_of_deep_json_names_field(manager, depth, brackets):
    opening, closing = brackets
    inner = opening * depth + ("1" if opening != "[" else "") + closing * depth
    body = f'{{"title": "Clean", "description": {inner}, "priority": "low"}}'

    response = manager.generic("POST", "/api/tasks/", body, content_type="application/json")

    assert error_fields(response) == {"description"}
    assert not Task.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"5",
        b'{"title": NaN}',
        b'{"title": Infinity}',
        b'{"title": -Infinity}',
        b'{"title": "\xff"}',
        b'{"title": ' + b"9" * 5_000 + b"}",
        b'{"title": "a"} {}',
        b"[" * 100_000,
        b'{"' * 100_000,
        b'"' * 100_001,
        b"\\" * 100_001,
        b"\x00",
    ],
    ids=short_id,
)
def test_body_is_rejected_when_not_json_object(manager, body):
    response = manager.generic("POST", "/api/tasks/", body, content_type="application/json")

    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/problem+json"
    assert not Task.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"title": "a", "title": "b"}', "title"),
        (b'{"title": "a", "t\\u0069tle": "b"}', "title"),
        (b'{"description": {"a": 1, "b": 2, "a": 3}}', "a"),
    ],
)
def test_repeated_field_is_rejected(manager, body, field):
    response = manager.generic("POST", "/api/tasks/", body, content_type="application/json")

    assert error_fields(response) == {field}
    assert response.json()["errors"][0]["code"] == "repeated_field"


def test_body_above_one_megabyte_returns_413(manager):
    body = json.dumps({"title": "a" * 1024 * 1024})

    response = manager.generic("POST", "/api/tasks/", body, content_type="application/json")

    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/html"]
)
def test_other_content_types_return_415(manager, kind):
    response = manager.generic("POST", "/api/tasks/", "title=Clean", content_type=kind)

    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


BAD_IDS = ["2" * 400, str(2**63), "-1", "0", "abc", "", "1.5", "１", "1%00", " 1"]


@pytest.mark.parametrize("value", BAD_IDS, ids=short_id)
@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/api/tasks/", "property"),
        ("/api/tasks/", "assigned_to"),
        ("/api/tasks/", "created_by"),
        ("/api/tasks/summary/", "property"),
        ("/api/properties/", "owner"),
        ("/api/tasks/", "page"),
        ("/api/users/", "page_size"),
    ],
)
def test_invalid_id_filter_is_named(manager, path, parameter, value):
    assert error_fields(manager.get(f"{path}?{parameter}={value}")) == {parameter}


@pytest.mark.parametrize(
    "value", ["2" * 400, str(2**63), "-1", "0", "abc", "1.5", "１", "%00", "..", "1 "], ids=short_id
)
@pytest.mark.parametrize("path", ["/api/tasks/{}/", "/api/tasks/{}/history/", "/api/properties/{}/", "/api/users/{}/"])
def test_invalid_id_in_path_returns_404(manager, path, value):
    response = manager.get(path.format(value))

    assert (response.status_code, response.json()["code"]) == (404, "not_found")
