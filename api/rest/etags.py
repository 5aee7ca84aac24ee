"""Optimistic locking: an object's ETag is its row's version, and If-Match asks for it (RFC 9110, 13.1.1)."""

import re
from typing import Any, Protocol

from rest_framework.request import Request

from api.common.errors import StaleVersion

# A proxy that compresses marks our ETag as weak (W/); the version in it is as good.
_ETAG = re.compile(r'(?:W/)?"([^"]*)"')


class Versioned(Protocol):
    version: Any


IfMatch = frozenset[str] | None  # the acceptable versions; None: any


def if_match(request: Request) -> IfMatch:
    header = request.headers.get("If-Match", "*").strip()
    return None if header == "*" else frozenset(_ETAG.findall(header))


def require_match(row: Versioned, expected: IfMatch) -> None:
    """Raise StaleVersion unless the row, locked by the caller, has a version that the client has seen."""
    if expected is not None and str(row.version) not in expected:
        raise StaleVersion


def etag(row: Versioned) -> str:
    return f'"{row.version}"'
