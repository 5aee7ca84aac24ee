"""Load tests of one endpoint with wrk, and the resources that the server used."""

import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.live.server import Server

_SCRIPT = """
wrk.method = {method}
wrk.body = {body}
wrk.headers["Content-Type"] = "application/json"
"""


@dataclass(frozen=True)
class Cost:
    """The result of a load test."""

    rate: float  # successful responses per second
    cpu_ms: float  # CPU of the workers per response


def load(
    server: Server,
    path: str,
    *,
    token: str = "",
    seconds: float,
    method: str = "GET",
    body: Any = None,
    connections: int = 4,
) -> Cost:
    """Send requests for `seconds`. Raise SystemExit if a response was an error or missing."""
    before = _cpu_seconds(server)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        text = json.dumps(json.dumps(body)) if body is not None else "nil"
        script.write(_SCRIPT.format(method=json.dumps(method), body=text))
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script.name, "--timeout", "20s"]
        headers = ["-H", f"Authorization: Bearer {token}"] if token else []
        output = subprocess.run(
            [*command, *headers, server.url + path], check=True, capture_output=True, text=True
        ).stdout
    cpu_seconds = _cpu_seconds(server) - before
    responses = int(re.search(r"(\d+) requests in", output)[1])  # type: ignore[index]
    if "Non-2xx" in output or "Socket errors" in output or not responses:
        raise SystemExit(f"{method} {path}:\n{output}")
    rate = float(re.search(r"Requests/sec: +([\d.]+)", output)[1])  # type: ignore[index]
    return Cost(rate, cpu_seconds * 1000 / responses)


def resident_mb(server: Server) -> float:
    """Return the resident memory of the largest worker."""
    return max(worker.memory_info().rss for worker in _workers(server)) / 1024**2


def peak_mb(server: Server) -> float:
    """Return the peak memory of the largest worker since its start."""
    texts = [Path(f"/proc/{worker.pid}/status").read_text() for worker in _workers(server)]
    return max(int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) for text in texts) / 1024  # type: ignore[index]


def _cpu_seconds(server: Server) -> float:
    return sum(sum(worker.cpu_times()[:2]) for worker in _workers(server))


def _workers(server: Server) -> list[psutil.Process]:
    return psutil.Process(server.process.pid).children()
