"""Problem details for HTTP APIs (RFC 9457): the one shape of every error under /api/."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from django.http import HttpResponse

from backend import request_context

CONTENT_TYPE = "application/problem+json"
MAX_ERRORS = 100
MAX_TEXT = 1_000  # characters

# {status: (default code, default detail)}.
_DEFAULTS: Mapping[int, tuple[str, str]] = {
    400: ("bad_request", "The request cannot be understood."),
    401: ("not_authenticated", "Sign in first."),
    403: ("permission_denied", "You may not do this."),
    404: ("not_found", "Nothing exists at this URL, or you may not see it."),
    405: ("method_not_allowed", "This URL does not support that method."),
    413: ("payload_too_large", "The body is too large."),
    500: ("server_error", "Something went wrong on our side. Quote the request id when you report it."),
    503: ("service_unavailable", "Cosmo cannot reach its database. Try again in a few seconds."),
}


def build_problem(
    *, status: int, code: str | None = None, detail: str | None = None, errors: Sequence[Mapping[str, str]] = ()
) -> dict[str, Any]:
    """Return the members: type, title, status, detail, code, request_id, errors [{field, code, detail}]."""
    title = HTTPStatus(status).phrase
    default_code, default_detail = _DEFAULTS.get(status, (title.lower().replace(" ", "_"), f"{title}."))
    context = request_context.current()
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": _truncate(detail or default_detail),
        "code": code or default_code,
        "request_id": context.request_id if context else "",
        "errors": [{name: _truncate(text) for name, text in error.items()} for error in errors[:MAX_ERRORS]],
    }


def _truncate(text: str) -> str:
    """Return text that may contain client input, shortened and encodable as UTF-8."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."


def fill_with_problem(response: HttpResponse) -> None:
    """Replace the body of an error response by problem details; keep its headers."""
    response.content = orjson.dumps(build_problem(status=response.status_code))
    response.headers["Content-Type"] = CONTENT_TYPE
    response.headers["Content-Length"] = str(len(response.content))
