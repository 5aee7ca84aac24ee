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
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]')


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
    """Reads a JSON object, at most MAX_DEPTH deep; anything else is a 400 and not a fault.

    The depth is counted before parsing, because json.loads spends the interpreter's stack on it.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        # The body is read through the Django request, which bounds its size (DATA_UPLOAD_MAX_MEMORY_SIZE).
        raw = stream.body if hasattr(stream, "body") else stream.read()
        check_depth(raw)
        try:
            data = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
        except UnicodeDecodeError:
            raise ParseError("The body is not UTF-8.") from None
        except ValueError as error:
            raise ParseError(f"The body is not JSON: {_position(error)}.") from None
        if not isinstance(data, dict):
            raise ParseError("The body must be a JSON object.")
        return data


def check_depth(raw: bytes) -> None:
    """Raise ValidationError, naming the top-level key, where brackets nest deeper than MAX_DEPTH."""
    depth = 0
    key = b""
    for match in _TOKEN.finditer(raw):
        token = match[0]
        if token in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                field = key.strip(b'"').decode("utf-8", "replace") or "non_field_errors"
                raise ValidationError({field: [f"Nested deeper than {MAX_DEPTH} levels."]}, code="too_deep")
        elif token in b"]}":
            depth -= 1
        elif depth == 1:
            key = token


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _position(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}"
    return "a number that JSON does not have, or that is too long"
