"""Detailed health and Prometheus metrics: /api/health/detailed/ and /metrics."""

import platform
import time
from collections.abc import Iterable
from typing import Any, ClassVar

import django
from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from rest_framework.request import Request
from rest_framework.response import Response

from api.common.choices import TaskStatus
from api.operations import service_status
from api.operations.business_counts import BUSINESS_COUNTS
from api.operations.job_schedule import JOBS
from api.operations.token_authentication import (
    USER_AUTHENTICATION,
    HealthTokenAuthentication,
    MetricsTokenAuthentication,
)
from api.rest.views import RuledAPIView
from backend.telemetry import metrics

_STARTED = time.time()


class DetailedHealthView(RuledAPIView):
    rules: ClassVar = {"get": "operations.view"}
    authentication_classes = (HealthTokenAuthentication, *USER_AUTHENTICATION)

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        """Return all checks, system load and business counts. The status is 503 if the service cannot be used."""
        checks, logs = service_status.checks(), service_status.logs()
        status = service_status.status(checks, logs)
        body = {
            "status": status,
            "checks": checks,
            "metrics": {"system": service_status.system(), "application": service_status.application()},
            "logs": logs,
            "versions": {
                "application": settings.APP_VERSION,
                "django": django.__version__,
                "python": platform.python_version(),
            },
            "uptime_seconds": round(time.time() - _STARTED),
        }
        return Response(body, status=503 if status == "unhealthy" else 200)


class MetricsView(RuledAPIView):
    rules: ClassVar = {"get": "metrics.read"}
    authentication_classes = (MetricsTokenAuthentication, *USER_AUTHENTICATION)

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """Return the metrics in Prometheus' text format."""
        text = metrics.render_metrics(_gauges(BUSINESS_COUNTS.current()))
        return HttpResponse(text, content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


def _gauges(counts: dict[str, Any]) -> Iterable[Metric]:
    if not counts:
        return
    tasks = GaugeMetricFamily("cosmo_tasks", "Tasks, without deleted ones.", labels=["status"])
    for status in TaskStatus.values:
        tasks.add_metric([status], counts["tasks"][status])
    yield tasks
    yield GaugeMetricFamily("cosmo_tasks_overdue", "Overdue tasks.", value=counts["tasks"]["overdue"])
    yield GaugeMetricFamily("cosmo_users", "Active users.", value=counts["users"]["total"])
    yield GaugeMetricFamily(
        "cosmo_users_active_24h", "Users with a session in the last 24 hours.", value=counts["users"]["active_24h"]
    )
    yield from _mails(counts["mails"])
    yield from _jobs(counts)
    free = service_status.free_ratio()
    if free is not None:
        yield GaugeMetricFamily("cosmo_logs_disk_free_ratio", "Free share of the log disk.", value=free)


def _mails(mail_counts: dict[tuple[str, str], int]) -> Iterable[Metric]:
    mails = GaugeMetricFamily(
        "cosmo_mails", "Emails in the outbox. Sent emails stay for 30 days.", labels=["kind", "state"]
    )
    for (kind, mail_state), count in sorted(mail_counts.items()):
        mails.add_metric([kind, mail_state], count)
    yield mails
    waiting = sum(count for (_, mail_state), count in mail_counts.items() if mail_state in {"queued", "sending"})
    yield GaugeMetricFamily("cosmo_mails_waiting", "Emails that wait for delivery.", value=waiting)


def _jobs(counts: dict[str, Any]) -> Iterable[Metric]:
    runs = CounterMetricFamily("cosmo_job_runs", "Runs of background jobs.", labels=["job_name", "result"])
    success = GaugeMetricFamily(
        "cosmo_job_last_success_timestamp_seconds",
        "Time of the last successful run of a job; 0 if there is none.",
        labels=["job_name"],
    )
    for name in (name for name, job in JOBS.items() if job.is_enabled):
        job = counts["jobs"].get(name)
        runs.add_metric([name, "ok"], job.runs - job.failures if job else 0)
        runs.add_metric([name, "failed"], job.failures if job else 0)
        success.add_metric([name], job.succeeded_at.timestamp() if job and job.succeeded_at else 0)
    yield runs
    yield success
    if counts["jobs_queued"] is not None:
        yield GaugeMetricFamily(
            "cosmo_jobs_queued", "Jobs that wait in the broker's queue.", value=counts["jobs_queued"]
        )
