"""The background jobs as Celery tasks, and their beat schedule. `api/operations/job_schedule.py` lists the jobs."""

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
# The broker may still hold messages of the previous release. Remove these names in the next release.
_OLD_NAMES = {"send_digests": "send_email_digest", "housekeeping": "cleanup"}


def run_job(name: str) -> None:
    """Run a job and record the run, unless a setting disables the job."""
    if JOBS[name].is_enabled:
        with track_job_run(name):
            _WORK[name]()


def _task(task_name: str, job_name: str) -> Any:
    def task() -> None:
        run_job(job_name)

    return app.task(task, name=f"api.{task_name}")


TASKS = {name: _task(name, name) for name in JOBS}
for _old_name, _name in _OLD_NAMES.items():
    _task(_old_name, _name)
app.conf.beat_schedule = {
    name: {"task": f"api.{name}", "schedule": crontab.from_string(job.crontab), "options": {"expires": job.expires}}
    for name, job in JOBS.items()
}
