"""Celery for Cosmo: `celery -A backend worker` and `celery -A backend beat`, where a broker is configured.

A job belongs to the request that queued it: message headers carry the request id and the trace.
"""

import os
from typing import Any

from celery import Celery
from celery.signals import before_task_publish, setup_logging, task_postrun, task_prerun
from django.conf import settings

from backend import request_context
from backend.environment.variables import exit_on_invalid_settings
from backend.telemetry import tracing

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.settings")

with exit_on_invalid_settings():
    _ = settings.SECRET_KEY  # loads all settings
app = Celery("cosmo")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["api"], related_name="jobs")
# api/jobs.py has the Celery tasks; web processes without a broker never import Celery.


@setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """Keep Django's logging configuration: Celery configures its own unless this signal has a receiver."""


@before_task_publish.connect
def add_trace_headers(headers: dict[str, Any], **_: Any) -> None:
    context = request_context.current()
    if context is not None:
        headers |= {"cosmo_request_id": context.request_id, "traceparent": context.traceparent}


@task_prerun.connect
def start_job_context(task: Any, **_: Any) -> None:
    context = request_context.RequestContext(
        request_id=request_context.request_id(task.request.get("cosmo_request_id") or ""),
        traceparent=task.request.get("traceparent") or "",
    )
    request_context.set_current(context)
    tracing.start(context, task.name)


@task_postrun.connect
def end_job_context(state: str | None = None, **_: Any) -> None:
    context = request_context.current()
    if context is not None and context.span is not None:
        context.span.finish(is_error=state != "SUCCESS", attributes={})
    request_context.set_current(None)
