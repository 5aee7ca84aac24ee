"""System checks: warnings for operators before the service runs (`manage.py check --deploy`)."""

import logging
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register
from django.http.request import split_domain_port, validate_host

from backend.logs.handlers import SharedFileHandler
from backend.sentry_config import dsn_is_valid
from backend.telemetry import tracing

SHORTEST_TOKEN = 20  # characters
IMPLICIT_TLS_PORT = 465


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
        "Let the user that runs Cosmo write to LOGS_DIR (ls -la shows its owner, df the free space), "
        "or set LOGS_DIR to another folder. Until then, records are only on the console."
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


@register
def check_names_in_env_file(**_: Any) -> list[CheckMessage]:
    return [
        Warning(f".env sets {name}, which Cosmo does not read.", hint=f"Is {nearest} meant?", id="backend.W005")
        for name, nearest in settings.ENV.names_not_read(cutoff=0.8).items()
    ]


@register
def check_service_tokens(**_: Any) -> list[CheckMessage]:
    hint = 'python3 -c "import secrets; print(secrets.token_urlsafe(32))" generates one.'
    return [
        Warning(f"{name} has fewer than {SHORTEST_TOKEN} characters.", hint=hint, id="backend.W006")
        for name in ("METRICS_TOKEN", "HEALTH_TOKEN")
        if 0 < len(getattr(settings, name)) < SHORTEST_TOKEN
    ]


@register
def check_smtp(**_: Any) -> list[CheckMessage]:
    if not settings.EMAIL_BACKEND.endswith("smtp.EmailBackend") or settings.EMAIL_PORT != IMPLICIT_TLS_PORT:
        return []
    hint = "Set EMAIL_PORT=587 and EMAIL_USE_TLS=on; most mail servers support this."
    message = "Mail servers expect implicit TLS on EMAIL_PORT 465, which Cosmo does not support."
    return [Warning(message, hint=hint, id="backend.W007")]


@register(deploy=True)
def check_smtp_is_encrypted(**_: Any) -> list[CheckMessage]:
    if settings.EMAIL_USE_TLS or not settings.EMAIL_HOST_PASSWORD or settings.EMAIL_HOST in settings.LOCAL_HOSTS:
        return []
    hint = "Set EMAIL_USE_TLS=on and EMAIL_PORT=587."
    return [Warning("EMAIL_HOST_PASSWORD is sent without encryption.", hint, id="backend.W008")]


@register(deploy=True)
def check_unix_socket_has_a_proxy(**_: Any) -> list[CheckMessage]:
    if not settings.WEB_BIND.startswith("unix:") or settings.TRUSTED_PROXY_COUNT:
        return []
    hint = "Set TRUSTED_PROXY_COUNT to the number of proxies that add to X-Forwarded-For: 1 for nginx alone."
    message = "On a Unix socket with TRUSTED_PROXY_COUNT=0 all clients share one IP address, and so one login throttle."
    return [Warning(message, hint=hint, id="backend.W009")]


@register(deploy=True)
def check_public_urls(**_: Any) -> list[CheckMessage]:
    warnings: list[CheckMessage] = [
        Warning(f"{name} is not https: links in emails contain secrets and are not encrypted.", id="backend.W010")
        for name in ("PUBLIC_BASE_URL", "FRONTEND_URL")
        if getattr(settings, name).startswith("http://")
    ]
    host, _port = split_domain_port(urlsplit(settings.PUBLIC_BASE_URL).netloc)
    if not validate_host(host, settings.ALLOWED_HOSTS):
        hint = "Add it to ALLOWED_HOSTS, unless a proxy changes Host. Otherwise links in emails return 400."
        warnings.append(Warning("The host of PUBLIC_BASE_URL is not in ALLOWED_HOSTS.", hint=hint, id="backend.W011"))
    return warnings
