"""OpenTelemetry spans (requirements-tracing.txt); only backend.telemetry.tracing imports this module.

OpenTelemetry's own instrumentations export URLs unchanged, but the path of a reset link is a secret. So spans are built
here from the data of the request log. Attribute names follow OpenTelemetry's semantic conventions.
"""

import os
import threading
from collections.abc import Mapping
from functools import lru_cache
from time import time_ns
from typing import Any

from django.conf import settings
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

from backend.redaction import redact_text
from backend.request_context import RequestContext

_lock = threading.Lock()


class WorkSpan:
    """The span of a request or a job, and the child spans of its SQL statements."""

    def __init__(self, context: RequestContext, name: str, *, is_server: bool) -> None:
        kind = SpanKind.SERVER if is_server else SpanKind.CONSUMER
        self._context = context
        self._tracer = _tracer()
        self._span = self._tracer.start_span(name, _caller(context), kind=kind)
        ids = self._span.get_span_context()
        context.trace_id, context.span_id = f"{ids.trace_id:032x}", f"{ids.span_id:016x}"
        context.is_sampled = ids.trace_flags.sampled

    def add_query(self, sql: str, seconds: float) -> None:
        """Add a statement that has just ended; `sql` contains no parameters."""
        ended = time_ns()
        words = sql.split(None, 1)
        span = self._tracer.start_span(
            words[0] if words else "?",
            trace.set_span_in_context(self._span),
            kind=SpanKind.CLIENT,
            attributes={"db.query.text": redact_text(sql, limit=2_000)},
            start_time=ended - int(seconds * 1e9),
        )
        span.end(ended)

    def finish(self, *, name: str = "", is_error: bool = False, attributes: Mapping[str, Any]) -> None:
        """End the span; attributes that are None are left out."""
        if name:
            self._span.update_name(name)
        own = {"cosmo.request_id": self._context.request_id, "user.id": self._context.user_id}
        for key, value in {**own, **attributes}.items():
            if value is not None:
                self._span.set_attribute(key, redact_text(value) if isinstance(value, str) else value)
        if is_error:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


def _caller(context: RequestContext) -> Context:
    """Return a context with the caller's span; an empty one if the caller sent none."""
    if not context.parent_span_id:
        return Context()
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if context.is_sampled else trace.TraceFlags.DEFAULT)
    ids = trace.SpanContext(
        int(context.trace_id, 16), int(context.parent_span_id, 16), is_remote=True, trace_flags=flags
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(ids), Context())


def _tracer() -> trace.Tracer:
    """Return this process's tracer. Its first span starts the export thread, so never before a fork."""
    with _lock:
        return _tracer_of(os.getpid())


@lru_cache(maxsize=1)
def _tracer_of(pid: int) -> trace.Tracer:
    resource = Resource.create(
        {
            "service.name": os.environ.get("OTEL_SERVICE_NAME") or "cosmo-backend",
            "service.version": settings.APP_VERSION,
            "deployment.environment.name": settings.DJANGO_ENVIRONMENT,
        }
    )
    provider = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(endpoint=f"{settings.OTEL_EXPORTER_OTLP_ENDPOINT}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider.get_tracer("cosmo")
