"""Reading the environment: every value is checked, and all problems are told at once.

A message names the variable and says what it must look like; it never shows the value, which may be a secret.
"""

import contextlib
import io
import os
import re
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, TypeVar
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")

TRUE_WORDS = frozenset({"true", "on", "yes", "y", "1"})
FALSE_WORDS = frozenset({"false", "off", "no", "n", "0"})

# KEY=value, then blanks and perhaps a comment. django-environ would keep those as part of the value.
_BLANKS_AND_COMMENT = re.compile(
    r"""^((?:export[ ])?\w+=(?:'[^'\n]*'|"(?:\\.|[^"\\\n])*"|[^'"\n][^\n]*?|))[ \t]+(?:\#[^\n]*)?$""",
    re.MULTILINE | re.VERBOSE,
)
_HTTP_ORIGIN = re.compile(r"https?://[^/\s?#@]+")
_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):[0-9]+")
_SENDER = re.compile(r"(?:[^<>@\r\n]+<[^@\s<>]+@[^@\s<>]+>|[^@\s<>]+@[^@\s<>]+)")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_ADMIN = re.compile(r"([^:<>,]+):([^@\s:,]+@[^@\s:,]+)")


def read_env_file(path: Path) -> None:
    """Put the lines of a .env file into os.environ; what is set there already wins."""
    if path.is_file():
        text = _BLANKS_AND_COMMENT.sub(r"\1", path.read_text(encoding="utf-8"))
        environ.Env.read_env(io.StringIO(text))


class Environment:
    """Typed access to os.environ that collects what is wrong instead of stopping at the first problem.

    An empty value counts as not set, so that a copied example file names its blanks.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []

    def made_secrets(self, path: Path, *, unless_set: Collection[str]) -> tuple[str, str]:
        """Two different secrets for this checkout, made at its first start and kept in `path`."""
        if all(self._raw(name) for name in unless_set):
            return "", ""
        try:
            return _read_or_make_secrets(path)
        except OSError:
            self.problems.append("SECRET_KEY and JWT_SIGNING_KEY must be set where none can be kept in a file.")
            return "", ""

    def require(self, *names: str, reason: str) -> None:
        """Note each of these variables that is not set."""
        for name in names:
            if self._raw(name) is None:
                self.problems.append(f"{name} is not set; {reason}.")

    def stop_if_wrong(self) -> None:
        if self.problems:
            raise ImproperlyConfigured("\n  ".join(["the environment is not right.", *sorted(set(self.problems))]))

    def text(self, name: str, default: str = "") -> str:
        return self._raw(name) or default

    def secret(self, name: str, default: str, *, min_length: int) -> str:
        return self._parsed(name, default, _secret(min_length), f"at least {min_length} characters")

    def token(self, name: str) -> str:
        """Empty for none; what a header can hold, without blanks."""
        return self._parsed(name, "", partial(_matching, _TOKEN), "a word of ASCII without blanks")

    def boolean(self, name: str, default: bool) -> bool:  # noqa: FBT001 - reads like its neighbours
        return self._parsed(name, default, _boolean, "on or off (true, yes, 1; false, no, 0)")

    def integer(self, name: str, default: int, *, minimum: int, maximum: int) -> int:
        return self._parsed(name, default, _integer(minimum, maximum), f"a whole number from {minimum} to {maximum}")

    def fraction(self, name: str, default: float) -> float:
        return self._parsed(name, default, _fraction, "a number from 0 to 1")

    def choice(self, name: str, default: str, *, choices: Collection[str]) -> str:
        return self._parsed(name, default, _choice(choices), f"one of {', '.join(choices)}")

    def hosts(self, name: str, default: Collection[str] = (), *, wildcard: bool) -> list[str]:
        expected = "host names like cosmo.example.com, comma separated" + ("" if wildcard else ", never *")
        return self._parsed(name, list(default), _hosts(wildcard=wildcard), expected)

    def origins(self, name: str, default: Collection[str] = ()) -> list[str]:
        expected = "origins like https://cosmo.example.com, comma separated, never *"
        return self._parsed(name, list(default), _origins, expected)

    def paths(self, name: str) -> list[str]:
        return self._parsed(name, [], _paths, "paths like /api/health/, comma separated")

    def base_url(self, name: str, default: str) -> str:
        return self._parsed(name, default, _base_url, "an address like https://cosmo.example.com")

    def http_url(self, name: str) -> str:
        expected = "an address like http://127.0.0.1:4318"
        return self._parsed(name, "", lambda raw: _url(raw.rstrip("/"), {"http", "https"}), expected)

    def redis_url(self, name: str) -> str:
        return self._parsed(name, "", _redis_url, "an address like redis://127.0.0.1:6379/0")

    def broker_url(self, name: str) -> str:
        return self._parsed(name, "", _broker_url, "an address like redis://127.0.0.1:6379/0 or amqp://user:pw@host//")

    def database(self, name: str, default: str) -> dict[str, Any]:
        expected = "an address like postgres://user:password@host:5432/name or sqlite:////path/to/file"
        return self._parsed(name, _database(default), _database, expected)

    def people(self, name: str) -> list[tuple[str, str]]:
        return self._parsed(name, [], _people, "people like Admin:admin@example.com,Tech:tech@example.com")

    def sender(self, name: str, default: str) -> str:
        return self._parsed(name, default, partial(_matching, _SENDER), "an address like Cosmo <cosmo@example.com>")

    def bind(self, name: str, default: str) -> str:
        return self._parsed(name, default, _bind, "host:port or unix:/path/to/socket")

    def _raw(self, name: str) -> str | None:
        # Not through Env(): that takes a value that starts with "$" for another variable's name, and prints it.
        return os.environ.get(name, "").strip() or None

    def _parsed(self, name: str, default: T, parse: Callable[[str], T], expected: str) -> T:
        raw = self._raw(name)
        if raw is None:
            return default
        try:
            return parse(raw)
        except (ValueError, KeyError, ImproperlyConfigured):
            self.problems.append(f"{name} must be {expected}.")
            return default


def _read_or_make_secrets(path: Path) -> tuple[str, str]:
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{token_urlsafe(48)}\n{token_urlsafe(48)}\n")
            # link() does not overwrite: of two processes that start at once, both keep what the first one made.
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink()
    first, second = path.read_text(encoding="ascii").split()
    return first, second


def _boolean(raw: str) -> bool:
    if raw.lower() in TRUE_WORDS:
        return True
    if raw.lower() in FALSE_WORDS:
        return False
    raise ValueError


def _matching(pattern: re.Pattern[str], raw: str) -> str:
    if not pattern.fullmatch(raw):
        raise ValueError
    return raw


def _secret(min_length: int) -> Callable[[str], str]:
    return lambda raw: _matching(re.compile(rf".{{{min_length},}}", re.DOTALL), raw)


def _integer(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        number = int(_matching(re.compile(r"-?[0-9]{1,18}"), raw))
        if not minimum <= number <= maximum:
            raise ValueError
        return number

    return parse


def _fraction(raw: str) -> float:
    number = float(raw)
    if not 0 <= number <= 1:
        raise ValueError
    return number


def _choice(choices: Collection[str]) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw not in choices:
            raise ValueError
        return raw

    return parse


def _words(raw: str) -> list[str]:
    return [word.strip() for word in raw.split(",") if word.strip()]


def _hosts(*, wildcard: bool) -> Callable[[str], list[str]]:
    pattern = re.compile(r"\.?[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]" + (r"|\*" if wildcard else ""))
    return lambda raw: [_matching(pattern, host) for host in _words(raw)]


def _paths(raw: str) -> list[str]:
    return [_matching(re.compile(r"/[^\s,]*"), path) for path in _words(raw)]


def _origins(raw: str) -> list[str]:
    origins = [_origin(word) for word in _words(raw)]
    if any("*" in origin for origin in origins):
        raise ValueError
    return origins


def _origin(raw: str) -> str:
    if urlsplit(_matching(_HTTP_ORIGIN, raw)).port == 0:  # .port raises ValueError above 65535
        raise ValueError
    return raw


def _base_url(raw: str) -> str:
    return _origin(raw.rstrip("/"))


def _redis_url(raw: str) -> str:
    return _url(raw, {"redis", "rediss"})


def _broker_url(raw: str) -> str:
    return _url(raw, {"redis", "rediss", "amqp", "amqps"})


def _url(raw: str, schemes: Collection[str]) -> str:
    parts = urlsplit(raw)
    if parts.scheme not in schemes or not parts.hostname or parts.port == 0:  # .port raises ValueError
        raise ValueError
    return raw


def _database(raw: str) -> dict[str, Any]:
    config: dict[str, Any] = environ.Env.db_url_config(raw)  # type: ignore[no-untyped-call]
    if config["ENGINE"] not in {"django.db.backends.postgresql", "django.db.backends.sqlite3"} or not config["NAME"]:
        raise ValueError
    return config


def _people(raw: str) -> list[tuple[str, str]]:
    people = []
    for word in _words(raw):
        match = _ADMIN.fullmatch(word)
        if match is None:
            raise ValueError
        people.append((match[1].strip(), match[2]))
    return people


def _bind(raw: str) -> str:
    if raw.startswith("unix:/"):
        return raw
    _integer(0, 65535)(_matching(_HOST_AND_PORT, raw).rpartition(":")[2])
    return raw
