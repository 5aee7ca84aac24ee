"""Compare Cosmo with a plain REST framework application on the same tables.

Rounds alternate between the servers, because the speed of a host drifts. The result is the median of the ratios of the
rounds. CPU is the time of the web worker for one response; it drifts less.
"""

import contextlib
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from bench.setup import PASSWORD, TASKS, BenchSetup, describe_host
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


def compare(setup: BenchSetup, *, rounds: int, seconds: int) -> Iterator[str]:
    """Yield the lines of the report in Markdown."""
    notes = []
    with contextlib.ExitStack() as stack:
        servers = {}
        for name in NAMES:
            servers[name], start = stack.enter_context(setup.serving(name))
            idle = resident_mb(servers[name])
            notes.append(f"- {name}: responds {start:.1f} s after its start; an idle worker uses {idle:.0f} MB")
        results = {name: _measure(setup, servers, name, rounds, seconds) for name in TARGETS}
        peak = peak_mb(servers["cosmo"])
        notes.append(f"- cosmo: a worker used at most {peak:.0f} MB, with logins on all four threads")
    yield f"Cosmo and the plain application: {describe_host()}; {TASKS:,} tasks; one worker, 4 threads, 4 connections"
    yield ""
    yield "| | Cosmo, responses/s | plain | ratio | lowest | target | Cosmo, CPU ms | plain |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name, costs in results.items():
        yield _row(name, costs)
    yield ""
    yield from notes


def _measure(setup: BenchSetup, servers: Mapping[str, Server], target: str, rounds: int, seconds: int) -> Rounds:
    costs: Rounds = {name: [] for name in NAMES}
    # Logins are slow, so they need longer rounds.
    seconds *= 2 if target == "login" else 1
    tokens = setup.tokens()
    for number in range(-1, rounds):  # round -1 warms up
        for name in NAMES:
            cost = load(servers[name], seconds=seconds, **_request(target, name, tokens[name]))
            if number >= 0:
                costs[name].append(cost)
    return costs


def _request(target: str, name: str, token: str) -> Mapping[str, Any]:
    login = {"username": f"bench.{name}", "password": PASSWORD}
    return {
        "health": {"path": "/api/health/"},
        "health, one connection": {"path": "/api/health/", "connections": 1},  # like a load balancer
        "task list": {"path": "/api/tasks/", "token": token},
        "task detail": {"path": "/api/tasks/77/", "token": token},
        "create": {"path": "/api/tasks/", "token": token, "method": "POST", "body": _TASK},
        "login": {"path": "/api/auth/login/", "method": "POST", "body": login},
    }[target]


def _row(target: str, costs: Rounds) -> str:
    cosmo, plain = costs["cosmo"], costs["plain"]
    ratios = [one.rate / other.rate for one, other in zip(cosmo, plain, strict=True)]
    rates = [f"{statistics.median(cost.rate for cost in rounds):.0f}" for rounds in (cosmo, plain)]
    cpu = [f"{statistics.median(cost.cpu_ms for cost in rounds):.2f}" for rounds in (cosmo, plain)]
    cells = [target, *rates, f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}", TARGETS[target], *cpu]
    return f"| {' | '.join(cells)} |"
