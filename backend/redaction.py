"""What never reaches a log, a mail, an audit row or Sentry: secrets, known by the name of their field or their form.

Every pattern is bounded, so that a hostile text costs milliseconds. Where a limit is reached a marker stands, never the
value.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from math import isfinite
from typing import Any

REDACTED = "[redacted]"
MAX_TEXT = 8_192  # characters of one value
_MARGIN = 2_048  # looked at beyond the cut, so that a secret across it is still seen whole
_CACHED_TEXT = 256
_INT64 = range(-(2**63), 2**64)  # what orjson can write

# Anywhere in a name, once case and separators are gone.
_SECRET_PARTS = (
    *("password", "passwd", "passphrase", "secret", "token", "authorization", "cookie", "session", "csrf", "xsrf"),
    *("credential", "apikey", "privatekey", "jwt", "signature"),
)
# As a whole word of a name: `key` is secret, `keyboard` is not.
_SECRET_WORDS = frozenset({"key", "keys", "pwd", "pass", "auth", "otp", "pin", "cvv", "sid", "dsn"})
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_SEPARATORS = str.maketrans("", "", "-_. ")

_NAMES = r"pass(?:word|wd|phrase)|pwd|secret|token|(?:api|private|signing)[ _-]?key|session|csrf|xsrf|credential"
# A text without any of these holds nothing that the patterns below would find.
_HINT = re.compile(
    rf"{_NAMES}|auth|cookie|eyJ|://|bearer|basic|-----BEGIN|argon2|pbkdf2|scrypt|bcrypt|\$[0-9a-z]{{1,2}}\$"
    r"|reset|unsubscribe|-[0-9a-f]{32}|\)=\(|failing row|invalid input",
    re.IGNORECASE,
)
_QUOTED = r'"(?:[^"\\]|\\.){0,4000}"?|' + r"'(?:[^'\\]|\\.){0,4000}'?"
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"-----BEGIN [A-Z ]{1,40}-----.{0,8000}?(?:-----END [A-Z ]{1,40}-----|\Z)".replace(".", r"[\s\S]"), REDACTED),
        # user:password@ and key@ in addresses
        (r"(://)(?:[^\s/@]{1,256}|[^\s/@:]{0,128}:[^\s@]{1,256})@", rf"\1{REDACTED}@"),
        # JWT, also one that was cut
        (r"eyJ[\w-]{8,4000}(?:\.[\w-]{0,4000}){0,2}", REDACTED),
        # Header lines: the value is the rest of the line, or what is quoted
        (
            rf"((?:set-?)?cookie|(?:proxy-)?authorization)(['\"]?\s{{0,3}}[:=]\s{{0,3}})(?:{_QUOTED}|[^\r\n]{{1,4000}})",
            rf"\1\2{REDACTED}",
        ),
        (r"\b(bearer)\s+[\w.~+/=-]{4,4000}", rf"\1 {REDACTED}"),
        (r"\b(basic)\s+(?-i:(?=[a-z]{0,200}[A-Z0-9+/=]))[\w+/=-]{6,4000}", rf"\1 {REDACTED}"),
        # name=value and name: value; sessions.py:65 is a place in the code
        (
            rf"((?:{_NAMES})(?![\w.-]{{0,40}}\.py:\d{{1,6}}(?!\w))[\w.-]{{0,40}}['\"]?\]?\s{{0,3}}[:=]\s{{0,3}})"
            rf"(?!{re.escape(REDACTED)})"
            rf"(?:{_QUOTED}|[^\s,;&\"'<>)\]}}]{{1,4000}})",
            rf"\1{REDACTED}",
        ),
        # Password hashes
        (r"\$?(?:argon2\w{0,3}|pbkdf2_\w{1,12}|scrypt|bcrypt\w{0,8})\$[^\s'\",]{8,400}", REDACTED),
        (r"\$(?:2[abxy]|5|6|y|1)\$[^\s'\",]{8,400}", REDACTED),
        # Reset links and Django's tokens in them
        (r"((?:password[_-]?)?reset(?:/confirm)?/[\w-]{1,64}/)[\w-]{6,128}", rf"\1{REDACTED}"),
        (r"(unsubscribe/)[\w:-]{6,300}", rf"\1{REDACTED}"),
        (r"\b[0-9a-z]{5,8}-[0-9a-f]{32}\b", REDACTED),
        # What PostgreSQL quotes of a row: Key (column)=(value) already exists
        (
            r"(\([^()\n]{1,200}(?:\([^()\n]{0,100}\)[^()\n]{0,100}){0,3}\)=\()"
            r"[^\n]{0,2000}?(\) (?:already|is not|is still|conflicts)|\)$|$)",
            rf"\1{REDACTED}\2",
        ),
        (r"(failing row contains )[^\n]{0,4000}", rf"\1{REDACTED}"),
        (r"(invalid input (?:syntax|value) for [^:\n]{1,60}: )[^\n]{0,4000}", rf"\1{REDACTED}"),
    )
)


@lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Whether a field of this name holds a secret."""
    name = name[:200]
    joined = name.lower().translate(_SEPARATORS)
    return any(part in joined for part in _SECRET_PARTS) or any(
        word.lower() in _SECRET_WORDS for word in _WORD.findall(name)
    )


def redact_text(text: str, *, limit: int = MAX_TEXT) -> str:
    """`text` with what looks like a secret masked, and cut to `limit` characters with a mark."""
    if len(text) <= _CACHED_TEXT:
        return _redact_short(text)
    cut = text[: limit + _MARGIN]
    if _HINT.search(cut):
        cut = _masked(cut)
    return cut if len(text) <= limit and len(cut) <= limit else f"{cut[:limit]}...[cut from {len(text)} characters]"


@lru_cache(maxsize=4096)
def _redact_short(text: str) -> str:
    return _masked(text) if _HINT.search(text) else text


def _masked(text: str) -> str:
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact(value: Any, *, max_text: int = MAX_TEXT, max_items: int = 100) -> Any:
    """A copy of `value` that JSON can write, without secrets: by name at any depth, by form in every text.

    Never raises. What JSON does not know is shown by its text; at most `max_items` of a collection and 8 levels.
    """
    return _Walk(max_text, max_items).visit(value, 8)


class _Walk:
    def __init__(self, max_text: int, max_items: int) -> None:
        self.max_text = max_text
        self.max_items = max_items
        self.values_left = 20 * max_items

    def visit(self, value: Any, levels: int) -> Any:
        kind = type(value)
        if kind is str:
            return redact_text(value, limit=self.max_text)
        if value is None or kind is bool:
            return value
        if kind is int:
            return value if value in _INT64 else self._text_of(value)
        if kind is float:
            return value if isfinite(value) else str(value)
        self.values_left -= 1
        if levels == 0 or self.values_left < 0:
            return f"[{kind.__name__}: too deep or too much]"
        try:
            if isinstance(value, Mapping):
                return self._mapping(value, levels - 1)
            if isinstance(value, list | tuple | set | frozenset):
                return self._collection(value, levels - 1)
        except Exception:  # noqa: BLE001 - a caller's own class may raise anything
            return _unreadable(value)
        return self._text_of(value)

    def _mapping(self, value: Mapping[Any, Any], levels: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, inner in value.items():
            if len(found) == self.max_items:
                found["..."] = f"{len(value) - self.max_items} more"
                break
            name = key if type(key) is str else self._text_of(key)
            is_masked = is_secret(name) and inner is not None and not isinstance(inner, bool)
            shown = redact_text(name, limit=200)
            found[shown] = REDACTED if is_masked else self.visit(inner, levels)
        return found

    def _collection(self, value: Any, levels: int) -> list[Any]:
        found: list[Any] = []
        for inner in value:
            if len(found) == self.max_items:
                found.append(f"... {len(value) - self.max_items} more")
                break
            found.append(self.visit(inner, levels))
        return found

    def _text_of(self, value: Any) -> str:
        if type(value) is int and value.bit_length() > 14_000:
            return f"[integer of {value.bit_length()} bits]"  # str() refuses beyond 4,300 digits
        return redact_text(text_of(value), limit=self.max_text)


def text_of(value: Any, show: Callable[[Any], str] = str) -> str:
    """The text of any object, also of one whose __str__ fails."""
    if isinstance(value, bytes | bytearray | memoryview):
        value = bytes(value[: MAX_TEXT + _MARGIN]).decode("utf-8", "backslashreplace")
    try:
        text = show(value)
        return text if type(text) is str else str.__str__(text)
    except Exception:  # noqa: BLE001 - a caller's own class may raise anything
        return _unreadable(value)


def _unreadable(value: Any) -> str:
    return f"[{type(value).__name__} that cannot be shown]"
