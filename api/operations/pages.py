"""The operations page of both admin sites: current status, last hour, errors and security events."""

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
from api.operations.charts import Chart, build_chart
from api.operations.error_groups import group_errors, security_events
from api.operations.log_access import visible_records
from api.operations.log_display import display_record, parse_timestamp
from api.operations.log_pages import logs_page
from api.operations.request_stats import HourStats, read_last_hour

MAIL_DELAY_WARNING = 15 * 60  # seconds that an email can wait before the status is a warning


def operations_urls(site: Any) -> list[URLPattern]:
    """Return the URL patterns of the operations pages for an admin site."""
    pages = (("operations/", operations_page, "operations"), ("operations/logs/", logs_page, "operations_logs"))
    return [path(route, site.admin_view(require_safe(partial(page, site))), name=name) for route, page, name in pages]


@dataclass(frozen=True)
class StatusLight:
    """One status on the operations page."""

    name: str
    state: str  # good, warning, bad, or unknown
    text: str


def operations_page(site: AdminSite, request: HttpRequest) -> HttpResponse:
    is_visible = visible_records(site, request)
    now = datetime.now(UTC)
    hour = read_last_hour(now, is_visible=is_visible)
    errors = group_errors(now, is_visible=is_visible)
    lights = _lights()
    values = {
        **site.each_context(request),
        "title": "Operations",
        "now": now,
        "is_partial": is_visible is not None,
        "lights": lights,
        "has_bad": any(light.state == "bad" for light in lights),
        "problems": [light for light in lights if light.state in {"bad", "warning"}],
        "hour": hour,
        "charts": _charts(hour),
        "minutes": list(zip(hour.starts, hour.minutes, strict=True))[-hour.read_minutes :][::-1],
        "errors": errors,
        "error_groups": [(group, display_record(group.last_entry)) for group in errors.groups],
        "errors_read_since": parse_timestamp(errors.read_since),
        "events": [display_record(entry) for entry in security_events(now, is_visible=is_visible)],
    }
    request.current_app = site.name
    return TemplateResponse(request, "admin/operations/page.html", values)


def _lights() -> list[StatusLight]:
    checks, logs, system = service_status.checks(), service_status.logs(), service_status.system()
    mail = service_status.application()["mail"]
    disk = checks.pop("filesystem")
    disk_text = "unknown" if disk["disk_free_percent"] is None else f"{disk['disk_free_percent']} % free"
    return [
        *(_check_light(name, check) for name, check in checks.items()),
        StatusLight("Log disk", "good" if disk["healthy"] else "bad", disk_text),
        _logs_light(logs),
        _mail_light(mail),
        StatusLight(
            "Host",
            "unknown",
            f"CPU {system['cpu']['usage_percent']} %, memory {system['memory']['usage_percent']} %",
        ),
    ]


def _check_light(name: str, check: dict[str, Any]) -> StatusLight:
    if check["healthy"]:
        return StatusLight(name.title(), "good", f"responds in {check['duration_ms']} ms")
    return StatusLight(name.title(), "bad", "does not respond" if name == "database" else "does not work")


def _logs_light(logs: dict[str, dict[str, Any]]) -> StatusLight:
    failing = [f"{name}: {log['last_error']}" for name, log in logs.items() if log["last_error"]]
    dropped = sum(log["dropped"] for log in logs.values())
    if failing:
        return StatusLight("Log files", "bad", "; ".join(failing))
    text = f"{dropped:,} lines lost by this worker" if dropped else "all lines written"
    return StatusLight("Log files", "warning" if dropped else "good", text)


def _mail_light(mail: dict[str, Any]) -> StatusLight:
    if mail["queued"] is None:
        return StatusLight("Mail", "unknown", "counting")
    minutes = mail["oldest_queued_seconds"] // 60
    parts = [f"{mail['queued']:,} waiting" + (f", the oldest for {minutes:,} min" if minutes else "")]
    parts += [f"{mail[state]:,} {state}" for state in ("failed", "unknown") if mail[state]]
    return StatusLight(
        "Mail", "warning" if mail["oldest_queued_seconds"] > MAIL_DELAY_WARNING else "good", ", ".join(parts)
    )


def _charts(hour: HourStats) -> list[Chart]:
    draw = partial(build_chart, starts=hour.starts, read_minutes=hour.read_minutes)
    requests = [minute.requests for minute in hour.minutes]
    errors = [minute.errors for minute in hour.minutes]
    percentiles = [minute.percentile_95 for minute in hour.minutes]
    of_hour = hour.total.percentile_95
    duration = "-" if of_hour is None else f"{of_hour:,} ms"
    return [
        draw("requests", "Requests per minute", f"{hour.total.requests:,}", values=requests),
        draw("errors", "Errors per minute", f"{hour.total.errors:,}", values=errors),
        draw("p95", "Response time (p95)", duration, values=percentiles, unit=" ms"),
    ]
