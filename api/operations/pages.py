"""The operations page of both admin sites: how the service is, and was in the last hour."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe

from api.operations import service_status
from api.operations.charts import Chart, chart
from api.operations.error_groups import group_errors, security_events
from api.operations.log_access import visible_records
from api.operations.log_display import display_record, parse_timestamp
from api.operations.log_pages import logs_page
from api.operations.request_stats import HourStats, last_hour

MAIL_LATE = 15 * 60  # seconds that a mail waits before the light is yellow


def operations_urls(site: Any) -> list[URLPattern]:
    """What a site adds to its addresses."""
    pages = (("operations/", operations_page, "operations"), ("operations/logs/", logs_page, "operations_logs"))
    return [path(route, site.admin_view(require_safe(partial(page, site))), name=name) for route, page, name in pages]


@dataclass(frozen=True)
class StatusLight:
    name: str
    state: str  # good, warning, bad, or unknown
    words: str


def operations_page(site: AdminSite, request: HttpRequest) -> HttpResponse:
    is_visible = visible_records(site, request)
    now = datetime.now(UTC)
    hour = last_hour(now, is_visible=is_visible)
    found = group_errors(now, is_visible=is_visible)
    lights = _lights()
    values = {
        **site.each_context(request),
        "title": "Operations",
        "now": now,
        "is_partial": is_visible is not None,
        "lights": lights,
        "has_bad": any(light.state == "bad" for light in lights),
        "troubles": [light for light in lights if light.state in {"bad", "warning"}],
        "hour": hour,
        "charts": _charts(hour),
        "minutes": list(zip(hour.starts, hour.minutes, strict=True))[-hour.read_minutes :][::-1],
        "faults": found,
        "fault_records": [(fault, display_record(fault.last)) for fault in found.found],
        "faults_reached": parse_timestamp(found.reached),
        "events": [display_record(entry) for entry in security_events(now, is_visible=is_visible)],
    }
    request.current_app = site.name
    return TemplateResponse(request, "admin/operations/page.html", values)


def _lights() -> list[StatusLight]:
    checks, logs, system = service_status.checks(), service_status.logs(), service_status.system()
    mail = service_status.application()["mail"]
    disk = checks.pop("filesystem")
    words = "not known" if disk["disk_free_percent"] is None else f"{disk['disk_free_percent']} % free"
    return [
        *(_check_light(name, check) for name, check in checks.items()),
        StatusLight("Disk of the logs", "good" if disk["healthy"] else "bad", words),
        _logs_light(logs),
        _mail_light(mail),
        StatusLight(
            "Machine",
            "unknown",
            f"processor {system['cpu']['usage_percent']} %, memory {system['memory']['usage_percent']} %",
        ),
    ]


def _check_light(name: str, check: dict[str, Any]) -> StatusLight:
    if check["healthy"]:
        return StatusLight(name.title(), "good", f"answers in {check['duration_ms']} ms")
    return StatusLight(name.title(), "bad", "does not answer" if name == "database" else "does not work")


def _logs_light(logs: dict[str, dict[str, Any]]) -> StatusLight:
    failing = [f"{name}: {log['last_error']}" for name, log in logs.items() if log["last_error"]]
    dropped = sum(log["dropped"] for log in logs.values())
    if failing:
        return StatusLight("Log files", "bad", "; ".join(failing))
    words = f"{dropped:,} lines lost by this worker" if dropped else "every line is written"
    return StatusLight("Log files", "warning" if dropped else "good", words)


def _mail_light(mail: dict[str, Any]) -> StatusLight:
    if mail["queued"] is None:
        return StatusLight("Mail", "unknown", "being counted")
    minutes = mail["oldest_queued_seconds"] // 60
    words = [f"{mail['queued']:,} waiting" + (f", the oldest for {minutes:,} min" if minutes else "")]
    words += [f"{mail[state]:,} {state}" for state in ("failed", "unknown") if mail[state]]
    return StatusLight("Mail", "warning" if mail["oldest_queued_seconds"] > MAIL_LATE else "good", ", ".join(words))


def _charts(hour: HourStats) -> list[Chart]:
    draw = partial(chart, starts=hour.starts, known=hour.read_minutes)
    requests = [minute.requests for minute in hour.minutes]
    errors = [minute.errors for minute in hour.minutes]
    p95 = [minute.p95 for minute in hour.minutes]
    slow = "-" if hour.total.p95 is None else f"{hour.total.p95:,} ms"
    return [
        draw("requests", "Requests a minute", f"{hour.total.requests:,}", values=requests),
        draw("errors", "Errors a minute", f"{hour.total.errors:,}", values=errors),
        draw("p95", "Time of answers (p95)", slow, values=p95, unit=" ms"),
    ]
