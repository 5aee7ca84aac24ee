"""REST framework's exception handler: every error of the API in one shape (RFC 9457)."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, InterfaceError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from api.audit.events import Event
from api.audit.trail import record
from api.common.errors import Denied, DomainError, Invalid, NotFound
from api.rest.json import OrjsonRenderer
from backend.database.outages import RETRY_AFTER, is_outage
from backend.http.problems import CONTENT_TYPE, build_problem

logger = logging.getLogger("api")


def problem_handler(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """The answer to an exception. None, for a fault of ours, lets Django log it and answer 500."""
    translated = _translate(exc)
    if translated is None:
        return None
    set_rollback()
    if isinstance(translated, Denied):
        try:
            _record_denial(translated, context)
        except (DatabaseError, InterfaceError) as error:
            if not is_outage(error):
                raise
            exc = error
            translated = _DatabaseUnavailable(error)
    if isinstance(translated, _DatabaseUnavailable):
        # The only place that knows the cause: the client is told none of it.
        logger.error("Database unavailable", exc_info=exc, extra={"event": "database_unavailable"})
    body = build_problem(
        status=translated.status,
        code=translated.code,
        detail=translated.detail,
        errors=[
            {"field": field, "code": code, "detail": detail} for field, code, detail in _field_errors(exc, translated)
        ],
    )
    # Whatever the view renders, or the client accepts: a problem is JSON.
    context["request"].accepted_renderer = OrjsonRenderer()
    context["request"].accepted_media_type = CONTENT_TYPE
    return Response(body, status=translated.status, headers=dict(translated.headers), content_type=CONTENT_TYPE)


def _translate(exc: Exception) -> DomainError | None:
    if isinstance(exc, DomainError):
        return exc
    if isinstance(exc, DatabaseError | InterfaceError):
        return _DatabaseUnavailable(exc) if is_outage(exc) else None
    if isinstance(exc, Http404):
        return NotFound()
    if isinstance(exc, PermissionDenied | exceptions.PermissionDenied):
        detail = exc.detail if isinstance(exc, exceptions.PermissionDenied) else None
        return Denied(action="request", detail=str(detail) if detail else None)
    if isinstance(exc, exceptions.ValidationError):
        return Invalid({}, code="validation_error")
    if isinstance(exc, exceptions.APIException):
        return _from_rest_framework(exc)
    return None


class _TranslatedError(DomainError):
    def __init__(self, status: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.status = status
        self.code = kwargs.get("code") or ""


_BUSY = "Cosmo is busy with this just now. Try again in a few seconds."
_OUTAGES = {  # what is said of some of PostgreSQL's SQLSTATEs
    "55P03": _BUSY,  # a lock took too long
    "57014": _BUSY,  # a statement did
    "40P01": _BUSY,  # a deadlock
    "25006": "Cosmo can only be read just now. Try again in a few seconds.",
}


class _DatabaseUnavailable(DomainError):
    status, code = 503, "service_unavailable"

    def __init__(self, cause: Exception) -> None:
        detail = _OUTAGES.get(getattr(cause.__cause__, "sqlstate", None) or "")
        super().__init__(detail, headers={"Retry-After": str(RETRY_AFTER)})


def _from_rest_framework(exc: exceptions.APIException) -> DomainError:
    headers = {}
    if auth_header := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    detail = exc.detail.get("detail") if isinstance(exc.detail, dict) else exc.detail
    code = getattr(detail, "code", None) or exc.default_code
    return _TranslatedError(exc.status_code, code=code, detail=str(detail), headers=headers)


def _field_errors(exc: Exception, translated: DomainError) -> Iterator[tuple[str, str, str]]:
    if isinstance(exc, exceptions.ValidationError):
        yield from _flatten(exc.detail, "")
    for field, detail in translated.errors.items():
        yield field, translated.code, detail


def _flatten(detail: Any, field: str) -> Iterator[tuple[str, str, str]]:
    """REST framework's nested errors as (field, code, detail), the field as a dotted path."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from _flatten(inner, f"{field}.{name}" if field else str(name))
    elif isinstance(detail, list):
        for inner in detail:
            yield from _flatten(inner, field)
    else:
        yield field, getattr(detail, "code", "invalid"), str(detail)


def _record_denial(denied: Denied, context: Mapping[str, Any]) -> None:
    user = getattr(context.get("request"), "user", None)
    actor = user if user is not None and user.is_authenticated else None
    record(Event.PERMISSION_DENIED, actor=actor, target=denied.target, detail=denied.action)
