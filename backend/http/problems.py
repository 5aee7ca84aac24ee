"""Problem details for HTTP APIs (RFC 9457): the format of all errors under /api/."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from django.http import HttpResponse
from django.urls import is_valid_path

from backend import request_context

CONTENT_TYPE = "application/problem+json"
MAX_ERRORS = 100
MAX_TEXT = 1_000  # characters

# The (code, detail) of errors that specify neither.
_DEFAULTS: Mapping[int, tuple[str, str]] = {
    400: ("bad_request", "The request is malformed. Check its URL, headers and body."),
    401: ("not_authenticated", "Authentication is required. Sign in and send a valid access token."),
    403: ("permission_denied", "You do not have permission to do this. If you need to, ask an administrator."),
    404: ("not_found", "There is nothing at this URL, or you do not have permission to see it."),
    405: ("method_not_allowed", "This URL does not support the method. The Allow header lists the supported ones."),
    413: ("payload_too_large", "The request body is too large. Send a smaller one."),
    500: (
        "server_error",
        "Something went wrong on our side. Try again later, or report the request id.",
    ),
    503: ("service_unavailable", "Cosmo cannot reach its database. Try again in a few seconds."),
}

_MISSING_SLASH = "There is nothing at this URL. Did you mean the same URL with a slash at the end?"


def build_problem(
    *, status: int, code: str | None = None, detail: str | None = None, errors: Sequence[Mapping[str, str]] = ()
) -> dict[str, Any]:
    """Return a problem: type, title, status, detail, code, request_id, errors [{field, code, detail}]."""
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
    """Return the text as valid UTF-8, cut to MAX_TEXT. It may repeat the client's input."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."


def fill_with_problem(response: HttpResponse) -> None:
    """Replace the body of an error response by a problem. Its headers are kept."""
    detail = _MISSING_SLASH if response.status_code == 404 and _is_missing_slash() else None
    response.content = orjson.dumps(build_problem(status=response.status_code, detail=detail))
    response.headers["Content-Type"] = CONTENT_TYPE
    response.headers["Content-Length"] = str(len(response.content))


def _is_missing_slash() -> bool:
    """Return whether the current request's path would name a view if it ended with a slash."""
    context = request_context.current()
    return context is not None and not context.path.endswith("/") and bool(is_valid_path(f"{context.path}/"))
