"""How the answers' time grows with the tasks: lists, filters, search and counts at ten thousand and at a million."""

import statistics
import time
from collections.abc import Iterator

from bench.setup import TASKS, Scene, machine
from tests.live.server import Server

# What a manager asks for. A target is for what lists and filters; search and counts are measured, too.
PATHS = {
    "list": "/api/tasks/",
    "page 50": "/api/tasks/?page=50",
    "by property": "/api/tasks/?property=3",
    "by status": "/api/tasks/?status=pending",
    "by assignee": "/api/tasks/?assigned_to=5",
    "of nobody": "/api/tasks/?assigned_to=none",
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


def grow(small: Scene, large: Scene, *, copies: int, rounds: int) -> Iterator[str]:
    """The lines of the report, in Markdown: medians of single requests, asked of one and the other in turn."""
    large.multiply(copies)
    times: dict[str, tuple[list[float], list[float]]] = {what: ([], []) for what in PATHS}
    with small.serving("cosmo") as (few, _), large.serving("cosmo") as (many, _):
        for number in range(-1, rounds):  # the first one warms up
            tokens = [here.tokens() for here in (small, large)]
            for what, path in PATHS.items():
                for found, token, server in zip(times[what], tokens, (few, many), strict=True):
                    taken = _milliseconds(server, path, token)
                    if number >= 0:
                        found.append(taken)
    yield f"Time of one request as tasks grow: {machine()}; a manager's, milliseconds, median of {rounds}"
    yield ""
    yield f"| | {TASKS:,} tasks | {TASKS * (copies + 1):,} tasks | ratio | target |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for what, (before, after) in times.items():
        target = "" if what in NO_TARGET else TARGET
        ratio = statistics.median(late / early for early, late in zip(before, after, strict=True))
        medians = [f"{statistics.median(found):.1f}" for found in (before, after)]
        yield f"| {' | '.join([what, *medians, f'{ratio:.2f}', target])} |"


def _milliseconds(server: Server, path: str, tokens: dict[str, str]) -> float:
    is_api = path.startswith("/api/")
    headers = {"Authorization": f"Bearer {tokens['cosmo']}"} if is_api else {"Cookie": f"sessionid={tokens['browser']}"}
    started = time.perf_counter()
    answer = server.request("GET", path, headers=headers)
    assert answer.status_code == 200, answer.text
    return (time.perf_counter() - started) * 1000
