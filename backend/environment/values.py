"""Parse the text of one variable; raise ValueError if it is invalid."""

import importlib.util
import ipaddress
import os
import re
from collections.abc import Callable, Collection
from email.utils import parseaddr
from pathlib import Path
from typing import Any

from django.core.mail.backends.base import BaseEmailBackend
from django.utils.module_loading import import_string

TRUE_WORDS = frozenset({"true", "on", "yes", "y", "1"})
FALSE_WORDS = frozenset({"false", "off", "no", "n", "0"})
MAX_SOCKET_PATH = 107  # bytes, in Linux
MAX_TEXT = 200

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_NAME = rf"{_LABEL}(?:\.{_LABEL})*+"
_HOST = rf"(?:{_NAME}|\[[0-9A-Fa-f:.]+\])"
_HOST_PATTERN = re.compile(rf"\.?{_NAME}|\[[0-9A-Fa-f:.]+\]")
HOST_AND_PORT = re.compile(rf"({_HOST})(?::([0-9]+))?")
_ORIGIN = re.compile(rf"https?://({_HOST})(?::([0-9]+))?")
_HTTP_URL = re.compile(rf"https?://({_HOST})(?::([0-9]+))?(?:/[^\s?#@]*)?")
_SENDER = re.compile(r"[^<>@]+<[^@\s<>]+@[^@\s<>]+>|[^@\s<>]+@[^@\s<>]+")
_ADDRESS = re.compile(r"[^@\s<>()\[\],;:\"\\]+@[^@\s<>()\[\],;:\"\\]+")
_ASCII_WORD = re.compile(r"[\x21-\x7e]+")
_ASCII = re.compile(r"[\x20-\x7e]+")
_SKIPPED_PATH = re.compile(r"/[^\s,?#%*]+")
_DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+", re.ASCII)


def text(raw: str) -> str:
    return keep(raw, raw.isprintable() and len(raw) <= MAX_TEXT)


def secret(min_length: int) -> Callable[[str], str]:
    return lambda raw: keep(raw, raw.isprintable() and len(raw) >= min_length)


def ascii_word(raw: str) -> str:
    return matching(_ASCII_WORD, raw)


def ascii_text(raw: str) -> str:
    return matching(_ASCII, raw)


def boolean(raw: str) -> bool:
    if raw.lower() in TRUE_WORDS:
        return True
    if raw.lower() in FALSE_WORDS:
        return False
    raise ValueError


def integer(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        number = int(matching(re.compile(r"-?[0-9]{1,18}"), raw))
        return int(keep(raw, minimum <= number <= maximum))

    return parse


def fraction(raw: str) -> float:
    number = float(matching(re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?:[eE]-?[0-9]{1,2})?"), raw))
    return float(keep(raw, 0 <= number <= 1))


def choice(choices: Collection[str]) -> Callable[[str], str]:
    return lambda raw: keep(raw, raw in choices)


def host(raw: str) -> str:
    """Return a host name or an IP address; reject a port."""
    if ":" in raw:
        ipaddress.IPv6Address(raw)
        return raw
    return matching(re.compile(rf"{_NAME}\.?"), raw)


def hosts(*, wildcard: bool) -> Callable[[str], list[str]]:
    """Return a parser of ALLOWED_HOSTS, which Django compares with the Host header."""

    def parse(word: str) -> str:
        return word if wildcard and word == "*" else _host(matching(_HOST_PATTERN, word))

    return lambda raw: [parse(word) for word in _words(raw)]


def origin(raw: str) -> str:
    check_host_and_port(_ORIGIN, raw)
    return raw


def origins(raw: str) -> list[str]:
    return [origin(word) for word in _words(raw)]


def base_url(raw: str) -> str:
    return origin(raw.rstrip("/"))


def http_url(raw: str) -> str:
    check_host_and_port(_HTTP_URL, raw)
    return raw.rstrip("/")


def skipped_paths(raw: str) -> list[str]:
    """Return path prefixes; reject "/" alone, which would suppress all request lines."""
    return [matching(_SKIPPED_PATH, word) for word in _words(keep(raw, raw.isprintable()))]


def people(raw: str) -> list[tuple[str, str]]:
    pairs = [word.rpartition(":") for word in _words(keep(raw, raw.isprintable()))]
    return [(keep(name.strip(), _is_name(name)), matching(_ADDRESS, address.strip())) for name, _, address in pairs]


def sender(raw: str) -> str:
    """An address, or a name and an address in angle brackets, as programs for mail read it."""
    matching(_ADDRESS, parseaddr(matching(_SENDER, raw))[1])
    return keep(raw, raw.isprintable())


def email_backend(raw: str) -> str:
    """Return the name of a backend class. Other packages may need complete settings, so only find their module."""
    module = matching(_DOTTED_NAME, raw).rpartition(".")[0]
    if raw.startswith("django."):
        return keep(raw, is_email_backend(raw))
    try:
        return keep(raw, importlib.util.find_spec(module) is not None)
    except ImportError:
        raise ValueError from None


def is_email_backend(name: str) -> bool:
    """Return whether this is the dotted name of an email backend class."""
    try:
        backend = import_string(name)
    except ImportError:
        return False
    is_class = issubclass(type(backend), type)  # isinstance() would evaluate lazy objects, such as Django's settings
    return is_class and issubclass(backend, BaseEmailBackend) and backend is not BaseEmailBackend


def path(base: Path) -> Callable[[str], Path]:
    """Return a parser of paths; relative paths start at `base`, ~ is a home folder."""

    def parse(raw: str) -> Path:
        try:
            return base / Path(keep(raw, raw.isprintable())).expanduser()
        except RuntimeError:  # no user has this name
            raise ValueError from None

    return parse


def flag_file(base: Path) -> Callable[[str], Path]:
    """Return a parser of a file whose presence is a flag; reject folders, which would always be present."""

    def parse(raw: str) -> Path:
        file = path(base)(raw)
        return file if not raw.endswith("/") and not os.path.isdir(file) else reject()

    return parse


def bind(raw: str) -> str:
    if raw.startswith("unix:"):
        socket_path = re.sub(r"\Aunix:(?://)?", "", raw)
        socket = str(
            path(Path())(keep(socket_path, socket_path.startswith(("/", "~")) and not socket_path.endswith("/")))
        )
        return keep(f"unix:{socket}", len(os.fsencode(socket)) <= MAX_SOCKET_PATH)
    match = match_of(HOST_AND_PORT, raw)
    _host(match[1])
    integer(0, 65535)(match[2] or "")
    return raw


def check_host_and_port(pattern: re.Pattern[str], raw: str) -> None:
    match = match_of(pattern, raw)
    _host(match[1])
    _port(match[2])


def _host(name: str) -> str:
    if name.startswith("["):
        ipaddress.IPv6Address(name[1:-1])
    return name


def _port(digits: str | None) -> None:
    if digits is not None:
        integer(1, 65535)(digits)


def _is_name(name: str) -> bool:
    return bool(name.strip()) and not set(name) & set(":<>")


def _words(raw: str) -> list[str]:
    words = [word.strip() for word in raw.split(",") if word.strip()]
    return words or reject()


def match_of(pattern: re.Pattern[str], raw: str) -> re.Match[str]:
    return pattern.fullmatch(raw) or reject()


def matching(pattern: re.Pattern[str], raw: str) -> str:
    return match_of(pattern, raw)[0]


def keep(raw: str, is_valid: bool) -> str:  # noqa: FBT001 - reads like a sentence
    return raw if is_valid else reject()


def reject() -> Any:
    raise ValueError
