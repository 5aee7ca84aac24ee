"""Redaction of log messages. Structures in the arguments are masked before they become text."""

import copy
from collections.abc import Mapping
from typing import Any

from django.utils.datastructures import MultiValueDict

from backend.redaction import REDACTED, hides, redact, redact_text, safe_str

_LEVELS = 8


def format_message(message: Any, args: Any) -> str:
    """Return `message % args` without secrets. Named arguments are masked by name."""
    text = safe_str(message)
    if not args:
        return redact_text(text)
    try:
        # A mapping is used for its values (%(name)s) or, as the only argument, for itself (%s).
        values = _Named(args) if isinstance(args, Mapping) else _masked(args)
        return redact_text(text % values)
    except Exception:  # noqa: BLE001 - a placeholder that does not fit, or an argument that cannot be shown
        return redact_text(f"{text} [arguments: {redact(args)}]")


class _Named:
    """Named arguments, masked on access. The caller's mapping may compute values."""

    def __init__(self, args: Mapping[str, Any]) -> None:
        self._args = args

    def __getitem__(self, name: str) -> Any:
        value = self._args[name]
        return REDACTED if hides(name, value) else _masked(value)

    def __str__(self) -> str:
        return str(_masked(self._args))

    def __repr__(self) -> str:
        return repr(_masked(self._args))


def _masked(value: Any, levels: int = _LEVELS) -> Any:
    """Return a copy of a structure of built-in types with secrets masked by name.

    Other objects stay as they are, and their texts are redacted by form later.
    """
    kind = type(value)
    if levels == 0:
        return value
    if isinstance(value, MultiValueDict):
        masked = copy.copy(value)
        for name, inner in value.lists():
            dict.__setitem__(masked, name, [REDACTED] if hides(name, inner) else _masked(inner, levels - 1))
        return masked
    if kind is dict:
        return {
            name: REDACTED if isinstance(name, str) and hides(name, inner) else _masked(inner, levels - 1)
            for name, inner in value.items()
        }
    if kind in (list, tuple):
        return kind(_masked(inner, levels - 1) for inner in value)
    return value
