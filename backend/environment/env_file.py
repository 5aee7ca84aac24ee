"""Read a .env file. Report every invalid line by its number; no message contains text of the file."""

import codecs
import re
from pathlib import Path

MAX_BYTES = 1024 * 1024

# Longer byte order marks first: UTF-32's begins like UTF-16's.
_OTHER_ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
# Possessive quantifiers (++, *+) do not backtrack, so matching time is linear.
_LINE = re.compile(r"(?:export[ \t]++)?([A-Za-z_][A-Za-z0-9_]*+)[ \t]*+=(.*)")
_SINGLE_QUOTED = re.compile(r"'([^']*+)'(?:[ \t]++#.*)?")
_DOUBLE_QUOTED = re.compile(r'"((?:\\.|[^"\\])*+)"(?:[ \t]++#.*)?')
_COMMENT = re.compile(r"(?<![ \t])[ \t]++#")


class EnvFile:
    """The values of a file, and its problems as sentences in line order."""

    def __init__(self, path: Path) -> None:
        self.values: dict[str, str] = {}
        self.problems: list[str] = []
        self._name = path.name
        self._numbers: dict[str, int] = {}  # {name: line number}
        try:
            content = _read_bytes(path)
        except OSError as error:
            self._reject(f"cannot be read: {error.strerror or type(error).__name__}.")
        else:
            if content is not None:
                self._read(content)

    def _read(self, content: bytes) -> None:
        for mark, encoding in _OTHER_ENCODINGS.items():
            if content.startswith(mark):
                return self._reject(f"is written in {encoding}; save it as UTF-8.")
        if len(content) > MAX_BYTES:
            return self._reject("is larger than 1 MB; a .env file is smaller.")
        if b"\0" in content:
            return self._reject("contains NUL bytes: it is damaged or not UTF-8; save it as UTF-8.")
        content = content.removeprefix(codecs.BOM_UTF8)
        if not content.strip():
            # A failed write on a full disk leaves an empty file; Cosmo would then run with DEBUG on.
            return self._reject("is empty: fill it in or remove it.")
        for number, line in enumerate(content.split(b"\n"), 1):
            self._read_line(number, line.removesuffix(b"\r"))
        return None

    def _read_line(self, number: int, line: bytes) -> None:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return self._reject_line(number, "is not UTF-8; save the file as UTF-8.")
        text = text.strip(" \t")
        if not text or text.startswith("#"):
            return None
        if not text.replace("\t", " ").isprintable():
            return self._reject_line(number, "contains an invisible character: type the line again.")
        match = _LINE.fullmatch(text)
        value = None if match is None else _parse_value(match[2])
        if match is None or value is None:
            return self._reject_line(
                number, "is neither NAME=value nor a comment, or its quotes are not closed at its end."
            )
        return self._set(match[1], value, number)

    def _set(self, name: str, value: str, number: int) -> None:
        if self.values.setdefault(name, value) != value:
            self.problems.append(
                f"{self._name}, lines {self._numbers[name]} and {number} set {name} to different values."
            )
        self._numbers.setdefault(name, number)

    def _reject(self, reason: str) -> None:
        self.problems.append(f"{self._name} {reason}")

    def _reject_line(self, number: int, reason: str) -> None:
        self.problems.append(f"{self._name}, line {number} {reason}")


def _read_bytes(path: Path) -> bytes | None:
    """Return the content; None without a file. Raise OSError if an existing file cannot be read."""
    if path.is_symlink() and not path.exists():
        raise OSError(None, "it is a link to a file that does not exist")
    if path.exists() and not path.is_file():
        raise OSError(None, "it is not a file")
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None


def _parse_value(raw: str) -> str | None:
    """Return the value without quotes and comment; None if quotes are not closed."""
    if raw.lstrip(" \t").startswith("'"):
        match = _SINGLE_QUOTED.fullmatch(raw.lstrip(" \t"))
        return match and match[1]
    if raw.lstrip(" \t").startswith('"'):
        match = _DOUBLE_QUOTED.fullmatch(raw.lstrip(" \t"))
        # \n, \r and \t stay two characters: no value has several lines.
        return match and re.sub(r"\\([^nrt])", r"\1", match[1])
    return _COMMENT.split(raw, maxsplit=1)[0].strip(" \t")
