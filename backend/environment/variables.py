"""Reading the environment: every value is checked, and all problems are reported at once.

A message names the variable and says what it must look like; it never shows the value, which may be a secret.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Collection, Iterator
from difflib import get_close_matches
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, ClassVar, TypeVar

from django.core.exceptions import ImproperlyConfigured

from backend.environment import urls, values
from backend.environment.env_file import EnvFile
from backend.files.private import open_private

T = TypeVar("T")

PROJECT = Path(__file__).resolve().parents[2]
# Libraries read these by themselves, also from a .env file.
OF_LIBRARIES = ("OTEL_", "PG", "SENTRY_")
_ENCODE = "in a password write / as %2F, @ as %40, # as %23, ? as %3F and % as %25"


class Environment:
    """Typed access to os.environ that collects what is wrong instead of stopping at the first problem.

    An empty value counts as not set, so that a copied example file names its blanks.
    """

    file: ClassVar[Path] = PROJECT / ".env"
    # For `manage.py check_env`: the values of the file come before those of the environment, and nothing is written.
    is_trial: ClassVar[bool] = False

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.names: set[str] = set()  # every variable that was asked for
        self.names_in_file: list[str] = []
        self._problems_of_file: list[str] = []

    def read_file(self) -> None:
        """Put the values of the .env file into os.environ; what is set there already wins."""
        found = EnvFile(self.file)
        self._problems_of_file = found.problems
        if found.problems and not found.values:
            self.stop_if_wrong()  # nothing is known, not even for which environment it is
        self.names_in_file = list(found.values)
        os.environ.update(found.values if self.is_trial else found.values | os.environ)

    def names_not_read(self, cutoff: float = 0.0) -> dict[str, str]:
        """{a name in the file that nothing reads: the nearest one that is read}, from this similarity on, or all."""
        names = [name for name in self.names_in_file if name not in self.names and not name.startswith(OF_LIBRARIES)]
        nearest = {name: get_close_matches(name.upper(), self.names, 1, max(cutoff, 0.6)) for name in names}
        return {name: "".join(found) for name, found in nearest.items() if found or not cutoff}

    def generated_secrets(self, path: Path, *, unless_set: Collection[str]) -> tuple[str, str]:
        """Two different secrets for this checkout, made at its first start and kept in `path`."""
        if all(self._raw(name) for name in unless_set) or self._problems_of_file:
            return "", ""
        if self.is_trial:
            return token_urlsafe(48), token_urlsafe(48)
        try:
            return _read_or_make_secrets(path)
        except OSError:
            self.problems.append("SECRET_KEY and JWT_SIGNING_KEY must be set where none can be kept in a file.")
        except ValueError:
            self.problems.append(f"{path.name} is damaged; remove it, and the next start makes new secrets.")
        return "", ""

    def require(self, *names: str, reason: str) -> None:
        """Note each of these variables that is not set."""
        for name in names:
            if self._raw(name) is None:
                self.problems.append(f"{name} is not set; {reason}.")

    def require_environment(self, name: str, choices: Collection[str]) -> None:
        """Note a value that may be meant for this variable; without it Cosmo would run for development, with DEBUG on.

        Called when every variable has been asked for.
        """
        expected = f"one of {', '.join(choices)}"
        if name in os.environ:
            if not os.environ[name]:
                self.problems.append(f"{name} must be {expected}.")
        elif self.names_not_read() or get_close_matches(name, map(str.upper, os.environ), 1, 0.85):
            self.problems.append(f"{name} is not set, but a name that nothing reads is; set it to {expected}.")

    def stop_if_wrong(self) -> None:
        problems = [*self._problems_of_file, *sorted(set(self.problems))]
        if problems:
            hints = [
                f"Cosmo does not read {name}; is {near} meant?"
                for name, near in self.names_not_read(cutoff=0.6).items()
            ]
            raise ImproperlyConfigured("\n  ".join(["the environment is not right.", *problems, *hints]))

    def text(self, name: str, default: str = "") -> str:
        return self._parsed(name, default, values.text, f"printable, at most {values.LONGEST_TEXT} characters")

    def unchecked(self, name: str) -> str:
        """For what must never make a start fail."""
        return (self._raw(name) or "").strip()

    def secret(self, name: str, default: str, *, min_length: int) -> str:
        expected = f"at least {min_length} characters, all of them printable"
        return self._parsed(name, default, values.secret(min_length), expected)

    def token(self, name: str) -> str:
        """Empty for none; what a header can hold, without blanks."""
        return self._parsed(name, "", values.ascii_word, "a word of ASCII without blanks")

    def ascii_text(self, name: str) -> str:
        return self._parsed(name, "", values.ascii_text, "ASCII, which is all that SMTP takes here")

    def boolean(self, name: str, default: bool) -> bool:  # noqa: FBT001 - reads like its neighbours
        return self._parsed(name, default, values.boolean, "on or off (true, yes, 1; false, no, 0)")

    def integer(self, name: str, default: int, *, minimum: int, maximum: int) -> int:
        expected = f"a whole number from {minimum} to {maximum}"
        return self._parsed(name, default, values.integer(minimum, maximum), expected)

    def fraction(self, name: str, default: float) -> float:
        return self._parsed(name, default, values.fraction, "a number from 0 to 1")

    def choice(self, name: str, default: str, *, choices: Collection[str]) -> str:
        return self._parsed(name, default, values.choice(choices), f"one of {', '.join(choices)}")

    def host(self, name: str, default: str) -> str:
        return self._parsed(name, default, values.host, "a host name or an IP address, without scheme and port")

    def hosts(self, name: str, default: Collection[str] = (), *, wildcard: bool) -> list[str]:
        expected = "host names like cosmo.example.com or .example.com, comma separated, without scheme, port and path"
        expected += "" if wildcard else ", never *"
        return self._parsed(name, list(default), values.hosts(wildcard=wildcard), expected)

    def origins(self, name: str, default: Collection[str] = ()) -> list[str]:
        expected = "origins like https://cosmo.example.com, comma separated, without a path, never *"
        return self._parsed(name, list(default), values.origins, expected)

    def skipped_paths(self, name: str) -> list[str]:
        expected = "beginnings of paths like /api/health/, comma separated, without * and ?, and not / alone"
        return self._parsed(name, [], values.skipped_paths, expected)

    def base_url(self, name: str, default: str) -> str:
        return self._parsed(name, default, values.base_url, "an address like https://cosmo.example.com")

    def http_url(self, name: str) -> str:
        return self._parsed(name, "", values.http_url, "an address like http://127.0.0.1:4318")

    def redis_url(self, name: str) -> str:
        expected = f"an address like redis://:password@127.0.0.1:6379/0; {_ENCODE}, and a comma as %2C, ; as %3B"
        return self._parsed(name, "", urls.redis_url, expected)

    def broker_url(self, name: str) -> str:
        expected = f"an address like redis://127.0.0.1:6379/0 or amqp://user:password@host//; {_ENCODE}, and ; as %3B"
        return self._parsed(name, "", urls.broker_url, expected)

    def database(self, name: str, default: Path) -> dict[str, Any]:
        expected = (
            "an address like postgres://user:password@host:5432/name?sslmode=require, with options of libpq other "
            "than connect_timeout, tcp_user_timeout and options, which Cosmo sets, or sqlite:////path/to/file; "
        )
        parse = urls.database(PROJECT)
        return self._parsed(name, urls.sqlite_file(default), parse, expected + _ENCODE)

    def people(self, name: str) -> list[tuple[str, str]]:
        expected = "people like Admin:admin@example.com,Tech:tech@example.com"
        return self._parsed(name, [], values.people, expected)

    def sender(self, name: str, default: str) -> str:
        return self._parsed(name, default, values.sender, "an address like Cosmo <cosmo@example.com>")

    def email_backend(self, name: str, default: str) -> str:
        expected = "the class of an email backend, like django.core.mail.backends.smtp.EmailBackend"
        return self._parsed(name, default, values.email_backend, expected)

    def path(self, name: str, default: str) -> Path:
        """An absolute path; a relative one starts from the project."""
        expected = "a path, in which ~ is a home folder of this machine"
        return self._parsed(name, PROJECT / default, values.path(PROJECT), expected)

    def flag_file(self, name: str, default: str) -> Path:
        expected = "the path of a file, not of a folder"
        return self._parsed(name, PROJECT / default, values.flag_file(PROJECT), expected)

    def bind(self, name: str, default: str) -> str:
        expected = f"host:port, or unix:/path/to/socket of at most {values.LONGEST_SOCKET_PATH} bytes"
        return self._parsed(name, default, values.bind, expected)

    def _raw(self, name: str) -> str | None:
        # Not through Env(): that takes a value that starts with "$" for another variable's name, and prints it.
        self.names.add(name)
        return os.environ.get(name) or None

    def _parsed(self, name: str, default: T, parse: Callable[[str], T], expected: str) -> T:
        raw = self._raw(name)
        if raw is None:
            return default
        try:
            return parse(raw)
        except ValueError:
            self.problems.append(f"{name} must be {expected}.")
            return default


@contextlib.contextmanager
def sentence_instead_of_traceback(status: int = 1) -> Iterator[None]:
    """End the process with what the operator has to repair; a traceback would bury it."""
    try:
        yield
    except ImproperlyConfigured as problem:
        sys.stderr.write(f"Cosmo does not start: {problem}\n")
        raise SystemExit(status) from None


def _read_or_make_secrets(path: Path) -> tuple[str, str]:
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            with open_private(draft, "x") as file:
                file.write(f"{token_urlsafe(48)}\n{token_urlsafe(48)}\n")
            # link() does not overwrite: of two processes that start at once, both keep what the first one made.
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    first, second = path.read_text(encoding="ascii").split()
    return first, second
