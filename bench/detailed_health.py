"""`python -m bench.detailed_health`: /api/health/detailed/ and /metrics with a million tasks, on PostgreSQL.

Times of the clock, over one kept connection, while the counts are refreshed in the background.
"""

import argparse
import http.client
import statistics
import time

from bench.setup import TASKS, machine, scene
from tests.live.server import Server, serving

TOKEN = "a-token-of-machines"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copies", type=int, default=99, help="of each of the 10,000 tasks")
    parser.add_argument("--requests", type=int, default=400)
    options = parser.parse_args()
    with scene() as here:
        here.multiply(options.copies)
        variables = here.environment(METRICS_TOKEN=TOKEN, HEALTH_TOKEN=TOKEN, WEB_CONCURRENCY="2")
        with serving(variables, here.folder / "console") as server:
            print(f"{TASKS * (options.copies + 1):,} tasks: {machine()}, two workers; milliseconds\n")
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
