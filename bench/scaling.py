"""Compare response times of lists, filters, search and counts with ten thousand and with a million tasks."""

import statistics
import time
from collections.abc import Iterator

from bench.setup import TASKS, BenchSetup, describe_host
from tests.live.server import Server

# Requests of a manager. Lists and filters have a target; search and counts are measured without one.
PATHS = {
    "list": "/api/tasks/",
    "page 50": "/api/tasks/?page=50",
    "by property": "/api/tasks/?property=3",
    "by status": "/api/tasks/?status=pending",
    "by assignee": "/api/tasks/?assigned_to=5",
    "unassigned": "/api/tasks/?assigned_to=none",
    "by type": "/api/tasks/?task_type=laundry",
    "by priority": "/api/tasks/?priority=urgent",
    "by date": "/api/tasks/?due_after=2026-11-20T00:00:00Z&due_before=2026-12-20T00:00:00Z",
    "urgent first": "/api/tasks/?ordering=-priority",
    "newest first": "/api/tasks/?ordering=-created_at",
    "overdue": "/api/tasks/?overdue=true",
    "detail": "/api/tasks/77/",
    "search, frequent": "/api/tasks/?search=cupboard",
    "search, rare": "/api/tasks/?search=Task%209876",
    "summary": "/api/tasks/summary/",
    "site: list": "/manager/api/task/",
    "site: page 200": "/manager/api/task/?p=200",
    "site: by status": "/manager/api/task/?status__exact=completed",
    "site: overdue": "/manager/api/task/?due=overdue",
    "site: urgent first": "/manager/api/task/?o=-5",
    "site: by month": "/manager/api/task/?due_date_from=2026-12-01&due_date_to=2026-12-31",
    "site: search, frequent": "/manager/api/task/?q=cupboard",
    "site: search, rare": "/manager/api/task/?q=Task%209876",
}
NO_TARGET = {"search, frequent", "search, rare", "summary", "site: search, frequent", "site: search, rare"}
TARGET = "1.5"


def measure_scaling(small: BenchSetup, large: BenchSetup, *, copies: int, rounds: int) -> Iterator[str]:
    """Yield the lines of the report in Markdown: medians of single requests, alternating between both servers."""
    large.multiply(copies)
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in PATHS}
    with small.serving("cosmo") as (small_server, _), large.serving("cosmo") as (large_server, _):
        for number in range(-1, rounds):  # round -1 warms up
            tokens = [setup.tokens() for setup in (small, large)]
            for name, path in PATHS.items():
                for durations, token, server in zip(times[name], tokens, (small_server, large_server), strict=True):
                    duration = _milliseconds(server, path, token)
                    if number >= 0:
                        durations.append(duration)
    yield f"Response time by number of tasks: {describe_host()}; manager, milliseconds, median of {rounds}"
    yield ""
    yield f"| | {TASKS:,} tasks | {TASKS * (copies + 1):,} tasks | ratio | target |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for name, (small_times, large_times) in times.items():
        target = "" if name in NO_TARGET else TARGET
        ratio = statistics.median(b / a for a, b in zip(small_times, large_times, strict=True))
        medians = [f"{statistics.median(durations):.1f}" for durations in (small_times, large_times)]
        yield f"| {' | '.join([name, *medians, f'{ratio:.2f}', target])} |"


def _milliseconds(server: Server, path: str, tokens: dict[str, str]) -> float:
    is_api = path.startswith("/api/")
    headers = {"Authorization": f"Bearer {tokens['cosmo']}"} if is_api else {"Cookie": f"sessionid={tokens['browser']}"}
    started = time.perf_counter()
    response = server.request("GET", path, headers=headers)
    assert response.status_code == 200, response.text
    return (time.perf_counter() - started) * 1000
