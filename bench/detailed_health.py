"""`python -m bench.detailed_health`: /api/health/detailed/ and /metrics with a million tasks, on DATABASE_URL.

Times of the clock, over one kept connection, while the counts are refreshed in the background.
"""

import argparse
import contextlib
import http.client
import statistics
import tempfile
import time
from pathlib import Path

from tests.live.server import Server, environment, fresh_database, manage, serving

TOKEN = "a-token-of-machines"
COPY_TASKS = """
from django.db import connection
from api.models import Task
names = ", ".join(f'"{{field.column}}"' for field in Task._meta.concrete_fields if not field.primary_key)
with connection.cursor() as cursor:
    cursor.execute("SET statement_timeout = 0")
    cursor.execute(f"INSERT INTO api_task ({{names}}) SELECT {{names}} FROM api_task, "
                   "generate_series(1, %s / (SELECT count(*) FROM api_task))", [{tasks}])
    cursor.execute("ANALYZE")
    cursor.execute("SELECT count(*) FROM api_task")
    print(cursor.fetchone()[0])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=400)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = stack.enter_context(fresh_database(folder))
        variables = environment(folder, DATABASE_URL=database, METRICS_TOKEN=TOKEN, HEALTH_TOKEN=TOKEN)
        manage(variables, "migrate", "--verbosity", "0")
        manage(variables, "seed_demo", "--accounts", str(folder / "accounts"))
        copied = manage(variables, "shell", "--verbosity", "0", "-c", COPY_TASKS.format(tasks=options.tasks))
        server = stack.enter_context(serving(variables, folder / "console"))
        print(f"{int(copied):,} tasks on {database.split(':', maxsplit=1)[0]}, two workers; milliseconds\n")
        print(f"{'':<24}{'first':>8}{'median':>8}{'95 %':>8}{'slowest':>8}")
        for path in ("/api/health/detailed/", "/metrics"):
            report(path, ask(server, path, options.requests))


def ask(server: Server, path: str, requests: int) -> list[float]:
    """Milliseconds of each request; a pause after each, so that the counts are refreshed meanwhile."""
    host, port = server.environment["WEB_BIND"].split(":")
    connection = http.client.HTTPConnection(host, int(port))
    times = []
    for _ in range(requests):
        started = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        answer.read()
        times.append((time.perf_counter() - started) * 1000)
        if answer.status != 200:
            raise SystemExit(f"{path} answered {answer.status}.")
        time.sleep(0.1)
    connection.close()
    return times


def report(path: str, times: list[float]) -> None:
    ordered = sorted(times[1:])
    high = ordered[int(len(ordered) * 0.95)]
    print(f"{path:<24}{times[0]:>8.1f}{statistics.median(ordered):>8.1f}{high:>8.1f}{ordered[-1]:>8.1f}")


if __name__ == "__main__":
    main()
