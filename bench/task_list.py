"""`make bench`: the list of 20 tasks, Cosmo beside the plainest REST framework view over the same table, in one run.

Rounds alternate, because the speed of a machine drifts; what counts is the ratio of the medians.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.live.server import PROJECT, Server, environment, fresh_database, manage, serving

MAKE_TASKS = """
import random
from datetime import UTC, datetime, timedelta
from django.db import connection
from rest_framework_simplejwt.tokens import AccessToken
from api.models import Task, Property, User
from api.users.sessions import open_session
manager = User.objects.get(username="maria.manager")
houses, crew = list(Property.objects.all()), list(User.objects.filter(role="staff"))
now, dice = datetime.now(UTC), random.Random(1)
Task.objects.bulk_create((Task(
    title=f"Task {number}", description="Two sets, in the cupboard of the hall.", task_type="cleaning",
    property=dice.choice(houses), assigned_to=dice.choice(crew), created_by=manager, modified_by=manager,
    created_at=now, modified_at=now, due_date=now + timedelta(minutes=dice.randint(-9999, 9999)),
) for number in range(%d - Task.objects.count())), batch_size=1000)
connection.cursor().execute("ANALYZE")  # as the server does by itself, a while later
print(open_session(manager)["access"], AccessToken.for_user(manager))
"""


def load(server: Server, token: str, seconds: float) -> float:
    url = f"{server.url}/api/tasks/?page_size=20" if server.name == "cosmo" else f"{server.url}/api/tasks/"
    command = [sys.executable, "-m", "bench.load", url, token, str(seconds), "4"]
    return float(subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = stack.enter_context(fresh_database(folder))
        cosmo = environment(folder, DATABASE_URL=database, WEB_CONCURRENCY="1", WEB_THREADS="4")
        plain = (
            cosmo
            | environment(folder, DATABASE_URL=database)
            | {name: cosmo[name] for name in ("SECRET_KEY", "JWT_SIGNING_KEY", "WEB_CONCURRENCY", "WEB_THREADS")}
        )
        manage(cosmo, "migrate", "--verbosity", "0")
        manage(cosmo, "seed_demo", "--accounts", str(folder / "accounts"))
        tokens = manage(cosmo, "shell", "--verbosity", "0", "-c", MAKE_TASKS % options.tasks).split()
        servers = {
            "cosmo": stack.enter_context(serving(cosmo, folder / "cosmo.log")),
            "plain": stack.enter_context(serving(plain, folder / "plain.log", "bench.reference.wsgi:application")),
        }
        rates: dict[str, list[float]] = {name: [] for name in servers}
        for name, server in servers.items():
            server.name = name
        for round_ in range(-1, options.rounds):
            for (name, server), token in zip(servers.items(), tokens, strict=True):
                rate = load(server, token, options.seconds if round_ >= 0 else 1)
                if round_ >= 0:
                    rates[name].append(rate)
    report(rates, options.tasks, database)


def report(rates: dict[str, list[float]], tasks: int, database: str) -> None:
    kind = database.split(":", maxsplit=1)[0]
    print(f"List of 20 tasks of {tasks:,} on {kind}; one worker, 4 threads, 4 connections, {os.cpu_count()} cores\n")
    print(f"{'':<8}{'median':>10}{'min':>10}{'max':>10}   requests a second")
    for name, values in rates.items():
        print(f"{name:<8}{statistics.median(values):>10.1f}{min(values):>10.1f}{max(values):>10.1f}")
    ratios = [ours / theirs for ours, theirs in zip(rates["cosmo"], rates["plain"], strict=True)]
    print(f"\ncosmo/plain, round by round: median {statistics.median(ratios):.2f}, min {min(ratios):.2f}")


if __name__ == "__main__":
    main()
