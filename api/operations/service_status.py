"""The service status: health checks, system load, business counts and log files."""

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

MIN_FREE_PERCENT = 5.0  # of the log disk; with less, the service is degraded

psutil.cpu_percent()  # sets the start of the interval that the next call measures


def status(checks: dict[str, dict[str, Any]], logs: dict[str, dict[str, Any]]) -> str:
    """Return healthy, degraded, or unhealthy if the service cannot be used."""
    if not checks["database"]["healthy"]:
        return "unhealthy"
    is_healthy = all(check["healthy"] for check in checks.values())
    return "healthy" if is_healthy and not any(log["last_error"] for log in logs.values()) else "degraded"


def checks() -> dict[str, dict[str, Any]]:
    """Return {name: {healthy, duration_ms or disk_free_percent}}. The results are at most a second old."""
    results: dict[str, dict[str, Any]] = {}
    for check in (health.DATABASE, health.CACHE):
        latest = check.latest()
        results[check.name] = {"healthy": latest.healthy, "duration_ms": latest.duration_ms}
    ratio = free_ratio()
    free = None if ratio is None else round(100 * ratio, 1)
    results["filesystem"] = {"healthy": free is not None and free >= MIN_FREE_PERCENT, "disk_free_percent": free}
    return results


def free_ratio() -> float | None:
    """Return the free share of the log disk, or None if the system does not report it."""
    for folder in (settings.LOGS_DIR, settings.BASE_DIR):  # BASE_DIR if LOGS_DIR does not exist
        with suppress(OSError):
            usage = shutil.disk_usage(folder)
            return usage.free / usage.total
    return None


def system() -> dict[str, Any]:
    """Return the CPU usage since the last call and the memory usage, in percent of the host."""
    return {
        "cpu": {"usage_percent": psutil.cpu_percent(interval=None)},
        "memory": {"usage_percent": psutil.virtual_memory().percent},
    }


def application() -> dict[str, Any]:
    """Return the business counts. Values are None until the first count has finished."""
    counts = BUSINESS_COUNTS.current()
    tasks, users = (counts.get(name, {}) for name in ("tasks", "users"))
    return {
        "tasks": {"total": tasks.get("total"), "overdue": tasks.get("overdue")},
        "users": {"total": users.get("total"), "active_24h": users.get("active_24h")},
        "mail": _mail(counts),
        "jobs": _jobs(counts),
    }


def _mail(counts: dict[str, Any]) -> dict[str, int | None]:
    """Return the numbers of queued, failed and unknown emails, and the age of the oldest queued one."""
    mails: Counter[str] = Counter()
    for (_, mail_state), count in counts.get("mails", {}).items():
        mails["queued" if mail_state == MailState.SENDING else mail_state] += count
    oldest = counts.get("oldest_mail")
    return {
        **{state: mails[state] if counts else None for state in ("queued", "failed", "unknown")},
        "oldest_queued_seconds": round((timezone.now() - oldest).total_seconds()) if oldest else 0,
    }


def _jobs(counts: dict[str, Any]) -> dict[str, Any]:
    """Return the broker's queue length (None without a broker), and the runs and last success of each job."""
    runs = counts.get("jobs", {})
    return {
        "queued": counts.get("jobs_queued"),
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
    """Return the log files of this worker as {name: {written, dropped, size_bytes, last_error}}."""
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
