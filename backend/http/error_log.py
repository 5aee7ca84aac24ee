"""The record of an unhandled exception: one traceback per error."""

import logging
import sys
from traceback import walk_tb
from typing import Any

from django.http import HttpRequest
from django.template import Template, TemplateDoesNotExist
from django.urls import NoReverseMatch

from backend.database.outages import is_outage
from backend.logging_config import API
from backend.redaction import redact

logger = logging.getLogger(API)


def log_exception(request: HttpRequest | None = None, **_: Any) -> None:
    """Log the exception being handled; a receiver of Django's got_request_exception signal."""
    error = sys.exc_info()[1]
    if is_outage(error):
        logger.error("Database unavailable", exc_info=error, extra={"event": "database_unavailable"})
        return
    event, message = "unhandled_exception", "Unhandled exception"
    template = _template_being_rendered(error)
    if isinstance(error, NoReverseMatch):
        event = "no_reverse_match"
    elif template:
        event, message = "template_error", "Template rendering error"
    request_data = _request_data(request) if request is not None else None
    extra: dict[str, Any] = {"event": event, "request_data": request_data}
    if template:
        extra["template"] = template
    logger.error(message, exc_info=error, extra=extra)


def _template_being_rendered(error: BaseException | None) -> str:
    """Return the name of the innermost template that failed to render or load; "" for other errors."""
    if isinstance(error, TemplateDoesNotExist):
        return str(error)
    names = [
        frame.f_locals["self"].name or "unnamed"
        for frame, _ in walk_tb(error.__traceback__ if error else None)
        if isinstance(frame.f_locals.get("self"), Template)
    ]
    return names[-1] if names else ""


def _request_data(request: HttpRequest) -> dict[str, Any]:
    return {
        "query": redact({name: request.GET.getlist(name) for name in request.GET}),
        "headers": redact(dict(request.headers)),
    }
