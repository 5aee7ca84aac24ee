"""`manage.py cleanup`: delete expired rows."""

from typing import Any

from django.core.management.base import BaseCommand

from api import cleanup
from api.operations.job_runs import track_job_run


class Command(BaseCommand):
    help = (
        "Delete what has expired: sent emails, read notifications, ended sessions, unused devices, login attempt "
        "counters and idempotency keys. The audit trail stays."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        with track_job_run("cleanup"):
            counts = cleanup.run()
        self.stdout.write(f"Deleted: {', '.join(f'{count} {name}' for name, count in counts.items())}.")
