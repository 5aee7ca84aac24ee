"""Turn the address of a database or a broker into its value, or raise ValueError if it cannot be meant."""

import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import environ

from backend.environment.values import HOST_AND_PORT, check_host_and_port, keep, match_of, matching, path, reject

POSTGRESQL_SCHEMES = ("postgres", "postgresql", "pgsql", "psql")
# backend/settings.py decides these, and the address has the name.
POSTGRESQL_OPTIONS_OF_OURS = frozenset({"connect_timeout", "dbname", "options", "tcp_user_timeout"})
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# What a URL with a password is made of (RFC 3986): /, @, #, ? and % stand for themselves only as %2F and so on. Of a
# password that was not encoded, a part would be taken for the host, the port or the path.
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
    """Without , and ;, at which Django cuts it into several."""
    parts = _connection(keep(raw, not set(raw) & set(",;")), ("redis", "rediss"))
    _single_host(parts)
    matching(re.compile(r"(?:/[0-9]{0,3})?"), parts["path"] or "")
    return raw


def broker_url(raw: str) -> str:
    """One broker, or several with ; between them, of which Celery takes the first that answers."""
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
    written = matching(re.compile(r"sqlite:///[^?#]+"), raw).removeprefix("sqlite:///")
    file = path(base)(_decoded(written))
    return sqlite_file(file) if not written.endswith("/") and not os.path.isdir(file) else reject()


def _postgresql(raw: str) -> dict[str, Any]:
    parts = _connection(raw, POSTGRESQL_SCHEMES)
    for word in parts["hosts"].split(",") if parts["hosts"] else ():
        if word[:3].upper() != "%2F":  # the folder of a socket
            check_host_and_port(HOST_AND_PORT, word)
    # /name, or //folder/of/the/socket/name
    matching(re.compile(r"/[^/]+" if parts["hosts"] else r"/[^/]+|/(?:/[^/]+){2,}"), parts["path"] or "")
    _check_postgresql_options(parts["query"])
    config: dict[str, Any] = environ.Env.db_url_config(raw)  # type: ignore[no-untyped-call]
    return config | {"HOST": _decoded(config["HOST"])}


def _check_postgresql_options(query: str | None) -> None:
    from psycopg.pq import Conninfo  # noqa: PLC0415 - only where PostgreSQL is used

    pairs = parse_qsl(query, strict_parsing=True) if query else []
    known = {option.keyword.decode() for option in Conninfo.get_defaults()} - POSTGRESQL_OPTIONS_OF_OURS
    if len(dict(pairs)) < len(pairs) or not set(dict(pairs)) <= known:
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


def _decoded(written: str) -> str:
    decoded = unquote(written, errors="strict")  # UnicodeDecodeError is a ValueError
    return keep(decoded, decoded.isprintable())
