"""A process that logs numbered records to its console: `python -m tests.faults.console_writer WRITER LINES SIZE...`."""

import logging
import sys

from backend.formatters import JSONFormatter
from backend.logging_config import CONSOLE_LIMIT
from backend.logs.handlers import ConsoleHandler


def main() -> None:
    writer, lines, *sizes = map(int, sys.argv[1:])
    handler = ConsoleHandler()
    handler.setFormatter(JSONFormatter(max_bytes=CONSOLE_LIMIT))
    logger = logging.getLogger("writer")
    logger.propagate = False
    logger.addHandler(handler)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for number in range(lines):
        padding = ["x" * 3_000] * (sizes[number % len(sizes)] // 3_000) + ["y" * (sizes[number % len(sizes)] % 3_000)]
        logger.warning("A line", extra={"writer": writer, "number": number, "padding": padding})
    sys.stdout.write(f"{handler.written} {handler.dropped}\n")


if __name__ == "__main__":
    main()
