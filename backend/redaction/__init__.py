"""What never reaches a log, a mail, an audit row or Sentry: secrets, known by the name of their field or their form.

names: the one table of names. forms: the one table of the ways in which texts show secrets; values: where such a
secret ends. views: texts inside encodings. All scans are linear. Where a limit is reached a marker stands, never the
value.
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
_MARGIN = 2_048  # looked at beyond the cut, so that a secret across it is still seen whole
_CACHED_TEXT = 256
# Keys under which a structure names a field, and those under which it has that field's value.
_NAMING = frozenset({"name", "key", "field", "param", "parameter", "header"})
_VALUES = frozenset({"value", "val", "content"})
_INT64 = range(-(2**63), 2**64)  # what orjson can write


def redact_text(text: str, *, limit: int = MAX_TEXT) -> str:
    """`text` with what looks like a secret masked, and cut to `limit` characters of the original with a mark."""
    if len(text) <= _CACHED_TEXT and len(text) <= limit:
        return _redact_short(text)
    shown = _masked(text[: limit + _MARGIN], limit)
    return shown if len(text) <= limit else f"{shown}...[cut from {len(text)} characters]"


@lru_cache(maxsize=4096)
def _redact_short(text: str) -> str:
    return _masked(text, len(text))


def _masked(text: str, limit: int) -> str:
    """The first `limit` characters; a secret that begins in them is masked whole, wherever it ends."""
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
    """The secrets, as the text is and as its encodings will be read, one layer after the other."""
    view = View(text).named()
    found: list[tuple[int, int]] = []
    for _ in range(MAX_DEPTH + 1):
        if spans := spans_in(view.text):
            found += [(view.origin(start), view.origin(end)) for start, end in spans]
            view = view.masked(spans)
        deeper = view.decoded()
        if deeper is view:
            break
        view = deeper.named()
    return sorted(found)


def redact(value: Any, *, max_text: int = MAX_TEXT, max_items: int = 100) -> Any:
    """A copy of `value` that JSON can write, without secrets: by name at any depth, by form in every text.

    Never raises. What JSON does not know is shown by its text; at most `max_items` of a collection and 8 levels.
    """
    return Redactor(max_text, max_items).visit(value, 8)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str | bytes)


class Redactor:
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
        found: dict[str, Any] = {}
        field = ""
        for key, inner in items:
            if len(found) == self.max_items:
                found["..."] = f"{length - self.max_items} more"
                break
            name = key if type(key) is str else self._text_of(key)
            shown = redact_text(name, limit=200)
            if shown in found:  # another key with the same text
                shown = f"{shown} ({len(found) + 1})"
            if name.lower() in _NAMING and isinstance(inner, str):
                field = inner
            found[shown] = REDACTED if hides(name, inner) else self.visit(inner, levels)
        if is_secret(field):  # {"name": "password", "value": "x"}, in any order
            found |= {name: REDACTED for name in found if name.lower() in _VALUES and hides(field, found[name])}
        return found

    def _collection(self, value: Any, levels: int) -> list[Any]:
        are_pairs = all(_is_pair(inner) for inner in islice(value, self.max_items))
        found: list[Any] = []
        name: Any = None
        for inner in value:
            if len(found) == self.max_items:
                found.append(f"... {len(value) - self.max_items} more")
                break
            if are_pairs and not isinstance(inner, tuple):
                inner = tuple(inner)
            # ("password", "x"), and the value after "--password" in a list of arguments
            is_value = name is not None and (name.startswith("-") or (isinstance(value, tuple) and len(value) == 2))
            found.append(REDACTED if is_value and hides(name, inner) else self.visit(inner, levels))
            name = safe_str(inner) if isinstance(inner, str | bytes) else None
        return found

    def _text_of(self, value: Any) -> str:
        if type(value) is int and value.bit_length() > 14_000:
            return f"[integer of {value.bit_length()} bits]"  # str() refuses beyond 4,300 digits
        return redact_text(safe_str(value), limit=self.max_text)


def safe_str(value: Any, show: Callable[[Any], str] = str) -> str:
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
