"""Turn the text of one variable into its value, or raise ValueError if it cannot be meant."""

import importlib.util
import ipaddress
import os
import re
from collections.abc import Callable, Collection
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import environ
from django.core.mail.backends.base import BaseEmailBackend
from django.utils.module_loading import import_string

TRUE_WORDS = frozenset({"true", "on", "yes", "y", "1"})
FALSE_WORDS = frozenset({"false", "off", "no", "n", "0"})
POSTGRESQL_SCHEMES = ("postgres", "postgresql", "pgsql", "psql")
# backend/settings.py decides these, and the address has the name.
POSTGRESQL_OPTIONS_OF_OURS = frozenset({"connect_timeout", "dbname", "options", "tcp_user_timeout"})
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
LONGEST_SOCKET_PATH = 107  # bytes, in Linux
LONGEST_TEXT = 200

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_NAME = rf"{_LABEL}(?:\.{_LABEL})*+"
_HOST = rf"(?:{_NAME}|\[[0-9A-Fa-f:.]+\])"
_HOST_PATTERN = re.compile(rf"\.?{_NAME}|\[[0-9A-Fa-f:.]+\]")
_HOST_AND_PERHAPS_PORT = re.compile(rf"({_HOST})(?::([0-9]+))?")
_ORIGIN = re.compile(rf"https?://({_HOST})(?::([0-9]+))?")
_HTTP_URL = re.compile(rf"https?://({_HOST})(?::([0-9]+))?(?:/[^\s?#@]*)?")
_SENDER = re.compile(r"[^<>@]+<[^@\s<>]+@[^@\s<>]+>|[^@\s<>]+@[^@\s<>]+")
_ADDRESS = re.compile(r"[^@\s<>()\[\],;:\"\\]+@[^@\s<>()\[\],;:\"\\]+")
_ASCII_WORD = re.compile(r"[\x21-\x7e]+")
_ASCII = re.compile(r"[\x20-\x7e]+")
_SKIPPED_PATH = re.compile(r"/[^\s,?#%*]+")
_DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+", re.ASCII)
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


def text(raw: str) -> str:
    return _if(raw, raw.isprintable() and len(raw) <= LONGEST_TEXT)


def secret(min_length: int) -> Callable[[str], str]:
    return lambda raw: _if(raw, raw.isprintable() and len(raw) >= min_length)


def ascii_word(raw: str) -> str:
    return _matching(_ASCII_WORD, raw)


def ascii_text(raw: str) -> str:
    return _matching(_ASCII, raw)


def boolean(raw: str) -> bool:
    if raw.lower() in TRUE_WORDS:
        return True
    if raw.lower() in FALSE_WORDS:
        return False
    raise ValueError


def integer(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        number = int(_matching(re.compile(r"-?[0-9]{1,18}"), raw))
        return int(_if(raw, minimum <= number <= maximum))

    return parse


def fraction(raw: str) -> float:
    number = float(_matching(re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?:[eE]-?[0-9]{1,2})?"), raw))
    return float(_if(raw, 0 <= number <= 1))


def choice(choices: Collection[str]) -> Callable[[str], str]:
    return lambda raw: _if(raw, raw in choices)


def host(raw: str) -> str:
    """A name or an IP address, without a port."""
    if ":" in raw:
        ipaddress.IPv6Address(raw)
        return raw
    return _matching(re.compile(rf"{_NAME}\.?"), raw)


def hosts(*, wildcard: bool) -> Callable[[str], list[str]]:
    """What Django compares the Host header with."""

    def parse(word: str) -> str:
        return word if wildcard and word == "*" else _host(_matching(_HOST_PATTERN, word))

    return lambda raw: [parse(word) for word in _words(raw)]


def origin(raw: str) -> str:
    _host_and_port(_ORIGIN, raw)
    return raw


def origins(raw: str) -> list[str]:
    return [origin(word) for word in _words(raw)]


def base_url(raw: str) -> str:
    return origin(raw.rstrip("/"))


def http_url(raw: str) -> str:
    _host_and_port(_HTTP_URL, raw)
    return raw.rstrip("/")


def skipped_paths(raw: str) -> list[str]:
    """Beginnings of paths; "/" alone would leave no request line at all."""
    return [_matching(_SKIPPED_PATH, word) for word in _words(_if(raw, raw.isprintable()))]


def people(raw: str) -> list[tuple[str, str]]:
    pairs = [word.rpartition(":") for word in _words(_if(raw, raw.isprintable()))]
    return [(_if(name.strip(), _is_name(name)), _matching(_ADDRESS, address.strip())) for name, _, address in pairs]


def sender(raw: str) -> str:
    """An address, or a name and an address in angle brackets, as programs for mail read it."""
    _matching(_ADDRESS, parseaddr(_matching(_SENDER, raw))[1])
    return _if(raw, raw.isprintable())


def email_backend(raw: str) -> str:
    """The class of a backend. Packages other than Django may need settings, which are not complete yet."""
    module = _matching(_DOTTED_NAME, raw).rpartition(".")[0]
    if raw.startswith("django."):
        return _if(raw, is_email_backend(raw))
    try:
        return _if(raw, importlib.util.find_spec(module) is not None)
    except ImportError:
        raise ValueError from None


def is_email_backend(name: str) -> bool:
    try:
        found = import_string(name)
    except ImportError:
        return False
    is_class = issubclass(type(found), type)  # isinstance() would ask a lazy object, like Django's settings
    return is_class and issubclass(found, BaseEmailBackend) and found is not BaseEmailBackend


def path(base: Path) -> Callable[[str], Path]:
    """A relative path starts from `base`; ~ is a home folder."""

    def parse(raw: str) -> Path:
        try:
            return base / Path(_if(raw, raw.isprintable())).expanduser()
        except RuntimeError:  # nobody has this name
            raise ValueError from None

    return parse


def flag_file(base: Path) -> Callable[[str], Path]:
    """A file whose presence means something; a folder would be there always."""

    def parse(raw: str) -> Path:
        found = path(base)(raw)
        return found if not raw.endswith("/") and not os.path.isdir(found) else _reject()

    return parse


def bind(raw: str) -> str:
    if raw.startswith("unix:"):
        written = re.sub(r"\Aunix:(?://)?", "", raw)
        socket = str(path(Path())(_if(written, written.startswith(("/", "~")) and not written.endswith("/"))))
        return _if(f"unix:{socket}", len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH)
    match = _match(_HOST_AND_PERHAPS_PORT, raw)
    _host(match[1])
    integer(0, 65535)(match[2] or "")
    return raw


def redis_url(raw: str) -> str:
    """Without , and ;, at which Django cuts it into several."""
    parts = _connection(_if(raw, not set(raw) & set(",;")), ("redis", "rediss"))
    _single_host(parts)
    _matching(re.compile(r"(?:/[0-9]{0,3})?"), parts["path"] or "")
    return raw


def broker_url(raw: str) -> str:
    """One broker, or several with ; between them, of which Celery takes the first that answers."""
    for word in raw.split(";"):
        if word.startswith("redis"):
            redis_url(word)
        else:
            parts = _connection(word, ("amqp", "amqps"))
            _single_host(parts)
            _matching(re.compile(r"/?/?[^/]*"), parts["path"] or "")
    return raw


def database(base: Path) -> Callable[[str], dict[str, Any]]:
    return lambda raw: _sqlite(raw, base) if raw.startswith("sqlite:") else _postgresql(raw)


def sqlite_file(file: Path | str) -> dict[str, Any]:
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)}


def _sqlite(raw: str, base: Path) -> dict[str, Any]:
    if raw in {"sqlite://:memory:", "sqlite:///:memory:"}:
        return sqlite_file(":memory:")
    written = _matching(re.compile(r"sqlite:///[^?#]+"), raw).removeprefix("sqlite:///")
    file = path(base)(_decoded(written))
    return sqlite_file(file) if not written.endswith("/") and not os.path.isdir(file) else _reject()


def _postgresql(raw: str) -> dict[str, Any]:
    parts = _connection(raw, POSTGRESQL_SCHEMES)
    for word in parts["hosts"].split(",") if parts["hosts"] else ():
        if word[:3].upper() != "%2F":  # the folder of a socket
            _host_and_port(_HOST_AND_PERHAPS_PORT, word)
    # /name, or //folder/of/the/socket/name
    _matching(re.compile(r"/[^/]+" if parts["hosts"] else r"/[^/]+|/(?:/[^/]+){2,}"), parts["path"] or "")
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
    match = _match(_CONNECTION, raw)
    for name in ("user", "password", "path"):
        _decoded(match[name] or "")
    return match if match["scheme"] in schemes else _reject()


def _single_host(parts: re.Match[str]) -> None:
    _host_and_port(_HOST_AND_PERHAPS_PORT, parts["hosts"] or "")


def _host_and_port(pattern: re.Pattern[str], raw: str) -> None:
    match = _match(pattern, raw)
    _host(match[1])
    _port(match[2])


def _decoded(written: str) -> str:
    decoded = unquote(written, errors="strict")  # UnicodeDecodeError is a ValueError
    return _if(decoded, decoded.isprintable())


def _host(found: str) -> str:
    if found.startswith("["):
        ipaddress.IPv6Address(found[1:-1])
    return found


def _port(digits: str | None) -> None:
    if digits is not None:
        integer(1, 65535)(digits)


def _is_name(name: str) -> bool:
    return bool(name.strip()) and not set(name) & set(":<>")


def _words(raw: str) -> list[str]:
    words = [word.strip() for word in raw.split(",") if word.strip()]
    return words or _reject()


def _match(pattern: re.Pattern[str], raw: str) -> re.Match[str]:
    return pattern.fullmatch(raw) or _reject()


def _matching(pattern: re.Pattern[str], raw: str) -> str:
    return _match(pattern, raw)[0]


def _if(raw: str, is_meant: bool) -> str:  # noqa: FBT001 - reads like a sentence
    return raw if is_meant else _reject()


def _reject() -> Any:
    raise ValueError
