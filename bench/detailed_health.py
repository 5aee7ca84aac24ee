"""`python -m bench.detailed_health`: response times of /api/health/detailed/ and /metrics with a million tasks.

It needs PostgreSQL. Requests use one persistent connection while a thread refreshes the business counts.
"""

import argparse
import http.client
import statistics
import time

from bench.setup import TASKS, describe_host, set_up
from tests.live.server import Server, serving

TOKEN = "bench-service-token"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copies", type=int, default=99, help="copies of each of the 10,000 tasks")
    parser.add_argument("--requests", type=int, default=400)
    options = parser.parse_args()
    with set_up() as setup:
        setup.multiply(options.copies)
        variables = setup.environment(METRICS_TOKEN=TOKEN, HEALTH_TOKEN=TOKEN, WEB_CONCURRENCY="2")
        with serving(variables, setup.folder / "console") as server:
            print(f"{TASKS * (options.copies + 1):,} tasks: {describe_host()}, two workers; milliseconds\n")
            print(f"{'':<24}{'first':>8}{'median':>8}{'95 %':>8}{'slowest':>8}")
            for path in ("/api/health/detailed/", "/metrics"):
                report(path, measure(server, path, options.requests))


def measure(server: Server, path: str, requests: int) -> list[float]:
    """Return the milliseconds of each request. Pause between requests, so that the counts are refreshed."""
    host, port = server.environment["WEB_BIND"].split(":")
    connection = http.client.HTTPConnection(host, int(port))
    times = []
    for _ in range(requests):
        started = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
        response = connection.getresponse()
        response.read()
        times.append((time.perf_counter() - started) * 1000)
        if response.status != 200:
            raise SystemExit(f"{path} returned {response.status}.")
        time.sleep(0.1)
    connection.close()
    return times


def report(path: str, times: list[float]) -> None:
    ordered = sorted(times[1:])
    high = ordered[int(len(ordered) * 0.95)]
    print(f"{path:<24}{times[0]:>8.1f}{statistics.median(ordered):>8.1f}{high:>8.1f}{ordered[-1]:>8.1f}")


if __name__ == "__main__":
    main()
