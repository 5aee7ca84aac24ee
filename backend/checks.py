"""System checks: what an operator should know before the service runs (`manage.py check --deploy`)."""

import logging
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

from backend import tracing
from backend.log_handlers import SharedFileHandler
from backend.sentry_config import dsn_is_valid


@register
def check_sentry_dsn(**_: Any) -> list[CheckMessage]:
    if not settings.SENTRY_DSN or dsn_is_valid(settings.SENTRY_DSN):
        return []
    hint = "Copy the DSN from the project's settings in Sentry, or leave SENTRY_DSN empty."
    return [Warning("SENTRY_DSN cannot be parsed; error tracking is off.", hint=hint, id="backend.W001")]


@register
def check_tracing(**_: Any) -> list[CheckMessage]:
    if not settings.OTEL_EXPORTER_OTLP_ENDPOINT or tracing.is_installed():
        return []
    hint = "pip install -r requirements-tracing.txt, or leave OTEL_EXPORTER_OTLP_ENDPOINT empty."
    return [Warning("OpenTelemetry is not installed; no spans are exported.", hint=hint, id="backend.W004")]


@register
def check_log_files(**_: Any) -> list[CheckMessage]:
    hint = (
        "Let the user that runs Cosmo write LOGS_DIR (ls -la shows whose it is; df whether there is room), "
        "or set LOGS_DIR to another folder. Meanwhile records are on the console alone."
    )
    return [
        Warning(f"Log file {handler.path}: {handler.last_error}.", hint=hint, id="backend.W003")
        for handler in logging.root.handlers
        if isinstance(handler, SharedFileHandler) and handler.last_error
    ]


@register(deploy=True)
def check_database_engine(**_: Any) -> list[CheckMessage]:
    if not settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        return []
    hint = "SQLite serves one machine and one writer at a time. Set DATABASE_URL to a PostgreSQL server."
    return [Warning("The database is SQLite.", hint=hint, id="backend.W002")]
