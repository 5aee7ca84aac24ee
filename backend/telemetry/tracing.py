"""The span of a request or a job, where OTEL_EXPORTER_OTLP_ENDPOINT is set; else OpenTelemetry is not even imported."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from django.conf import settings

from backend.request_context import RequestContext

_NEEDED = ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.exporter.otlp.proto.http")


def is_installed() -> bool:
    """Whether the packages of requirements-tracing.txt are here."""
    return all(find_spec(name) is not None for name in _NEEDED)


def start(context: RequestContext, name: str, *, is_server: bool = False) -> None:
    """Begin the span of `context`, if there is anybody to tell; its ids become those of the log records."""
    if settings.OTEL_EXPORTER_OTLP_ENDPOINT and is_installed():
        from backend.telemetry.spans import WorkSpan  # noqa: PLC0415 - optional

        context.span = WorkSpan(context, name, is_server=is_server)


@contextmanager
def span(context: RequestContext, name: str) -> Iterator[None]:
    """The block is the work of `context`."""
    start(context, name)
    is_error = True
    try:
        yield
        is_error = False
    finally:
        if context.span is not None:
            context.span.finish(is_error=is_error, attributes={})
