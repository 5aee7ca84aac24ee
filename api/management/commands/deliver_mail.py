"""`manage.py deliver_mail`, for cron: what is due, and what a process that died left behind."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from api.mail.delivery import deliver_due
from api.operations.job_runs import track_job_run


class Command(BaseCommand):
    help = "Deliver the mails that are due; exit status 1 if one failed for good or may or may not have arrived."

    def handle(self, *args: Any, **options: Any) -> None:
        with track_job_run("deliver_mail"):
            results = deliver_due()
        told = ", ".join(f"{results[state]} {state}" for state in ("sent", "queued", "failed", "unknown"))
        self.stdout.write(f"{told.replace('queued', 'to be tried again')}.")
        if results["failed"] or results["unknown"]:
            sys.exit(1)
