"""Parse the URL of a database, cache or broker; raise ValueError if it is invalid."""

import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import environ

from backend.environment.values import HOST_AND_PORT, check_host_and_port, keep, match_of, matching, path, reject

POSTGRESQL_SCHEMES = ("postgres", "postgresql", "pgsql", "psql")
# backend/settings.py sets these options, and the URL's path is the database name.
RESERVED_POSTGRESQL_OPTIONS = frozenset({"connect_timeout", "dbname", "options", "tcp_user_timeout"})
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# A URL with a password (RFC 3986): /, @, #, ? and % must be encoded as %2F and so on. Otherwise a part of the password
# would be parsed as the host, the port or the path.
_TEXT = r"(?:[^\s/?#@%]|%[0-9A-Fa-f]{2})"
_CONNECTION = re.compile(
    rf"""(?P<scheme>[a-z]+)://
         (?:(?P<user>(?:(?!:){_TEXT})*+)(?::(?P<password>{_TEXT}*+))?@)?
         (?P<hosts>[^\s/?#@;]*+)
         (?P<path>/[^\s?#@;+]*+)?
         (?:\?(?P<query>[^\s?#@;]++))?""",
    re.VERBOSE,
)


def redis_url(raw: str) -> str:
    """Return the URL; reject , and ;, at which Django splits it."""
    parts = _connection(keep(raw, not set(raw) & set(",;")), ("redis", "rediss"))
    _single_host(parts)
    matching(re.compile(r"(?:/[0-9]{0,3})?"), parts["path"] or "")
    return raw


def broker_url(raw: str) -> str:
    """Return one or several broker URLs, separated by ; (Celery uses the first that responds)."""
    for word in raw.split(";"):
        if word.startswith("redis"):
            redis_url(word)
        else:
            parts = _connection(word, ("amqp", "amqps"))
            _single_host(parts)
            matching(re.compile(r"/?/?[^/]*"), parts["path"] or "")
    return raw


def database(base: Path) -> Callable[[str], dict[str, Any]]:
    return lambda raw: _sqlite(raw, base) if raw.startswith("sqlite:") else _postgresql(raw)


def sqlite_file(file: Path | str) -> dict[str, Any]:
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)}


def _sqlite(raw: str, base: Path) -> dict[str, Any]:
    if raw in {"sqlite://:memory:", "sqlite:///:memory:"}:
        return sqlite_file(":memory:")
    encoded = matching(re.compile(r"sqlite:///[^?#]+"), raw).removeprefix("sqlite:///")
    file = path(base)(_decoded(encoded))
    return sqlite_file(file) if not encoded.endswith("/") and not os.path.isdir(file) else reject()


def _postgresql(raw: str) -> dict[str, Any]:
    parts = _connection(raw, POSTGRESQL_SCHEMES)
    for word in parts["hosts"].split(",") if parts["hosts"] else ():
        if word[:3].upper() != "%2F":  # a socket's folder
            check_host_and_port(HOST_AND_PORT, word)
    # /name, or //folder/of/the/socket/name
    matching(re.compile(r"/[^/]+" if parts["hosts"] else r"/[^/]+|/(?:/[^/]+){2,}"), parts["path"] or "")
    _check_postgresql_options(parts["query"])
    config: dict[str, Any] = environ.Env.db_url_config(raw)  # type: ignore[no-untyped-call]
    return config | {"HOST": _decoded(config["HOST"])}


def _check_postgresql_options(query: str | None) -> None:
    from psycopg.pq import Conninfo  # noqa: PLC0415 - needed only for PostgreSQL

    pairs = parse_qsl(query, strict_parsing=True) if query else []
    allowed = {option.keyword.decode() for option in Conninfo.get_defaults()} - RESERVED_POSTGRESQL_OPTIONS
    if len(dict(pairs)) < len(pairs) or not set(dict(pairs)) <= allowed:
        raise ValueError
    if dict(pairs).get("sslmode", "require") not in SSL_MODES:
        raise ValueError


def _connection(raw: str, schemes: Collection[str]) -> re.Match[str]:
    match = match_of(_CONNECTION, raw)
    for name in ("user", "password", "path"):
        _decoded(match[name] or "")
    return match if match["scheme"] in schemes else reject()


def _single_host(parts: re.Match[str]) -> None:
    check_host_and_port(HOST_AND_PORT, parts["hosts"] or "")


def _decoded(encoded: str) -> str:
    decoded = unquote(encoded, errors="strict")  # UnicodeDecodeError is a ValueError
    return keep(decoded, decoded.isprintable())
