"""`make bench-monitoring`: what the hooks of metrics and of Sentry cost the task list, in CPU a request.

CPU of the process instead of requests a second, because other work on the machine changes it less. In each round one
process of each kind starts, and they take turns with a few requests; what counts is the median of the turns' ratios.
The Sentry that the last row talks to is another process.
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

from bench.setup import TASKS, machine, scene
from tests.live.server import PROJECT

# What a request meets, but for the handler that counts log records.
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


def nothing(*_: object) -> None:
    pass


def spend(requests: int, token: str, *, is_bare: bool) -> None:
    """For each line of stdin, print the milliseconds of CPU that all threads here spend on one list of 20 tasks."""
    from backend.telemetry import metric_files
    from backend.wsgi import application

    if is_bare:
        for hook in HOOKS:
            mock.patch(hook, nothing).start()
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

    def ask(times: int) -> None:
        for _ in range(times):
            answer = application(dict(environ), lambda status, *_: statuses.add(status))
            b"".join(answer)
            answer.close()

    ask(100)
    gc.collect()
    gc.freeze()  # as deploy/gunicorn.conf.py
    for _ in sys.stdin:
        started = time.process_time()
        ask(requests)
        spent = time.process_time() - started
        if statuses != {"200 OK"}:
            sys.exit(f"The list answered {statuses}.")
        print("spent", spent / requests * 1e3, flush=True)


@contextlib.contextmanager
def sentry() -> Iterator[str]:
    """The DSN of a server that takes everything."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept

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
    parser.add_argument("--turns", type=int, default=15, help="of each process")
    parser.add_argument("--requests", type=int, default=40, help="of a turn")
    parser.add_argument("--spend", nargs=2, metavar=("VARIANT", "TOKEN"))
    options = parser.parse_args()
    if options.spend:
        variant, token = options.spend
        spend(options.requests, token, is_bare=variant == "none")
        return
    with scene() as here, sentry() as dsn:
        metrics = {"DJANGO_SETTINGS_MODULE": "backend.settings", "METRICS_FOLDER": str(here.folder)}
        variables = {
            "none": here.environment(**metrics | {"DJANGO_SETTINGS_MODULE": "bench.reference.without_metrics"}),
            "metrics": here.environment(**metrics),
            "sentry": here.environment(**metrics, SENTRY_DSN=dsn, SENTRY_TRACES_SAMPLE_RATE="0.1"),
        }
        costs: dict[str, list[float]] = {name: [] for name in VARIANTS}
        for _ in range(options.rounds):
            with contextlib.ExitStack() as stack:
                token = here.tokens()["cosmo"]
                start = [sys.executable, "-m", "bench.monitoring", "--requests", str(options.requests), "--spend"]
                workers = {
                    name: stack.enter_context(Spending([*start, name, token], variables[name])) for name in VARIANTS
                }
                for _ in range(options.turns):
                    for name in VARIANTS:
                        costs[name].append(workers[name].turn())
    report(costs, f"{options.rounds} rounds of {options.turns} turns of {options.requests} requests")


class Spending(subprocess.Popen[str]):
    """A process of `spend`."""

    def __init__(self, command: list[str], variables: dict[str, str]) -> None:
        super().__init__(command, cwd=PROJECT, env=variables, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def turn(self) -> float:
        print(file=self.stdin, flush=True)
        for line in self.stdout or ():  # between lines of the log
            if line.startswith("spent "):
                return float(line.split()[1])
        raise SystemExit("A process has ended.")


def report(costs: dict[str, list[float]], work: str) -> None:
    print(f"List of 20 tasks of {TASKS:,}: {machine()}; {work}\n")
    print(f"{'':<24}{'CPU ms a request':>18}{'more':>10}{'allowed':>10}")
    for name in VARIANTS:
        ratios = [ours / bare - 1 for ours, bare in zip(costs[name], costs["none"], strict=True)]
        more = f"{statistics.median(ratios):+.1%}{ALLOWED[name]:>+10.0%}" if name in ALLOWED else ""
        print(f"{NAMES[name]:<24}{statistics.median(costs[name]):>18.3f}{more:>20}")


if __name__ == "__main__":
    main()
