"""`make bench-logging`: measure the cost of three middlewares and their log line, in CPU and requests per second."""

import argparse
import contextlib
import io
import os
import statistics
import subprocess
import sys
import time

from bench.setup import describe_host, set_up
from bench.wrk import load
from tests.live.server import PROJECT, serving

SETTINGS = {"on": "backend.settings", "off": "bench.reference.without_logging"}


def measure_cpu(requests: int) -> None:
    """Print the CPU milliseconds of one minimal request: a GET of /, outside the API."""
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

    def send_requests(times: int) -> None:
        for _ in range(times):
            response = application(dict(environ), lambda *_: None)
            b"".join(response)
            response.close()

    send_requests(300)
    started = time.process_time()
    send_requests(requests)
    print((time.process_time() - started) / requests * 1e3)


def run_measure_cpu(variables: dict[str, str], requests: int) -> float:
    command = [sys.executable, "-m", "bench.middlewares", "--measure-cpu", str(requests)]
    with open(os.devnull, "w") as null:
        return float(subprocess.check_output(command, cwd=PROJECT, env=variables, stderr=null))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--measure-cpu", type=int)
    options = parser.parse_args()
    if options.measure_cpu:
        measure_cpu(options.measure_cpu)
        return
    with set_up() as setup, contextlib.ExitStack() as stack:
        variables = {name: setup.environment(DJANGO_SETTINGS_MODULE=settings) for name, settings in SETTINGS.items()}
        costs: dict[str, list[float]] = {name: [] for name in SETTINGS}
        for _ in range(options.rounds):
            for name in SETTINGS:
                costs[name].append(run_measure_cpu(variables[name], 3_000))
        rates: dict[str, list[float]] = {name: [] for name in SETTINGS}
        servers = {
            name: stack.enter_context(serving(variables[name], setup.folder / f"{name}.console")) for name in SETTINGS
        }
        for number in range(-1, options.rounds):
            token = setup.tokens()["cosmo"]
            for name, server in servers.items():
                cost = load(server, "/api/tasks/", token=token, seconds=options.seconds)
                if number >= 0:
                    rates[name].append(cost.rate)
    report(costs, rates)


def report(costs: dict[str, list[float]], rates: dict[str, list[float]]) -> None:
    print(f"The three middlewares and their log line: {describe_host()}\n")
    print(f"{'':<12}{'CPU ms/request':>18}{'task list, requests/s':>24}")
    for name in SETTINGS:
        print(f"{name:<12}{statistics.median(costs[name]):>18.3f}{statistics.median(rates[name]):>24.1f}")
    extra = statistics.median(on - off for on, off in zip(costs["on"], costs["off"], strict=True))
    kept = statistics.median(on / off for on, off in zip(rates["on"], rates["off"], strict=True))
    print(f"{'':<12}{f'+{extra:.3f}':>18}{f'{kept:.1%} kept':>24}")


if __name__ == "__main__":
    main()
