"""`manage.py housekeeping`, for cron."""

from typing import Any

from django.core.management.base import BaseCommand

from api import cleanup
from api.operations.job_runs import running


class Command(BaseCommand):
    help = (
        "Delete old mails and notifications, dead sessions and devices, login attempt counters and idempotency keys; "
        "the audit trail stays."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        with running("housekeeping"):
            counts = cleanup.run()
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        self.stdout.write(f"Deleted: {told}.")
