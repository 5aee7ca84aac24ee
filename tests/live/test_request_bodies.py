"""Bodies as clients frame them, read within their limit or refused, never 200 and nothing done."""

import http.client
import json
from urllib.parse import urlsplit

import pytest

from tests.live.raw import chunks, exchange, head

CHUNKED = {"Transfer-Encoding": "chunked"}
LAST = b"0\r\n\r\n"
ME = "/api/auth/me/"


@pytest.fixture(scope="module")
def staff(server) -> dict[str, str]:
    return server.sign_in("lena.laundry", server.passwords["lena.laundry"])


def profile(number: int) -> bytes:
    return json.dumps({"phone_number": f"+1 212 555 {number:04d}"}).encode()


def phone_of(server, headers) -> str:
    return server.request("GET", ME, headers=headers).json()["phone_number"][-4:]


FRAMES = {
    "one chunk": (lambda body: [*chunks(body, 1_000), LAST]),
    "chunks of one byte": (lambda body: [*chunks(body, 1), LAST]),
    "all in one packet": (lambda body: [b"".join([*chunks(body, 7), LAST])]),
    "a trailer": (lambda body: [*chunks(body, 9), b"0\r\nX-Checksum: 1\r\n\r\n"]),
    "an extension": (lambda body: [b"%x;a=b\r\n%s\r\n" % (len(body), body), LAST]),
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_a_chunked_change_is_made(server, staff, frame):
    number = abs(hash(frame)) % 10_000

    status, answer = exchange(server.url, [head("PATCH", ME, staff | CHUNKED), *frame(profile(number))])

    assert (status, answer["phone_number"][-4:]) == (200, f"{number:04d}")
    assert phone_of(server, staff) == f"{number:04d}"


def test_a_chunked_login_is_read(server):
    body = json.dumps({"username": "olga.owner", "password": "wrong"}).encode()

    status, answer = exchange(server.url, [head("POST", "/api/auth/login/", CHUNKED), *chunks(body, 5), LAST])

    assert (status, answer["code"]) == (401, "wrong_credentials")


def test_a_body_from_an_iterator_is_read(server, staff):
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.request(
        "PATCH", ME, iter([b'{"phone_number":', b' "+1 212 555 4711"}']), staff | {"Content-Type": "application/json"}
    )

    answer = connection.getresponse()

    assert (answer.status, json.loads(answer.read())["phone_number"]) == (200, "+1 212 555 4711")
    connection.close()


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/api/tasks/", 2**20, 401),
        ("/api/tasks/", 2**20 + 1, 413),
        ("/api/auth/login/", 2**14, 400),
        ("/api/auth/login/", 2**14 + 1, 413),
        ("/admin/login/", 2**14 + 1, 413),
    ],
)
@pytest.mark.parametrize("is_chunked", [True, False], ids=["chunked", "with a length"])
def test_a_body_has_the_same_limit_however_it_is_framed(server, path, size, status, is_chunked):
    body = b" " * size
    framed = [*chunks(body, 60_000), LAST] if is_chunked else [body]
    headers = CHUNKED if is_chunked else {"Content-Length": str(size)}

    answer, _ = exchange(server.url, [head("POST", path, headers), *framed])

    assert answer == status


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(server):
    status, answer = exchange(server.url, [head("POST", "/api/auth/login/", {"Content-Length": str(2**40)})])

    assert (status, answer["code"]) == (413, "payload_too_large")


BROKEN = {
    "a size that is no number": [b"xyz\r\nab\r\n", LAST],
    "a negative size": [b"-2\r\nab\r\n", LAST],
    "a chunk that is longer than its size": [b"2\r\nabcdef\r\n", LAST],
    "no size": [b"\r\nab\r\n", LAST],
}


@pytest.mark.parametrize("framed", BROKEN.values(), ids=BROKEN)
def test_a_body_in_broken_chunks_is_a_bad_request(server, staff, framed):
    before = phone_of(server, staff)

    status, answer = exchange(server.url, [head("PATCH", ME, staff | CHUNKED), *framed])

    assert (status, answer["code"]) == (400, "bad_request")
    assert phone_of(server, staff) == before


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
def test_a_chunked_body_of_another_method_does_no_harm(server, method):
    status, _ = exchange(server.url, [head(method, "/api/tasks/", CHUNKED), *chunks(b'{"a": 1}', 3), LAST])

    assert status == (200 if method == "OPTIONS" else 401) or status == 405


def test_a_chunked_form_is_read(server):
    form = head("POST", "/unsubscribe/wrong/", CHUNKED).replace(
        b"application/json", b"application/x-www-form-urlencoded"
    )

    status, _ = exchange(server.url, [form, *chunks(b"a=1", 1), LAST])

    assert status == 404


def test_requests_after_a_chunked_one_are_read_on_the_same_connection(server, staff):
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    numbers = []
    for number in (1234, 2345, 3456):
        connection.request("PATCH", ME, iter([profile(number)]), staff | {"Content-Type": "application/json"})
        answer = connection.getresponse()
        numbers.append((answer.status, json.loads(answer.read())["phone_number"][-4:]))
    connection.close()

    assert numbers == [(200, "1234"), (200, "2345"), (200, "3456")]
