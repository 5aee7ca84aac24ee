"""The operations page with large log files: bounded response time and memory."""

import re
import time
from datetime import UTC, datetime, timedelta

import orjson
import psutil
import pytest

from tests.live.server import environment, fill_with_demo, serving

pytestmark = pytest.mark.fault
MB = 1024 * 1024
LONGEST = 4.0  # seconds: two for the page, and two more for a busy machine
MEMORY = 60  # MB of growth of a worker


def entry(at: datetime, number: int, **values) -> bytes:
    request = {"id": f"{number:032x}", "method": "GET", "path": "/api/tasks/", "route": "api/tasks/", "user_id": None}
    record = {
        "timestamp": f"{at:%Y-%m-%dT%H:%M:%S.%f}Z",
        "level": "INFO",
        "logger": "api.performance",
        "event": "request",
        "message": "Request completed",
        "request": request | {"user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 " * 3},
        "performance": {"duration_ms": number % 400, "slow_query": False},
        "database": {"queries_count": 4, "queries_time_ms": 3.1, "slow_queries": []},
        "status_code": 200,
    }
    return orjson.dumps(record | values) + b"\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with 100 MB of request lines from the last half hour, and 100 MB in other files."""
    folder = tmp_path_factory.mktemp("pages")
    variables = environment(folder, WEB_CONCURRENCY="1", LOG_LEVEL="WARNING")
    passwords = fill_with_demo(folder, variables["DATABASE_URL"])
    now = datetime.now(UTC)
    number = 100 * MB // len(entry(now, 0))
    for name, values in {"performance": {}, "info": {"logger": "api", "event": "task_updated"}}.items():
        with (folder / "logs" / f"{name}.log").open("wb") as file:
            for position in range(number):
                at = now - timedelta(minutes=30) * (1 - position / number)
                file.write(entry(at, position, **values))
    with serving(variables, folder / "console") as running:
        running.passwords, running.number = passwords, number
        yield running


@pytest.fixture
def browser(server):
    return server.browser("/admin/", "root.admin", server.passwords["root.admin"])


def ask(server, browser, path: str) -> str:
    started = time.perf_counter()
    response = browser.get(f"{server.url}/admin/operations/{path}", timeout=60)
    assert response.status_code == 200
    assert time.perf_counter() - started < LONGEST
    return response.text


def older(page: str) -> str:
    found = re.search(r'href="([^"]*)" rel="next"', page)
    return "logs/" + found[1].replace("&amp;", "&") if found else ""


def test_log_pages_use_bounded_time_and_memory(server, browser):
    (worker,) = psutil.Process(server.process.pid).children()
    ask(server, browser, "logs/")
    before = worker.memory_info().rss

    assert "Covers the last" in ask(server, browser, "")
    found, path = 0, f"logs/?request_id={server.number // 3:032x}"
    while path:
        page = ask(server, browser, path)
        found += page.count('class="ops-message"')
        path = older(page)
    assert found == 2
    pages, path = 0, "logs/?text=this+is+nowhere"
    while path:
        path = older(ask(server, browser, path))
        pages += 1
    assert 1 < pages < 100
    path = "logs/?file=performance"
    for _ in range(30):
        path = older(ask(server, browser, path))

    assert worker.memory_info().rss - before < MEMORY * MB
