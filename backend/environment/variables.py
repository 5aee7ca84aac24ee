"""Read the environment: validate every value and report all problems together.

A message names the variable and its expected form. It never shows the value, which may be a secret.
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
# Prefixes of variables that libraries read directly.
LIBRARY_PREFIXES = ("OTEL_", "PG", "SENTRY_")
_ENCODE = "in a password write / as %2F, @ as %40, # as %23, ? as %3F and % as %25"


class Environment:
    """Typed access to os.environ that collects all problems instead of failing at the first.

    An empty value counts as not set, so that blanks of a copied example file are reported.
    """

    file: ClassVar[Path] = PROJECT / ".env"
    # For `manage.py check_env`: the file overrides the environment, and nothing is written.
    is_trial: ClassVar[bool] = False

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.names: set[str] = set()  # every variable that was read
        self.names_in_file: list[str] = []
        self._file_problems: list[str] = []

    def read_file(self) -> None:
        """Copy the values of the .env file into os.environ; variables that are already set there win."""
        env_file = EnvFile(self.file)
        self._file_problems = env_file.problems
        if env_file.problems and not env_file.values:
            self.raise_if_invalid()  # without values, no other check is meaningful
        self.names_in_file = list(env_file.values)
        os.environ.update(env_file.values if self.is_trial else env_file.values | os.environ)

    def names_not_read(self, cutoff: float = 0.0) -> dict[str, str]:
        """Return {unknown name in the file: the most similar known name}; a cutoff leaves out dissimilar names."""
        names = [
            name for name in self.names_in_file if name not in self.names and not name.startswith(LIBRARY_PREFIXES)
        ]
        nearest = {name: get_close_matches(name.upper(), self.names, 1, max(cutoff, 0.6)) for name in names}
        return {name: "".join(matches) for name, matches in nearest.items() if matches or not cutoff}

    def generated_secrets(self, path: Path, *, unless_set: Collection[str]) -> tuple[str, str]:
        """Return two different secrets for this checkout, generated at its first start and stored in `path`."""
        if all(self._raw(name) for name in unless_set) or self._file_problems:
            return "", ""
        if self.is_trial:
            return token_urlsafe(48), token_urlsafe(48)
        try:
            return _load_or_generate_secrets(path)
        except OSError:
            self.problems.append(f"SECRET_KEY and JWT_SIGNING_KEY must be set, because {path.name} cannot be written.")
        except ValueError:
            self.problems.append(f"{path.name} is damaged; remove it, and the next start generates new secrets.")
        return "", ""

    def require(self, *names: str, reason: str) -> None:
        """Report each of these variables that is not set."""
        for name in names:
            if self._raw(name) is None:
                self.problems.append(f"{name} is not set; {reason}.")

    def require_environment(self, name: str, choices: Collection[str]) -> None:
        """Report that this variable is missing if an unknown name may be a misspelling of it.

        Without it Cosmo would run as development, with DEBUG on. Call this after every variable has been read.
        """
        expected = f"one of {', '.join(choices)}"
        if name in os.environ:
            if not os.environ[name]:
                self.problems.append(f"{name} must be {expected}.")
        elif self.names_not_read() or get_close_matches(name, map(str.upper, os.environ), 1, 0.85):
            self.problems.append(f"{name} is not set, but an unknown name is; set {name} to {expected}.")

    def raise_if_invalid(self) -> None:
        """Raise ImproperlyConfigured with all problems, if there are any."""
        problems = [*self._file_problems, *sorted(set(self.problems))]
        if problems:
            hints = [
                f"Cosmo does not read {name}; is {near} meant?"
                for name, near in self.names_not_read(cutoff=0.6).items()
            ]
            raise ImproperlyConfigured("\n  ".join(["the environment is invalid.", *problems, *hints]))

    def text(self, name: str, default: str = "") -> str:
        return self._parse(name, default, values.text, f"printable, at most {values.MAX_TEXT} characters")

    def unchecked(self, name: str) -> str:
        """Return the value unchecked: it must never make startup fail."""
        return (self._raw(name) or "").strip()

    def secret(self, name: str, default: str, *, min_length: int) -> str:
        expected = f"at least {min_length} printable characters"
        return self._parse(name, default, values.secret(min_length), expected)

    def token(self, name: str) -> str:
        """Return a token that fits into a header; empty if not set."""
        return self._parse(name, "", values.ascii_word, "ASCII characters without spaces")

    def ascii_text(self, name: str) -> str:
        return self._parse(name, "", values.ascii_text, "ASCII, as SMTP requires")

    def boolean(self, name: str, default: bool) -> bool:  # noqa: FBT001 - like the methods around it
        return self._parse(name, default, values.boolean, "on or off (true, yes, 1; false, no, 0)")

    def integer(self, name: str, default: int, *, minimum: int, maximum: int) -> int:
        expected = f"a whole number from {minimum} to {maximum}"
        return self._parse(name, default, values.integer(minimum, maximum), expected)

    def fraction(self, name: str, default: float) -> float:
        return self._parse(name, default, values.fraction, "a number from 0 to 1")

    def choice(self, name: str, default: str, *, choices: Collection[str]) -> str:
        return self._parse(name, default, values.choice(choices), f"one of {', '.join(choices)}")

    def host(self, name: str, default: str) -> str:
        return self._parse(name, default, values.host, "a host name or an IP address, without scheme and port")

    def hosts(self, name: str, default: Collection[str] = (), *, wildcard: bool) -> list[str]:
        expected = "host names like cosmo.example.com or .example.com, comma separated, without scheme, port and path"
        expected += "" if wildcard else ", never *"
        return self._parse(name, list(default), values.hosts(wildcard=wildcard), expected)

    def origins(self, name: str, default: Collection[str] = ()) -> list[str]:
        expected = "origins like https://cosmo.example.com, comma separated, without a path, never *"
        return self._parse(name, list(default), values.origins, expected)

    def skipped_paths(self, name: str) -> list[str]:
        expected = "path prefixes like /api/health/, comma separated, without * and ?, and not / alone"
        return self._parse(name, [], values.skipped_paths, expected)

    def base_url(self, name: str, default: str) -> str:
        return self._parse(name, default, values.base_url, "a URL like https://cosmo.example.com")

    def http_url(self, name: str) -> str:
        return self._parse(name, "", values.http_url, "a URL like http://127.0.0.1:4318")

    def redis_url(self, name: str) -> str:
        expected = f"a URL like redis://:password@127.0.0.1:6379/0; {_ENCODE}, and a comma as %2C, ; as %3B"
        return self._parse(name, "", urls.redis_url, expected)

    def broker_url(self, name: str) -> str:
        expected = f"a URL like redis://127.0.0.1:6379/0 or amqp://user:password@host//; {_ENCODE}, and ; as %3B"
        return self._parse(name, "", urls.broker_url, expected)

    def database(self, name: str, default: Path) -> dict[str, Any]:
        expected = (
            "a URL like postgres://user:password@host:5432/name?sslmode=require, with libpq options other "
            "than connect_timeout, tcp_user_timeout and options, which Cosmo sets, or sqlite:////path/to/file; "
        )
        parse = urls.database(PROJECT)
        return self._parse(name, urls.sqlite_file(default), parse, expected + _ENCODE)

    def people(self, name: str) -> list[tuple[str, str]]:
        expected = "names and email addresses like Admin:admin@example.com,Tech:tech@example.com"
        return self._parse(name, [], values.people, expected)

    def sender(self, name: str, default: str) -> str:
        return self._parse(name, default, values.sender, "an email address like Cosmo <cosmo@example.com>")

    def email_backend(self, name: str, default: str) -> str:
        expected = "the class of an email backend, like django.core.mail.backends.smtp.EmailBackend"
        return self._parse(name, default, values.email_backend, expected)

    def path(self, name: str, default: str) -> Path:
        """Return an absolute path; relative values start at the project."""
        expected = "a path, in which ~ is a home folder of this machine"
        return self._parse(name, PROJECT / default, values.path(PROJECT), expected)

    def flag_file(self, name: str, default: str) -> Path:
        expected = "the path of a file, not of a folder"
        return self._parse(name, PROJECT / default, values.flag_file(PROJECT), expected)

    def bind(self, name: str, default: str) -> str:
        expected = f"host:port, or unix:/path/to/socket of at most {values.MAX_SOCKET_PATH} bytes"
        return self._parse(name, default, values.bind, expected)

    def _raw(self, name: str) -> str | None:
        # Not through environ.Env: it treats a value that starts with "$" as a variable's name, and prints it.
        self.names.add(name)
        return os.environ.get(name) or None

    def _parse(self, name: str, default: T, parse: Callable[[str], T], expected: str) -> T:
        raw = self._raw(name)
        if raw is None:
            return default
        try:
            return parse(raw)
        except ValueError:
            self.problems.append(f"{name} must be {expected}.")
            return default


@contextlib.contextmanager
def exit_on_invalid_settings(status: int = 1) -> Iterator[None]:
    """Exit with the message for the operator instead of a traceback."""
    try:
        yield
    except ImproperlyConfigured as error:
        sys.stderr.write(f"Cosmo does not start: {error}\n")
        raise SystemExit(status) from None


def _load_or_generate_secrets(path: Path) -> tuple[str, str]:
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            with open_private(draft, "x") as file:
                file.write(f"{token_urlsafe(48)}\n{token_urlsafe(48)}\n")
            # link() does not overwrite: two processes that start at once both use the secrets of the first.
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    first, second = path.read_text(encoding="ascii").split()
    return first, second
