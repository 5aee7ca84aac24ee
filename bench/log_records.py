"""`make bench-logging`: compare the cost of one log record with two other libraries, which redact nothing.

The others are python-json-logger, and structlog with orjson, both with concurrent-log-handler. Each library writes the
same fields to its own rotating file. Rounds alternate; the result is the ratio of the medians.
"""

import argparse
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.live.server import PROJECT

KINDS = ("cosmo", "python-json-logger", "structlog")
ROTATE_AT = 20 * 1024 * 1024  # bytes
FIELDS = {"event": "task_created", "user_id": 42, "user_role": "manager", "task_id": 123, "property_id": 10}
ENVIRONMENT = {"debug": False, "service": "cosmo-backend", "version": "1.0.0", "name": "production"}


def writer_of(kind: str, path: Path) -> Callable[[], None]:
    """Return a function that logs one record."""
    logger = logging.getLogger("api.bench")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    if kind == "cosmo":
        from backend.formatters import JSONFormatter
        from backend.logs.handlers import SharedFileHandler

        handler: logging.Handler = SharedFileHandler(path, max_bytes=ROTATE_AT, backup_count=5)
        handler.setFormatter(JSONFormatter(environment="production"))
    else:
        from concurrent_log_handler import ConcurrentRotatingFileHandler

        handler = ConcurrentRotatingFileHandler(str(path), maxBytes=ROTATE_AT, backupCount=5)
        handler.setFormatter(_other_formatter(kind))
    logger.addHandler(handler)
    if kind == "structlog":
        return _structlog_writer(logger)
    return lambda: logger.info("Task created successfully", extra=FIELDS)


def _other_formatter(kind: str) -> logging.Formatter:
    if kind == "structlog":
        return logging.Formatter("%(message)s")
    from pythonjsonlogger.orjson import OrjsonFormatter

    return OrjsonFormatter(
        "%(levelname)s%(name)s%(message)s%(module)s%(funcName)s%(lineno)d%(process)d%(thread)d%(threadName)s",
        timestamp=True,
        static_fields={"environment": ENVIRONMENT},
    )


def _structlog_writer(logger: logging.Logger) -> Callable[[], None]:
    import orjson
    import structlog
    from structlog.processors import CallsiteParameter as P

    def environment(_: object, __: str, values: dict[str, object]) -> dict[str, object]:
        values["environment"] = ENVIRONMENT
        return values

    bound = structlog.wrap_logger(
        logger,
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.CallsiteParameterAdder(
                {P.MODULE, P.FUNC_NAME, P.LINENO, P.PROCESS, P.THREAD, P.THREAD_NAME}
            ),
            environment,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(serializer=lambda value, **_: orjson.dumps(value).decode()),
        ],
    )
    fields = {name: value for name, value in FIELDS.items() if name != "event"}
    return lambda: bound.info("Task created successfully", event_name="task_created", **fields)


def write(kind: str, path: Path, lines: int) -> None:
    """Write records in this process, and print the CPU microseconds per record."""
    log = writer_of(kind, path)
    for _ in range(200):
        log()
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.process_time()
    for _ in range(lines):
        log()
    print((time.process_time() - started) / lines * 1e6, flush=True)


def measure(kind: str, folder: Path, lines: int, processes: int) -> tuple[float, float]:
    """Return the lines per second of all processes together, and the CPU microseconds per record."""
    command = [sys.executable, "-m", "bench.log_records", "--write", kind, "--folder", str(folder), f"--lines={lines}"]
    writers = [
        subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for writer in writers:
        writer.stdout.readline()
    started = time.perf_counter()
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.close()
    costs = [float(writer.stdout.readline()) for writer in writers]
    seconds = time.perf_counter() - started
    for writer in writers:
        writer.wait()
        writer.stdout.close()
    return lines * processes / seconds, statistics.mean(costs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", choices=KINDS)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.write:
        write(options.write, options.folder / f"{options.write}.log", options.lines)
        return
    print(f"{options.lines:,} records from each process, {os.cpu_count()} cores, medians of {options.rounds} rounds\n")
    print(f"{'':<20}{'CPU us':>9}{'lines/s':>10}{'ours/theirs':>13}   processes")
    for processes in (1, 4):
        results: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
        for _ in range(options.rounds):
            for kind in KINDS:
                with tempfile.TemporaryDirectory() as folder:
                    results[kind].append(measure(kind, Path(folder), options.lines, processes))
        for kind in KINDS:
            rate, cost = (statistics.median(values) for values in zip(*results[kind], strict=True))
            ratio = statistics.median(
                ours[0] / theirs[0] for ours, theirs in zip(results["cosmo"], results[kind], strict=True)
            )
            print(f"{kind:<20}{cost:>9.1f}{rate:>10,.0f}{ratio:>13.2f}   {processes}")


if __name__ == "__main__":
    main()
