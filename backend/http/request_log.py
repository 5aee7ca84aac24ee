"""The request line: what RequestLoggingMiddleware measures, logs and traces when a response is closed."""

import logging
from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import Any

from django.conf import settings
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from backend import request_context
from backend.logging_config import PERFORMANCE
from backend.request_context import RequestContext
from backend.telemetry import memory, metrics

logger = logging.getLogger(PERFORMANCE)


def body_size(request: HttpRequest, response: HttpResponseBase) -> Callable[[], int]:
    """Return a function that returns the number of body bytes sent; call it after the response is closed."""
    if request.method == "HEAD":
        return lambda: 0
    if isinstance(response, HttpResponse):
        return lambda: len(response.content)
    if isinstance(response, FileResponse) or "Content-Length" in response.headers:
        # Counting chunks would keep the server from using sendfile().
        return lambda: int(response.headers.get("Content-Length", 0))
    sizes = [0]
    response.streaming_content = _count_bytes(response.streaming_content, sizes)  # type: ignore[attr-defined]
    return lambda: sizes[0]


def _count_bytes(chunks: Iterable[bytes], sizes: list[int]) -> Iterator[bytes]:
    for chunk in chunks:
        sizes[0] += len(chunk)
        yield chunk


def call_after_close(response: HttpResponseBase, callback: Callable[[], None]) -> None:
    """Call `callback` once, after the response is closed. The server also closes it if the client has left."""
    close = response.close

    def close_once() -> None:
        response.close = close  # type: ignore[method-assign]
        try:
            close()
        finally:
            callback()

    response.close = close_once  # type: ignore[method-assign]


def finish_request(
    context: RequestContext, status: int, size: Callable[[], int], memory_before: float | None, *, is_logged: bool
) -> None:
    """Count the request, write its line, end its span, and clear the current context."""
    context.queries.stop()
    metrics.observe_request(context, status, perf_counter() - context.started)
    if is_logged:
        _log_request(context, status, size(), memory_before)
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
    queries, memory_mb = context.queries, memory.resident_mb()
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
        if memory.memory_growth.has_grown(memory_mb, threshold_mb=settings.MEMORY_GROWTH_THRESHOLD):
            growth = {"event": "memory_growth", "memory_usage": round(memory_mb, 1)}
            logger.warning("Memory has grown", extra=growth)
    if extra["duration"] >= settings.SLOW_REQUEST_THRESHOLD:
        logger.warning("Slow request detected", extra=extra)
    else:
        logger.info("Request completed", extra=extra)
