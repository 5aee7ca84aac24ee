"""`make bench-logging`: what the three middlewares and their log line cost, in CPU and in requests a second."""

import argparse
import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.task_list import MAKE_TASKS, load
from tests.live.server import PROJECT, environment, fresh_database, manage, serving

SETTINGS = {"on": "backend.settings", "off": "bench.reference.without_logging"}


def spend(requests: int) -> None:
    """Print the milliseconds of CPU for one request that does nothing else: a 404 outside the API, without a page."""
    from django.core.wsgi import get_wsgi_application

    application = get_wsgi_application()
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "QUERY_STRING": "page=2&status=pending",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
    }

    def ask(times: int) -> None:
        for _ in range(times):
            answer = application(dict(environ), lambda *_: None)
            b"".join(answer)
            answer.close()

    ask(300)
    started = time.process_time()
    ask(requests)
    print((time.process_time() - started) / requests * 1e3)


def cpu(variables: dict[str, str], requests: int) -> float:
    command = [sys.executable, "-m", "bench.middlewares", "--spend", str(requests)]
    with open(os.devnull, "w") as nowhere:
        return float(subprocess.check_output(command, cwd=PROJECT, env=variables, stderr=nowhere))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--spend", type=int)
    options = parser.parse_args()
    if options.spend:
        spend(options.spend)
        return
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = stack.enter_context(fresh_database(folder))
        common = environment(folder, DATABASE_URL=database, WEB_CONCURRENCY="1", WEB_THREADS="4")
        shared = {name: common[name] for name in ("SECRET_KEY", "JWT_SIGNING_KEY", "WEB_CONCURRENCY", "WEB_THREADS")}
        variables = {
            name: environment(folder, DATABASE_URL=database, DJANGO_SETTINGS_MODULE=settings) | shared
            for name, settings in SETTINGS.items()
        }
        manage(common, "migrate", "--verbosity", "0")
        manage(common, "seed_demo", "--accounts", str(folder / "accounts"))
        token = manage(common, "shell", "--verbosity", "0", "-c", MAKE_TASKS % 10_000).split()[0]
        costs: dict[str, list[float]] = {name: [] for name in SETTINGS}
        for _ in range(options.rounds):
            for name in SETTINGS:
                costs[name].append(cpu(variables[name], 3_000))
        rates: dict[str, list[float]] = {name: [] for name in SETTINGS}
        servers = {name: stack.enter_context(serving(variables[name], folder / f"{name}.console")) for name in SETTINGS}
        for server in servers.values():
            server.name = "cosmo"
        for number in range(-1, options.rounds):
            for name, server in servers.items():
                rate = load(server, token, options.seconds if number >= 0 else 1)
                if number >= 0:
                    rates[name].append(rate)
    report(costs, rates, database)


def report(costs: dict[str, list[float]], rates: dict[str, list[float]], database: str) -> None:
    print(f"The three middlewares and their log line, {os.cpu_count()} cores, {database.split(':', maxsplit=1)[0]}\n")
    print(f"{'':<12}{'CPU ms a request':>18}{'task list, requests/s':>24}")
    for name in SETTINGS:
        print(f"{name:<12}{statistics.median(costs[name]):>18.3f}{statistics.median(rates[name]):>24.1f}")
    extra = statistics.median(on - off for on, off in zip(costs["on"], costs["off"], strict=True))
    kept = statistics.median(on / off for on, off in zip(rates["on"], rates["off"], strict=True))
    print(f"{'':<12}{f'+{extra:.3f}':>18}{f'{kept:.1%} kept':>24}")


if __name__ == "__main__":
    main()
