"""Every limit at its boundary: the maximum is accepted, one more is rejected."""

import io
import json

import pytest
from django.urls import get_resolver
from rest_framework import serializers

from api.rest.fields import IdListField
from api.rest.serializers import StrictSerializer
from tests import factories

TASK = {"title": "Clean", "task_type": "cleaning", "due_date": "2030-05-31T15:00:00Z"}


def create(manager, **values):
    return manager.post("/api/tasks/", TASK | {"property": factories.property_().pk} | values)


@pytest.mark.parametrize(("field", "most"), [("title", 200), ("description", 10_000)])
def test_text_length_is_limited_as_documented(manager, document, field, most):
    schema = document["components"]["schemas"]["TaskRequest"]["properties"][field]

    assert schema["maxLength"] == most
    assert create(manager, **{field: "ü" * most}).status_code == 201
    response = create(manager, **{field: "ü" * (most + 1)})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, field)


def test_task_has_at_most_hundred_dependencies(manager, document):
    schema = document["components"]["schemas"]["TaskRequest"]["properties"]["depends_on"]
    ids = [factories.task().pk for _ in range(101)]

    assert schema["maxItems"] == 100
    assert create(manager, depends_on=ids[:100]).status_code == 201
    assert create(manager, depends_on=ids).status_code == 400


@pytest.mark.parametrize(("size", "status"), [(2**20, 201), (2**20 + 1, 413)])
def test_body_is_limited_to_one_megabyte(manager, size, status):
    body = json.dumps(TASK | {"property": factories.property_().pk})

    response = manager.generic("POST", "/api/tasks/", body.ljust(size), content_type="application/json")

    assert response.status_code == status


@pytest.mark.parametrize(("levels", "code"), [(16, "invalid"), (17, "too_deep")])
def test_body_is_limited_to_sixteen_levels(manager, levels, code):
    deep = "[" * (levels - 1) + "]" * (levels - 1)  # the object is one level

    response = manager.generic("POST", "/api/tasks/", f'{{"title": {deep}}}', content_type="application/json")

    assert response.status_code == 400
    assert code in {error["code"] for error in response.json()["errors"] if error["field"] == "title"}


@pytest.mark.parametrize(("parameter", "most", "more"), [("page_size", "100", "101"), ("search", "a" * 200, "a" * 201)])
def test_query_parameters_have_maximum(manager, parameter, most, more):
    assert manager.get("/api/tasks/", {parameter: most}).status_code == 200
    response = manager.get("/api/tasks/", {parameter: more})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, parameter)


@pytest.mark.parametrize(("length", "status"), [(11, 400), (12, 204), (128, 204), (129, 400)])
def test_password_length_is_limited(manager, length, status):
    password = ("Wv7 käse-" * 20)[:length]
    values = {"current_password": factories.PASSWORD, "new_password": password}

    assert manager.post("/api/auth/password/change/", values).status_code == status


@pytest.mark.parametrize(
    "words", ["1 MiB", "16 KiB", "2,000 values", "200 fields", "16 levels", "8 KiB", "100 rows", "are rejected"]
)
def test_document_description_states_limits(document, words):
    assert words in document["info"]["description"]


class EndlessBody(io.RawIOBase):
    """An endless body that counts the bytes read."""

    def __init__(self, start: bytes) -> None:
        self.start, self.count = start, 0

    def read(self, size: int = -1) -> bytes:
        chunk, self.start = self.start[:size], self.start[size:]
        chunk = chunk or b"a" * size
        self.count += len(chunk)
        return chunk


@pytest.mark.parametrize("path", ["/api/tasks/", "/manager/login/", "/accounts/password-reset/", "/nowhere/"])
@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/json"])
def test_body_is_not_read_when_content_length_is_too_large(client, db, path, kind):
    body = EndlessBody(b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n')

    response = client.request(
        REQUEST_METHOD="POST",
        PATH_INFO=path,
        CONTENT_TYPE=kind,
        CONTENT_LENGTH=str(2**30),
        **{"wsgi.input": body},
    )

    assert (response.status_code, body.count) == (413, 0)


@pytest.mark.parametrize("path", ["/manager/login/", "/accounts/password-reset/"])
def test_uploaded_file_is_discarded(client, db, path, monkeypatch):
    received = []
    monkeypatch.setattr("backend.http.uploads.NoUploads.receive_data_chunk", lambda *chunk: received.append(chunk))
    form = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"a" * 10_000 + b"\r\n--x--\r\n"
    )

    response = client.generic("POST", path, form, content_type="multipart/form-data; boundary=x")

    assert (response.status_code, received) == (200, [])


SMALL_BODY_PATHS = ["/api/auth/login/", "/api/auth/password/reset/", "/api/auth/refresh/", "/accounts/password-reset/"]
SMALL_BODY_PATHS += ["/admin/login/", "/manager/login/", "/unsubscribe/token/"]


@pytest.mark.parametrize("path", SMALL_BODY_PATHS)
def test_unauthenticated_body_is_limited_to_16_kilobytes(client, db, path):
    fits, too_large = (client.generic("POST", path, b" " * size) for size in (16_384, 16_385))

    assert fits.status_code != 413
    assert too_large.status_code == 413
    if path.startswith("/api/"):
        assert too_large.json()["detail"] == "The body is larger than 16 KiB."


def object_with_fields(count):
    return {f"a{number}": 1 for number in range(count)}


LIMITS = [  # accepted body, rejected body, field and code of the error
    (object_with_fields(200), object_with_fields(201), "non_field_errors", "too_many_fields"),
    ({"a": object_with_fields(200)}, {"a": object_with_fields(201)}, "a", "too_many_fields"),
    ({"a": [1] * 1_998}, {"a": [1] * 2_000}, "a", "too_many_values"),
    ({"a": [[]] * 998}, {"a": [[]] * 1_000}, "a", "too_many_values"),
]


@pytest.mark.parametrize(("fits", "too_large", "field", "code"), LIMITS, ids=lambda value: str(value)[:12])
def test_body_values_and_object_fields_are_limited(manager, fits, too_large, field, code):
    accepted, rejected = (manager.post("/api/tasks/", body) for body in (fits, too_large))

    assert {error["code"] for error in accepted.json()["errors"]} <= {"unknown_field", "required"}
    (error,) = rejected.json()["errors"]
    assert (rejected.status_code, error["field"], error["code"]) == (400, field, code)


@pytest.mark.parametrize("kind", ["separators", "commas in strings"])
def test_punctuation_inside_text_counts_as_no_value(manager, kind):
    text = '[{,"' * 2_000 if kind == "separators" else ",\\" * 4_000

    assert create(manager, description=text).status_code == 201


def test_too_long_list_is_one_error(manager):
    response = create(manager, depends_on=["wrong"] * 1_000)

    (error,) = response.json()["errors"]
    assert (error["field"], error["code"]) == ("depends_on", "max_length")


def list_fields_of(serializer, name=""):
    for field_name, field in getattr(serializer, "fields", {}).items():
        if not field.read_only:
            yield from list_fields_of(field, f"{name}{field_name}.")
            if isinstance(field, serializers.ListField | serializers.ListSerializer):
                yield f"{name}{field_name}", field


def test_every_list_field_checks_length_before_items(db):
    get_resolver().url_patterns  # noqa: B018 - imports every serializer
    list_fields = {
        f"{kind.__name__}.{name}": field
        for kind in _below(StrictSerializer)
        if hasattr(kind, "Meta") or not issubclass(kind, serializers.ModelSerializer)
        for name, field in list_fields_of(kind())
    }

    assert set(list_fields) >= {"TaskSerializer.depends_on", "PropertySerializer.owners"}
    assert [name for name, field in list_fields.items() if not isinstance(field, IdListField)] == []


def _below(kind):
    for below in kind.__subclasses__():
        yield below
        yield from _below(below)


@pytest.mark.parametrize("query", ["status=pending&" * 101, "".join(f"a{number}=1&" for number in range(101))])
def test_query_string_is_limited_to_hundred_parameters(manager, query):
    response = manager.get("/api/tasks/", QUERY_STRING=query)

    (error,) = response.json()["errors"]
    assert (response.status_code, error["code"]) == (400, "too_many_parameters")
    assert manager.get("/api/tasks/", QUERY_STRING="status=pending&" * 100).status_code == 200


HEADERS = ["HTTP_COOKIE", "HTTP_ACCEPT", "HTTP_IF_MATCH", "HTTP_X_FORWARDED_FOR", "HTTP_X_ANYTHING"]


@pytest.mark.parametrize("header", HEADERS)
def test_header_is_limited_to_eight_kilobytes(client, db, header):
    line = "text/html, " * 1_000

    assert client.get("/api/tasks/", **{header: line[:8_191]}).status_code == 431
    assert client.get("/admin/login/", **{header: line[:8_191]}).status_code == 431
    assert client.get("/admin/login/", **{header: line[:8_190]}).status_code == 200


def test_cookie_is_limited_to_1100_escapes(client, db):
    fits, too_many = (client.get("/admin/login/", HTTP_COOKIE='a="' + '\\"' * n + '"') for n in (1_100, 1_101))

    assert (fits.status_code, too_many.status_code) == (200, 431)


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip", "x-anything"])
@pytest.mark.parametrize("path", ["/api/tasks/", "/api/auth/login/", "/manager/login/"])
def test_encoded_body_returns_415(manager, coding, path):
    response = manager.post(path, {}, HTTP_CONTENT_ENCODING=coding)

    assert response.status_code == 415
    if path.startswith("/api/"):
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.json()["code"] == "unsupported_media_type"


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_identity_encoded_body_is_accepted(manager, coding):
    values = TASK | {"property": factories.property_().pk}

    assert manager.post("/api/tasks/", values, HTTP_CONTENT_ENCODING=coding).status_code == 201
