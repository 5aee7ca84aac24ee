"""Error pages with the request id to quote. The API returns problem details instead."""

import base64
import hashlib
import sys
from collections.abc import Mapping
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.safestring import mark_safe

from backend import request_context
from backend.database.outages import RETRY_AFTER, is_outage
from backend.http.problems import CONTENT_TYPE, build_problem

# Inside the page, which must not need other files during an outage; the CSP contains its hash.
STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:1.1rem/1.5 system-ui,sans-serif;color:#1f2933;background:#f5f7fa;margin:0}"
    "main{max-width:34rem;margin:15vh auto 0;padding:0 1.5rem}"
    "h1{font-size:1.6rem;line-height:1.25;margin:.25rem 0 1rem}"
    "main>p:first-child{color:#52606d;font-weight:600;margin:0}"
    "code{overflow-wrap:anywhere}"
    "button{font:inherit;padding:.5rem 1.25rem;border:0;border-radius:4px;background:#1d4ed8;color:#fff;cursor:pointer}"
    "@media(prefers-color-scheme:dark){body{color:#e4e7eb;background:#12171d}main>p:first-child{color:#aab7c4}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()


def content_security_policy(*, form_action: str = "'none'") -> str:
    """Return the Content-Security-Policy of a page that contains STYLE and loads nothing else."""
    return (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action {form_action}; "
        "frame-ancestors 'none'"
    )


_TEXTS = {
    400: ("This request cannot be understood", "Check the URL, or go back and try again."),
    403: ("You may not do this", "You may have been signed out. Go back, reload the page and try again."),
    404: ("Page not found", "Check the URL for mistakes. The page may have been deleted."),
    411: ("The request has no length", "Send its size in Content-Length."),
    413: ("The request is too large", "Go back and send less data."),
    415: ("Unsupported content", "Send the request without compression."),
    431: ("The request headers are too large", "Delete the cookies of this site and try again."),
    429: ("Too many attempts", "Wait a few minutes, then try again."),
    500: ("Something went wrong on our side", "We have logged the error. Try again in a few minutes."),
    503: ("Cosmo cannot reach its database", "Go back and try again in a few seconds."),
}


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(400)


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(403)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    request_context.note_rejection(403, reason)
    return _page(403)


def page_not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(404)


def reject(request: HttpRequest, status: int, detail: str) -> HttpResponse:
    """Return a middleware's error response: problem details under /api/, a page elsewhere."""
    if not request.path_info.startswith("/api/"):
        return _page(status)
    body = orjson.dumps(build_problem(status=status, detail=detail))
    return HttpResponse(body, status=status, content_type=CONTENT_TYPE)


def too_many_attempts(headers: Mapping[str, str]) -> HttpResponse:
    """Return the 429 page with the given headers, such as Retry-After."""
    page = _page(429)
    for name, value in headers.items():
        page.headers[name] = value
    return page


def server_error(request: HttpRequest) -> HttpResponse:
    if is_outage(sys.exc_info()[1]):
        page = _page(503)
        page.headers["Retry-After"] = str(RETRY_AFTER)
        return page
    return _page(500)


def _page(status: int) -> HttpResponse:
    title, advice = _TEXTS[status]
    context = request_context.current()
    values: dict[str, Any] = {
        "title": title,
        "advice": advice,
        "style": mark_safe(STYLE),  # noqa: S308 - the constant above
        "request_id": context.request_id if context else "",
    }
    page = render_to_string("backend/error.html", values)
    return HttpResponse(
        page, status=status, headers={"Content-Security-Policy": content_security_policy(), "Cache-Control": "no-store"}
    )
