"""Chunked bodies through Debian's proxies, and clients that send incomplete bodies."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from tests.faults.balancers import Nginx, haproxy
from tests.live.raw import chunks, exchange, head
from tests.live.server import demo_database, environment, serving

pytestmark = pytest.mark.fault
CHUNKED = {"Transfer-Encoding": "chunked"}
LAST = b"0\r\n\r\n"
TIMEOUT = 3  # seconds; WEB_TIMEOUT of the server below
THREADS = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bodies")
    with demo_database(folder) as (database, passwords):
        values = {"WEB_TIMEOUT": str(TIMEOUT), "WEB_CONCURRENCY": "1", "WEB_THREADS": str(THREADS)}
        with serving(environment(folder, DATABASE_URL=database, **values), folder / "console") as running:
            running.passwords = passwords
            yield running


@pytest.fixture(scope="module", params=["gunicorn", "nginx", "haproxy"])
def url(request, server, tmp_path_factory):
    folder, instances = tmp_path_factory.mktemp(request.param), [urlsplit(server.url).netloc]
    if request.param == "gunicorn":
        yield server.url
    elif request.param == "nginx":
        with Nginx(folder, instances) as proxy:
            yield proxy.url
    else:
        with haproxy(folder, instances) as address:
            yield address


@pytest.fixture(scope="module")
def manager(server) -> dict[str, str]:
    return server.sign_in("maria.manager", server.passwords["maria.manager"])


FRAMES = {
    "one chunk": (lambda body: [*chunks(body, 10_000), LAST]),
    "chunks of one byte": (lambda body: [*chunks(body, 1), LAST]),
    "a trailer": (lambda body: [*chunks(body, 9), b"0\r\nX-Checksum: 1\r\n\r\n"]),
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_chunked_bodies_create_and_change_a_property(url, server, manager, frame):
    name = f"House {time.monotonic_ns()}"
    body = json.dumps({"name": name, "address": "4 Harbour Road"}).encode()

    status, made = exchange(url, [head("POST", "/api/properties/", manager | CHUNKED), *frame(body)])
    path = f"/api/properties/{made['id']}/"
    change = json.dumps({"address": f"{name}'s road"}).encode()
    changed, answer = exchange(url, [head("PATCH", path, manager | CHUNKED), *frame(change)])

    assert (status, made["name"]) == (201, name)
    assert (changed, answer["address"]) == (200, f"{name}'s road")
    assert server.request("GET", path, headers=manager).json()["address"] == f"{name}'s road"


@pytest.mark.parametrize(("path", "size"), [("/api/tasks/", 2**20 + 1), ("/api/auth/login/", 2**14 + 1)])
def test_too_large_chunked_body_is_rejected(url, path, size):
    status, _ = exchange(url, [head("POST", path, CHUNKED), *chunks(b" " * size, 60_000), LAST])

    assert status == 413


def test_invalid_chunk_returns_400(url, manager):
    status, _ = exchange(url, [head("PATCH", "/api/auth/me/", manager | CHUNKED), b"xyz\r\n{}\r\n", LAST])

    assert status == 400


HALVES = {
    "chunked": (CHUNKED, b'8\r\n{"a'),
    "with a length": ({"Content-Length": "100"}, b'{"a'),
    "before the first byte": ({"Content-Length": "100"}, b""),
}


@pytest.mark.parametrize(("headers", "half"), HALVES.values(), ids=HALVES)
def test_incomplete_body_holds_a_thread_no_longer_than_web_timeout(server, headers, half):
    def stop(_):
        started = time.monotonic()
        status, _ = exchange(server.url, [head("POST", "/api/auth/login/", headers), half])
        return status, time.monotonic() - started

    with ThreadPoolExecutor(THREADS) as clients:
        stopped = list(clients.map(stop, range(THREADS)))

    assert {status for status, _ in stopped} == {400}
    assert max(seconds for _, seconds in stopped) < TIMEOUT + 3
    assert server.request("GET", "/api/health/live/").status_code == 200


def test_slow_body_is_ended_after_web_timeout(server):
    def dribble():
        yield head("POST", "/api/auth/login/", CHUNKED)
        for _ in range(100):
            time.sleep(0.2)
            yield b"1\r\n \r\n"

    started = time.monotonic()
    with pytest.raises(OSError):  # noqa: PT011 - rejected while it still sends: a reset or a broken pipe
        exchange(server.url, dribble())

    assert time.monotonic() - started < TIMEOUT + 3
