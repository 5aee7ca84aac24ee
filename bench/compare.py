"""Cosmo beside the plainest REST framework application over the same tables.

Rounds alternate, because the speed of a machine drifts; what counts is the median of the ratios, round by round. CPU is
that of the web worker for one answer, and drifts less.
"""

import contextlib
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from bench.setup import PASSWORD, TASKS, Scene, machine
from bench.wrk import Cost, load, peak_mb, resident_mb
from tests.live.server import Server

NAMES = ("cosmo", "plain")
TARGETS = {
    "health": "1.0",
    "health, one connection": "1.0",
    "task list": "1.3",
    "task detail": "1.0",
    "create": "",
    "login": "3.0",
}
_TASK = {"title": "Linen", "task_type": "laundry", "property": 1, "due_date": "2030-05-31T15:00:00Z"}

Rounds = dict[str, list[Cost]]


def compare(here: Scene, *, rounds: int, seconds: int) -> Iterator[str]:
    """The lines of the report, in Markdown."""
    facts = []
    with contextlib.ExitStack() as stack:
        servers = {}
        for name in NAMES:
            servers[name], start = stack.enter_context(here.serving(name))
            rest = resident_mb(servers[name])
            facts.append(f"- {name}: answers {start:.1f} s after its start; a worker at rest has {rest:.0f} MB")
        results = {what: _measure(here, servers, what, rounds, seconds) for what in TARGETS}
        peak = peak_mb(servers["cosmo"])
        facts.append(f"- cosmo: a worker had at most {peak:.0f} MB, with sign-ins on all of its four threads")
    yield f"Cosmo beside the plainest application: {machine()}; {TASKS:,} tasks; one worker, 4 threads, 4 connections"
    yield ""
    yield "| | Cosmo, answers/s | plain | ratio | lowest | target | Cosmo, CPU ms | plain |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for what, costs in results.items():
        yield _row(what, costs)
    yield ""
    yield from facts


def _measure(here: Scene, servers: Mapping[str, Server], what: str, rounds: int, seconds: int) -> Rounds:
    costs: Rounds = {name: [] for name in NAMES}
    # A sign-in takes so long that a few seconds hold only a few.
    seconds *= 2 if what == "login" else 1
    tokens = here.tokens()
    for number in range(-1, rounds):  # the first one warms up
        for name in NAMES:
            cost = load(servers[name], seconds=seconds, **_asked(what, name, tokens[name]))
            if number >= 0:
                costs[name].append(cost)
    return costs


def _asked(what: str, name: str, token: str) -> Mapping[str, Any]:
    login = {"username": f"bench.{name}", "password": PASSWORD}
    return {
        "health": {"path": "/api/health/"},
        "health, one connection": {"path": "/api/health/", "connections": 1},  # as a load balancer asks
        "task list": {"path": "/api/tasks/", "token": token},
        "task detail": {"path": "/api/tasks/77/", "token": token},
        "create": {"path": "/api/tasks/", "token": token, "method": "POST", "body": _TASK},
        "login": {"path": "/api/auth/login/", "method": "POST", "body": login},
    }[what]


def _row(what: str, costs: Rounds) -> str:
    ours, theirs = costs["cosmo"], costs["plain"]
    ratios = [our.rate / their.rate for our, their in zip(ours, theirs, strict=True)]
    rates = [f"{statistics.median(cost.rate for cost in found):.0f}" for found in (ours, theirs)]
    cpu = [f"{statistics.median(cost.cpu_ms for cost in found):.2f}" for found in (ours, theirs)]
    cells = [what, *rates, f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}", TARGETS[what], *cpu]
    return f"| {' | '.join(cells)} |"
