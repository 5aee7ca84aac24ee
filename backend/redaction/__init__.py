"""Redaction of secrets before data is logged, audited, emailed or sent to Sentry.

A secret is recognized by the name of its field or by its form:

- names: the table of secret names
- forms: the table of forms in which texts contain secrets
- values: finds the end of a secret in a text
- views: decodes texts inside encodings

All scans are linear. A value beyond a limit is replaced by a marker.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import islice
from math import isfinite
from typing import Any

from django.utils.datastructures import MultiValueDict

from backend.redaction.forms import spans_in
from backend.redaction.names import hides, is_secret
from backend.redaction.views import MAX_DEPTH, View

__all__ = ["MAX_TEXT", "REDACTED", "hides", "is_secret", "redact", "redact_text", "safe_str"]

REDACTED = "[redacted]"
MAX_TEXT = 8_192  # characters of one value
_MARGIN = 2_048  # searched beyond the cut, so that a secret across it is still complete
_CACHED_TEXT = 256
# Keys whose value is a field's name, and keys whose value is that field's value.
_NAMING = frozenset({"name", "key", "field", "param", "parameter", "header"})
_VALUES = frozenset({"value", "val", "content"})
_INT64 = range(-(2**63), 2**64)  # what orjson can write


def redact_text(text: str, *, limit: int = MAX_TEXT) -> str:
    """Return `text` with its secrets masked, cut to `limit` characters of the original."""
    if len(text) <= _CACHED_TEXT and len(text) <= limit:
        return _redact_short(text)
    redacted = _masked(text[: limit + _MARGIN], limit)
    return redacted if len(text) <= limit else f"{redacted}...[cut from {len(text)} characters]"


@lru_cache(maxsize=4096)
def _redact_short(text: str) -> str:
    return _masked(text, len(text))


def _masked(text: str, limit: int) -> str:
    """Return the first `limit` characters. A secret that starts in them is masked completely."""
    pieces, copied = [], 0
    for start, end in _secrets_in(text):
        if start >= limit:
            break
        if end > copied:
            pieces += [text[copied:start], REDACTED]
            copied = end
    pieces.append(text[copied:limit])
    return "".join(pieces)


def _secrets_in(text: str) -> list[tuple[int, int]]:
    """Return the spans of secrets in the text and in its decoded layers."""
    view = View(text).named()
    secrets: list[tuple[int, int]] = []
    for _ in range(MAX_DEPTH + 1):
        if spans := spans_in(view.text):
            secrets += [(view.origin(start), view.origin(end)) for start, end in spans]
            view = view.masked(spans)
        decoded = view.decoded()
        if decoded is view:
            break
        view = decoded.named()
    return sorted(secrets)


def redact(value: Any, *, max_text: int = MAX_TEXT, max_items: int = 100) -> Any:
    """Return a copy of `value` for JSON, with secrets masked by name at any depth and by form in every text.

    Never raises. Other types are converted to text. At most `max_items` of a collection and 8 levels are kept.
    """
    return Redactor(max_text, max_items).visit(value, 8)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str | bytes)


class Redactor:
    """Copies one structure, within limits for its texts, collections and total size."""

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
            if isinstance(value, MultiValueDict):
                return self._mapping(value.lists(), len(value), levels - 1)
            if isinstance(value, Mapping):
                return self._mapping(value.items(), len(value), levels - 1)
            if isinstance(value, tuple) and hasattr(value, "_asdict"):  # a named tuple
                return self._mapping(value._asdict().items(), len(value), levels - 1)
            if isinstance(value, list | tuple | set | frozenset):
                return self._collection(value, levels - 1)
        except Exception:  # noqa: BLE001 - a caller's own class may raise anything
            return _unreadable(value)
        return self._text_of(value)

    def _mapping(self, items: Iterable[tuple[Any, Any]], length: int, levels: int) -> dict[str, Any]:
        redacted: dict[str, Any] = {}
        field = ""
        for key, inner in items:
            if len(redacted) == self.max_items:
                redacted["..."] = f"{length - self.max_items} more"
                break
            name = key if type(key) is str else self._text_of(key)
            safe_name = redact_text(name, limit=200)
            if safe_name in redacted:  # another key with the same text
                safe_name = f"{safe_name} ({len(redacted) + 1})"
            if name.lower() in _NAMING and isinstance(inner, str):
                field = inner
            redacted[safe_name] = REDACTED if hides(name, inner) else self.visit(inner, levels)
        if is_secret(field):  # {"name": "password", "value": "x"}, in any order
            values = [name for name in redacted if name.lower() in _VALUES and hides(field, redacted[name])]
            redacted |= dict.fromkeys(values, REDACTED)
        return redacted

    def _collection(self, value: Any, levels: int) -> list[Any]:
        are_pairs = all(_is_pair(inner) for inner in islice(value, self.max_items))
        redacted: list[Any] = []
        name: Any = None
        for inner in value:
            if len(redacted) == self.max_items:
                redacted.append(f"... {len(value) - self.max_items} more")
                break
            if are_pairs and not isinstance(inner, tuple):
                inner = tuple(inner)
            # ("password", "x"), and the value after "--password" in a list of arguments
            is_value = name is not None and (name.startswith("-") or (isinstance(value, tuple) and len(value) == 2))
            redacted.append(REDACTED if is_value and hides(name, inner) else self.visit(inner, levels))
            name = safe_str(inner) if isinstance(inner, str | bytes) else None
        return redacted

    def _text_of(self, value: Any) -> str:
        if type(value) is int and value.bit_length() > 14_000:
            return f"[integer of {value.bit_length()} bits]"  # str() raises beyond 4,300 digits
        return redact_text(safe_str(value), limit=self.max_text)


def safe_str(value: Any, to_text: Callable[[Any], str] = str) -> str:
    """Return the text of any object, also of one whose __str__ raises."""
    if isinstance(value, bytes | bytearray | memoryview):
        value = bytes(value[: MAX_TEXT + _MARGIN]).decode("utf-8", "backslashreplace")
    try:
        text = to_text(value)
        return text if type(text) is str else str.__str__(text)
    except Exception:  # noqa: BLE001 - a caller's own class may raise anything
        return _unreadable(value)


def _unreadable(value: Any) -> str:
    return f"[{type(value).__name__} that cannot be shown]"
