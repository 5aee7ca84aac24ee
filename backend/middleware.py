"""What happens around every request, outermost first."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from time import perf_counter
from traceback import walk_tb
from typing import Any

from django.conf import settings
from django.core.signals import got_request_exception
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template import Template, TemplateDoesNotExist
from django.urls import NoReverseMatch

from backend import health, request_context
from backend.database.outages import is_outage
from backend.database.query_recorder import QueryRecorder
from backend.http.attack_patterns import find_attack_pattern
from backend.http.problems import fill_with_problem
from backend.logging_config import API, PERFORMANCE, SECURITY
from backend.logs.throttling import event_throttle
from backend.redaction import redact
from backend.request_context import RequestContext
from backend.sentry_config import NEVER_TRACED, add_request_context, statement_spans
from backend.telemetry import metrics, tracing
from backend.telemetry.memory import memory_growth, resident_mb

GetResponse = Callable[[HttpRequest], HttpResponseBase]

logger = logging.getLogger(API)
performance_logger = logging.getLogger(PERFORMANCE)
security_logger = logging.getLogger(SECURITY)

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-XSS-Protection": "1; mode=block",  # the specification lists it; today's browsers ignore it
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


class RequestLoggingMiddleware:
    """Outermost. Makes the request known to every log line inside it, and writes one line when its answer is closed.

    The body is never read, and nobody's session is touched.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        event_throttle.log_finished_windows()
        context = request_context.from_request(request, trusted_proxies=settings.TRUSTED_PROXY_COUNT)
        request_context.set_current(context)
        if not request.path_info.startswith(NEVER_TRACED):
            tracing.start(context, context.method, is_server=True)
        add_request_context()
        listeners = (listener for listener in (context.span, statement_spans()) if listener is not None)
        context.queries = QueryRecorder(threshold_ms=settings.SLOW_QUERY_THRESHOLD, listeners=listeners)
        context.queries.start()
        memory_mb = resident_mb()
        is_logged = not context.path.startswith(settings.LOG_SKIP_PATHS)  # before the path is cut
        try:
            response = self.get_response(request)
        except BaseException:
            _finish_request(context, 500, lambda: 0, memory_mb, is_logged=is_logged)
            raise
        response.headers.setdefault("X-Request-ID", context.request_id)
        size = _size_of(request, response)
        finish = partial(_finish_request, context, response.status_code, size, memory_mb, is_logged=is_logged)
        _call_after_close(response, finish)
        return response


def _size_of(request: HttpRequest, response: HttpResponseBase) -> Callable[[], int]:
    """A function that tells how many bytes of the body were sent, once they were."""
    if request.method == "HEAD":
        return lambda: 0
    if isinstance(response, HttpResponse):
        return lambda: len(response.content)
    if isinstance(response, FileResponse) or "Content-Length" in response.headers:
        # Counting would keep the server from handing the file to the kernel.
        return lambda: int(response.headers.get("Content-Length", 0))
    sizes = [0]
    response.streaming_content = _count_bytes(response.streaming_content, sizes)  # type: ignore[attr-defined]
    return lambda: sizes[0]


def _count_bytes(chunks: Iterable[bytes], sizes: list[int]) -> Iterator[bytes]:
    for chunk in chunks:
        sizes[0] += len(chunk)
        yield chunk


def _call_after_close(response: HttpResponseBase, then: Callable[[], None]) -> None:
    # The server closes every answer, also one that its client did not wait for.
    close = response.close

    def close_once() -> None:
        response.close = close  # type: ignore[method-assign]
        try:
            close()
        finally:
            then()

    response.close = close_once  # type: ignore[method-assign]


def _finish_request(
    context: RequestContext, status: int, size: Callable[[], int], memory_mb: float | None, *, is_logged: bool
) -> None:
    context.queries.stop()
    metrics.observe_request(context, status, perf_counter() - context.started)
    if is_logged:
        _log_request(context, status, size(), memory_mb)
    if context.span is not None:
        _finish_span(context, status)
    request_context.set_current(None)


def _finish_span(context: RequestContext, status: int) -> None:
    attributes = {
        "http.request.method": context.method,
        "http.route": context.route,
        "http.response.status_code": status,
        "url.path": context.path,
        "client.address": context.ip_address,
        "user_agent.original": context.user_agent,
    }
    name = f"{context.method} {context.route}" if context.route else context.method
    context.span.finish(name=name, is_error=status >= 500, attributes=attributes)


def _log_request(context: RequestContext, status: int, size: int, memory_before: float | None) -> None:
    queries, memory_mb = context.queries, resident_mb()
    extra: dict[str, Any] = {
        "event": "request",
        "status_code": status,
        "bytes": size,
        "duration": context.duration_ms,
    }
    is_short = context.is_anonymous_rejection
    if queries.count or not is_short:
        extra |= {
            "queries_count": queries.count,
            "queries_time_ms": round(queries.seconds * 1000, 1),
            "slow_queries": queries.slow,
            "likely_n_plus_one": queries.likely_n_plus_one,
        }
    if memory_mb is not None and memory_before is not None:
        extra["memory_usage"] = round(memory_mb, 1)
        if not is_short:
            extra["memory_growth"] = round(memory_mb - memory_before, 1)
        if memory_growth.has_grown(memory_mb, threshold_mb=settings.MEMORY_GROWTH_THRESHOLD):
            grown = {"event": "memory_growth", "memory_usage": round(memory_mb, 1)}
            performance_logger.warning("Memory has grown", extra=grown)
    if extra["duration"] >= settings.SLOW_REQUEST_THRESHOLD:
        performance_logger.warning("Slow request detected", extra=extra)
    else:
        performance_logger.info("Request completed", extra=extra)


class SecurityHeadersMiddleware:
    """Adds security headers, never over those that a view has set, and logs what api.security is for."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        context = request_context.current()
        pattern = find_attack_pattern(request.path, request.META.get("QUERY_STRING", ""))
        response = self.get_response(request)
        present = {name.lower() for name in response.headers}
        for name, value in SECURITY_HEADERS.items():
            if name.lower() not in present:  # several times as fast as setdefault()
                response.headers[name] = value
        if settings.DEBUG and response.status_code >= 400:
            del response.headers["Content-Security-Policy"]  # Django's technical pages have styles and scripts inside
        if request.is_secure() and settings.SECURE_HSTS_SECONDS:
            hsts = f"max-age={settings.SECURE_HSTS_SECONDS}; includeSubDomains; preload"
            response.headers.setdefault("Strict-Transport-Security", hsts)
        if context is not None:
            _log_security_events(context, pattern, response.status_code)
        return response


def _log_security_events(context: RequestContext, pattern: str | None, status: int) -> None:
    """One record at most for a stranger's request that was refused; what strangers send must not fill the disk."""
    context.note_response(status)
    is_logged = status == 400 and bool(context.rejection_reason)  # by Django, as what it is: a suspicious operation
    if pattern and not (is_logged and context.is_anonymous_rejection):
        _log_security(
            context, logging.WARNING, "Suspicious request", "suspicious_pattern", pattern=pattern, status_code=status
        )
    if not (pattern and context.is_anonymous_rejection):
        _log_refusal(context, status)


def _log_refusal(context: RequestContext, status: int) -> None:
    if status == 401:
        _log_security(context, logging.INFO, "Authentication required", "authentication_required")
    elif status == 429:
        _log_security(context, logging.WARNING, "Rate limit exceeded", "rate_limit_exceeded")
    elif status == 403 and not context.is_denial_logged:
        # The audit trail tells of what the rules refuse; here is the rest, such as a missing CSRF token.
        extra = _security_extra(context, "permission_denied") | {"attempted_action": "request"}
        if context.rejection_reason:
            extra["reason"] = context.rejection_reason
        security_logger.warning("Permission denied: request refused", extra=extra)


_CATEGORIES = {
    "suspicious_pattern": "potential_attack",
    "authentication_required": "authentication",
    "rate_limit_exceeded": "abuse_prevention",
    "permission_denied": "authorization",
}


def _log_security(context: RequestContext, level: int, message: str, event: str, **facts: Any) -> None:
    event_throttle.log(level, message, route=context.route, extra=_security_extra(context, event) | facts)


def _security_extra(context: RequestContext, event: str) -> dict[str, Any]:
    extra: dict[str, Any] = {
        "event": event,
        "security_event": event,
        "security_category": _CATEGORIES[event],
        "ip_address": context.ip_address,
    }
    if not context.is_anonymous_rejection:  # whose line is short; the request block has both
        extra |= {"user_id": context.user_id, "user_agent": context.user_agent}
    return extra


class HealthCheckMiddleware:
    """Answers the load balancer right behind the request log, before the host check and the HTTPS redirect: probes
    come often, by address and in plain HTTP.

    What else machines ask here passes both as well (see SECURE_REDIRECT_EXEMPT).
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info == "/metrics" or request.path_info.startswith("/api/health/"):
            request.get_host = request._get_raw_host  # type: ignore[attr-defined, method-assign]
        return health.probe_response(request) or self.get_response(request)


class ErrorLoggingMiddleware:
    """One traceback for each fault, in the view or in a middleware; the answer stays Django's affair."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        # A fault in another middleware never comes to process_exception; this signal tells of both.
        got_request_exception.connect(_log_exception, dispatch_uid="backend.ErrorLoggingMiddleware")

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)


def _log_exception(request: HttpRequest | None = None, **_: Any) -> None:
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
    """The innermost template that was being rendered or could not be, "" if it was something else."""
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


class ProblemDetailsMiddleware:
    """Under /api/ every refusal and every fault is application/problem+json, whoever answered; nothing is stored."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if not request.path_info.startswith("/api/"):
            return response
        is_json = response.headers.get("Content-Type", "").startswith(("application/problem+json", "application/json"))
        if isinstance(response, HttpResponse) and response.status_code >= 400 and not is_json:
            fill_with_problem(response)
        response.headers.setdefault("Cache-Control", "no-store")
        return response
