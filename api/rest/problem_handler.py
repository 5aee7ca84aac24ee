"""REST framework's exception handler: it returns every error of the API as a problem (RFC 9457)."""

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
    """Return the problem for an exception, or None for an unexpected one: Django logs it and returns 500."""
    domain_error = _to_domain_error(exc)
    if domain_error is None:
        return None
    set_rollback()
    if isinstance(domain_error, Denied):
        try:
            _record_denial(domain_error, context)
        except (DatabaseError, InterfaceError) as error:
            if not is_outage(error):
                raise
            exc = error
            domain_error = _DatabaseUnavailable(error)
    if isinstance(domain_error, _DatabaseUnavailable):
        # Only the log gets the cause; the response does not contain it.
        logger.error("Database unavailable", exc_info=exc, extra={"event": "database_unavailable"})
    body = build_problem(
        status=domain_error.status,
        code=domain_error.code,
        detail=domain_error.detail,
        errors=[
            {"field": field, "code": code, "detail": detail} for field, code, detail in _field_errors(exc, domain_error)
        ],
    )
    # A problem is always JSON, whatever the view renders or the client accepts.
    context["request"].accepted_renderer = OrjsonRenderer()
    context["request"].accepted_media_type = CONTENT_TYPE
    return Response(body, status=domain_error.status, headers=dict(domain_error.headers), content_type=CONTENT_TYPE)


def _to_domain_error(exc: Exception) -> DomainError | None:
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
        return _from_api_exception(exc)
    return None


class _FrameworkError(DomainError):
    def __init__(self, status: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.status = status
        self.code = kwargs.get("code") or ""


_BUSY = "Cosmo is busy with this just now. Try again in a few seconds."
_OUTAGE_DETAILS = {  # by PostgreSQL's SQLSTATE; other outages have the default detail
    "55P03": _BUSY,  # lock timeout
    "57014": _BUSY,  # statement timeout
    "40P01": _BUSY,  # deadlock
    "25006": "Cosmo can only be read just now. Try again in a few seconds.",
}


class _DatabaseUnavailable(DomainError):
    status, code = 503, "service_unavailable"

    def __init__(self, cause: Exception) -> None:
        detail = _OUTAGE_DETAILS.get(getattr(cause.__cause__, "sqlstate", None) or "")
        super().__init__(detail, headers={"Retry-After": str(RETRY_AFTER)})


def _from_api_exception(exc: exceptions.APIException) -> DomainError:
    headers = {}
    if auth_header := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    detail = exc.detail.get("detail") if isinstance(exc.detail, dict) else exc.detail
    code = getattr(detail, "code", None) or exc.default_code
    return _FrameworkError(exc.status_code, code=code, detail=str(detail), headers=headers)


def _field_errors(exc: Exception, domain_error: DomainError) -> Iterator[tuple[str, str, str]]:
    if isinstance(exc, exceptions.ValidationError):
        yield from _flatten(exc.detail, "")
    for field, detail in domain_error.errors.items():
        yield field, domain_error.code, detail


def _flatten(detail: Any, field: str) -> Iterator[tuple[str, str, str]]:
    """Yield REST framework's nested errors as (field, code, detail). The field is a dotted path."""
    if isinstance(detail, dict):
        for name, nested in detail.items():
            yield from _flatten(nested, f"{field}.{name}" if field else str(name))
    elif isinstance(detail, list):
        for nested in detail:
            yield from _flatten(nested, field)
    else:
        yield field, getattr(detail, "code", "invalid"), str(detail)


def _record_denial(denied: Denied, context: Mapping[str, Any]) -> None:
    user = getattr(context.get("request"), "user", None)
    actor = user if user is not None and user.is_authenticated else None
    record(Event.PERMISSION_DENIED, actor=actor, target=denied.target, detail=denied.action)
