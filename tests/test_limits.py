"""Every limit at its edge: what is as large as may be is taken, what is larger by one is not."""

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
def test_a_text_is_as_long_as_the_document_says(manager, document, field, most):
    schema = document["components"]["schemas"]["TaskRequest"]["properties"][field]

    assert schema["maxLength"] == most
    assert create(manager, **{field: "ü" * most}).status_code == 201
    answer = create(manager, **{field: "ü" * (most + 1)})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


def test_a_task_waits_for_a_hundred_others_at_most(manager, document):
    schema = document["components"]["schemas"]["TaskRequest"]["properties"]["depends_on"]
    ids = [factories.task().pk for _ in range(101)]

    assert schema["maxItems"] == 100
    assert create(manager, depends_on=ids[:100]).status_code == 201
    assert create(manager, depends_on=ids).status_code == 400


@pytest.mark.parametrize(("size", "status"), [(2**20, 201), (2**20 + 1, 413)])
def test_a_body_has_a_megabyte_at_most(manager, size, status):
    body = json.dumps(TASK | {"property": factories.property_().pk})

    answer = manager.generic("POST", "/api/tasks/", body.ljust(size), content_type="application/json")

    assert answer.status_code == status


@pytest.mark.parametrize(("levels", "code"), [(16, "invalid"), (17, "too_deep")])
def test_a_body_has_sixteen_levels_at_most(manager, levels, code):
    deep = "[" * (levels - 1) + "]" * (levels - 1)  # the object is a level, too

    answer = manager.generic("POST", "/api/tasks/", f'{{"title": {deep}}}', content_type="application/json")

    assert answer.status_code == 400
    assert code in {error["code"] for error in answer.json()["errors"] if error["field"] == "title"}


@pytest.mark.parametrize(("parameter", "most", "more"), [("page_size", "100", "101"), ("search", "a" * 200, "a" * 201)])
def test_a_parameter_has_its_greatest_value(manager, parameter, most, more):
    assert manager.get("/api/tasks/", {parameter: most}).status_code == 200
    answer = manager.get("/api/tasks/", {parameter: more})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, parameter)


@pytest.mark.parametrize(("length", "status"), [(11, 400), (12, 204), (128, 204), (129, 400)])
def test_a_password_has_twelve_to_128_characters(manager, length, status):
    password = ("Wv7 käse-" * 20)[:length]
    values = {"current_password": factories.PASSWORD, "new_password": password}

    assert manager.post("/api/auth/password/change/", values).status_code == status


@pytest.mark.parametrize(
    "words", ["1 MiB", "16 KiB", "2,000 values", "200 fields", "16 levels", "8 KiB", "100 rows", "are rejected"]
)
def test_the_document_tells_the_limits_of_every_call(document, words):
    assert words in document["info"]["description"]


class Endless(io.RawIOBase):
    """A body that goes on; counts what was read of it."""

    def __init__(self, start: bytes) -> None:
        self.start, self.count = start, 0

    def read(self, size: int = -1) -> bytes:
        chunk, self.start = self.start[:size], self.start[size:]
        chunk = chunk or b"a" * size
        self.count += len(chunk)
        return chunk


@pytest.mark.parametrize("path", ["/api/tasks/", "/manager/login/", "/accounts/password-reset/", "/nowhere/"])
@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/json"])
def test_a_body_that_says_it_is_too_large_is_not_read(client, db, path, kind):
    body = Endless(b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n')

    answer = client.request(
        REQUEST_METHOD="POST",
        PATH_INFO=path,
        CONTENT_TYPE=kind,
        CONTENT_LENGTH=str(2**30),
        **{"wsgi.input": body},
    )

    assert (answer.status_code, body.count) == (413, 0)


@pytest.mark.parametrize("path", ["/manager/login/", "/accounts/password-reset/"])
def test_a_file_is_not_kept(client, db, path, monkeypatch):
    received = []
    monkeypatch.setattr("backend.http.uploads.NoUploads.receive_data_chunk", lambda *given: received.append(given))
    form = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"a" * 10_000 + b"\r\n--x--\r\n"
    )

    answer = client.generic("POST", path, form, content_type="multipart/form-data; boundary=x")

    assert (answer.status_code, received) == (200, [])


SMALL = ["/api/auth/login/", "/api/auth/password/reset/", "/api/auth/refresh/", "/accounts/password-reset/"]
SMALL += ["/admin/login/", "/manager/login/", "/unsubscribe/token/"]


@pytest.mark.parametrize("path", SMALL)
def test_a_body_from_a_stranger_has_sixteen_kilobytes_at_most(client, db, path):
    fits, too_large = (client.generic("POST", path, b" " * size) for size in (16_384, 16_385))

    assert fits.status_code != 413
    assert too_large.status_code == 413
    if path.startswith("/api/"):
        assert too_large.json()["detail"] == "The body is larger than 16 KiB."


def named(count):
    return {f"a{number}": 1 for number in range(count)}


LIMITS = [  # a body that fits, one that is too large, whose field is named, with which code
    (named(200), named(201), "non_field_errors", "too_many_fields"),
    ({"a": named(200)}, {"a": named(201)}, "a", "too_many_fields"),
    ({"a": [1] * 1_998}, {"a": [1] * 2_000}, "a", "too_many_values"),
    ({"a": [[]] * 998}, {"a": [[]] * 1_000}, "a", "too_many_values"),
]


@pytest.mark.parametrize(("fits", "too_large", "field", "code"), LIMITS, ids=lambda value: str(value)[:12])
def test_a_body_has_two_thousand_values_and_an_object_two_hundred_fields(manager, fits, too_large, field, code):
    read, refused = (manager.post("/api/tasks/", body) for body in (fits, too_large))

    assert {error["code"] for error in read.json()["errors"]} <= {"unknown_field", "required"}
    (error,) = refused.json()["errors"]
    assert (refused.status_code, error["field"], error["code"]) == (400, field, code)


@pytest.mark.parametrize("kind", ["separators", "commas in strings"])
def test_what_is_inside_of_a_text_is_no_value(manager, kind):
    text = '[{,"' * 2_000 if kind == "separators" else ",\\" * 4_000

    assert create(manager, description=text).status_code == 201


def test_a_list_that_is_too_long_is_one_error(manager):
    answer = create(manager, depends_on=["wrong"] * 1_000)

    (error,) = answer.json()["errors"]
    assert (error["field"], error["code"]) == ("depends_on", "max_length")


def lists_of(serializer, name=""):
    for field_name, field in getattr(serializer, "fields", {}).items():
        if not field.read_only:
            yield from lists_of(field, f"{name}{field_name}.")
            if isinstance(field, serializers.ListField | serializers.ListSerializer):
                yield f"{name}{field_name}", field


def test_every_list_of_a_body_is_counted_before_its_items_are_looked_at(db):
    get_resolver().url_patterns  # noqa: B018 - imports every serializer
    found = {
        f"{kind.__name__}.{name}": field
        for kind in _below(StrictSerializer)
        if hasattr(kind, "Meta") or not issubclass(kind, serializers.ModelSerializer)
        for name, field in lists_of(kind())
    }

    assert set(found) >= {"TaskSerializer.depends_on", "PropertySerializer.owners"}
    assert [name for name, field in found.items() if not isinstance(field, IdListField)] == []


def _below(kind):
    for below in kind.__subclasses__():
        yield below
        yield from _below(below)


@pytest.mark.parametrize("query", ["status=pending&" * 101, "".join(f"a{number}=1&" for number in range(101))])
def test_a_query_string_has_a_hundred_parameters_at_most(manager, query):
    answer = manager.get("/api/tasks/", QUERY_STRING=query)

    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (400, "too_many_parameters")
    assert manager.get("/api/tasks/", QUERY_STRING="status=pending&" * 100).status_code == 200


HEADERS = ["HTTP_COOKIE", "HTTP_ACCEPT", "HTTP_IF_MATCH", "HTTP_X_FORWARDED_FOR", "HTTP_X_ANYTHING"]


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_has_eight_kilobytes_at_most_however_many_lines_it_has(client, db, header):
    line = "text/html, " * 1_000

    assert client.get("/api/tasks/", **{header: line[:8_191]}).status_code == 431
    assert client.get("/admin/login/", **{header: line[:8_191]}).status_code == 431
    assert client.get("/admin/login/", **{header: line[:8_190]}).status_code == 200


def test_a_cookie_has_eleven_hundred_escapes_at_most(client, db):
    fits, too_many = (client.get("/admin/login/", HTTP_COOKIE='a="' + '\\"' * n + '"') for n in (1_100, 1_101))

    assert (fits.status_code, too_many.status_code) == (200, 431)


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip", "x-anything"])
@pytest.mark.parametrize("path", ["/api/tasks/", "/api/auth/login/", "/manager/login/"])
def test_an_encoded_body_is_an_unsupported_media_type(manager, coding, path):
    answer = manager.post(path, {}, HTTP_CONTENT_ENCODING=coding)

    assert answer.status_code == 415
    if path.startswith("/api/"):
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "unsupported_media_type"


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_a_body_that_is_not_encoded_is_read(manager, coding):
    values = TASK | {"property": factories.property_().pk}

    assert manager.post("/api/tasks/", values, HTTP_CONTENT_ENCODING=coding).status_code == 201
