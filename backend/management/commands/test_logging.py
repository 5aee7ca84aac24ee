"""Command that writes one log record of each kind, and checks that it arrived in the right files."""

import logging
import secrets
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.core.management.base import BaseCommand

from backend.logging_config import ADMIN, API, DIGEST, PERFORMANCE, SECURITY
from backend.logs.handlers import SharedFileHandler
from backend.logs.reader import ReverseLogReader

MAX_RECORDS = 2_000  # searched from the end of a file, because other processes write, too


class Kind(NamedTuple):
    name: str
    logger: str
    level: int
    message: str
    extra: dict[str, Any]
    files: tuple[str, ...]


# These child loggers of the application cause no emails to administrators.
KINDS = (
    Kind("debug", f"{API}.test_logging", logging.DEBUG, "A test of debug records", {}, ("debug",)),
    Kind("application", f"{API}.test_logging", logging.INFO, "A test of application records", {}, ("info",)),
    Kind("error", f"{API}.test_logging", logging.ERROR, "A test of error records", {}, ("info", "error")),
    Kind("denial", ADMIN, logging.WARNING, "Permission denied: a test", {}, ("info", "error")),
    Kind("security", SECURITY, logging.INFO, "A test of security records", {}, ("security",)),
    Kind(
        "security event",
        f"{API}.test_logging",
        logging.INFO,
        "A test of security events",
        {"security_event": "test_logging", "security_category": "test"},
        ("info", "security"),
    ),
    Kind("performance", PERFORMANCE, logging.INFO, "A test of performance records", {"duration": 0}, ("performance",)),
    Kind("digest", DIGEST, logging.INFO, "A test of digest records", {}, ("digest",)),
    Kind("digest error", f"{DIGEST}.test_logging", logging.ERROR, "A test", {}, ("digest", "digest_err", "error")),
)


class Command(BaseCommand):
    help = "Write one record of each kind, and show whether it arrived in each of its files."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        test_id = secrets.token_hex(8)
        other_handlers = [h for h in logging.root.handlers if not isinstance(h, SharedFileHandler)]
        for handler in other_handlers:
            logging.root.removeHandler(handler)  # the terminal shows the table only
        try:
            rows = list(_rows(test_id))
        finally:
            for handler in other_handlers:
                logging.root.addHandler(handler)
        self._print(rows)
        if any(not arrived for *_, arrived, _ in rows):
            self.stderr.write("Some records did not arrive. Run manage.py check to find the cause.")
            sys.exit(1)

    def _print(self, rows: list[tuple[str, str, bool, str]]) -> None:
        width = max(len(file) for _, file, *_ in rows)
        for kind, file, arrived, reason in rows:
            mark = self.style.SUCCESS("ok     ") if arrived else self.style.ERROR("MISSING")
            self.stdout.write(f"{mark}  {kind:<15} {file:<{width}}  {reason}".rstrip())


def _rows(test_id: str) -> Iterator[tuple[str, str, bool, str]]:
    """Yield (kind, file, whether the record arrived, reason if not) for each kind and file."""
    handlers = {h.path.stem: h for h in logging.root.handlers if isinstance(h, SharedFileHandler)}
    for kind in KINDS:
        extra = kind.extra | {"test_id": test_id, "test_kind": kind.name}
        logging.getLogger(kind.logger).log(kind.level, kind.message, extra=extra)
        for name in kind.files:
            if name == "debug" and name not in handlers:
                continue  # it exists only if DEBUG is on
            path = Path(settings.LOGS_DIR) / f"{name}.log"
            arrived = _has(path, test_id, kind.name)
            yield kind.name, str(path), arrived, "" if arrived else _reason(kind, handlers.get(name))


def _has(path: Path, test_id: str, kind: str) -> bool:
    entries = ReverseLogReader(path, line_filter=lambda line: test_id.encode() in line)
    return any(entry.values.get("test_kind") == kind for entry in islice(entries, MAX_RECORDS))


def _reason(kind: Kind, handler: SharedFileHandler | None) -> str:
    if handler is not None and handler.last_error:
        return handler.last_error
    if not logging.getLogger(kind.logger).isEnabledFor(kind.level):
        return f"LOG_LEVEL is {settings.LOG_LEVEL}"
    return "no record was written"
