"""The background jobs as Celery tasks, and their schedule for beat: `api/operations/job_schedule.py` lists them."""

from collections.abc import Callable, Mapping
from typing import Any

from celery.schedules import crontab

from api import cleanup
from api.digests import service as digests
from api.mail import delivery
from api.notifications import services as notifications
from api.operations.job_runs import track_job_run
from api.operations.job_schedule import JOBS
from backend.celery import app

_WORK: Mapping[str, Callable[[], object]] = {
    "deliver_mail": lambda: delivery.deliver_due(),
    "send_email_digest": lambda: digests.send_digests(),
    "notify_overdue": lambda: notifications.notify_overdue(),
    "cleanup": lambda: cleanup.run(),
}
# Messages of the former release may still wait at the broker; remove these with the next one.
_FORMER_NAMES = {"send_digests": "send_email_digest", "housekeeping": "cleanup"}


def run_job(name: str) -> None:
    """Do the work of a job, unless a setting switches it off; the run is counted."""
    if JOBS[name].is_enabled:
        with track_job_run(name):
            _WORK[name]()


def _task(task_name: str, job_name: str) -> Any:
    def task() -> None:
        run_job(job_name)

    return app.task(task, name=f"api.{task_name}")


TASKS = {name: _task(name, name) for name in JOBS}
for _former, _name in _FORMER_NAMES.items():
    _task(_former, _name)
app.conf.beat_schedule = {
    name: {"task": f"api.{name}", "schedule": crontab.from_string(job.crontab), "options": {"expires": job.expires}}
    for name, job in JOBS.items()
}
