"""The JSON renderer and parser of the API, with limits on the structure of a body."""

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
MAX_NAMES = 200  # fields in one object
MAX_FIELD_NAME = 200  # characters of a field name in an error
# A string or a structural character; an unclosed string extends to the end of the body. Possessive quantifiers prevent
# backtracking, so the body is scanned once.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},]', re.DOTALL)


class OrjsonRenderer(BaseRenderer):
    """Render JSON with orjson. Date-times are RFC 3339 in UTC, with a Z."""

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
    """Parse a JSON object within the limits of `check_structure`; reject everything else with 400.

    Reject repeated names too: implementations disagree on which value counts (RFC 8259, section 4).
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        # Django's request limits the body size (RequestLimitsMiddleware).
        raw = stream.body if hasattr(stream, "body") else stream.read()
        check_structure(raw)
        try:
            data = json.loads(
                raw.decode("utf-8"), parse_constant=_reject_constant, object_pairs_hook=_object_without_repeats
            )
        except UnicodeDecodeError:
            raise ParseError("The body is not valid UTF-8. Send JSON encoded as UTF-8.") from None
        except ValueError as error:
            raise ParseError(f"The body is not valid JSON: {_position(error)}.") from None
        if not isinstance(data, dict):
            raise ParseError("The body must be a JSON object.")
        return data


def check_structure(raw: bytes) -> None:
    """Raise ValidationError for the top-level field that exceeds MAX_DEPTH, MAX_VALUES or MAX_NAMES.

    This scan builds no objects and stops at the first limit. json.loads would use stack for each level, and time and
    memory for each value.
    """
    values = 1
    commas: list[int] = []  # in each open object; a list starts so low that it never reaches MAX_NAMES
    field = b""
    for number, match in enumerate(_TOKEN.finditer(raw)):
        token = match[0]
        if token in b"[{,":
            values += 1
        if token in b"[{":
            commas.append(0 if token == b"{" else -MAX_VALUES)
        elif token in b"]}":
            del commas[-1:]
        elif token == b"," and commas:
            commas[-1] += 1
        elif len(commas) == 1:
            field = token
        if len(commas) > MAX_DEPTH:
            raise _limit_exceeded(field, f"The body is nested more than {MAX_DEPTH} levels deep.", "too_deep")
        if values > MAX_VALUES or number > 4 * MAX_VALUES:  # valid JSON has at most four tokens per value
            raise _limit_exceeded(field, f"The body has more than {MAX_VALUES:,} values.", "too_many_values")
        if commas and commas[-1] >= MAX_NAMES:
            inner = field if len(commas) > 1 else b""
            raise _limit_exceeded(inner, f"An object has more than {MAX_NAMES} fields.", "too_many_fields")


def _limit_exceeded(field: bytes, detail: str, code: str) -> ValidationError:
    name = field.strip(b'"')[:MAX_FIELD_NAME].decode("utf-8", "replace") or "non_field_errors"
    return ValidationError({name: [detail]}, code=code)


def _object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        repeated = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValidationError({repeated: ["This field appears more than once. Send it once."]}, code="repeated_field")
    return values


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _position(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}"
    return "it contains a number that JSON does not allow or that is too long"
