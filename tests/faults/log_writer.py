"""One of several processes that write to the same log file: `python -m tests.faults.log_writer KIND PATH ...`.

It prints "ready", waits for a line on stdin so that all processes start together, and writes numbered records.
"""

import argparse
import logging
import sys
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

from backend.formatters import JSONFormatter
from backend.logs.handlers import SharedFileHandler

parser = argparse.ArgumentParser()
parser.add_argument("kind", choices=["ours", "stdlib"])
parser.add_argument("path", type=Path)
parser.add_argument("--writer", type=int, required=True)
parser.add_argument("--lines", type=int, required=True)
parser.add_argument("--max-bytes", type=int, default=0)
parser.add_argument("--padding", type=int, default=0)
parser.add_argument("--pause", type=int, default=0, help="milliseconds between two lines")
BACKUPS = 2_000


def handler_of(kind: str, path: Path, max_bytes: int) -> logging.Handler:
    if kind == "stdlib":
        return RotatingFileHandler(path, maxBytes=max_bytes, backupCount=BACKUPS)
    return SharedFileHandler(path, max_bytes=max_bytes, backup_count=BACKUPS)


def main() -> None:
    options = parser.parse_args()
    handler = handler_of(options.kind, options.path, options.max_bytes)
    handler.setFormatter(JSONFormatter())
    logger = logging.getLogger("writer")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    padding = "x" * options.padding
    for number in range(options.lines):
        logger.info("A line", extra={"writer": options.writer, "number": number, "padding": padding})
        if options.pause:
            time.sleep(options.pause / 1000)
    if options.kind == "ours":
        sys.stdout.write(f"{handler.written} {handler.dropped}\n")


if __name__ == "__main__":
    main()
