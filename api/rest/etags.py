"""Optimistic locking: an object's ETag is its row's version, and If-Match asks for it (RFC 9110, 13.1.1)."""

import re

from rest_framework.request import Request

from api.common.locking import IfMatch, Versioned

# A proxy that compresses marks our ETag as weak (W/); the version in it is as good.
_ETAG = re.compile(r'(?:W/)?"([^"]*)"')


def if_match(request: Request) -> IfMatch:
    header = request.headers.get("If-Match", "*").strip()
    return None if header == "*" else frozenset(_ETAG.findall(header))


def etag(row: Versioned) -> str:
    return f'"{row.version}"'
