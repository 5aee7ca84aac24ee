"""The logging configuration: which records go to which file. docs/logging.md shows it as a table."""

import logging
from pathlib import Path
from typing import Any

from backend.redaction import safe_str

API = "api"
ADMIN = "api.admin"
SECURITY = "api.security"
PERFORMANCE = "api.performance"
DIGEST = "api.digest"

MB = 1024 * 1024
CONSOLE_LIMIT = 15 * 1024  # bytes; Docker splits lines at 16 KiB

# File: (level, which records, formatter, size, backups)
_FILES: dict[str, tuple[str, dict[str, Any], str, int, int]] = {
    "debug.log": ("DEBUG", {}, "json", 50 * MB, 5),
    "info.log": ("INFO", {"without": [SECURITY, PERFORMANCE, DIGEST, "django.security"]}, "json", 100 * MB, 10),
    "error.log": ("WARNING", {"errors_and_denials": True}, "json", 50 * MB, 20),
    "security.log": (
        "INFO",
        {"only": [SECURITY, "django.security"], "or_with_security_event": [API, ADMIN]},
        "security",
        25 * MB,
        15,
    ),
    "performance.log": ("INFO", {"only": [PERFORMANCE]}, "performance", 100 * MB, 7),
    "digest.log": ("INFO", {"only": [DIGEST]}, "json", 50 * MB, 5),
    "digest_err.log": ("ERROR", {"only": [DIGEST]}, "json", 50 * MB, 5),
}
_WEEKLY = {"performance.log"}


def get_logging_config(
    *,
    logs_dir: str | Path,
    service: str,
    version: str,
    environment: str,
    debug: bool = False,
    level: str = "INFO",
    console: str = "json",
    rotation: str = "internal",
    mail_admins: bool = False,
) -> dict[str, Any]:
    """Return a configuration for logging.config.dictConfig, made of plain values only.

    `console` is text or json. `rotation` is internal, or external if logrotate rotates. debug.log exists only if
    `debug` is true.
    """
    formatters = {
        name: {
            "()": f"backend.formatters.{class_name}",
            "debug": debug,
            "service": service,
            "version": version,
            "environment": environment,
        }
        for name, class_name in {
            "json": "JSONFormatter",
            "security": "SecurityFormatter",
            "performance": "PerformanceFormatter",
        }.items()
    }
    files = {name: rules for name, rules in _FILES.items() if debug or name != "debug.log"}
    handlers: dict[str, Any] = {name: _file(Path(logs_dir) / name, rotation) for name in files}
    handlers["metrics"] = {"class": "backend.telemetry.metrics.CountingHandler"}
    handlers["console"] = {"class": "backend.logs.handlers.ConsoleHandler", "formatter": f"console_{console}"}
    if mail_admins:
        handlers["mail_admins"] = {"class": "backend.telemetry.error_mail.AdminMailHandler", "level": "ERROR"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "without_reported_responses": {"()": "backend.logging_config.SkipReportedResponses"},
            "short_messages": {"()": "backend.logs.records.ShortMessages"},
            "once_a_minute": {"()": "backend.logs.throttling.RepeatFilter"},
            **{name: {"()": "backend.logging_config.RecordSelection", **rules[1]} for name, rules in files.items()},
        },
        "formatters": {
            **formatters,
            "console_text": {"()": "backend.formatters.TextFormatter"},
            "console_json": formatters["json"] | {"max_bytes": CONSOLE_LIMIT},
        },
        "handlers": handlers,
        "root": {"level": level, "handlers": list(handlers)},
        "loggers": {
            # Their own handlers would write each record again, in another format.
            **{name: {"handlers": [], "propagate": True} for name in ("django", "django.server")},
            **{
                name: {"filters": ["without_reported_responses"]}
                for name in ("django.request", "django.security.csrf", "celery.app.trace")
            },
            "gunicorn.error": {"handlers": [], "propagate": True, "filters": ["short_messages"]},
            "psycopg.pool": {"filters": ["once_a_minute"]},
            # At DEBUG these log SQL parameters and every watched file.
            **{name: {"level": "INFO"} for name in ("django.db.backends", "django.utils.autoreload")},
        },
    }


def _file(path: Path, rotation: str) -> dict[str, Any]:
    level, _, formatter, max_bytes, backup_count = _FILES[path.name]
    return {
        "class": "backend.logs.handlers.SharedFileHandler",
        "filename": str(path),
        "level": level,
        "filters": [path.name],
        "formatter": formatter,
        "max_bytes": max_bytes if rotation == "internal" else 0,
        "backup_count": backup_count,
        "weekly": rotation == "internal" and path.name in _WEEKLY,
    }


class RecordSelection(logging.Filter):
    """Selects records by logger, by security event, or errors and denials."""

    def __init__(
        self,
        *,
        only: list[str] | None = None,
        without: list[str] | None = None,
        or_with_security_event: list[str] | None = None,
        errors_and_denials: bool = False,
    ) -> None:
        super().__init__()
        self.only = _names(only)
        self.without = _names(without)
        self.events_of = _names(or_with_security_event)
        self.errors_and_denials = errors_and_denials

    def filter(self, record: logging.LogRecord) -> bool:
        if self.errors_and_denials and record.levelno < logging.ERROR:
            return safe_str(record.msg).startswith("Permission denied")
        name = f"{record.name}."
        if self.only and not name.startswith(self.only):
            return bool(self.events_of) and name.startswith(self.events_of) and hasattr(record, "security_event")
        return not (self.without and name.startswith(self.without))


class SkipReportedResponses(logging.Filter):
    """Drops records of Django and Celery about responses, CSRF failures and failed jobs, which are logged already.

    performance.log has every response, and security.log every CSRF failure. Errors and failed jobs are logged with
    their causes.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == "celery.app.trace":
            return record.levelno < logging.ERROR
        return not hasattr(record, "status_code")


def _names(names: list[str] | None) -> tuple[str, ...]:
    return tuple(f"{name}." for name in names or ())
