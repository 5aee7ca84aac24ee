"""`manage.py deliver_mail`: deliver due emails and recover those of dead processes."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from api.mail.delivery import deliver_due
from api.operations.job_runs import track_job_run


class Command(BaseCommand):
    help = "Deliver the emails that are due. The exit status is 1 if one failed permanently or may not have arrived."

    def handle(self, *args: Any, **options: Any) -> None:
        with track_job_run("deliver_mail"):
            results = deliver_due()
        counts = ", ".join(f"{results[state]} {state}" for state in ("sent", "queued", "failed", "unknown"))
        self.stdout.write(f"{counts.replace('queued', 'to be retried')}.")
        if results["failed"] or results["unknown"]:
            sys.exit(1)
