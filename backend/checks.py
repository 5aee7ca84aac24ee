"""System checks: what an operator should know before the service runs (`manage.py check --deploy`)."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

from backend.sentry_config import dsn_is_valid


@register
def check_sentry_dsn(**_: Any) -> list[CheckMessage]:
    if not settings.SENTRY_DSN or dsn_is_valid(settings.SENTRY_DSN):
        return []
    hint = "Copy the DSN from the project's settings in Sentry, or leave SENTRY_DSN empty."
    return [Warning("SENTRY_DSN cannot be parsed; error tracking is off.", hint=hint, id="backend.W001")]


@register(deploy=True)
def check_database_engine(**_: Any) -> list[CheckMessage]:
    if not settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        return []
    hint = "SQLite serves one machine and one writer at a time. Set DATABASE_URL to a PostgreSQL server."
    return [Warning("The database is SQLite.", hint=hint, id="backend.W002")]
