"""Every limit at its edge: what is as large as may be is taken, what is larger by one is not."""

import io
import json

import pytest

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


@pytest.mark.parametrize("words", ["1 MiB", "16 levels", "8 KiB", "100 rows", "files are not taken"])
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


@pytest.mark.parametrize("path", ["/manager/login/", "/accounts/password-reset/"])
def test_a_file_is_not_read(client, db, path):
    body = Endless(b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n')

    answer = client.generic("POST", path, content_type="multipart/form-data; boundary=x")
    read_whole = client.request(
        REQUEST_METHOD="POST",
        PATH_INFO=path,
        CONTENT_TYPE="multipart/form-data; boundary=x",
        CONTENT_LENGTH=str(2**30),
        **{"wsgi.input": body},
    )

    assert read_whole.status_code == answer.status_code
    assert body.count < 2**20
