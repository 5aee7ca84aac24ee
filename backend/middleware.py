"""Cosmo's middlewares, outermost first."""

from collections.abc import Callable
from functools import partial

from django.conf import settings
from django.core.signals import got_request_exception
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from backend import health, request_context
from backend.database.query_recorder import QueryRecorder
from backend.http.attack_patterns import find_attack_pattern
from backend.http.error_log import log_exception
from backend.http.problems import fill_with_problem
from backend.http.request_log import body_size, call_after_close, finish_request
from backend.http.security_log import log_security_events
from backend.logs import throttling
from backend.sentry_config import NEVER_TRACED, add_request_context, statement_spans
from backend.telemetry import memory, tracing

GetResponse = Callable[[HttpRequest], HttpResponseBase]

# The only place that sets these headers; Django's own are switched off in the settings.
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-XSS-Protection": "1; mode=block",  # required by the specification; current browsers ignore it
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


class RequestLoggingMiddleware:
    """Makes the request known to every log record inside it, and logs one line when the response is closed.

    It never reads the body and never loads the session.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        throttling.event_throttle.log_finished_windows()
        context = request_context.from_request(request, trusted_proxies=settings.TRUSTED_PROXY_COUNT)
        request_context.set_current(context)
        if not request.path_info.startswith(NEVER_TRACED):
            tracing.start(context, context.method, is_server=True)
        add_request_context()
        listeners = (listener for listener in (context.span, statement_spans()) if listener is not None)
        context.queries = QueryRecorder(threshold_ms=settings.SLOW_QUERY_THRESHOLD, listeners=listeners)
        context.queries.start()
        memory_mb = memory.resident_mb()
        is_logged = not context.path.startswith(settings.LOG_SKIP_PATHS)  # before the path is shortened
        try:
            response = self.get_response(request)
        except BaseException:
            finish_request(context, 500, lambda: 0, memory_mb, is_logged=is_logged)
            raise
        response.headers.setdefault("X-Request-ID", context.request_id)
        size = body_size(request, response)
        finish = partial(finish_request, context, response.status_code, size, memory_mb, is_logged=is_logged)
        call_after_close(response, finish)
        return response


class SecurityHeadersMiddleware:
    """Adds the security headers that a view has not set, and logs security events."""

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
            del response.headers["Content-Security-Policy"]  # Django's debug pages contain styles and scripts
        if request.is_secure() and settings.SECURE_HSTS_SECONDS:
            # Probes and early errors never reach Django's SecurityMiddleware, which sets the same value.
            hsts = f"max-age={settings.SECURE_HSTS_SECONDS}; includeSubDomains; preload"
            response.headers.setdefault("Strict-Transport-Security", hsts)
        if context is not None:
            log_security_events(context, pattern, response.status_code)
        return response


class HealthCheckMiddleware:
    """Responds to load balancers' probes before the host check and the HTTPS redirect.

    Probes come often, by IP address and in plain HTTP. /metrics and the detailed health check skip both checks too
    (see SECURE_REDIRECT_EXEMPT).
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info == "/metrics" or request.path_info.startswith("/api/health/"):
            request.get_host = request._get_raw_host  # type: ignore[attr-defined, method-assign]
        return health.probe_response(request) or self.get_response(request)


class ErrorLoggingMiddleware:
    """Logs one traceback per unhandled exception, from a view or a middleware. Django builds the response."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        # process_exception does not see exceptions of other middlewares; this signal covers both.
        got_request_exception.connect(log_exception, dispatch_uid="backend.ErrorLoggingMiddleware")

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)


class ProblemDetailsMiddleware:
    """Turns every error under /api/ into application/problem+json, and forbids caching there."""

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
