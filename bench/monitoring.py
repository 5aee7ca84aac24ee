"""`make bench-monitoring`: measure the CPU cost of metrics and Sentry for a request of the task list.

CPU time varies less with other load on the host than requests per second. In each round, one process of each variant
starts, and they take turns with a few requests. The result is the median of the ratios of the turns. The Sentry server
runs in another process.
"""

import argparse
import contextlib
import gc
import io
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

from bench.setup import TASKS, describe_host, set_up
from tests.live.server import PROJECT

# The hooks of a request, except the handler that counts log records.
HOOKS = (
    "backend.telemetry.metrics.observe_request",
    "backend.middleware.add_request_context",
    "api.accounts.authentication.add_user_context",
)
VARIANTS = ("none", "metrics", "sentry")
NAMES = {
    "none": "without hooks",
    "metrics": "metrics, Sentry off",
    "sentry": "metrics, Sentry at 0.1",
}
ALLOWED = {"metrics": 0.05, "sentry": 0.15}


def do_nothing(*_: object) -> None:
    pass


def measure_cpu(requests: int, token: str, *, is_bare: bool) -> None:
    """For each line of stdin, print the CPU milliseconds of all threads for one list of 20 tasks."""
    from backend.telemetry import metric_files
    from backend.wsgi import application

    if is_bare:
        for hook in HOOKS:
            mock.patch(hook, do_nothing).start()
    else:
        metric_files.share_values(os.environ["METRICS_FOLDER"], str(os.getpid()))  # as deploy/gunicorn.conf.py
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/api/tasks/",
        "QUERY_STRING": "page_size=20",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
    }
    statuses: set[str] = set()

    def send_requests(times: int) -> None:
        for _ in range(times):
            response = application(dict(environ), lambda status, *_: statuses.add(status))
            b"".join(response)
            response.close()

    send_requests(100)
    gc.collect()
    gc.freeze()  # as deploy/gunicorn.conf.py
    for _ in sys.stdin:
        started = time.process_time()
        send_requests(requests)
        cpu_seconds = time.process_time() - started
        if statuses != {"200 OK"}:
            sys.exit(f"The list returned {statuses}.")
        print("cpu_ms", cpu_seconds / requests * 1e3, flush=True)


@contextlib.contextmanager
def sentry() -> Iterator[str]:
    """Start a server that accepts all events; yield its DSN."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # persistent connections

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://key@127.0.0.1:{server.server_port}/1"
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=15, help="turns of each process")
    parser.add_argument("--requests", type=int, default=40, help="requests of a turn")
    parser.add_argument("--measure-cpu", nargs=2, metavar=("VARIANT", "TOKEN"))
    options = parser.parse_args()
    if options.measure_cpu:
        variant, token = options.measure_cpu
        measure_cpu(options.requests, token, is_bare=variant == "none")
        return
    with set_up() as setup, sentry() as dsn:
        metrics = {"DJANGO_SETTINGS_MODULE": "backend.settings", "METRICS_FOLDER": str(setup.folder)}
        variables = {
            "none": setup.environment(**metrics | {"DJANGO_SETTINGS_MODULE": "bench.reference.without_metrics"}),
            "metrics": setup.environment(**metrics),
            "sentry": setup.environment(**metrics, SENTRY_DSN=dsn, SENTRY_TRACES_SAMPLE_RATE="0.1"),
        }
        costs: dict[str, list[float]] = {name: [] for name in VARIANTS}
        for _ in range(options.rounds):
            with contextlib.ExitStack() as stack:
                token = setup.tokens()["cosmo"]
                start = [sys.executable, "-m", "bench.monitoring", "--requests", str(options.requests), "--measure-cpu"]
                workers = {
                    name: stack.enter_context(MeasuringProcess([*start, name, token], variables[name]))
                    for name in VARIANTS
                }
                for _ in range(options.turns):
                    for name in VARIANTS:
                        costs[name].append(workers[name].measure_turn())
    report(costs, f"{options.rounds} rounds of {options.turns} turns of {options.requests} requests")


class MeasuringProcess(subprocess.Popen[str]):
    """A process that runs `measure_cpu`."""

    def __init__(self, command: list[str], variables: dict[str, str]) -> None:
        super().__init__(command, cwd=PROJECT, env=variables, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def measure_turn(self) -> float:
        print(file=self.stdin, flush=True)
        for line in self.stdout or ():  # log lines can come between
            if line.startswith("cpu_ms "):
                return float(line.split()[1])
        raise SystemExit("A process has ended.")


def report(costs: dict[str, list[float]], work: str) -> None:
    print(f"List of 20 tasks of {TASKS:,}: {describe_host()}; {work}\n")
    print(f"{'':<24}{'CPU ms/request':>18}{'more':>10}{'allowed':>10}")
    for name in VARIANTS:
        ratios = [cost / bare_cost - 1 for cost, bare_cost in zip(costs[name], costs["none"], strict=True)]
        more = f"{statistics.median(ratios):+.1%}{ALLOWED[name]:>+10.0%}" if name in ALLOWED else ""
        print(f"{NAMES[name]:<24}{statistics.median(costs[name]):>18.3f}{more:>20}")


if __name__ == "__main__":
    main()
