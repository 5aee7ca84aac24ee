"""`manage.py notify_overdue`: notify users of newly overdue tasks."""

from typing import Any

from django.core.management.base import BaseCommand

from api.notifications.services import notify_overdue
from api.operations.job_runs import track_job_run


class Command(BaseCommand):
    help = "Notify users of tasks that became overdue, once per task."

    def handle(self, *args: Any, **options: Any) -> None:
        with track_job_run("notify_overdue"):
            count = notify_overdue()
        self.stdout.write(f"{count} tasks became overdue.")
