"""The table of secret names, for keys of structures and for names in texts."""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Any

from backend.redaction.views import View

# These make a name secret anywhere in it, ignoring case and separators.
SECRET_PARTS = (
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "passwort",
    "secret",
    "token",
    "authorization",
    "cookie",
    "session",
    "sessid",
    "csrf",
    "xsrf",
    "credential",
    "jwt",
    "signature",
    "recoverycode",
    "backupcode",
    "apikey",
    "accesskey",
    "privatekey",
    "signingkey",
    "encryptionkey",
)
# These make a name secret as a whole word: `key` is secret, `keyboard` is not.
SECRET_WORDS = frozenset(
    {
        "key",
        "keys",
        "pwd",
        "pass",
        "auth",
        "bearer",
        "otp",
        "totp",
        "pin",
        "pins",
        "cvv",
        "cvc",
        "sid",
        "dsn",
        "sig",
        "hmac",
        "psk",
    }
)
# Names whose numbers are secrets. Under other secret names, numbers are counts, ids and durations.
SECRET_NUMBERS = frozenset({"pin", "pincode", "otp", "otpcode", "totp", "cvv", "cvc", "passcode"})
# Names that contain a secret word, but whose values are no secrets.
HARMLESS_NAMES = frozenset({"passfail", "publickey", "publickeys", "primarykey", "foreignkey"})
# Last words of exception classes: `KeyError: 'name'` is no pair of a name and a value.
_NO_VALUES = frozenset({"error", "errors", "exception", "warning"})
# Last words of names whose values are measures, also in texts, where numbers have no type.
_MEASURES = frozenset({"age", "attempt", "count", "length", "limit", "ms", "size", "timeout", "total", "ttl"})

_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_SEPARATORS = str.maketrans("", "", "-_. ")
_ROW_KEY = re.compile(r"[a-z]{2,30}(?:_[a-z]{1,30}){0,3}")  # our own codes for rows, in fields named `key`
_INT64 = range(-(2**63), 2**63)
_CACHED, _MAX_NAME = 100, 10_000  # characters


def is_secret(name: str) -> bool:
    """Return whether values of this name are secrets."""
    return _is_secret(name) if len(name) <= _CACHED else _is_secret.__wrapped__(name[:_MAX_NAME])


@lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    name = View(name).named().text
    joined = _joined(name)
    words = [word.lower() for word in _WORD.findall(name)]
    if joined in HARMLESS_NAMES or (words and words[-1] in _NO_VALUES):
        return False
    return any(part in joined for part in SECRET_PARTS) or not SECRET_WORDS.isdisjoint(words)


def hides(name: str, value: Any) -> bool:
    """Return whether `value` is a secret because of its field's name.

    None is no secret. Numbers and booleans are facts, such as a session count, except under SECRET_NUMBERS.
    """
    if value is None or not is_secret(name):
        return False
    if isinstance(value, bool | int | float | Decimal):
        return is_number_secret(name) or (isinstance(value, int) and value not in _INT64)
    return not (isinstance(value, str) and is_row_key(name, value))


def is_row_key(name: str, text: str) -> bool:
    """Return whether this is our own code for a row, such as `key=linen_count`."""
    return name.lower() in {"key", "keys"} and _ROW_KEY.fullmatch(text) is not None


def is_measure(name: str) -> bool:
    """Return whether an unquoted number after this name in a text is a measure: `tokens: 5`, `session_count=3`."""
    words = _WORD.findall(name)
    last = words[-1].lower() if words else ""
    is_plural = last.endswith("s") and not last.endswith("ss")
    return (is_plural or last in _MEASURES or name.lower() == "key") and not is_number_secret(name)


def is_number_secret(name: str) -> bool:
    """Return whether even a number under this name is masked."""
    return _joined(name) in SECRET_NUMBERS


def _joined(name: str) -> str:
    return name.lower().translate(_SEPARATORS)
