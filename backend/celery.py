"""Celery for Cosmo: `celery -A backend worker` and `celery -A backend beat`, where a broker is configured.

A job belongs to the request that asked for it: its id and its trace travel in the headers of the message.
"""

import os
from datetime import timedelta
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import before_task_publish, setup_logging, task_postrun, task_prerun
from django.conf import settings

from backend import request_context
from backend.environment.variables import sentence_instead_of_traceback
from backend.telemetry import tracing

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.settings")

with sentence_instead_of_traceback():
    _ = settings.SECRET_KEY  # reads them all
app = Celery("cosmo")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["api"], related_name="jobs")
# Here and not in the settings: Celery is imported only where it has work, and is a sixth of a start.
app.conf.beat_schedule = {
    "digests": {"task": "api.send_digests", "schedule": crontab(hour=settings.EMAIL_DIGEST_HOUR_UTC, minute=0)},
    "deliver-mail": {"task": "api.deliver_mail", "schedule": timedelta(minutes=1), "options": {"expires": 60}},
    "notify-overdue": {
        "task": "api.notify_overdue",
        "schedule": timedelta(minutes=5),
        "options": {"expires": 300},  # seconds; a worker that was away needs the last one only
    },
    "housekeeping": {"task": "api.cleanup", "schedule": timedelta(hours=6)},
}


@setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """Django has configured logging; a receiver keeps Celery from doing it anew."""


@before_task_publish.connect
def hand_on(headers: dict[str, Any], **_: Any) -> None:
    context = request_context.current()
    if context is not None:
        headers |= {"cosmo_request_id": context.request_id, "traceparent": context.traceparent}


@task_prerun.connect
def begin(task: Any, **_: Any) -> None:
    context = request_context.RequestContext(
        request_id=request_context.request_id(task.request.get("cosmo_request_id") or ""),
        traceparent=task.request.get("traceparent") or "",
    )
    request_context.enter(context)
    tracing.start(context, task.name)


@task_postrun.connect
def end(state: str | None = None, **_: Any) -> None:
    context = request_context.current()
    if context is not None and context.span is not None:
        context.span.finish(is_error=state != "SUCCESS", attributes={})
    request_context.enter(None)
