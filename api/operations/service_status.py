"""How the service is: its checks, and the figures of system, application and logs."""

import logging
import shutil
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings
from django.utils import timezone

from api.mail.models import MailState
from api.operations.business_counts import BUSINESS_COUNTS
from api.operations.job_schedule import JOBS
from backend import health
from backend.logs.handlers import SharedFileHandler

LEAST_FREE = 5.0  # percent of the disk; below, the service is degraded

psutil.cpu_percent()  # the next call tells what was used since this one


def status(checks: dict[str, dict[str, Any]], logs: dict[str, dict[str, Any]]) -> str:
    """healthy, degraded, or unhealthy where it cannot be used."""
    if not checks["database"]["healthy"]:
        return "unhealthy"
    is_well = all(check["healthy"] for check in checks.values())
    return "healthy" if is_well and not any(log["last_error"] for log in logs.values()) else "degraded"


def checks() -> dict[str, dict[str, Any]]:
    """{name: {healthy, duration_ms or disk_free_percent}}; of the database and the cache at most a second old."""
    found: dict[str, dict[str, Any]] = {}
    for check in (health.DATABASE, health.CACHE):
        result = check.latest()
        found[check.name] = {"healthy": result.healthy, "duration_ms": result.duration_ms}
    ratio = free_ratio()
    free = None if ratio is None else round(100 * ratio, 1)
    found["filesystem"] = {"healthy": free is not None and free >= LEAST_FREE, "disk_free_percent": free}
    return found


def free_ratio() -> float | None:
    """Room on the disk of the log files; None where the system does not tell."""
    for folder in (settings.LOGS_DIR, settings.BASE_DIR):  # the second where the first cannot be made
        with suppress(OSError):
            usage = shutil.disk_usage(folder)
            return usage.free / usage.total
    return None


def system() -> dict[str, Any]:
    """Processor (since somebody asked last) and memory, in percent of the machine."""
    return {
        "cpu": {"usage_percent": psutil.cpu_percent(interval=None)},
        "memory": {"usage_percent": psutil.virtual_memory().percent},
    }


def application() -> dict[str, Any]:
    """null where nothing was counted yet."""
    figures = BUSINESS_COUNTS.current()
    tasks, users = (figures.get(name, {}) for name in ("tasks", "users"))
    return {
        "tasks": {"total": tasks.get("total"), "overdue": tasks.get("overdue")},
        "users": {"total": users.get("total"), "active_24h": users.get("active_24h")},
        "mail": _mail(figures),
        "jobs": _jobs(figures),
    }


def _mail(figures: dict[str, Any]) -> dict[str, int | None]:
    """How many wait, or did not leave."""
    counts: Counter[str] = Counter()
    for (_, mail_state), count in figures.get("mails", {}).items():
        counts["queued" if mail_state == MailState.SENDING else mail_state] += count
    oldest = figures.get("oldest_mail")
    return {
        **{state: counts[state] if figures else None for state in ("queued", "failed", "unknown")},
        "oldest_queued_seconds": round((timezone.now() - oldest).total_seconds()) if oldest else 0,
    }


def _jobs(figures: dict[str, Any]) -> dict[str, Any]:
    """How many wait at the broker (null without one), and of each job how often it ran and when it last did well."""
    runs = figures.get("jobs", {})
    return {
        "queued": figures.get("jobs_queued"),
        **{
            name: {
                "runs": runs[name].runs if name in runs else 0,
                "failures": runs[name].failures if name in runs else 0,
                "last_success": runs[name].succeeded_at if name in runs else None,
            }
            for name in JOBS
        },
    }


def logs() -> dict[str, dict[str, Any]]:
    """The files of this worker: {name: {written, dropped, size_bytes, last_error}}."""
    return {
        handler.path.name: {
            "written": handler.written,
            "dropped": handler.dropped,
            "size_bytes": _size(handler.path),
            "last_error": handler.last_error,
        }
        for handler in logging.root.handlers
        if isinstance(handler, SharedFileHandler)
    }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
