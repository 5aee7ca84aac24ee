"""JSON in and out of the API."""

import json
import re
from collections.abc import Mapping
from typing import IO, Any, NoReturn

import orjson
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

MAX_DEPTH = 16
MAX_VALUES = 2_000  # in a body
MAX_NAMES = 200  # in one object of it
MAX_FIELD_NAME = 200  # characters that an error repeats
# A string (one without its closing quote reaches to the end) or what structures a body. Every branch consumes what it
# has looked at, so a body is read once.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},]', re.DOTALL)


class OrjsonRenderer(BaseRenderer):
    """Writes date-times as RFC 3339 in UTC, with a Z."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return b"" if data is None else orjson.dumps(data, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


class BoundedJSONParser(BaseParser):
    """Reads a JSON object within the limits of `check_structure`; anything else is a 400 and not a fault.

    A repeated name is refused as well: which of two values counts is for every reader to guess (RFC 8259, 4).
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        # The body is read through the Django request, which bounds its size (RequestLimitsMiddleware).
        raw = stream.body if hasattr(stream, "body") else stream.read()
        check_structure(raw)
        try:
            data = json.loads(
                raw.decode("utf-8"), parse_constant=_reject_constant, object_pairs_hook=_object_without_repeats
            )
        except UnicodeDecodeError:
            raise ParseError("The body is not UTF-8.") from None
        except ValueError as error:
            raise ParseError(f"The body is not JSON: {_position(error)}.") from None
        if not isinstance(data, dict):
            raise ParseError("The body must be a JSON object.")
        return data


def check_structure(raw: bytes) -> None:
    """Raise ValidationError, naming the top-level field, at MAX_DEPTH, MAX_VALUES or MAX_NAMES.

    Counts before anything is built of the body, and stops at the limit: json.loads spends the interpreter's stack on
    depth, and time and memory on every value.
    """
    values = 1
    names: list[int] = []  # of each object that is open, one less than it has; a list has none
    field = b""
    for number, match in enumerate(_TOKEN.finditer(raw)):
        token = match[0]
        if token in b"[{,":
            values += 1
        if token in b"[{":
            names.append(0 if token == b"{" else -MAX_VALUES)
        elif token in b"]}":
            del names[-1:]
        elif token == b"," and names:
            names[-1] += 1
        elif len(names) == 1:
            field = token
        if len(names) > MAX_DEPTH:
            raise _limit_exceeded(field, f"Nested deeper than {MAX_DEPTH} levels.", "too_deep")
        if values > MAX_VALUES or number > 4 * MAX_VALUES:  # JSON has four tokens to a value at most
            raise _limit_exceeded(field, f"More than {MAX_VALUES:,} values in one body.", "too_many_values")
        if names and names[-1] >= MAX_NAMES:
            inner = field if len(names) > 1 else b""
            raise _limit_exceeded(inner, f"More than {MAX_NAMES} fields in one object.", "too_many_fields")


def _limit_exceeded(field: bytes, detail: str, code: str) -> ValidationError:
    name = field.strip(b'"')[:MAX_FIELD_NAME].decode("utf-8", "replace") or "non_field_errors"
    return ValidationError({name: [detail]}, code=code)


def _object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        repeated = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValidationError({repeated: ["Give this field once."]}, code="repeated_field")
    return found


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _position(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}"
    return "a number that JSON does not have, or that is too long"
