"""`manage.py test_logging`: writes one record of each kind, and reads each back from the file it belongs into."""

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

LOOKED_AT = 2_000  # records from the end of a file, for others may write meanwhile


class Kind(NamedTuple):
    name: str
    logger: str
    level: int
    message: str
    extra: dict[str, Any]
    files: tuple[str, ...]


# The application's own loggers have a child here, which mails to administrators leave out.
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
    help = "Write one record of each kind, read each back from its file, and show what arrived where."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        test_id = secrets.token_hex(8)
        console = [h for h in logging.root.handlers if not isinstance(h, SharedFileHandler)]
        for handler in console:
            logging.root.removeHandler(handler)  # this is about the files; the table is what belongs on the terminal
        try:
            rows = list(_rows(test_id))
        finally:
            for handler in console:
                logging.root.addHandler(handler)
        self._print(rows)
        if any(not arrived for *_, arrived, _ in rows):
            self.stderr.write("Some records did not arrive. manage.py check says what may be wrong.")
            sys.exit(1)

    def _print(self, rows: list[tuple[str, str, bool, str]]) -> None:
        width = max(len(file) for _, file, *_ in rows)
        for kind, file, arrived, reason in rows:
            mark = self.style.SUCCESS("ok     ") if arrived else self.style.ERROR("MISSING")
            self.stdout.write(f"{mark}  {kind:<15} {file:<{width}}  {reason}".rstrip())


def _rows(test_id: str) -> Iterator[tuple[str, str, bool, str]]:
    """(kind, file, whether it arrived, why not) for each kind and file."""
    handlers = {h.path.stem: h for h in logging.root.handlers if isinstance(h, SharedFileHandler)}
    for kind in KINDS:
        extra = kind.extra | {"test_id": test_id, "test_kind": kind.name}
        logging.getLogger(kind.logger).log(kind.level, kind.message, extra=extra)
        for name in kind.files:
            if name == "debug" and name not in handlers:
                continue  # only while DEBUG is on
            path = Path(settings.LOGS_DIR) / f"{name}.log"
            arrived = _has(path, test_id, kind.name)
            yield kind.name, str(path), arrived, "" if arrived else _reason(kind, handlers.get(name))


def _has(path: Path, test_id: str, kind: str) -> bool:
    entries = ReverseLogReader(path, line_filter=lambda line: test_id.encode() in line)
    return any(entry.values.get("test_kind") == kind for entry in islice(entries, LOOKED_AT))


def _reason(kind: Kind, handler: SharedFileHandler | None) -> str:
    if handler is not None and handler.last_error:
        return handler.last_error
    if not logging.getLogger(kind.logger).isEnabledFor(kind.level):
        return f"LOG_LEVEL is {settings.LOG_LEVEL}"
    return "nothing was written"
