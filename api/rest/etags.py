"""Optimistic locking: an object's ETag is the version of its row; If-Match compares it (RFC 9110, 13.1.1)."""

import re

from rest_framework.request import Request

from api.common.locking import IfMatch, Versioned

# A compressing proxy marks our ETag as weak (W/); the version is still valid.
_ETAG = re.compile(r'(?:W/)?"([^"]*)"')


def if_match(request: Request) -> IfMatch:
    header = request.headers.get("If-Match", "*").strip()
    return None if header == "*" else frozenset(_ETAG.findall(header))


def etag(row: Versioned) -> str:
    return f'"{row.version}"'
