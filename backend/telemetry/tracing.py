"""Spans of requests and jobs. Without OTEL_EXPORTER_OTLP_ENDPOINT, OpenTelemetry is not even imported."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from django.conf import settings

from backend.request_context import RequestContext

_PACKAGES = ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.exporter.otlp.proto.http")


def is_installed() -> bool:
    """Return whether the packages of requirements-tracing.txt are installed."""
    return all(find_spec(name) is not None for name in _PACKAGES)


def start(context: RequestContext, name: str, *, is_server: bool = False) -> None:
    """Start the span of `context` if spans are exported; log records get its ids."""
    if settings.OTEL_EXPORTER_OTLP_ENDPOINT and is_installed():
        from backend.telemetry.spans import WorkSpan  # noqa: PLC0415 - optional

        context.span = WorkSpan(context, name, is_server=is_server)


@contextmanager
def span(context: RequestContext, name: str) -> Iterator[None]:
    """Trace the block as a span of `context`."""
    start(context, name)
    is_error = True
    try:
        yield
        is_error = False
    finally:
        if context.span is not None:
            context.span.finish(is_error=is_error, attributes={})
